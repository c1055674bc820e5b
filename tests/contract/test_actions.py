"""Which drives a contract allows a joint, and what an action that holds it still is."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from policy_port.contract import Contract
from tests.samples import LEGS, contract_data

WHEEL = LEGS[3]
LEGS_ALONE = {"term": "joint_position", "joints": LEGS[:3], "scale": 0.25, "offset": "default"}
TURNING = {"term": "joint_velocity", "joints": [WHEEL], "scale": 5.0}


def wheeled(wheel: dict[str, Any] | None = None, *actions: dict[str, Any], **changes: Any) -> Contract:
    """The toy whose last joint is a wheel."""
    joints = contract_data()["joints"]
    joints[WHEEL] = {"default": 0.0, "stiffness": 0.0, "damping": 0.5} | (wheel or {})
    terms = actions or (LEGS_ALONE, TURNING)
    return Contract.model_validate(contract_data(joints=joints, action={"terms": terms}, **changes))


def test_a_drive_does_what_the_action_asks() -> None:
    """Gains that would not do what the action asks are an error that says why; each remedy is obeyed."""
    position = {**LEGS_ALONE, "joints": LEGS}
    with pytest.raises(ValidationError, match=f"joint '{WHEEL}', whose stiffness is 0: .* by a term joint_velocity"):
        wheeled(None, position)
    wheeled({"stiffness": 3.0}, position)
    for term in ("joint_velocity", "joint_effort"):
        drive = TURNING | {"term": term}
        with pytest.raises(ValidationError, match=r"whose stiffness is 3: that would .*Write stiffness: 0, or let"):
            wheeled({"stiffness": 3.0}, LEGS_ALONE, drive)
        wheeled({"stiffness": 0.0}, LEGS_ALONE, drive)
    with pytest.raises(ValidationError, match=r"whose damping is 0: the torque is damping \* \(target - velocity\)"):
        wheeled({"damping": 0.0})
    # Of a motor, damping takes away; and the robot file's own actuators have gains of their own.
    wheeled({"damping": 0.0}, LEGS_ALONE, TURNING | {"term": "joint_effort"})
    wheeled({"stiffness": 3.0}, actuation={"kind": "model"})


def test_a_joint_has_one_drive() -> None:
    """A wheel with a position action beside its velocity action is an error."""
    with pytest.raises(ValidationError, match=f"joint of the action '{WHEEL}' stands twice"):
        wheeled(None, {**LEGS_ALONE, "joints": LEGS}, TURNING)


def test_a_wheel_has_no_position_target() -> None:
    """The term joint_target is of joints that have one."""
    terms = [{"term": "joint_target"}]
    with pytest.raises(ValidationError, match=f"joint '{WHEEL}' is driven by velocity; name the joints that have one"):
        wheeled(observation={"terms": terms})
    wheeled(observation={"terms": [{"term": "joint_target", "joints": LEGS[:3]}]})


def test_what_keeps_a_wheel_still_turns_it_at_zero() -> None:
    """The holding action of a wheel is the one whose velocity is zero, wherever the wheel stands."""
    assert wheeled().holding_action(WHEEL, 1.7) == 0.0
    assert wheeled(None, LEGS_ALONE, TURNING | {"offset": 2.0}).holding_action(WHEEL, 1.7) == -0.4


def test_a_residual_needs_a_motion() -> None:
    """An action that adds to a reference motion says how the motion is followed; and then no term need read it."""
    action = {"terms": [{"term": "joint_position", "scale": 0.1, "offset": "motion"}]}
    with pytest.raises(ValidationError, match="motion is missing: action term 'joint_position' reads a reference"):
        Contract.model_validate(contract_data(action=action))
    following = {"align": "none", "end": "hold"}
    contract = Contract.model_validate(contract_data(action=action, motion=following))
    assert contract.holding_action(LEGS[0], 0.7) == 0.0
    with pytest.raises(ValidationError, match="no term reads one"):
        Contract.model_validate(contract_data(motion=following))
