"""From a robot file and a setup to an articulation in a SAPIEN scene, with the solver settings of ManiSkill.

SAPIEN is used directly, and MJCF is turned into URDF, as ManiSkill's reader of it leaves out inertias and armature.
Nothing here needs a graphics driver: visuals are left to the view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import sapien
from numpy.typing import NDArray
from sapien import physx

from policy_port.errors import MissingDependencyError, RobotError, one_line
from policy_port.plants.setup import JointSetup, PlantSetup
from policy_port.robot_models.urdf import Urdf, read_urdf

SCENE = {
    "bounce_threshold": 2.0,
    "enable_pcm": True,
    "enable_tgs": True,
    "enable_ccd": False,
    "enable_enhanced_determinism": False,
    "enable_friction_every_iteration": True,
    "cpu_workers": 0,
}
SHAPE = {"contact_offset": 0.02, "rest_offset": 0.0}
BODY = {"solver_position_iterations": 15, "solver_velocity_iterations": 1, "sleep_threshold": 0.005}
"""ManiSkill's defaults (mani_skill.utils.structs.types.SceneConfig); a test holds them against the package."""

NO_LIMIT = 3.0e38
"""SAPIEN's drives are limited by a 32-bit number; this is as good as none."""


@dataclass(frozen=True, kw_only=True)
class Gains:
    """Numbers of the drives, one per joint, plant joint order."""

    stiffness: NDArray[np.float64]
    """[N m/rad or N/m]"""
    damping: NDArray[np.float64]
    """[N m s/rad or N s/m]"""
    limit: NDArray[np.float64]
    """[N m or N]"""


def read_robot(path: Path, setup: PlantSetup, *, meshes: bool) -> Urdf:
    """Read the robot file as URDF.

    Raises:
        RobotError: When the file can't be read.
        MissingDependencyError: When it is MJCF and MuJoCo is not installed.
    """
    if path.suffix.lower() == ".urdf":
        return read_urdf(path, meshes=meshes)
    try:
        from policy_port.plants.mjcf_to_urdf import mjcf_as_urdf
    except ModuleNotFoundError as cause:
        raise MissingDependencyError(
            f"{path}: MJCF is read through MuJoCo, and {cause.name} is not installed: pip install 'policy-port[sim]'"
        ) from None
    return mjcf_as_urdf(path, setup.joint_names, meshes=meshes)


def configure_physics() -> None:
    """Set SAPIEN's process-wide defaults to ManiSkill's; they hold for what is built next."""
    physx.set_scene_config(gravity=[0.0, 0.0, -9.81], **SCENE)  # pyright: ignore[reportArgumentType]
    physx.set_shape_config(**SHAPE)
    physx.set_body_config(**BODY)


def add_ground(scene: sapien.Scene, setup: PlantSetup) -> None:
    """Put flat ground into `scene`; nobody sees it."""
    material = scene.create_physical_material(setup.friction, setup.friction, 0.0)
    scene.add_ground(0.0, render=False, material=material)


def load(scene: sapien.Scene, urdf: Urdf, setup: PlantSetup, *, visuals: bool = False) -> physx.PhysxArticulation:
    """Build the robot in `scene`.

    Raises:
        RobotError: When SAPIEN refuses the file.
    """
    material = (setup.friction, setup.friction, 0.0)
    loader = scene.create_urdf_loader()
    loader.fix_root_link = not setup.floating
    loader.set_material(*material)
    srdf = urdf.path.with_suffix(".srdf")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "robot.urdf"
        file.write_text(urdf.text() if visuals else urdf.without("visual").text(), encoding="utf-8")
        try:
            return loader.load(str(file), srdf_file=str(srdf) if srdf.is_file() else None)
        except Exception as cause:
            raise RobotError(f"{urdf.path}: SAPIEN can't load it: {one_line(cause)}") from cause


def set_up_joints(articulation: physx.PhysxArticulation, urdf: Urdf, setup: PlantSetup) -> Gains:
    """Give every joint its drive and armature, every link its gravity; returns the numbers used.

    Raises:
        RobotError: When a joint stands on one side only.
    """
    joints = articulation.active_joints
    setups = setup.in_order([joint.name for joint in joints], robot=str(urdf.path))
    limits = [item.effort_limit or urdf.effort_limit(item.name) or NO_LIMIT for item in setups]
    if setup.actuation == "model":
        setups = tuple(_with_file_gains(item, urdf) for item in setups)
    for joint, item, limit in zip(joints, setups, limits, strict=True):
        if setup.actuation == "implicit":
            joint.set_drive_properties(item.stiffness or 0.0, item.damping or 0.0, force_limit=limit, mode="force")
        else:
            joint.set_drive_properties(0.0, urdf.damping(item.name), force_limit=NO_LIMIT, mode="force")
        armature = urdf.armature(item.name) if item.armature is None else item.armature
        joint.set_armature(np.array([armature], dtype=np.float32))
        joint.set_friction(0.0)
    for link in articulation.links:
        link.disable_gravity = setup.gravity_compensation
        # PhysX would slow every spinning body down by default; no other simulator does.
        link.linear_damping = link.angular_damping = 0.0
    return Gains(
        stiffness=_row([item.stiffness for item in setups]),
        damping=_row([item.damping for item in setups]),
        limit=np.array(limits),
    )


def _with_file_gains(item: JointSetup, urdf: Urdf) -> JointSetup:
    drive = urdf.drive(item.name)
    if drive is None:
        raise RobotError(
            f"{urdf.path}: the contract's actuation.kind is model (the robot file's own position actuators), and the "
            f"file has none for joint '{item.name}'. Write kind: implicit or explicit in the contract, and stiffness, "
            "damping and armature per joint"
        )
    return replace(item, stiffness=drive[0], damping=drive[1])


def lowest_point(articulation: physx.PhysxArticulation) -> float | None:
    """Height of the lowest point of the robot's collision shapes [m]; None when it has none."""
    heights = [
        float((link.entity_pose * shape.local_pose).p[2]) - _reach_down(link, shape)
        for link in articulation.links
        for shape in link.collision_shapes
    ]
    return min(heights, default=None)


def _reach_down(link: physx.PhysxArticulationLinkComponent, shape: physx.PhysxCollisionShape) -> float:
    """How far a shape reaches below its origin [m]; capsules and cylinders lie along their x axis."""
    down = (link.entity_pose * shape.local_pose).to_transformation_matrix()[2, :3].astype(np.float64)
    if isinstance(shape, physx.PhysxCollisionShapeSphere):
        return float(shape.radius)
    if isinstance(shape, physx.PhysxCollisionShapeCapsule):
        return float(shape.radius + abs(down[0]) * shape.half_length)
    if isinstance(shape, physx.PhysxCollisionShapeCylinder):
        return float(shape.radius * np.hypot(down[1], down[2]) + abs(down[0]) * shape.half_length)
    if isinstance(shape, physx.PhysxCollisionShapeBox):
        return float(np.abs(down * shape.half_size).sum())
    vertices = np.asarray(shape.vertices) * np.asarray(shape.scale)  # pyright: ignore[reportAttributeAccessIssue]
    return -float((vertices @ down).min())


def _row(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([value or 0.0 for value in values])
