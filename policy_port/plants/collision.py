"""Which links of a robot can touch anything, told from its file before a simulator starts."""

from __future__ import annotations

from pathlib import Path

from policy_port.plants.setup import PlantSetup
from policy_port.robot_models.find import USD_SUFFIXES, find_robot
from policy_port.robot_models.link_shapes import CollisionShapes, urdf_shapes


def collision_shapes(path: Path, setup: PlantSetup) -> CollisionShapes | None:
    """The collision shapes of the robot that has a joint of the setup, meshes among them.

    Returns:
        None of a USD file, whose meshes are never left out; where no joint fits, or MuJoCo is not here to read MJCF,
        which the plant refuses by itself.

    Raises:
        RobotError: When the file can't be read.
    """
    if path.suffix.lower() in USD_SUFFIXES:
        return None
    joint_pos = {joint.name: joint.default for joint in setup.joints}
    if path.suffix.lower() == ".urdf":
        return urdf_shapes(path, joint_pos)
    try:
        from policy_port.plants.mjcf_collision import mjcf_shapes
    except ModuleNotFoundError:
        return None
    return mjcf_shapes(path, joint_pos)


def told_of_collisions(robot: str | Path, setup: PlantSetup, *, meshes: bool) -> str:
    """What a run's settings say of links without a collision shape; empty where there is nothing to say."""
    shapes = collision_shapes(find_robot(robot), setup)
    return "" if shapes is None else shapes.told_of(meshes=meshes, stands=setup.falls)
