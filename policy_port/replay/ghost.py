"""The reference motion as a second robot: it starts as the robot does, a step aside, and goes where the clip goes."""

from __future__ import annotations

import math

import numpy as np

from policy_port.control.controller import Controller
from policy_port.control.ghost import Ghost
from policy_port.motion.followed import Clip
from policy_port.motion.placed import RootPath
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
        self._clip, self._names, self._root = clip, joint_names, RootPath(clip.motion)
        self._height: float | None = None

    def now(self, controller: Controller) -> Ghost:
        """Where the reference is at the controller's present time, in environment 0."""
        signals = controller.signals
        time, here = signals.time[:1, 0], (signals.state.base_pos[0], signals.state.base_quat[0].copy())
        if self._height is None or time[0] == 0.0:
            self._root.begin(*here)
            self._height = float(here[0][2])
        frame = int(self._clip.frames(time)[0])
        aside = max(NEAR, 1.2 * self._height) * SIDE
        joints = start_pose(self._clip, self._names, controller.default_joint_pos()[0], frame)
        place, turned = self._root.at(frame) or here
        return Ghost(place + aside, turned, joints, aside)
