"""The reference motion beside the robot: where the clip's own robot would be."""

from __future__ import annotations

import numpy as np

from policy_port.arrays import Array
from policy_port.motion.followed import Clip
from policy_port.motion.placed import RootPath


class Ghost:
    """The clip, turned about the vertical and shifted in the plane to begin where the robot does."""

    def __init__(self, clip: Clip) -> None:
        """Show `clip`; where it has no root, the ghost stays where the robot began."""
        self._clip, self._root = clip, RootPath(clip.motion)
        self._start: tuple[Array, Array] = np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])

    def begin(self, base_pos: Array, base_quat: Array) -> None:
        """The clip begins now, with the robot's base at a pose: position (3,), orientation wxyz."""
        self._start = base_pos.copy(), base_quat.copy()
        self._root.begin(*self._start)

    def pose(self, time: float) -> tuple[Array, Array, dict[str, float]]:
        """Base position [m], base orientation wxyz and joints [rad or m] so long after the clip began [s]."""
        motion = self._clip.motion
        frame = int(self._clip.frames(np.array([time]))[0])
        place, turned = self._root.at(frame) or self._start
        return place, turned, dict(zip(motion.joint_names, motion.joint_pos[frame].tolist(), strict=True))
