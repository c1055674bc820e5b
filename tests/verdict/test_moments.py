"""Claims about terms that the network saw late, off by a constant, or behind noise: each is said as what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.contract import Contract
from policy_port.contract.layout import observation_slots
from policy_port.mistakes.edits import with_term
from policy_port.verdict.compared import compare
from policy_port.verdict.diagnose import trace_diagnosis
from policy_port.verdict.evidence import read_evidence
from policy_port.verdict.verify import verification, verify_contract
from tests.verdict.mistakes import edited, set_joint, set_scale
from tests.verdict.synthetic import header, simulate, stacked, toy, write

Arrays = dict[str, np.ndarray]


def worlds(contract: Contract, count: int = 2, lengths: tuple[int, ...] = (50, 40)) -> Arrays:
    """Several environments side by side."""
    each = [simulate(contract, lengths=lengths, seed=seed) for seed in range(count)]
    return {name: np.stack([arrays[name] for arrays in each], axis=1) for name in each[0]}


def columns(contract: Contract, label: str) -> list[int]:
    return [place for place, slot in enumerate(observation_slots(contract)) if slot.term == label]


def late(arrays: Arrays, contract: Contract, label: str, lags: Any) -> None:
    """The term as a buffer serves it: as it was so many steps before, and the episode's first at the start."""
    steps, envs = arrays["episode"].shape
    lags = np.broadcast_to(lags, (steps, envs))
    before = arrays["observation"].copy()
    for env in range(envs):
        for step in range(steps):
            first = int(np.flatnonzero(arrays["episode"][:, env] == arrays["episode"][step, env])[0])
            source = min(max(step - int(lags[step, env]), first), steps - 1)
            if arrays["episode"][source, env] != arrays["episode"][step, env]:
                source = step
            mine = columns(contract, label)
            arrays["observation"][step, env, mine] = before[source, env, mine]


def said(folder: Path, contract: Contract, arrays: Arrays, given: Contract | None = None) -> tuple[str, Any]:
    """What verify prints, and diagnose's first hypothesis."""
    evidence = read_evidence(write(folder / "t.npz", arrays, header(contract)))
    compared = compare(given or contract, evidence)
    verdict = verification(compared)
    assert not verdict.ok
    return verdict.text(), trace_diagnosis(compared).hypotheses[0]


STEPS = {1: "one step late", 2: "two steps late", 3: "three steps late", 7: "seven steps late", 15: "15 steps late"}


@pytest.mark.parametrize(
    ("label", "lag"),
    [
        *(("base_ang_vel", lag) for lag in (1, 2, 7, 15)),
        *((label, 2) for label in ("joint_vel", "joint_pos_rel", "projected_gravity")),
        *(("last_action", lag) for lag in (1, 15)),
    ],
)
def test_a_late_term_is_told_by_its_steps(tmp_path: Path, label: str, lag: int) -> None:
    """Whole steps are named, one, two or fifteen, for one term alone, whatever it is made of; noise is not."""
    arrays = worlds(toy())
    late(arrays, toy(), label, lag)
    text, first = said(tmp_path, toy(), arrays)
    assert first.words == (f"{label}: {STEPS[lag]}",)
    key, after = ("ago", lag + 1) if label == "last_action" else ("delay", lag)
    assert [(edit.key, edit.after) for edit in first.edits] == [(f"observation.terms[{label}].{key}", after)]
    assert first.whole
    assert f"looks like: {STEPS[lag]}" in text
    assert "noise" not in text


@pytest.mark.parametrize("label", ["joint_vel", "last_action"])
def test_a_late_term_behind_a_history_is_told(tmp_path: Path, label: str) -> None:
    """A history stacks what was late already."""
    contract = stacked()
    arrays = worlds(contract)
    late(arrays, contract, label, 2)
    text, first = said(tmp_path, contract, arrays)
    assert first.words == (f"{label}: two steps late",), text
    assert first.whole


def test_an_early_term_is_told(tmp_path: Path) -> None:
    """A term that shows what the trace has two rows further on is early."""
    arrays = worlds(toy())
    late(arrays, toy(), "joint_vel", -2)
    assert said(tmp_path, toy(), arrays)[1].words == ("joint_vel: two steps early",)


def test_terms_are_late_each_by_its_own_steps(tmp_path: Path) -> None:
    """Two terms that are late alike are one explanation; a third has its own."""
    arrays = worlds(toy())
    for label, lag in (("joint_vel", 2), ("base_ang_vel", 2), ("projected_gravity", 4)):
        late(arrays, toy(), label, lag)
    text, first = said(tmp_path, toy(), arrays)
    assert set(first.words) == {"base_ang_vel, joint_vel: two steps late", "projected_gravity: four steps late"}, text
    assert first.whole


def test_each_environment_may_have_its_own_delay(tmp_path: Path) -> None:
    """A delay that was drawn for each environment is told as such."""
    arrays = worlds(toy())
    late(arrays, toy(), "joint_vel", [1, 3])
    _, first = said(tmp_path, toy(), arrays)
    assert first.words == ("joint_vel: 1, 3 steps late, another number in each environment",)
    assert first.whole


