"""The reference motion beside the robot: where the clip's own robot would be."""

from __future__ import annotations

import numpy as np

from policy_port.arrays import Array
from policy_port.motion.followed import Clip
from policy_port.motion.rotations import conjugate, multiply, rotate, yaw_only


class Ghost:
    """The clip, turned about the vertical and shifted in the plane to begin where the robot does."""

    def __init__(self, clip: Clip) -> None:
        """Show `clip`; where it has no root, the ghost stays where the robot began."""
        self._clip = clip
        self._yaw, self._shift = np.array([[1.0, 0.0, 0.0, 0.0]]), np.zeros((1, 3))
        self._start = np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])

    def begin(self, base_pos: Array, base_quat: Array) -> None:
        """The clip begins now, with the robot's base at a pose: position (3,), orientation wxyz."""
        self._start = base_pos.copy(), base_quat.copy()
        motion = self._clip.motion
        if motion.root_pos is None or motion.root_quat is None:
            return
        self._yaw = multiply(yaw_only(base_quat[None]), conjugate(yaw_only(motion.root_quat[:1])))
        self._shift[:, :2] = (base_pos - rotate(self._yaw, motion.root_pos[:1]))[:, :2]

    def pose(self, time: float) -> tuple[Array, Array, dict[str, float]]:
        """Base position [m], base orientation wxyz and joints [rad or m] so long after the clip began [s]."""
        motion = self._clip.motion
        frame = int(self._clip.frames(np.array([time]))[0])
        joints = dict(zip(motion.joint_names, motion.joint_pos[frame].tolist(), strict=True))
        if motion.root_pos is None or motion.root_quat is None:
            place, turn = self._start
            return place, turn, joints
        place = rotate(self._yaw, motion.root_pos[frame : frame + 1]) + self._shift
        return place[0], multiply(self._yaw, motion.root_quat[frame : frame + 1])[0], joints
