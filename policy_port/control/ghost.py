"""A second robot in the picture: where a reference motion is while the robot follows it."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array


class Ghost(NamedTuple):
    """A pose that is drawn and nothing else."""

    base_pos: Array
    """Origin of the root link in the world [m], shape (3,)."""
    base_quat: Array
    """Its orientation, wxyz, shape (4,)."""
    joint_pos: Array
    """rad or m, shape (joints,), plant joint order."""
    aside: Array
    """How far it was moved aside in the plane, for the camera to see both [m], shape (3,)."""


@runtime_checkable
class DrawsGhosts(Protocol):
    """A plant that can draw one beside the robot."""

    def render_with(self, ghost: Ghost, height: int, width: int) -> NDArray[np.uint8]:
        """Colour image of environment 0 and of a translucent second robot, shape (height, width, 3)."""
        ...
