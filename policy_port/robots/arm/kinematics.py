"""Where the links of an arm are: forward kinematics of the robot file's numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from policy_port.arrays import Array
from policy_port.errors import RobotError, closest
from policy_port.robots.arm.robot_file import Kinematics, Vector


class LinkPositions:
    """Positions of links in the frame of the root link."""

    def __init__(self, kinematics: Kinematics) -> None:
        self._kinematics = kinematics
        self._fixed = {name: _placed(_rotation(link.rpy), link.xyz) for name, link in kinematics.links.items()}

    def position(self, link: str, angles: Mapping[str, float]) -> Array:
        """Origin of a link [m], shape (3,); see `pose`."""
        return self.pose(link, angles)[:3, 3]

    def pose(self, link: str, angles: Mapping[str, float]) -> Array:
        """A link's rotation and origin [m], shape (4, 4).

        Args:
            link: Name of the link.
            angles: Joint positions by name [rad].

        Raises:
            RobotError: When there is no such link, naming those there are.
        """
        links = self._kinematics.links
        pose = np.eye(4)
        name = link
        while name != self._kinematics.root:
            if name not in links:
                raise RobotError(
                    f"the arm has no link '{name}'{closest(name, links) or '.'} It has: {', '.join(links)}"
                )
            turned = self._fixed[name]
            joint = links[name].joint
            if joint is not None:
                turned = turned @ _placed(_about(links[name].axis, angles[joint]), (0.0, 0.0, 0.0))
            pose = turned @ pose
            name = links[name].parent
        return pose


def _placed(rotation: Array, xyz: Vector) -> Array:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, xyz
    return pose


def _about(axis: Vector, angle: float) -> Array:
    """Rotation about an axis, by Rodrigues' formula."""
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross


def _rotation(rpy: Vector) -> Array:
    roll, pitch, yaw = rpy
    return _about((0.0, 0.0, 1.0), yaw) @ _about((0.0, 1.0, 0.0), pitch) @ _about((1.0, 0.0, 0.0), roll)
