"""Targets of wheels, motors and residuals, as the decoder makes them."""

from __future__ import annotations

import numpy as np

from policy_port.contract import Contract
from policy_port.control.action import ActionDecoder
from policy_port.control.signals import Signals
from policy_port.motion.motion import Motion
from tests.samples import LEGS, contract_data

HIP, KNEE, WHEEL, MOTOR = LEGS


def contract() -> Contract:
    """A joint in degrees on a motion, one at its default, a wheel and a motor."""
    joints = contract_data()["joints"]
    joints[HIP] |= {"unit": "deg", "default": 10.0, "lower": None, "upper": None}
    joints[WHEEL] |= {"stiffness": 0.0}
    joints[MOTOR] |= {"stiffness": 0.0, "unit": "deg"}
    terms = [
        {"term": "joint_effort", "joints": [MOTOR], "scale": 3.0, "clip": [-4.0, 4.0]},
        {"term": "joint_position", "joints": [HIP], "scale": 90.0, "offset": "motion"},
        {"term": "joint_velocity", "joints": [WHEEL], "scale": 5.0, "offset": 1.0},
        {"term": "joint_position", "joints": [KNEE], "scale": 0.25, "offset": "default"},
    ]
    motion = {"align": "none", "end": "hold"}
    return Contract.model_validate(contract_data(joints=joints, action={"terms": terms}, motion=motion))


def test_each_target_is_in_its_drives_quantity() -> None:
    """Targets are SI by name whatever the contract's units; a residual follows the clip; a reset stills the wheels."""
    plant = (WHEEL, "held", HIP, MOTOR, KNEE)
    signals = Signals(contract(), plant, 2)
    frames = np.linspace(0.0, 0.9, 10)
    clip = {"joint_names": (KNEE, HIP), "joint_pos": np.stack([0.0 * frames, frames], axis=1)}
    signals.motion = Motion(rate=50.0, joint_vel=np.zeros((10, 2)), **clip)
    decoder = ActionDecoder(signals.contract, signals)
    signals.state.joint_pos[:] = 0.3
    signals.reset()
    np.testing.assert_array_equal(signals.joint_target[0], [0.0, 0.3, 0.3, 0.0, 0.3])
    signals.time[:, 0] = [0.04, 9.0]
    raw = np.array([[2.0, 1.0, 0.5, 4.0]] * 2, np.float32)
    target = decoder.decode(raw)
    turned = np.pi / 2
    for row, there in zip(target, (0.2, 0.9), strict=True):
        np.testing.assert_allclose(row, [np.deg2rad(0.0) + 3.5, 0.3, there + turned, 4.0, 0.2 + 1.0], rtol=1e-6)
