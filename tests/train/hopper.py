"""A tiny robot on two legs of one slide each, and a task for it: everything that a training needs, in a second."""

from __future__ import annotations

from typing import Any

from policy_port.contract import Contract
from policy_port.tasks.velocity import VelocityTask

JOINTS = ("left_knee", "right_knee")


def hopper_mjcf() -> str:
    """A box that leans on two feet under it, which slides push down."""
    legs = "".join(
        f"""<body name="{side}_foot" pos="0 {y} -0.15"><joint name="{side}_knee" type="slide"
        axis="0 0 -1" range="-0.1 0.1" armature="0.01"/><geom type="box" size="0.1 0.05 0.02" mass="0.2"/></body>"""
        for side, y in (("left", 0.1), ("right", -0.1))
    )
    return f"""<mujoco><worldbody><body name="trunk" pos="0 0 0.2"><freejoint/>
    <geom type="box" size="0.1 0.1 0.05" mass="2"/>{legs}</body></worldbody></mujoco>"""


def hopper_contract(**changed: Any) -> Contract:
    """What a policy for it sees and does; keys of the contract that are to be others."""
    given: dict[str, Any] = {
        "contract_version": 1,
        "name": "hopper",
        "robot": "hopper",
        "trained_in": "nowhere",
        "timestep": 0.005,
        "decimation": 4,
        "base": {"floating": True, "min_height": 0.1, "max_tilt": 0.8},
        "actuation": {"kind": "explicit"},
        "joints": {
            name: {"default": 0.01 * (1 + i), "stiffness": 600.0, "damping": 20.0} for i, name in enumerate(JOINTS)
        },
        "observation": {
            "terms": [
                {"term": term}
                for term in (
                    *("base_lin_vel", "base_ang_vel", "projected_gravity", "velocity_command"),
                    *("joint_pos_rel", "joint_vel", "last_action"),
                )
            ]
        },
        "action": {"terms": [{"term": "joint_position", "scale": 0.02, "offset": "default"}]},
    }
    return Contract.model_validate({**given, **changed})


def hopper_task(**changed: Any) -> VelocityTask:
    """A short episode with every usual reward; keys of the task that are to be others."""
    given: dict[str, Any] = {
        "policy_port_task": 1,
        "name": "hop",
        "robot": "hopper",
        "base": "trunk",
        "feet": {"left": {"link": "left_foot", "point": [0.0, 0.0, -0.02]}, "right": {"link": "right_foot"}},
        "episode": 1.0,
        "command": {"lin_vel_x": [-0.5, 0.5], "ang_vel_z": [-0.5, 0.5], "resample": [0.2, 0.4], "standing": 0.2},
        "rewards": {
            "track_lin_vel_xy_exp": {"weight": 1.0},
            "action_rate_l2": {"weight": -0.01},
            "feet_slide": {"weight": -0.1},
            "feet_air_time": {"weight": 0.2, "params": {"threshold": 0.1}},
            "joint_torques_l2": {"weight": -1e-4},
        },
    }
    return VelocityTask.model_validate({**given, **changed})
