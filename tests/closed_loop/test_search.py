"""Claims about the search, with robots that need no simulator: what is called found, tied, or nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from policy_port.closed_loop.diagnosis import told_of
from policy_port.closed_loop.guesses import key_of
from policy_port.closed_loop.outcome import Outcome, gain, widespread_gain, wins_surely
from policy_port.closed_loop.search import Found, Levels, clearly, even, search
from policy_port.closed_loop.stage import Candidate
from policy_port.closed_loop.words import walked
from policy_port.contract import Contract
from policy_port.errors import RobotError
from tests.closed_loop.test_guesses import right
from tests.samples import LEGS
from tests.verdict.mistakes import edited, reorder, set_action, set_scale

KINDS = ("order", "action", "command")


@dataclass(frozen=True)
class Count:
    """Trials of which only the number matters."""

    count: int

    def perform(self, *args: object) -> Outcome:
        raise AssertionError("the fake stage performs nothing")


LEVELS = Levels(quick=Count(1), longer=Count(4), whole=Count(12))


def outcome(*losses: float) -> Outcome:
    loss = np.array(losses)
    failed = loss > 1.0
    return Outcome(
        loss=loss,
        failed=failed,
        seconds=np.where(failed, 6.0 * (2.0 - loss), 6.0),
        error=np.where(failed, np.nan, loss),
        asked=np.arange(len(losses)) % 6,
        tracking=0.1,
        rate=1.0,
        saturation=0.0,
    )


class FakeStage:
    """A robot that falls the earlier the more is wrong, by which parts of the contract differ from the right one."""

    def __init__(
        self, cost: dict[str, float], floor: float = 0.05, unplayable: str = "", as_good: str = "no such words"
    ) -> None:
        self.cost, self.floor, self.unplayable, self.as_good = cost, floor, unplayable, as_good
        self.replays = 0

    def play(self, candidate: Candidate, trials: Count) -> Outcome:
        if self.unplayable and self.unplayable in candidate.words:
            raise RobotError("can't be set up")
        self.replays += trials.count
        contract, true = candidate.contract, right()
        wrong = {
            "order": contract.joint_names != true.joint_names,
            "action": contract.action != true.action,
            "command": contract.observation.terms[1] != true.observation.terms[1],
        }
        rest = contract.model_copy(
            update={"joints": true.joints, "action": true.action, "observation": true.observation}
        )
        terms = contract.observation.terms
        other = key_of(rest) != key_of(true) or candidate.late
        other |= len(terms) != len(true.observation.terms)
        other |= any(
            a != b for place, (a, b) in enumerate(zip(terms, true.observation.terms, strict=False)) if place != 1
        )
        other |= any(contract.joints[name] != joint for name, joint in true.joints.items())
        if self.as_good in candidate.words:
            wrong, other = dict.fromkeys(KINDS, False), False
        loss = self.floor + sum(self.cost[kind] for kind in KINDS if wrong[kind]) + self.cost.get("other", 0.2) * other
        return outcome(*[min(2.0, loss + 0.001 * place) for place in range(trials.count)])


def hunt(stage: FakeStage, given: Contract) -> Found:
    seen: list[tuple[int, int]] = []
    found = search(
        stage,  # type: ignore[arg-type]
        Candidate(contract=given, words=""),
        LEGS,
        LEVELS,
        lambda done, total: seen.append((done, total)),
    )
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert all(done <= total for done, total in seen)
    return found


COST = {"order": 0.9, "action": 0.6, "command": 0.4}


def test_a_single_mistake_is_found_alone() -> None:
    """The correct contract does best, by itself, and nothing else is called as good."""
    found = hunt(FakeStage(COST), edited(right(), reorder(*LEGS[::-1])))
    assert found.tied == 1
    assert found.best[0].candidate.contract == right()
    assert found.best[0].outcome.mean < 0.1 < 0.9 < found.given.outcome.mean


def test_two_independent_mistakes_are_mended_in_two_rounds() -> None:
    """The first hypothesis undoes both, and says both."""
    wrong = edited(edited(right(), reorder(*LEGS[::-1])), set_scale("velocity_command", 1.0))
    found = hunt(FakeStage(COST), wrong)
    assert found.best[0].candidate.contract == right()
    assert len(found.best[0].words) == 2


def test_what_does_equally_well_is_tied_and_never_found() -> None:
    """Where a wrong contract does as well as the right one, both are told, and neither is given as found."""
    given = edited(right(), set_action(scale=0.5))
    found = hunt(FakeStage(COST, as_good="control rate"), given)
    assert found.tied > 1
    diagnosis = told_of(given, found, walked, "fake", {"simulator": "fake"}, 0)
    assert (diagnosis.ok, diagnosis.found) == (False, None)
    assert "equally well within noise: none is found" in diagnosis.text()
    assert f"(tied with {found.tied - 1} more)" in diagnosis.text()


def test_a_port_that_does_well_is_left_alone() -> None:
    """Nothing can do clearly better than a small loss, so nothing is searched."""
    stage = FakeStage(COST, floor=0.14)
    found = hunt(stage, right())
    assert (found.tied, found.best, found.tried, stage.replays) == (0, (), 0, LEVELS.whole.count)
    diagnosis = told_of(right(), found, walked, "fake", {"simulator": "fake"}, stage.replays)
    assert diagnosis.ok
    assert "nothing that this test can see is wrong" in diagnosis.text()


def test_a_small_mistake_is_not_seen_and_said_to_be_possible() -> None:
    """A wrong port that does within the margin of the right one passes; the answer says that such ports do."""
    given = edited(right(), set_action(scale=0.5))
    found = hunt(FakeStage({"order": 0.9, "action": 0.12, "command": 0.4}, floor=0.1), given)
    diagnosis = told_of(given, found, walked, "fake", {"simulator": "fake"}, 0)
    assert (diagnosis.ok, diagnosis.hypotheses) == (True, ())
    assert "many wrong ports do as well as the right one" in diagnosis.text()


def test_a_robot_that_falls_whatever_is_tried_is_not_called_right() -> None:
    """Nothing does better, and still the port is not given a clean bill."""
    stage = FakeStage(dict.fromkeys(("order", "action", "command", "other"), 0.0), floor=1.8)
    found = hunt(stage, right())
    diagnosis = told_of(right(), found, walked, "fake", {"simulator": "fake"}, stage.replays)
    assert (found.best, diagnosis.ok) == ((), False)
    assert "it does badly, and none of" in diagnosis.text()


def test_standing_still_mends_nothing() -> None:
    """A contract under which a falling robot only stands is no hypothesis, and does not lead the search."""
    still, fallen = outcome(*[1.0] * 12), outcome(*[1.6] * 12)
    assert still.mean < fallen.mean
    assert still.progress > fallen.progress
    stage = FakeStage({"order": 0.9, "action": 0.0, "command": 0.0, "other": 0.0}, floor=0.95)
    assert hunt(stage, edited(right(), reorder(*LEGS[::-1]))).best == ()


def test_what_the_simulator_can_not_be_set_up_for_is_counted() -> None:
    """A candidate without a robot is left out, and the answer says how many."""
    given = edited(right(), reorder(*LEGS[::-1]))
    found = hunt(FakeStage(COST, unplayable="stiffness"), given)
    assert found.unplayable > 0
    assert found.best[0].candidate.contract == right()
    text = told_of(given, found, walked, "fake", {"simulator": "fake"}, 1).text()
    assert f"{found.unplayable} of them can't be simulated" in text


def test_one_lucky_trial_is_no_proof() -> None:
    """A mean that a single trial makes is within its doubt; many small wins are not chance."""
    before = outcome(*[0.4] * 11, 1.9)
    lucky, steady = outcome(*[0.4] * 12), outcome(*[0.2] * 12)
    fall, doubt = gain(before, lucky)
    assert fall < doubt
    assert not wins_surely(before, lucky)
    assert wins_surely(before, steady)
    assert gain(before, steady)[0] == pytest.approx(0.2 + 1.5 / 12)


def test_one_command_alone_is_no_evidence() -> None:
    """A correct policy may fail at one command in a foreign simulator, and what cures that is no mistake found."""
    turns_badly = outcome(*[0.1, 1.0, 0.1, 0.1, 0.1, 0.1] * 2)
    all_well, all_badly = outcome(*[0.1] * 12), outcome(*[0.4] * 12)
    assert gain(turns_badly, all_well)[0] == pytest.approx(0.15)
    assert widespread_gain(turns_badly, all_well) == pytest.approx(0.0)
    cured = outcome(*[0.05, 0.05, 0.1, 0.1, 0.1, 0.1] * 2)
    assert gain(turns_badly, cured)[0] > 0.15
    assert not clearly(turns_badly, cured)
    assert clearly(all_badly, all_well)


def test_a_bad_fall_does_not_make_two_candidates_even() -> None:
    """One fall makes the mean doubtful, and still: who falls does not do as well as who does not."""
    best, close = outcome(*[0.05] * 12), outcome(*[0.07] * 12)
    falls = outcome(*[0.06] * 9, *[1.4] * 3)
    assert gain(falls, best)[0] < gain(falls, best)[1]
    assert not even(falls, best)
    assert even(close, best)
    assert even(best, best)
