"""The reach task of the SO100 arm, described without a simulator.

Bring the tip of the gripper to a point in front of the robot and hold it there. Start poses and goals come from
NumPy alone, so the same seed is the same episode in ManiSkill, in MuJoCo and on the arm.

Base frame: origin and axes of the robot description's `Base` link, z up, metres. The arm points along -y when
shoulder_pan is 0; azimuth is measured about the vertical axis through the shoulder_pan joint, 0 straight ahead,
positive towards +x (counter-clockwise seen from above).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ReachTask:
    """Where an arm starts, where its tip has to go, and when it has arrived."""

    joint_names: tuple[str, ...]
    """Order of every joint vector of this task."""

    rest_joint_pos: tuple[float, ...]
    """Pose around which episodes start [rad], shape (joint_count,)."""

    joint_noise: tuple[float, ...]
    """Half width of the uniform noise on the start pose [rad], shape (joint_count,)."""

    joint_lower: tuple[float, ...]
    """Lower joint limits [rad], shape (joint_count,)."""

    joint_upper: tuple[float, ...]
    """Upper joint limits [rad], shape (joint_count,)."""

    limit_margin: float
    """Least distance of a start pose from the joint limits [rad]."""

    held_joints: tuple[str, ...]
    """Joints that do not move the tip usefully and should stay where the start pose has them."""

    tip_links: tuple[str, str]
    """The tip is the midpoint of the origins of these two links."""

    pan_axis_xy: tuple[float, float]
    """Where the goal region's vertical axis crosses the ground [m], base frame."""

    goal_radius: tuple[float, float]
    """Nearest and farthest goal from the vertical axis [m]."""

    goal_azimuth: tuple[float, float]
    """Least and greatest azimuth of a goal [rad], see the module's docstring."""

    goal_height: tuple[float, float]
    """Lowest and highest goal above the base frame's origin [m]."""

    success_distance: float
    """The tip has arrived when it is at most this far from the goal [m]."""

    control_frequency: int
    """Control steps per second [Hz]."""

    episode_steps: int
    """Control steps in an episode."""

    @property
    def start_joint_pos(self) -> FloatArray:
        """Centre of the start poses [rad], shape (joint_count,).

        This is the rest pose, moved off the joint limits by the margin and the noise, so that no noisy start has
        to be clipped.
        """
        inset = self.limit_margin + np.asarray(self.joint_noise)
        lower = np.asarray(self.joint_lower) + inset
        upper = np.asarray(self.joint_upper) - inset
        return np.clip(np.asarray(self.rest_joint_pos), lower, upper)

    def sample_joint_pos(self, rng: np.random.Generator) -> FloatArray:
        """Draw a start pose [rad], shape (joint_count,), `joint_names` order."""
        noise = np.asarray(self.joint_noise)
        return self.start_joint_pos + rng.uniform(-noise, noise)

    def sample_goal(self, rng: np.random.Generator) -> FloatArray:
        """Draw a goal [m], shape (3,), base frame, uniform in the region's volume."""
        near, far = self.goal_radius
        radius = np.sqrt(rng.uniform(near**2, far**2))
        azimuth = rng.uniform(*self.goal_azimuth)
        height = rng.uniform(*self.goal_height)
        x, y = self.pan_axis_xy
        return np.array([x + radius * np.sin(azimuth), y - radius * np.cos(azimuth), height])

    def episode(self, seed: int) -> tuple[FloatArray, FloatArray]:
        """Return the start pose [rad], shape (joint_count,), and the goal [m], shape (3,), of episode `seed`."""
        rng = np.random.default_rng(seed)
        joint_pos = self.sample_joint_pos(rng)
        return joint_pos, self.sample_goal(rng)

    def contains(self, goal: npt.ArrayLike) -> bool:
        """Return whether a point [m], shape (3,), base frame, lies in the goal region."""
        x, y, height = np.asarray(goal, dtype=np.float64) - (*self.pan_axis_xy, 0.0)
        values = (np.hypot(x, y), np.arctan2(x, -y), height)
        ranges = (self.goal_radius, self.goal_azimuth, self.goal_height)
        return all(low <= value <= high for value, (low, high) in zip(values, ranges, strict=True))


# The goal region was checked by forward kinematics of the robot description: on a 90 x 90 x 90 grid over
# shoulder_lift, elbow_flex and wrist_flex, each kept 0.1 rad inside its limits, with the gripper closed and every
# link origin from the elbow outwards at least 0.04 m above the ground, each 2 cm x 2 cm cell of radius 0.20 to
# 0.34 m and height 0.06 to 0.22 m holds at least 868 poses. Azimuth is shoulder_pan alone, which reaches 2.0 rad.
SO100_REACH: Final = ReachTask(
    joint_names=("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper"),
    # Keyframe "rest" of ManiSkill's so100; its lift, elbow and gripper lie on their limits.
    rest_joint_pos=(0.0, -1.5708, 1.5708, 0.66, 0.0, -1.1),
    joint_noise=(0.05, 0.05, 0.05, 0.05, 0.05, 0.02),
    # Limits of the robot description that ManiSkill ships; wrist_roll's is pi, written with five decimals there.
    joint_lower=(-2.0, -1.5708, -1.5708, -1.8, -3.14159, -1.1),
    joint_upper=(2.0, 1.5708, 1.5708, 1.8, 3.14159, 1.1),
    limit_margin=0.02,
    held_joints=("wrist_roll", "gripper"),
    tip_links=("Fixed_Jaw_tip", "Moving_Jaw_tip"),
    pan_axis_xy=(0.0, -0.0452),
    goal_radius=(0.20, 0.34),
    goal_azimuth=(-0.9, 0.9),
    goal_height=(0.06, 0.22),
    success_distance=0.02,
    control_frequency=20,
    episode_steps=80,
)

SO100_BALL: Final = replace(SO100_REACH, goal_height=(0.07, 0.07))
"""The same for an arm that sees: the goal is 3 cm above a ball of 4 cm that lies on the table."""
