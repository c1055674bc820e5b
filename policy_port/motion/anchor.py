"""The pose of a link that hangs on the root by a chain of joints: the anchor of a motion-tracking policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from policy_port.arrays import Array
from policy_port.motion.rotations import about, multiply, rotate


@dataclass(frozen=True, kw_only=True)
class Hinge:
    """One step from a link to the next: where its frame stands in its parent's, and what turns it."""

    offset: tuple[float, float, float]
    """Origin in the parent's frame [m]."""
    quat: tuple[float, float, float, float]
    """Orientation in the parent's frame at joint position 0, wxyz."""
    joint: str | None = None
    """The hinge that turns it; None for a fixed one."""
    axis: tuple[float, float, float] = (0.0, 0.0, 1.0)
    """Its axis in the link's own frame, a unit vector."""


def link_pose(
    chain: Sequence[Hinge], root_pos: Array, root_quat: Array, angles: Mapping[str, Array]
) -> tuple[Array, Array]:
    """Origin (..., 3) and orientation wxyz (..., 4) of the chain's last link in the world.

    Args:
        chain: From the root to the link.
        root_pos: Origin of the root link [m], shape (..., 3).
        root_quat: Its orientation, shape (..., 4).
        angles: Joint positions by name [rad], each of shape (...).
    """
    place, turned = root_pos, root_quat
    for step in chain:
        place = place + rotate(turned, np.asarray(step.offset))
        turned = multiply(turned, np.asarray(step.quat))
        if step.joint is not None:
            turned = multiply(turned, about(np.asarray(step.axis), angles[step.joint]))
    return place, turned
