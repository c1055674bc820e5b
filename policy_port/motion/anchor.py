"""The pose of a link that hangs on the root by a chain of joints: the anchor of a motion-tracking policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from policy_port.arrays import Array
from policy_port.contract.motion import ChainLink
from policy_port.motion.rotations import about, multiply, rotate


def link_pose(
    chain: Sequence[ChainLink], root_pos: Array, root_quat: Array, angles: Mapping[str, Array]
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
