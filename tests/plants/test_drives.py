"""Drives to velocities and efforts, held against a law integrated by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policy_port.arrays import Array
from policy_port.control.plant import PlantState
from policy_port.errors import RobotError
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import JointSetup, PlantSetup

INERTIA, STEP, STEPS = 0.02, 0.005, 40
TARGETS = {"arm": 0.4, "wheel": 5.0, "motor": 0.3}
SERVOS = """<actuator><motor name="m" joint="motor" ctrlrange="-9 9"/><velocity name="w" joint="wheel" kv="0.05"
  forcerange="-0.2 0.2"/><position name="a" joint="arm" kp="3" kv="0.2"/></actuator>"""


def rig(tmp_path: Path, actuators: str = "") -> Path:
    """Three discs on a fixed base that nothing pulls at but their drives."""
    discs = "".join(
        f'<body name="{name}_disc" pos="0 {place} 0"><joint name="{name}" axis="0 1 0"/>'
        f'<inertial pos="0 0 0" mass="1" diaginertia="0.02 {INERTIA} 0.02"/>'
        '<geom size="0.05" contype="0" conaffinity="0"/></body>'
        for place, name in enumerate(TARGETS)
    )
    path = tmp_path / "rig.xml"
    path.write_text(
        f'<mujoco><worldbody><body name="base" pos="0 0 1"><inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/>'
        f'<geom size="0.02"/>{discs}</body></worldbody>{actuators}</mujoco>'
    )
    return path


def setup(kind: str) -> PlantSetup:
    """Each joint with a drive of its own, the wheel's saturated at first."""
    gains = {"arm": (3.0, 0.2, None), "wheel": (0.0, 0.05, 0.2), "motor": (0.0, 0.1, 0.25)}
    drives = {"arm": "position", "wheel": "velocity", "motor": "effort"}
    return PlantSetup(
        joints=tuple(
            JointSetup(name=n, default=0.0, drive=drives[n], stiffness=k, damping=d, effort_limit=limit)  # type: ignore[arg-type]
            for n, (k, d, limit) in gains.items()
        ),
        actuation=kind,  # type: ignore[arg-type]
        timestep=STEP,
        control_dt=STEP,
        floating=False,
    )


def by_hand(kind: str) -> Array:
    """Positions and velocities after STEPS, shape (2, 3), order of TARGETS: semi-implicit Euler of each law."""
    q, v = np.zeros(3), np.zeros(3)
    arm, wheel, motor = TARGETS.values()
    for _ in range(STEPS):
        if kind == "implicit":
            # Damping is of the velocity after the step; what is saturated is a constant torque.
            v[0] = (v[0] + STEP / INERTIA * 3.0 * (arm - q[0])) / (1.0 + STEP / INERTIA * 0.2)
            free = (v[1] + STEP / INERTIA * 0.05 * wheel) / (1.0 + STEP / INERTIA * 0.05)
            v[1] = min(free, v[1] + STEP / INERTIA * 0.2)
            v[2] = (v[2] + STEP / INERTIA * min(motor, 0.25)) / (1.0 + STEP / INERTIA * 0.1)
        else:
            torque = [3.0 * (arm - q[0]) - 0.2 * v[0], 0.05 * (wheel - v[1]), motor - 0.1 * v[2]]
            v += STEP / INERTIA * np.clip(torque, [-9.0, -0.2, -0.25], [9.0, 0.2, 0.25])
        q += STEP * v
    return np.stack([q, v])


@pytest.mark.parametrize("plant_kind", ["mujoco", "maniskill", "newton"])
@pytest.mark.parametrize("kind", ["implicit", "explicit", "model"])
def test_each_drive_obeys_its_law(tmp_path: Path, plant_kind: str, kind: str) -> None:
    """Positions, velocities and efforts are driven by name, damped and limited as the setup says, and told."""
    given = setup(kind)
    if kind == "model":
        given = replace(given, joints=tuple(replace(j, effort_limit=None) for j in given.joints))
    plant = make_plant(plant_kind, rig(tmp_path, SERVOS if kind == "model" else ""), given)
    try:
        order = [plant.joint_names.index(name) for name in TARGETS]
        target = np.zeros((1, 3))
        target[0, order] = list(TARGETS.values())
        state = PlantState.allocate(1, 3)
        plant.step(1)
        plant.read(state)
        np.testing.assert_allclose(state.joint_vel, 0.0, atol=1e-6, err_msg="a reset leaves all drives at rest")
        plant.write(target)
        plant.step(STEPS)
        plant.read(state)
        found = np.stack([state.joint_pos[0, order], state.joint_vel[0, order]])
        torque = plant.effort()[0, order]
    finally:
        plant.close()
    wanted = by_hand(kind) if kind != "model" else in_the_file()
    # PhysX takes the spring too from the end of the step.
    np.testing.assert_allclose(found, wanted, rtol=0.035, atol=4e-3)
    velocity = wanted[1]
    laws = [3.0 * (TARGETS["arm"] - wanted[0, 0]) - 0.2 * velocity[0], 0.05 * (TARGETS["wheel"] - velocity[1])]
    np.testing.assert_allclose(torque[:2], np.clip(laws, [-9.0, -0.2], [9.0, 0.2]), atol=0.02)


def in_the_file() -> Array:
    """The same where the file's own actuators drive: they have no damping at the motor, and MuJoCo's Euler."""
    q, v = np.zeros(3), np.zeros(3)
    arm, wheel, motor = TARGETS.values()
    for _ in range(STEPS):
        torque = [3.0 * (arm - q[0]) - 0.2 * v[0], np.clip(0.05 * (wheel - v[1]), -0.2, 0.2), motor]
        v += STEP / INERTIA * np.array(torque)
        q += STEP * v
    return np.stack([q, v])


def test_a_limp_joint_takes_no_positions(tmp_path: Path) -> None:
    """A joint without gains that a policy sends positions is an error: nothing would pull it there."""
    limp = JointSetup(name="arm", default=0.0, commanded=True, stiffness=0.0, damping=0.0)
    given = setup("implicit")
    with pytest.raises(RobotError, match="the policy sets positions of joint 'arm', whose stiffness is 0"):
        make_plant("mujoco", rig(tmp_path), replace(given, joints=(limp, *given.joints[1:])))
