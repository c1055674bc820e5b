"""Reward terms of the velocity task, over all environments at once: the formulas of Isaac Lab's velocity task.

A term's value is what Isaac Lab's function of that name returns; the environment multiplies it by weight and control
period. Where a simulator can't tell what Isaac Lab's sensors do, the docstring says what stands in for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array

MOVING = 0.1
"""A command slower than this tells the robot to stand [m/s and rad/s]."""


@dataclass(kw_only=True)
class Outcome:
    """What a control step led to, one row per environment; rewards read it, and nothing else."""

    command: Array
    """What was told: forward, left [m/s], about the vertical [rad/s], shape (num_envs, 3)."""
    lin_vel: Array
    """Velocity of the base frame's origin, base frame [m/s], shape (num_envs, 3)."""
    ang_vel: Array
    """Angular velocity of the base, base frame [rad/s], shape (num_envs, 3)."""
    gravity: Array
    """The world's (0, 0, -1) in the base frame, shape (num_envs, 3)."""
    height: Array
    """Height of the base over the world's zero [m], shape (num_envs,)."""
    joint_pos: Array
    """Positions of the joints [rad or m], shape (num_envs, joints), plant joint order."""
    joint_vel: Array
    """Velocities of the joints [rad/s or m/s], shape (num_envs, joints)."""
    joint_acc: Array
    """Change of the velocities over the control step [rad/s^2 or m/s^2], shape (num_envs, joints)."""
    default: Array
    """Default joint positions [rad or m], shape (num_envs, joints)."""
    effort: Array
    """What the drives applied in the last physics step [N m or N], shape (num_envs, joints); no width where unread."""
    action: Array
    """The raw action that led here, after its clip, shape (num_envs, action size)."""
    last_action: Array
    """The raw action before it; zero at the start, shape (num_envs, action size)."""
    foot_speed: Array
    """Horizontal speed of the feet [m/s], shape (num_envs, feet)."""
    foot_height: Array
    """Height of the feet [m], shape (num_envs, feet)."""
    contact: NDArray[np.bool_]
    """Which feet touch something, shape (num_envs, feet)."""
    touched_down: NDArray[np.bool_]
    """Which feet touch something for the first time since they were in the air, shape (num_envs, feet)."""
    air_time: Array
    """How long each foot has been in the air, of feet that touch down until now [s], shape (num_envs, feet)."""
    contact_time: Array
    """How long each foot has touched something; 0 in the air [s], shape (num_envs, feet)."""
    time: Array
    """Time since the episode's start [s], shape (num_envs,)."""
    failed: NDArray[np.bool_]
    """Which environments' episodes end because the robot failed, shape (num_envs,)."""
    joints: dict[str, list[int]]
    """Indices of the joints that a term's `joints` names, by the term; all, where it names none."""


def _moves(step: Outcome) -> NDArray[np.bool_]:
    """Which environments are told to move on."""
    return np.hypot(step.command[:, 0], step.command[:, 1]) > MOVING


def track_lin_vel_xy_exp(step: Outcome, std: float) -> Array:
    """exp(-|horizontal velocity - command|^2 / std^2), base frame; std in m/s."""
    return np.exp(-np.square(step.command[:, :2] - step.lin_vel[:, :2]).sum(1) / std**2)


def track_ang_vel_z_exp(step: Outcome, std: float) -> Array:
    """exp(-(yaw rate - command)^2 / std^2), base frame; std in rad/s."""
    return np.exp(-np.square(step.command[:, 2] - step.ang_vel[:, 2]) / std**2)


def lin_vel_z_l2(step: Outcome) -> Array:
    """Square of the vertical velocity, base frame [m^2/s^2]."""
    return np.square(step.lin_vel[:, 2])


def ang_vel_xy_l2(step: Outcome) -> Array:
    """Squares of roll and pitch rates, summed [rad^2/s^2]."""
    return np.square(step.ang_vel[:, :2]).sum(1)