def test_a_delay_may_change_from_row_to_row(tmp_path: Path) -> None:
    """A buffer that draws its delay anew at each step is told by its range."""
    arrays = worlds(toy())
    late(arrays, toy(), "joint_vel", np.random.default_rng(0).integers(0, 4, arrays["episode"].shape))
    _, first = said(tmp_path, toy(), arrays)
    assert first.words[0].startswith("joint_vel: late by 0 to 3 steps, another number from row to row")
    assert first.whole


def test_single_frames_that_are_old_are_counted(tmp_path: Path) -> None:
    """Three rows that show the row before are said to be three of all."""
    arrays = worlds(toy())
    lags = np.zeros(arrays["episode"].shape, dtype=int)
    lags[[20, 33, 60], 0] = 1
    late(arrays, toy(), "joint_vel", lags)
    _, first = said(tmp_path, toy(), arrays)
    assert "late by 0 to 1 steps, another number from row to row (3 of 180 rows are late)" in first.said


def test_a_sensor_that_is_read_less_often_is_told(tmp_path: Path) -> None:
    """A term that holds each number for two steps is refreshed every two steps."""
    arrays = worlds(toy(), lengths=(90,))
    late(arrays, toy(), "base_ang_vel", (np.arange(90) % 2)[:, None])
    _, first = said(tmp_path, toy(), arrays)
    assert first.words[0].startswith("base_ang_vel: refreshed every two steps only")
    assert first.whole


@pytest.mark.parametrize(("share", "words"), [(0.5, "about 1.5 steps late"), (0.25, "about 1.3 steps late")])
def test_a_delay_between_two_rows_is_told_before_noise(tmp_path: Path, share: float, words: str) -> None:
    """Half a step more than one, as physics steps allow: named, with what it leaves."""
    one, two = worlds(toy()), worlds(toy())
    late(one, toy(), "joint_vel", 1)
    late(two, toy(), "joint_vel", 2)
    one["observation"] = ((1 - share) * one["observation"] + share * two["observation"]).astype(np.float32)
    text, first = said(tmp_path, toy(), one)
    assert first.words[0].startswith(f"joint_vel: {words}, between two rows of the trace")
    # Something else between the rows than a line: the delay still tells most of it.
    one["observation"][:, :, columns(toy(), "joint_vel")] += 1e-4 * np.sin(np.arange(90))[:, None, None]
    text, first = said(tmp_path, toy(), one)
    assert f"joint_vel: {words}, between two rows of the trace, which leaves up to 0.0" in first.said, text
    assert first.edits == ()


def test_a_late_term_with_noise_is_both(tmp_path: Path) -> None:
    """Noise on top of a delay hides neither."""
    arrays = worlds(toy())
    late(arrays, toy(), "joint_vel", 2)
    mine = columns(toy(), "joint_vel")
    noise = np.random.default_rng(0).normal(0, 0.0003, arrays["observation"][:, :, mine].shape)
    arrays["observation"][:, :, mine] += noise.astype(np.float32)
    text, first = said(tmp_path, toy(), arrays)
    assert first.said.startswith("joint_vel: two steps late, with noise of 0.0003"), text


def test_a_late_term_with_another_scale_is_both(tmp_path: Path) -> None:
    """A missing scale of a term that is late is an edit beside its delay."""
    arrays = worlds(toy())
    late(arrays, toy(), "base_ang_vel", 2)
    _, first = said(tmp_path, toy(), arrays, edited(toy(), set_scale("base_ang_vel", 1.0)))
    assert "two steps late" in first.said
    assert "the scale 0.25 is missing" in first.said
    assert (first.whole, first.contract) == (True, with_term(toy(), "base_ang_vel", delay=2))


def test_a_late_recording_that_is_mended_is_equal(tmp_path: Path) -> None:
    """The remedy: with the state recorded that was shown, verify finds nothing."""
    contract = toy()
    arrays = simulate(contract)
    kept = arrays["joint_vel"].copy()
    arrays["joint_vel"][:-2] = kept[2:]
    evidence = read_evidence(write(tmp_path / "a.npz", arrays, header(contract)))
    assert "two steps late" in verify_contract(contract, evidence).text()
    arrays["joint_vel"] = kept
    assert verify_contract(contract, read_evidence(write(tmp_path / "b.npz", arrays, header(contract)))).ok


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_late_targets_are_told_by_their_steps(tmp_path: Path, steps: int) -> None:
    """Targets that are recorded some rows behind their action."""
    contract = edited(toy(), lambda data: data["observation"]["terms"].remove({"term": "joint_target"}))
    arrays = simulate(contract, lengths=(90,))
    arrays["target"][steps:] = arrays["target"][:-steps].copy()
    text, first = said(tmp_path, contract, {name: array for name, array in arrays.items()})
    assert f"target: {STEPS[steps]}" in first.said, text


def biased(label: str, *biases: dict[int, float]) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        mine = columns(toy(), label)
        for env, each in enumerate(biases):
            for place, value in each.items():
                arrays["observation"][:, env, mine[place]] += np.float32(value)

    return change


