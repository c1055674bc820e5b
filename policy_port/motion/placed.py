"""Where a motion's root goes when the motion starts where a robot stands."""

from __future__ import annotations

import numpy as np

from policy_port.arrays import Array
from policy_port.motion.motion import Motion
from policy_port.motion.rotations import conjugate, multiply, rotate, yaw_only


def start_to_start(place: Array, turned: Array, first_place: Array, first_turn: Array) -> tuple[Array, Array]:
    """The turn about the vertical, wxyz, and the shift in the plane [m] that bring a motion's start to robots'.

    Args:
        place: Positions of the robots [m], shape (..., 3).
        turned: Their orientations, shape (..., 4).
        first_place: The motion's position in its first frame [m], shape (..., 3).
        first_turn: Its orientation there, shape (..., 4).
    """
    yaw = multiply(yaw_only(turned), conjugate(yaw_only(first_turn)))
    shift = place - rotate(yaw, first_place)
    # The ground is where it is: only the place in the plane is made equal.
    shift[..., 2] = 0.0
    return yaw, shift


class RootPath:
    """A motion's root, brought to where a robot's base is when the motion begins."""

    def __init__(self, motion: Motion) -> None:
        self._motion = motion
        self._yaw: Array = np.array([1.0, 0.0, 0.0, 0.0])
        self._shift: Array = np.zeros(3)

    def begin(self, base_pos: Array, base_quat: Array) -> None:
        """The motion begins now, with the robot's base at a pose: position (3,) [m], orientation wxyz."""
        place, turned = self._motion.root_pos, self._motion.root_quat
        if place is not None and turned is not None:
            self._yaw, self._shift = start_to_start(base_pos, base_quat, place[0], turned[0])

    def at(self, frame: int) -> tuple[Array, Array] | None:
        """Position (3,) [m] and orientation wxyz in a frame; None where the motion has no root."""
        place, turned = self._motion.root_pos, self._motion.root_quat
        if place is None or turned is None:
            return None
        return rotate(self._yaw, place[frame]) + self._shift, multiply(self._yaw, turned[frame])