def flat_orientation_l2(step: Outcome) -> Array:
    """Squares of projected gravity's x and y, summed: sin^2 of the tilt."""
    return np.square(step.gravity[:, :2]).sum(1)


def base_height_l2(step: Outcome, target_height: float) -> Array:
    """(height of the base - target)^2 [m^2]; target in m."""
    return np.square(step.height - target_height)


def action_rate_l2(step: Outcome) -> Array:
    """Squares of what the raw action changed, summed."""
    return np.square(step.action - step.last_action).sum(1)


def joint_torques_l2(step: Outcome) -> Array:
    """Squares of the drives' torques in the last physics step, summed [N^2 m^2]."""
    return np.square(step.effort).sum(1)


def energy(step: Outcome) -> Array:
    """Power of the drives, |torque * joint velocity| summed [W]."""
    return np.abs(step.effort * step.joint_vel).sum(1)


def joint_acc_l2(step: Outcome) -> Array:
    """Squares of the joint accelerations, summed [rad^2/s^4]; over a control step, where Isaac Lab's are physics'."""
    return np.square(step.joint_acc).sum(1)


def joint_vel_l2(step: Outcome) -> Array:
    """Squares of the joint velocities, summed [rad^2/s^2]."""
    return np.square(step.joint_vel).sum(1)


def joint_deviation_l1(step: Outcome, joints: tuple[str, ...]) -> Array:
    """|position - default| of the joints, summed [rad]; of all joints, where none is named."""
    chosen = step.joints["joint_deviation_l1"]
    return np.abs(step.joint_pos[:, chosen] - step.default[:, chosen]).sum(1)


def stand_still(step: Outcome) -> Array:
    """|position - default| of all joints, summed, where the robot is told to stand [rad]."""
    still = ~_moves(step) & (np.abs(step.command[:, 2]) <= MOVING)
    return np.abs(step.joint_pos - step.default).sum(1) * still


def feet_slide(step: Outcome) -> Array:
    """Horizontal speed of feet that touch something, summed [m/s]."""
    return (step.foot_speed * step.contact).sum(1)


def feet_air_time(step: Outcome, threshold: float) -> Array:
    """Time in the air beyond the threshold, of feet that touch down, summed, where told to move on; threshold in s."""
    return ((step.air_time - threshold) * step.touched_down).sum(1) * _moves(step)


def feet_air_time_positive_biped(step: Outcome, threshold: float) -> Array:
    """How long one foot has stood and the other swung, up to the threshold, where told to move on; threshold in s."""
    in_mode = np.where(step.contact, step.contact_time, step.air_time)
    single = step.contact.sum(1) == 1
    return np.minimum(np.where(single, in_mode.min(1), 0.0), threshold) * _moves(step)


def feet_gait(step: Outcome, period: float, threshold: float, offset: tuple[float, ...]) -> Array:
    """How many feet stand where a gait's clock has them stand, and swing where it has them swing, where told to move.

    unitree_rl_lab's: a foot stands while its phase, (time / period + its offset) mod 1, is below the threshold.
    """
    stands = (step.time[:, None] / period + np.array(offset)) % 1.0 < threshold
    return (stands == step.contact).sum(1) * _moves(step)


