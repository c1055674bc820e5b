"""Where the links of an arm are: forward kinematics of the robot file's numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from policy_port.arrays import Array
from policy_port.contract.motion import ChainLink
from policy_port.errors import RobotError, closest
from policy_port.motion.anchor import link_pose
from policy_port.motion.rotations import about, multiply
from policy_port.robots.arm.robot_file import Kinematics, Link, Vector


class LinkPositions:
    """Positions of links in the frame of the root link."""

    def __init__(self, kinematics: Kinematics) -> None:
        self._links = kinematics.links
        self._chains: dict[str, tuple[ChainLink, ...]] = {kinematics.root: ()}
        for name, link in kinematics.links.items():
            self._chains[name] = (*self._chains[link.parent], _step(name, link))

    def position(self, link: str, angles: Mapping[str, float]) -> Array:
        """Origin of a link [m], shape (3,).

        Args:
            link: Name of the link.
            angles: Joint positions by name [rad].

        Raises:
            RobotError: When there is no such link, naming those there are.
        """
        if link not in self._chains:
            near = closest(link, self._links) or "."
            raise RobotError(f"the arm has no link '{link}'{near} It has: {', '.join(self._links)}")
        turned = {name: np.asarray(angle) for name, angle in angles.items()}
        return link_pose(self._chains[link], np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0]), turned)[0]


def _step(name: str, link: Link) -> ChainLink:
    w, x, y, z = _quat(link.rpy).tolist()
    along = np.asarray(link.axis) / np.linalg.norm(link.axis)
    return ChainLink(link=name, offset=link.xyz, quat=(w, x, y, z), joint=link.joint, axis=tuple(along.tolist()))


def _quat(rpy: Vector) -> Array:
    """Roll, pitch and yaw about fixed axes, as a quaternion wxyz."""
    x, y, z = (about(axis, np.asarray(angle)) for axis, angle in zip(np.eye(3), rpy, strict=True))
    return multiply(z, multiply(y, x))
