"""The tiny robot of the training's tests: a rover on two wheels that torques drive and a caster that slips.

Its torques integrate to a velocity, so a policy that doesn't know its velocity can't follow a command: the teacher
reads it, the student has to make do with its wheels'.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from policy_port.contract import Contract
from policy_port.tasks.velocity import VelocityTask

MJCF = """<mujoco model="rover">
  <worldbody>
    <body name="hull" pos="0 0 0.1">
      <freejoint/>
      <geom name="box" type="box" size="0.2 0.12 0.04" mass="4"/>
      <geom name="front" type="sphere" size="0.03" pos="0.18 0 -0.07" mass="0.1" friction="0 0 0" priority="1"/>
      <geom name="rear" type="sphere" size="0.03" pos="-0.18 0 -0.07" mass="0.1" friction="0 0 0" priority="1"/>
      <body name="left_wheel" pos="0 0.15 0">
        <joint name="left" axis="0 1 0"/>
        <geom type="cylinder" size="0.1 0.02" euler="90 0 0" mass="0.4" friction="1 0.005 0.0001"/>
      </body>
      <body name="right_wheel" pos="0 -0.15 0">
        <joint name="right" axis="0 1 0"/>
        <geom type="cylinder" size="0.1 0.02" euler="90 0 0" mass="0.4" friction="1 0.005 0.0001"/>
      </body>
    </body>
  </worldbody>
</mujoco>
"""

CONTRACT: dict[str, Any] = {
    "contract_version": 1,
    "name": "rover",
    "robot": "rover",
    "trained_in": "MuJoCo",
    "timestep": 0.01,
    "decimation": 4,
    "base": {"floating": True},
    "actuation": {"kind": "explicit"},
    "joints": {
        name: {"unit": "rad", "default": 0.0, "damping": 0.0, "effort_limit": 1.0} for name in ("left", "right")
    },
    "action": {"terms": [{"term": "joint_effort", "scale": 0.5}]},
    "command": {"lin_vel_x": [-1.0, 1.0], "lin_vel_y": [0.0, 0.0], "ang_vel_z": [-1.0, 1.0]},
}

TERMS = {
    "teacher": [{"term": "base_lin_vel", "point": "link"}, {"term": "base_ang_vel"}, {"term": "velocity_command"}],
    "student": [
        {"term": "base_ang_vel"},
        {"term": "velocity_command"},
        {"term": "joint_vel", "scale": 0.1},
        {"term": "last_action"},
    ],
}

TASK = VelocityTask.model_validate(
    {
        "policy_port_task": 1,
        "name": "rover_velocity",
        "robot": "rover",
        "base": "hull",
        "feet": {"left": {"link": "left_wheel"}, "right": {"link": "right_wheel"}},
        "episode": 4.0,
        "command": {"lin_vel_x": [-1.0, 1.0], "ang_vel_z": [-1.0, 1.0], "resample": [2.0, 3.0]},
        "rewards": {
            "track_lin_vel_xy_exp": {"weight": 1.0, "params": {"std": 0.5}},
            "track_ang_vel_z_exp": {"weight": 0.5, "params": {"std": 0.5}},
            "action_rate_l2": {"weight": -0.01},
        },
    }
)


def contract(role: str) -> Contract:
    """What the "teacher" or the "student" reads and writes."""
    return Contract.model_validate({**CONTRACT, "name": f"rover_{role}", "observation": {"terms": TERMS[role]}})


def write(folder: Path) -> dict[str, Path]:
    """Write the robot, both contracts and the task, as a user has them: "robot", "teacher", "student" and "task"."""
    texts = {
        "robot.xml": MJCF,
        "teacher.yaml": contract("teacher").to_yaml(),
        "student.yaml": contract("student").to_yaml(),
        "task.yaml": TASK.to_yaml(),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return {Path(name).stem: folder / name for name in texts}


AGENT = {
    "num_steps_per_env": 24,
    "max_iterations": 32,
    "save_interval": 16,
    "actor": {"hidden_dims": [32, 32], "distribution_cfg": {"init_std": 0.5}},
    "critic": {"hidden_dims": [32, 32]},
    "algorithm": {"learning_rate": 0.006, "entropy_coef": 0.0},
}
"""Settings with which the teacher is trained."""


def agent_yaml(settings: dict[str, Any]) -> str:
    """Settings as the file that `--agent` takes."""
    return yaml.safe_dump(settings)
