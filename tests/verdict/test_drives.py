"""Verdicts on wheels and motors: their targets stand in arrays of their own, a masked position is no mistake."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.contract import Contract
from policy_port.verdict.diagnose import diagnose_contract
from policy_port.verdict.evidence import Evidence
from policy_port.verdict.verify import verify_contract
from tests.samples import LEGS, contract_data
from tests.verdict.mistakes import edited, evidence_of, term
from tests.verdict.synthetic import TRACE_JOINTS

HIP, KNEE, WHEEL, MOTOR = LEGS
MASKED = {HIP: 1.0, KNEE: 1.0, WHEEL: 0.0, MOTOR: 1.0}


def wheeled() -> Contract:
    """Two legs, a wheel whose position is masked, and a motor."""
    joints = contract_data()["joints"]
    joints[WHEEL] |= {"stiffness": 0.0}
    joints[MOTOR] |= {"stiffness": 0.0}
    seen = [{"term": "joint_pos_rel", "scale": MASKED}, {"term": "joint_vel", "scale": 0.05}, {"term": "last_action"}]
    driven = [
        {"term": "joint_position", "joints": [HIP, KNEE], "scale": 0.25, "offset": "default"},
        {"term": "joint_velocity", "joints": [WHEEL], "scale": 5.0},
        {"term": "joint_effort", "joints": [MOTOR], "scale": 3.0},
    ]
    return Contract.model_validate(
        contract_data(joints=joints, observation={"terms": seen}, action={"terms": driven, "raw_clip": [-100, 100]})
    )


def apart(arrays: dict[str, np.ndarray]) -> None:
    """Give each quantity its own array, as a recorder does."""
    target = arrays["target"]
    for name, array in ((WHEEL, "joint_velocity_target"), (MOTOR, "joint_effort_target")):
        column = TRACE_JOINTS.index(name)
        arrays[array] = np.zeros_like(target)
        arrays[array][:, column], target[:, column] = target[:, column], 0.0


def recorded(folder: Path, change: Callable[[dict[str, np.ndarray]], Any] | None = None) -> Evidence:
    """A trace of the right contract."""

    def both(arrays: dict[str, np.ndarray]) -> None:
        apart(arrays)
        if change is not None:
            change(arrays)

    return evidence_of(folder, wheeled(), both)


def act(place: int, **keys: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["action"]["terms"][place].update(keys)


MISTAKES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "the mask forgotten": (lambda data: term(data, "joint_pos_rel").pop("scale"), "joint_pos_rel: .*scale"),
    "a mask too many": (
        lambda d: term(d, "joint_pos_rel").update(scale=MASKED | {KNEE: 0.0}),
        "joint_pos_rel: .*scale",
    ),
    "the wheel's scale": (act(1, scale=0.25), f"action of {WHEEL}: factor 0.05: scale 0.25 instead of 5"),
    "the wheel's sign": (act(1, scale=-5.0), f"action of {WHEEL}: sign flipped"),
    "a bias on the wheel": (act(1, offset=1.0), f"action of {WHEEL}: offset 1 instead of 0"),
    "the motor's scale": (act(2, scale=1.0), f"action of {MOTOR}: .*the scale 3 is missing"),
    "a wheel for a motor": (act(1, term="joint_effort"), f"{WHEEL} driven by velocity, not by effort"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_usual_mistakes_are_named_and_mended(tmp_path: Path, mistake: str) -> None:
    """The first hypothesis says what is wrong and gives the right contract back."""
    evidence = recorded(tmp_path)
    wrong = edited(wheeled(), MISTAKES[mistake][0])
    assert not verify_contract(wrong, evidence).ok
    first = diagnose_contract(wrong, evidence).hypotheses[0]
    assert first.contract == wheeled()
    said = "; ".join(first.words)
    assert re.search(MISTAKES[mistake][1], said), said


def test_the_right_contract_is_equal_and_says_what_is_masked(tmp_path: Path) -> None:
    """All targets are compared, each in its own array; a masked element is told as masked, not as one that stood."""
    found = verify_contract(wheeled(), recorded(tmp_path))
    assert found.ok
    target = next(check for check in found.checks if check.label == "target")
    assert (target.elements, target.rows_left_out) == (4, 0)
    assert any(f"joint_pos_rel[{WHEEL}]" in note and "scale 0" in note for note in found.notes)
    assert not any("never moved" in note for note in found.notes)


def test_targets_that_were_not_recorded_are_not_seen(tmp_path: Path) -> None:
    """Without its array a wheel's target is not called equal: the note names what is missing."""
    found = verify_contract(wheeled(), recorded(tmp_path, lambda arrays: arrays.pop("joint_velocity_target")))
    target = next(check for check in found.checks if check.label == "target")
    assert f"the trace has no joint_velocity_target: not seen is what drives {WHEEL}" in target.note
