"""A small arm whose dynamics are hidden, and recordings that it made by being played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from policy_port.arrays import Array
from policy_port.control.plant import PlantState
from policy_port.dynamics.document import Dynamics
from policy_port.identify.recording import Recording, make_recording
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import JointSetup, PlantSetup

ARM = """
<mujoco>
  <compiler angle="radian"/>
  <worldbody>
    <body name="base">
      <geom type="box" size="0.05 0.05 0.05" mass="1" contype="0" conaffinity="0"/>
      <body name="upper" pos="0 0 0.1">
        <joint name="shoulder" axis="0 1 0" range="-2 2" armature="0.02"/>
        <geom type="capsule" fromto="0 0 0 0.15 0 0" size="0.02" mass="0.3" contype="0" conaffinity="0"/>
        <body name="lower" pos="0.15 0 0">
          <joint name="elbow" axis="0 1 0" range="-2 2" armature="0.02"/>
          <geom type="capsule" fromto="0 0 0 0.12 0 0" size="0.02" mass="0.2" contype="0" conaffinity="0"/>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <position joint="shoulder" kp="200" kv="1"/>
    <position joint="elbow" kp="200" kv="1"/>
  </actuator>
</mujoco>
"""
JOINTS = ("shoulder", "elbow")
SETUP = PlantSetup(
    joints=tuple(JointSetup(name=name, default=0.0, commanded=True, stiffness=20.0, damping=0.0) for name in JOINTS),
    actuation="implicit",
    timestep=0.005,
    control_dt=0.02,
    floating=False,
)
HIDDEN = {
    "shoulder": {
        "armature": 0.03,
        "damping": 1.6,
        "friction": 0.06,
        "stiffness": 17.0,
        "drive_damping": 0.0,
        "backlash": 0.02,
        "delay": 0.0433,
        "offset": 0.03,
        "effort_limit": 3.0,
    },
    "elbow": {
        "armature": 0.02,
        "damping": 1.1,
        "friction": 0.04,
        "stiffness": 14.0,
        "drive_damping": 0.0,
        "backlash": 0.012,
        "delay": 0.031,
        "offset": -0.02,
        "effort_limit": 3.0,
    },
}


def dynamics_of(joints: dict[str, dict[str, float]], common: dict[str, float] | None = None) -> Dynamics:
    """Hidden dynamics as a document."""
    return Dynamics.model_validate(
        {"policy_port_dynamics": 1, "robot": {"file": "arm.xml"}, "joints": joints, "common": common or {}}
    )


def wanted(kind: int, time: Array) -> Array:
    """Commands of one of several motions [rad], shape (rows, 2)."""
    random = np.random.default_rng(kind)
    if kind % 2:
        steps = random.uniform(-0.6, 0.6, (1 + int(time[-1] / 0.7), 2))
        return steps[(time / 0.7).astype(int)]
    phase, rate = random.uniform(0.0, 6.0, (2, 3)), random.uniform(0.5, 6.0, (2, 3))
    return 0.2 * np.sin(time[:, None, None] * rate + phase).sum(axis=-1)


def play(
    robot: Path, dynamics: Dynamics, kind: int, rows: int = 400, seed: int = 0, plant_kind: str = "mujoco"
) -> Recording:
    """What the arm under these dynamics did: each row read, then commanded, then a control step passed."""
    plant = make_plant(plant_kind, robot, SETUP, meshes=False, dynamics=[dynamics], seed=seed)
    time: Any = np.arange(rows) * SETUP.control_dt
    command, measured = wanted(kind, time), np.empty((rows, 2))
    plant.reset(command[:1])
    state = PlantState.allocate(1, 2)
    for row in range(rows):
        plant.read(state)
        measured[row] = state.joint_pos[0]
        plant.write(command[row : row + 1])
        plant.step(SETUP.decimation)
    plant.close()
    return make_recording(f"motion {kind}", (robot,), JOINTS, (time, measured, time, command))
