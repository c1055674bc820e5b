"""Whether a bolted-down robot touches itself or the ground, asked of MuJoCo's shapes without any motion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mujoco
import numpy as np

from policy_port.arrays import Array
from policy_port.plants.mujoco_model import build_robot
from policy_port.plants.setup import PlantSetup

Pair = tuple[str, str]
SAMPLES = 200
"""Poses of which links that touch in every one are taken to be joined."""


class Clearance:
    """Distances between the links of a robot, and to the ground."""

    def __init__(self, robot_file: Path, setup: PlantSetup, limits: dict[str, tuple[float, float]], gap: float) -> None:
        """Load the robot.

        Args:
            robot_file: A URDF or MJCF file.
            setup: Its joints.
            limits: Lower and upper limit of each joint [rad].
            gap: Links closer than this touch [m].

        Raises:
            RobotError: When the file can't be loaded.
        """
        robot = build_robot(robot_file, setup, meshes=True)
        self._model, self._gap, self._places = robot.model, gap, robot.qpos_index
        self._data = mujoco.MjData(robot.model)
        self._model.geom_margin[:] = gap
        self.joint_names = tuple(joint.name for joint in robot.joints)
        """Order of the joints in every pose."""
        low, high = np.array([limits[name] for name in self.joint_names]).T
        poses = np.random.default_rng(0).uniform(low, high, (SAMPLES, len(low)))
        self._joined: frozenset[Pair] = frozenset()
        self._joined = frozenset.intersection(*(self.touching(pose) for pose in poses))

    def touching(self, pose: Array) -> frozenset[Pair]:
        """Pairs of links that touch at a pose [rad], shape (joints,); those that always do are left out."""
        model, data = self._model, self._data
        data.qpos[self._places] = pose
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_collision(model, data)
        bodies = [sorted(int(model.geom_bodyid[geom]) for geom in contact.geom) for contact in data.contact
                  if contact.dist < self._gap]  # fmt: skip
        return frozenset((model.body(one).name, model.body(other).name) for one, other in bodies) - self._joined

    def on_the_way(self, poses: Sequence[Array] | Array) -> frozenset[Pair]:
        """Pairs of links that touch at any of the poses."""
        return frozenset[Pair]().union(*(self.touching(pose) for pose in poses))
