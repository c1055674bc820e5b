"""Physics of a robot in a SAPIEN scene other than its file's; see `policy_port.plants.physics.Physics`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sapien import physx

from policy_port.arrays import Array
from policy_port.errors import RobotError
from policy_port.plants.maniskill_build import NO_LIMIT
from policy_port.plants.maniskill_scene import RobotScene
from policy_port.plants.physics import PER_JOINT, Physics, grown, known
from policy_port.plants.sapien_brake import brake, set_brake

CAN = ("ground_friction", "base_mass", *PER_JOINT, "link_mass", "gravity")
"""What it can set."""


class SceneChanges:
    """Changes one scene, again and again: each time from what its robot was built with."""

    def __init__(self, robot: RobotScene, row: int) -> None:
        """Note what the robot of environment `row` was built with."""
        self._robot, self._row = robot, row
        self._weights = {link: (float(link.mass), np.array(link.inertia)) for link in robot.articulation.links}
        self._armature = [joint.armature.copy() for joint in robot.driven_joints]
        joints = robot.driven_joints
        self._drives = np.array([[joint.stiffness, joint.damping] for joint in joints], dtype=np.float64).T
        self._limit = robot.gains.limit.copy()
        self._materials = [(shape, shape.physical_material) for shape in _shapes(robot)]
        self._brakes: dict[int, physx.PhysxDriveComponent] = {}

    def set(self, physics: Physics) -> None:
        """Apply what is given; what is None or NaN is as the robot was built."""
        self._set_drives(physics)
        self._set_joints(physics)
        self._set_bodies(physics)

    def _of(self, field: Array | None, built: Any) -> Array:
        """This environment's numbers of a field, what is not given as built."""
        return np.asarray(built, dtype=np.float64) if field is None else known(field[self._row], built)

    def _set_drives(self, physics: Physics) -> None:
        robot = self._robot
        robot.gains.limit[:] = self._of(physics.effort_limit, self._limit)
        robot.drive.set_limits(robot.gains.limit)
        stiffness, damping = self._drives
        if robot.explicit:
            # What PhysX has is the joints' own, and the drives are computed beside it.
            own = self._of(physics.joint_damping, damping)
            for joint, value in zip(robot.driven_joints, own.tolist(), strict=True):
                joint.set_drive_properties(0.0, value, force_limit=NO_LIMIT, mode="force")
            stiffness, damping = robot.gains.gain, robot.gains.damping
        else:
            robot.beside[:] = self._of(physics.joint_damping, np.zeros_like(damping))
            turning = [drive == "velocity" for drive in robot.gains.drives]
            if robot.beside[turning].any():
                name = next(joint.name for joint, damped in zip(robot.joints, robot.beside, strict=True) if damped)
                raise RobotError(
                    f"joint '{name}' is driven by velocity, and PhysX damps such a drive towards its target alone; "
                    "leave the joint's own damping out, or use --plant mujoco"
                )
        robot.set_gains(self._of(physics.stiffness, stiffness), self._of(physics.damping, damping))

    def _set_joints(self, physics: Physics) -> None:
        frictions = self._of(physics.joint_friction, np.zeros(len(self._armature)))
        inertias = self._of(physics.armature, np.concatenate(self._armature))
        for index, joint in enumerate(self._robot.driven_joints):
            joint.set_armature(np.array([inertias[index]], dtype=np.float32))
            if frictions[index] and index not in self._brakes:
                self._brakes[index] = brake(self._robot.scene, joint)
            if index in self._brakes:
                set_brake(self._brakes[index], joint, float(frictions[index]), self._robot.scene.timestep)

    def _set_bodies(self, physics: Physics) -> None:
        robot, row, file = self._robot, self._row, self._robot.file
        added = {robot.link(name): float(kg[row]) for name, kg in (physics.link_mass or {}).items()}
        if physics.base_mass is not None:
            added[robot.base] = added.get(robot.base, 0.0) + float(np.nan_to_num(physics.base_mass[row]))
        for link, (mass, inertia) in self._weights.items():
            factor = grown(mass, added.get(link, 0.0), link.name, file)
            link.set_mass(mass * factor)
            link.set_inertia((factor * inertia).tolist())
        friction = np.nan if physics.ground_friction is None else float(physics.ground_friction[row])
        material = None if np.isnan(friction) else robot.scene.create_physical_material(friction, friction, 0.0)
        for shape, built in self._materials:
            shape.set_physical_material(built if material is None else material)
        robot.lean(None if physics.gravity is None else physics.gravity[row])


def _shapes(robot: RobotScene) -> Iterator[physx.PhysxCollisionShape]:
    """Every shape of the ground and of the robot: PhysX takes the mean of the two that touch."""
    for body in (*robot.scene.physx_system.rigid_static_components, *robot.articulation.links):
        yield from body.collision_shapes