@pytest.mark.parametrize("label", ["joint_pos_rel", "base_ang_vel", "projected_gravity", "joint_vel"])
def test_a_bias_of_each_environment_is_named(tmp_path: Path, label: str) -> None:
    """A constant that was drawn for each environment: which reading, and how much in its raw unit."""
    arrays = worlds(toy())
    scale = {"base_ang_vel": 0.25, "joint_vel": 0.05}.get(label, 1.0)
    biased(label, {1: 0.01423 * scale}, {1: -0.00291 * scale})(arrays)
    text, first = said(tmp_path, toy(), arrays)
    name = "y" if label in ("base_ang_vel", "projected_gravity") else "left_knee"
    words = f"a constant bias of its reading, another in each environment: {name} +0.01423 and -0.00291"
    assert words in first.said, text
    assert (first.whole, first.edits) == (True, ())
    assert words in text


@pytest.mark.parametrize("count", [1, 4])
def test_a_drawn_bias_of_one_environment_is_no_table_of_offsets(tmp_path: Path, count: int) -> None:
    """Numbers that nobody would have written are a bias, with joint and size, also where one environment ran."""
    arrays = worlds(toy(), 1)
    drawn = dict(enumerate((0.0142311, -0.0029117, 0.0070413, 0.0099018)[:count]))
    biased("joint_pos_rel", drawn)(arrays)
    text, first = said(tmp_path, toy(), arrays)
    assert "left_hip +0.01423 rad" in first.said, text
    assert "constant bias" in first.said
    assert first.edits == ()


def test_a_written_offset_is_an_edit_that_names_its_joint(tmp_path: Path) -> None:
    """A bias of 0.02 rad in every environment can be written into the contract; the line names joint and size."""
    arrays = worlds(toy())
    biased("joint_pos_rel", {0: 0.02}, {0: 0.02})(arrays)
    text, first = said(tmp_path, toy(), arrays)
    assert "left_hip" in first.said, text
    assert "0.02" in first.said
    assert first.whole


def test_a_wrong_default_is_no_bias(tmp_path: Path) -> None:
    """A default pose that is wrong in the contract stays an edit of it, whatever its digits."""
    given = edited(toy(), set_joint("left_hip", "default", 0.1142311))
    _, first = said(tmp_path, toy(), worlds(toy()), given)
    assert [edit.key for edit in first.edits] == ["joints.left_hip.default"]


@pytest.mark.parametrize("label", ["joint_pos_rel", "base_ang_vel"])
def test_a_bias_that_is_recorded_is_equal(tmp_path: Path, label: str) -> None:
    """Both remedies: the array as the sensor shows it, and a recording without the bias."""
    arrays = worlds(toy())
    biased(label, {1: 0.0142311}, {1: 0.0029113})(arrays)
    assert "or record" in said(tmp_path, toy(), arrays)[1].remedies[0]
    array, place, scale = ("joint_pos", 2, 1.0) if label == "joint_pos_rel" else ("base_ang_vel", 1, 0.25)
    arrays[array][:, :, place] += np.array([0.0142311, 0.0029113]) / scale
    biased("joint_pos", {1: 0.0142311}, {1: 0.0029113})(arrays) if label == "joint_pos_rel" else None
    verdict = verify_contract(toy(), read_evidence(write(tmp_path / "b.npz", arrays, header(toy()))))
    assert not [check for check in verdict.wrong if check.label in ("joint_pos", "joint_pos_rel", "base_ang_vel")]
    clean = worlds(toy())
    assert verify_contract(toy(), read_evidence(write(tmp_path / "c.npz", clean, header(toy())))).ok


def test_noise_about_a_bias_is_both(tmp_path: Path) -> None:
    """Isaac Lab draws noise about a bias that it drew before."""
    arrays = worlds(toy())
    mine = columns(toy(), "base_ang_vel")
    noise = np.random.default_rng(0).normal(0, 0.01, arrays["observation"][:, :, mine].shape)
    noise += np.array([[0.1], [-0.05]])
    arrays["observation"][:, :, mine] += noise.astype(np.float32)
    text, first = said(tmp_path, toy(), arrays)
    assert "base_ang_vel: noise of 0.0099 about a constant bias of what is shown (x +0.1 and -0.05" in first.said, text


def test_what_follows_from_the_motion_is_no_noise(tmp_path: Path) -> None:
    """A difference that swings fast and is a product of the base's own motion is not called noise."""
    rng = np.random.default_rng(0)
    arrays = worlds(toy())
    arrays["base_ang_vel"] = rng.normal(size=arrays["base_ang_vel"].shape)
    mine = columns(toy(), "base_ang_vel")
    arrays["observation"][:, :, mine] = (0.25 * arrays["base_ang_vel"]).astype(np.float32)
    shown = columns(toy(), "base_lin_vel")
    arrays["observation"][:, :, shown] += (0.3 * arrays["base_ang_vel"] * [1, 0, 1]).astype(np.float32)
    verdict = verify_contract(toy(), read_evidence(write(tmp_path / "t.npz", arrays, header(toy()))))
    assert [check.label for check in verdict.wrong] == ["base_lin_vel"]
    assert "noise" not in verdict.text()
