"""Wheels, motors and residuals across a remap: sign, unit and gear, and no zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from policy_port.contract import Contract, RobotMapping
from policy_port.contract.layout import observation_slots
from policy_port.errors import MappingError
from policy_port.proof.reference import ByNameReference
from policy_port.remap import Remap, build_remap
from tests.samples import LEGS, contract_data

HIP, KNEE, WHEEL, MOTOR = LEGS
KINDS = {HIP: "joint_position", KNEE: "joint_position", WHEEL: "joint_velocity", MOTOR: "joint_effort"}
MASKED = {HIP: 1.0, KNEE: 1.0, WHEEL: 0.0, MOTOR: 1.0}


def source(**action: Any) -> Contract:
    """One joint of each kind; the wheel's position is masked."""
    joints = contract_data()["joints"]
    for name in (WHEEL, MOTOR):
        joints[name] |= {"stiffness": 0.0}
    numbers = [{"scale": 0.3, "offset": "default"}, {"scale": 0.2, "offset": "motion"}, {"scale": 5.0, "offset": 1.5},
               {"scale": 3.0, "clip": [-4.0, 6.0]}]  # fmt: skip
    terms = [{"term": KINDS[n], "joints": [n], **given} for n, given in zip(LEGS, numbers, strict=True)]
    seen = [{"term": "joint_pos_rel", "scale": MASKED}, {"term": "joint_vel"}, {"term": "last_action"}]
    motion = {"align": "none", "end": "hold"}
    return Contract.model_validate(
        contract_data(joints=joints, observation={"terms": seen}, action={"terms": terms} | action, motion=motion)
    )


def across(seed: int) -> Remap:
    """Other order, names, signs, gears, zeros and units."""
    rng = np.random.default_rng(seed)
    names = {name: f"{name}_t" for name in LEGS}
    joints = {
        name: {
            "sign": int(rng.choice([-1, 1])),
            "scale": float(rng.uniform(0.5, 2.0)),
            "offset": float(rng.normal()),
            "unit": str(rng.choice(["rad", "deg"])),
        }
        for name in LEGS
    }
    order = [names[LEGS[i]] for i in rng.permutation(4)]
    there = {"source_joint_names": LEGS, "target_joint_names": order, "rename": names, "joints": joints}
    return build_remap(source(), RobotMapping.model_validate(there))


@pytest.mark.parametrize("seed", range(4))
def test_both_sides_drive_the_same_robot(seed: int) -> None:
    """A velocity takes sign and unit, a torque the inverse gear, a residual no zero; a masked wheel stays masked."""
    remap = across(seed)
    raw = np.random.default_rng(seed).normal(size=4)
    ported = dict(zip(remap.target.action_joint_names, remap.action(raw), strict=True))
    for name, value in zip(LEGS, raw, strict=True):
        term = next(t for t in remap.target.action.terms if t.joints == (f"{name}_t",))
        rule = remap.mapping.joints[name]  # type: ignore[union-attr]
        degrees = 180.0 / np.pi if rule.unit == "deg" else 1.0
        gear = rule.sign * rule.scale
        after = term.scale * ported[f"{name}_t"] + (term.offset if isinstance(term.offset, float) else 0.0)
        if name == HIP:
            after += remap.target.joints[f"{name}_t"].default
        wanted = {
            HIP: gear * degrees * (remap.source.joints[HIP].default + 0.3 * value) + rule.offset,
            KNEE: gear * degrees * 0.2 * value,
            WHEEL: gear * degrees * (5.0 * value + 1.5),
            MOTOR: 3.0 * value / gear,
        }
        assert after == pytest.approx(wanted[name], rel=1e-9)
    clip = next(t.clip for t in remap.target.action.terms if t.term == "joint_effort")
    assert clip == pytest.approx(sorted((-4.0 / gear, 6.0 / gear)))
    slots = observation_slots(remap.source)
    masked = next(i for i, s in enumerate(slots) if (s.term, s.element) == ("joint_pos_rel", WHEEL))
    shown = remap.observation(np.random.default_rng(seed).normal(size=remap.target.observation_size))
    assert shown[masked] == 0.0
    by_name = ByNameReference(remap.source, remap.target, remap.mapping)
    np.testing.assert_allclose(by_name.action(raw[None])[0], remap.action(raw), rtol=1e-9, atol=1e-12)


def test_a_joint_that_the_policy_lacks_is_held_by_no_wheel() -> None:
    """An action of all joints does not take in a joint that only the target has, where it can't hold it."""
    joints = {n: {"default": 0.0, "stiffness": 0.0, "damping": 0.5} for n in LEGS}
    contract = Contract.model_validate(
        contract_data(joints=joints, action={"terms": [{"term": "joint_velocity", "scale": 5.0}]})
    )
    more = {"jaw": {"position": 0.4, "stiffness": 20.0, "damping": 1.0}}
    mapping = {"source_joint_names": LEGS, "target_joint_names": [*LEGS, "jaw"], "only_in_target": more}
    target = build_remap(contract, RobotMapping.model_validate(mapping)).target
    assert target.action_joint_names == LEGS
    assert target.drives["jaw"] == "position"
    lost = {"source_joint_names": LEGS, "target_joint_names": LEGS[:3], "only_in_source": {MOTOR: {"position": 0.7}}}
    remap = build_remap(contract, RobotMapping.model_validate(lost))
    last = remap.observation.outputs.index(f"last_action[{MOTOR}]")
    assert (remap.observation.index[last], remap.observation.offset[last]) == (-1, 0.0)


def test_percent_has_no_torque() -> None:
    """An effort across a unit that has no ratio is refused."""
    rule = {MOTOR: {"unit": "percent", "scale": 30.0}}
    mapping = {"source_joint_names": LEGS, "target_joint_names": LEGS, "joints": rule}
    with pytest.raises(
        MappingError, match=f"joint '{MOTOR}' is driven by effort, and percent of a sweep has no torque"
    ):
        build_remap(source(), RobotMapping.model_validate(mapping))
