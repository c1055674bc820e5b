"""The reference motion as a second robot: it starts as the robot does, a step aside, and goes where the clip goes."""

from __future__ import annotations

import math

import numpy as np

from policy_port.arrays import Array
from policy_port.control.controller import Controller
from policy_port.control.ghost import Ghost
from policy_port.motion.followed import Clip
from policy_port.motion.rotations import conjugate, multiply, rotate, yaw_only
from policy_port.replay.following import start_pose

SIDE = np.array([math.sin(math.radians(130.0)), -math.cos(math.radians(130.0)), 0.0])
"""To the right as the plants' cameras look, whose azimuth is 130 degrees."""
NEAR = 0.8
"""Least distance between the two [m]."""


class Reference:
    """Poses of the clip for one environment."""

    def __init__(self, clip: Clip, joint_names: tuple[str, ...]) -> None:
        """Follow a clip.

        Args:
            clip: The clip as the policy follows it.
            joint_names: Joints of the plant, in its order.
        """
        self._clip, self._names = clip, joint_names
        self._start: tuple[Array, Array] | None = None

    def now(self, controller: Controller) -> Ghost:
        """Where the reference is at the controller's present time, in environment 0."""
        signals, motion = controller.signals, self._clip.motion
        time = signals.time[:1, 0]
        if self._start is None or time[0] == 0.0:
            self._start = signals.state.base_pos[0].copy(), signals.state.base_quat[0].copy()
        place, turned = self._start
        frame = int(self._clip.frames(time)[0])
        aside = max(NEAR, 1.2 * float(place[2])) * SIDE
        joints = start_pose(self._clip, self._names, controller.default_joint_pos()[0], frame)
        if motion.root_pos is None or motion.root_quat is None:
            return Ghost(signals.state.base_pos[0] + aside, signals.state.base_quat[0].copy(), joints, aside)
        yaw = multiply(yaw_only(turned), conjugate(yaw_only(motion.root_quat[0])))
        shift = place - rotate(yaw, motion.root_pos[0])
        # The ground is where it is.
        shift[2] = 0.0
        return Ghost(
            rotate(yaw, motion.root_pos[frame]) + shift + aside, multiply(yaw, motion.root_quat[frame]), joints, aside
        )
