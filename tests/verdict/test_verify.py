"""Claims about verify: correct contracts are equal to the last rounding, and each mistake is caught and named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy_port.verdict.evidence import read_evidence
from policy_port.verdict.verify import Verification, verify_contract
from tests.samples import LEGS
from tests.verdict.mistakes import (
    MISTAKES,
    delay,
    difference_positions,
    edited,
    evidence_of,
    exchange_axes,
    normalise,
    roll_quaternion,
    set_scale,
    swap_targets,
)
from tests.verdict.synthetic import header, simulate, stacked, toy, write


def wrong_labels(verdict: Verification) -> set[str]:
    return {check.label for check in verdict.wrong}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_correct_contract_is_equal(tmp_path: Path, dtype: Any) -> None:
    """Every term, the targets and the gains of a correct contract agree, recorded in float64 or float32."""
    contract = toy()
    trace = write(tmp_path / "t.npz", simulate(contract), header(contract), dtype)
    verdict = verify_contract(contract, read_evidence(trace))
    assert verdict.ok, verdict.text()
    assert {check.label for check in verdict.checks} >= {"joint_vel", "gait_phase", "goal", "target", "stiffness"}
    assert all(check.status == "equal" for check in verdict.checks)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_false_alarm_on_random_contracts(data: st.DataObject, tmp_path: Path) -> None:
    """Whatever order, scales, offsets, clips, histories and kinds of action a contract has, a right one is equal."""
    number = st.floats(0.01, 30.0).map(lambda x: float(f"{x:.3g}"))
    history = data.draw(st.integers(1, 4))
    signed = st.tuples(number, st.sampled_from([-1.0, 1.0])).map(lambda pair: pair[0] * pair[1])
    terms: list[dict[str, Any]] = [
        {"term": kind, "scale": data.draw(signed), "offset": data.draw(signed), "history": history}
        for kind in data.draw(st.permutations(["base_ang_vel", "projected_gravity", "joint_pos_rel", "joint_vel"]))
    ]
    terms.append({"term": "last_action", "history": history, "scale": data.draw(number)})
    terms.append({"term": "joint_target", "history": history, "joints": data.draw(st.permutations(LEGS))[:3]})
    observation: dict[str, Any] = {"terms": terms}
    observation["history"] = {
        "layout": data.draw(st.sampled_from(["term_major", "time_major"])),
        "order": data.draw(st.sampled_from(["oldest_first", "newest_first"])),
        "fill": data.draw(st.sampled_from(["first", "zero"])),
    }
    if data.draw(st.booleans()):
        observation["clip"] = [-data.draw(number), data.draw(number)]
    if data.draw(st.booleans()):
        action: dict[str, Any] = {"term": "joint_position", "scale": data.draw(signed), "offset": "default"}
    else:
        reference = data.draw(st.sampled_from(["joint_pos", "joint_target"]))
        action = {"term": "joint_position_delta", "scale": data.draw(number), "reference": reference}
    contract = toy(
        joints={name: {"default": data.draw(signed)} for name in data.draw(st.permutations(LEGS))},
        observation=observation,
        action={"terms": [action], **({"raw_clip": [-1.0, 1.0]} if data.draw(st.booleans()) else {})},
    )
    arrays = simulate(contract, lengths=(12, 9), seed=data.draw(st.integers(0, 99)))
    about = {"joint_names": header(contract)["joint_names"]}
    trace = write(tmp_path / "t.npz", arrays, about, data.draw(st.sampled_from([np.float32, np.float64])))
    verdict = verify_contract(contract, read_evidence(trace))
    assert verdict.ok, verdict.text()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_contract_is_caught_and_named(tmp_path: Path, mistake: str) -> None:
    """The terms that the mistake changes, and only these, are wrong, and a line says what it is."""
    contract = toy()
    change, words, labels = MISTAKES[mistake]
    verdict = verify_contract(edited(contract, change), evidence_of(tmp_path, contract))
    assert wrong_labels(verdict) == labels
    assert re.search(words, verdict.text()), verdict.text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (roll_quaternion, "quaternion order: base_quat is xyzw, not wxyz"),
        (delay, "one step late"),
        (difference_positions, "finite differences of its joint_pos"),
        (exchange_axes, "base_ang_vel .*\n.*elements 0 and 1 exchanged"),
        (normalise, "recorded behind the network's normaliser"),
        (swap_targets, "columns of target: right_hip and right_knee exchanged"),
        (
            lambda arrays: arrays["observation"][:, :6].__iadd__(
                np.random.default_rng(1).uniform(-0.02, 0.02, (100, 6))
            ),
            "noise of 0.01",
        ),
    ],
)
def test_a_mistake_in_reading_the_state_is_caught_and_named(
    tmp_path: Path, change: Callable[[dict[str, np.ndarray]], None], words: str
) -> None:
    """A contract that is right and a state that was read in another way: said as what it is."""
    contract = toy()
    verdict = verify_contract(contract, evidence_of(tmp_path, contract, change))
    assert not verdict.ok
    assert re.search(words, verdict.text()), verdict.text()


def test_the_stated_quaternion_order_is_believed(tmp_path: Path) -> None:
    """A trace that says xyzw and is xyzw raises no alarm."""
    contract = toy()
    assert verify_contract(contract, evidence_of(tmp_path, contract, roll_quaternion, quaternion_order="xyzw")).ok


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"layout": "time_major"}, "history term-major"),
        ({"order": "newest_first"}, "history oldest first"),
        ({"fill": "zero"}, "history filled with the first observation at reset"),
    ],
)
def test_a_wrong_history_is_named(tmp_path: Path, wrong: dict[str, str], words: str) -> None:
    """Each of the three things that a history is, wrong on its own, is said as what the source has."""
    verdict = verify_contract(stacked(**wrong), evidence_of(tmp_path, stacked()))
    assert words in verdict.text()


def test_the_first_bad_step_is_where_it_begins(tmp_path: Path) -> None:
    """A number that goes wrong at step 57 is reported there, with its joint, although larger errors follow."""
    contract = toy()

    def spoil(arrays: dict[str, np.ndarray]) -> None:
        # joint_vel of left_knee: behind 3 + 3 + 4 + 4 numbers, the second joint.
        arrays["observation"][57:, 15] += np.linspace(0.01, 1.0, 43, dtype=np.float32)

    verdict = verify_contract(contract, evidence_of(tmp_path, contract, spoil))
    (check,) = verdict.wrong
    assert (check.label, [(bad.element, bad.step) for bad in check.bad]) == ("joint_vel", [("left_knee", 57)])
    assert "first at step 57: left_knee" in verdict.text()


def test_an_episode_without_its_reset_is_judged_where_it_can_be(tmp_path: Path) -> None:
    """A trace that begins in the middle of an episode raises no alarm, and says what it leaves out."""
    contract = stacked()
    arrays = {name: array[5:] for name, array in simulate(contract).items()}
    verdict = verify_contract(contract, read_evidence(write(tmp_path / "t.npz", arrays, header(contract))))
    assert verdict.ok, verdict.text()
    assert "1 of 3 episodes does not begin at a reset" in verdict.text()


def test_a_trace_without_targets_says_what_it_does_not_show(tmp_path: Path) -> None:
    """Targets may be missing; the verdict says what of the action is not seen then."""
    contract = stacked()
    arrays = simulate(contract)
    del arrays["target"]
    verdict = verify_contract(contract, read_evidence(write(tmp_path / "t.npz", arrays, header(contract))))
    assert verdict.ok
    assert "verdict: equal in 8 of 9 comparisons; 1 could not be made: target (the trace has no targets" in (
        verdict.text()
    )


def test_environments_are_told_apart(tmp_path: Path) -> None:
    """Two environments side by side are equal; a fault in the second is reported there."""
    contract = toy()
    one, two = simulate(contract, seed=1), simulate(contract, seed=2)
    arrays = {name: np.stack([one[name], two[name]], axis=1) for name in one}
    assert verify_contract(contract, read_evidence(write(tmp_path / "a.npz", arrays, header(contract)))).ok
    arrays["observation"][30, 1, 0] += 0.1
    verdict = verify_contract(contract, read_evidence(write(tmp_path / "b.npz", arrays, header(contract))))
    assert "first at step 30 of environment 1: x" in verdict.text()


def test_what_never_moves_is_told(tmp_path: Path) -> None:
    """A command that stays the same is compared, and named as something whose scale the trace shows in part."""
    contract = toy()

    def still(arrays: dict[str, np.ndarray]) -> None:
        arrays["command"][:] = 0.0
        arrays["observation"][:, 3:6] = 0.0

    verdict = verify_contract(contract, evidence_of(tmp_path, contract, still))
    assert verdict.ok
    assert "never moved" in verdict.text()
    assert "velocity_command[ang_vel_z]" in verdict.text()


def test_json_holds_what_the_text_says(tmp_path: Path) -> None:
    """Programs read the verdict, each check with its elements, and what it looks like."""
    contract = toy()
    wrong = edited(contract, set_scale("base_ang_vel", 1.0))
    document = json.loads(verify_contract(wrong, evidence_of(tmp_path, contract)).json())
    assert document["ok"] is False
    (check,) = [check for check in document["checks"] if check["status"] == "wrong"]
    assert check["looks_like"] == "factor 4.00: the scale 0.25 is missing"
    assert [bad["element"] for bad in check["bad"]] == ["x", "y", "z"]