def gait_pose(
    step: Outcome,
    joints: tuple[str, ...],
    swing: tuple[float, ...],
    period: float,
    threshold: float,
    offset: tuple[float, ...],
    std: float,
) -> Array:
    """exp(-|positions - those that a gait's clock asks for|^2 / std^2) of the joints named, where told to move; rad.

    The reference is humanoid-gym's: of a foot that stands by the clock of `feet_gait`, joints are at their defaults; of
    one that swings, they are `swing` beside them in the middle of it, and sin^2 of that before and after. `joints` are
    listed foot by foot, as many for each, and `swing` [rad] is a number for each joint.
    """
    chosen = step.joints["gait_pose"]
    phase = (step.time[:, None] / period + np.array(offset)) % 1.0
    done = np.maximum(phase - threshold, 0.0) / (1.0 - threshold)
    bent = np.repeat(np.square(np.sin(np.pi * done)), len(chosen) // len(offset), axis=1) * np.array(swing)
    return np.exp(-np.square(step.joint_pos[:, chosen] - step.default[:, chosen] - bent).sum(1) / std**2) * _moves(step)


def foot_clearance(step: Outcome, target_height: float) -> Array:
    """(foot's height - target)^2 * foot's speed, summed [m^3/s]; target in m. mjlab's `feet_clearance` has |...|."""
    return (np.square(step.foot_height - target_height) * step.foot_speed).sum(1)


def is_alive(step: Outcome) -> Array:
    """1 where the robot has not failed."""
    return (~step.failed).astype(np.float64)


def is_terminated(step: Outcome) -> Array:
    """1 where the robot has failed; not where time is up."""
    return step.failed.astype(np.float64)


class RewardTerm(NamedTuple):
    """A formula, its parameters' usual values, and what a plant has to measure for it."""

    formula: Callable[..., Array]
    """From an outcome and parameters to a value per environment, shape (num_envs,)."""
    params: dict[str, Any] = {}
    """Its parameters: a number, or a tuple of joint names or of numbers, a number per foot."""
    needs: tuple[str, ...] = ()
    """"contact", "foot_speed", "effort"."""
    good: bool = False
    """Whether more of it is better; of all others less is."""


FEET = ("contact", "foot_speed")

REWARDS: dict[str, RewardTerm] = {
    "track_lin_vel_xy_exp": RewardTerm(track_lin_vel_xy_exp, {"std": 0.5}, good=True),
    "track_ang_vel_z_exp": RewardTerm(track_ang_vel_z_exp, {"std": 0.5}, good=True),
    "lin_vel_z_l2": RewardTerm(lin_vel_z_l2),
    "ang_vel_xy_l2": RewardTerm(ang_vel_xy_l2),
    "flat_orientation_l2": RewardTerm(flat_orientation_l2),
    "base_height_l2": RewardTerm(base_height_l2, {"target_height": 0.3}),
    "action_rate_l2": RewardTerm(action_rate_l2),
    "joint_torques_l2": RewardTerm(joint_torques_l2, needs=("effort",)),
    "energy": RewardTerm(energy, needs=("effort",)),
    "joint_acc_l2": RewardTerm(joint_acc_l2),
    "joint_vel_l2": RewardTerm(joint_vel_l2),
    "joint_deviation_l1": RewardTerm(joint_deviation_l1, {"joints": ()}),
    "stand_still": RewardTerm(stand_still),
    "feet_slide": RewardTerm(feet_slide, needs=FEET),
    "feet_air_time": RewardTerm(feet_air_time, {"threshold": 0.5}, ("contact",), good=True),
    "feet_air_time_positive_biped": RewardTerm(
        feet_air_time_positive_biped, {"threshold": 0.4}, ("contact",), good=True
    ),
    "feet_gait": RewardTerm(
        feet_gait, {"period": 0.5, "threshold": 0.5, "offset": (0.0, 0.5, 0.5, 0.0)}, ("contact",), good=True
    ),
    "gait_pose": RewardTerm(
        gait_pose,
        {"joints": (), "swing": (0.0,), "period": 0.5, "threshold": 0.5, "offset": (0.0, 0.5, 0.5, 0.0), "std": 0.5},
        good=True,
    ),
    "foot_clearance": RewardTerm(foot_clearance, {"target_height": 0.08}, ("foot_speed",)),
    "is_alive": RewardTerm(is_alive, good=True),
    "is_terminated": RewardTerm(is_terminated),
}
"""The reward terms by the name that a task file gives them."""
