"""From a robot file and a setup to an articulation in a SAPIEN scene, with the solver settings of ManiSkill.

SAPIEN is used directly, and MJCF is turned into URDF, as ManiSkill's reader of it leaves out inertias and armature.
Nothing here needs a graphics driver: visuals are left to the view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import sapien
from numpy.typing import NDArray
from sapien import physx

from policy_port.contract.actions import Drive
from policy_port.errors import MissingDependencyError, RobotError, one_line
from policy_port.plants.sapien_physics import ALL, Physics, couple, meet, set_up_contacts
from policy_port.plants.setup import JointSetup, PlantSetup
from policy_port.robot_models.coupling import Followers
from policy_port.robot_models.urdf import Urdf, read_urdf

SCENE: dict[str, Any] = {
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
    """Numbers of the drives, one per joint, plant joint order.

    The torque is gain * (target - position - velocity) - damping * velocity, of position and velocity what the drive's
    target is one of.
    """

    drives: tuple[Drive, ...]
    """What each joint's targets are."""
    gain: NDArray[np.float64]
    """Torque per unit that a joint is off its target: stiffness [N m/rad or N/m], or of a drive to velocities damping
    [N m s/rad or N s/m]; 1 of one to efforts."""
    damping: NDArray[np.float64]
    """Against motion, beside that [N m s/rad or N s/m]."""
    limit: NDArray[np.float64]
    """[N m or N]"""
    targets: NDArray[np.float64]
    """Lower and upper bound to which the drive itself clips its target [SI, of its quantity], shape (2, joints)."""

    def only(self, drive: Drive) -> NDArray[np.float64]:
        """1 for each joint of that drive, 0 for others."""
        return np.array([float(mine == drive) for mine in self.drives])


@dataclass(frozen=True, kw_only=True)
class SapienRobot:
    """What there is to build."""

    urdf: Urdf
    """The robot as a URDF."""
    physics: Physics
    """What its file says beside that."""
    followers: Followers
    """Joints that follow others, leaders first."""
    floating: bool
    """Whether its base floats."""

    @property
    def base_link(self) -> str:
        """The link whose frame is the base's: the first that is not the world."""
        hinged = self.urdf.path.suffix.lower() != ".urdf" and self.urdf.links[0] == "world"
        return self.urdf.links[1 if hinged else 0]


def read_robot(path: Path, setup: PlantSetup, *, meshes: bool) -> SapienRobot:
    """Read the robot file.

    Raises:
        RobotError: When the file can't be read, or says what SAPIEN can't do.
        MissingDependencyError: When it is MJCF and MuJoCo is not installed.
    """
    if path.suffix.lower() == ".urdf":
        urdf, physics = read_urdf(path, meshes=meshes), Physics()
    else:
        try:
            from policy_port.plants.mjcf_to_urdf import mjcf_for_sapien
        except ModuleNotFoundError as cause:
            raise MissingDependencyError(
                f"{path}: MJCF is read through MuJoCo, and {cause.name} is not installed: "
                "pip install 'policy-port[sim]'"
            ) from None
        urdf, physics = mjcf_for_sapien(path, setup, meshes=meshes)
    followers = setup.followers(urdf.followers, robot=str(path))
    return SapienRobot(urdf=urdf, physics=physics, followers=followers, floating=setup.floating)


def configure_physics(gravity: Sequence[float] = (0.0, 0.0, -9.81)) -> None:
    """Set SAPIEN's process-wide defaults to ManiSkill's, under `gravity` [m/s^2]; they hold for what is built next."""
    # SAPIEN takes a list, which its stubs do not know.
    physx.set_scene_config(gravity=list(gravity), **SCENE)  # pyrefly: ignore[no-matching-overload]
    physx.set_shape_config(**SHAPE)
    physx.set_body_config(**BODY)


def add_ground(scene: sapien.Scene, robot: SapienRobot, setup: PlantSetup) -> None:
    """Put flat ground into `scene`; nobody sees it."""
    said = robot.physics.ground
    friction = setup.friction if said is None else said.friction
    material = scene.create_physical_material(friction, friction, 0.0)
    ground = scene.add_ground(robot.physics.ground_height, render=False, material=material)
    if said is not None:
        body = ground.find_component_by_type(physx.PhysxRigidStaticComponent)
        assert isinstance(body, physx.PhysxRigidStaticComponent)
        for shape in body.collision_shapes:
            shape.set_collision_groups(list(said.groups))


def load(
    scene: sapien.Scene, robot: SapienRobot, setup: PlantSetup, *, shown: Urdf | None = None
) -> physx.PhysxArticulation:
    """Build the robot in `scene`; with `shown`, this to be looked at.

    Raises:
        RobotError: When SAPIEN refuses the file.
    """
    urdf = robot.urdf
    material = (setup.friction, setup.friction, 0.0)
    loader = scene.create_urdf_loader()
    loader.fix_root_link = not robot.floating
    loader.set_material(*material)
    srdf = urdf.path.with_suffix(".srdf")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "robot.urdf"
        file.write_text((urdf.without("visual") if shown is None else shown).text(), encoding="utf-8")
        try:
            articulation = loader.load(str(file), srdf_file=str(srdf) if srdf.is_file() else None)
        except Exception as cause:
            raise RobotError(f"{urdf.path}: SAPIEN can't load it: {one_line(cause)}") from cause
    if shown is None:
        set_up_contacts(scene, articulation, robot.physics, urdf.path)
        couple(articulation, robot.followers, urdf.path)
    return articulation


def set_up_joints(articulation: physx.PhysxArticulation, robot: SapienRobot, setup: PlantSetup) -> Gains:
    """Give every joint its drive and armature, every link its gravity; returns the numbers of the plant's joints.

    Raises:
        RobotError: When a joint stands on one side only, or the file has no drive of its own for one.
    """
    urdf, physics = robot.urdf, robot.physics
    joints = {joint.name: joint for joint in articulation.active_joints}
    setups = setup.in_order(list(joints), robot=str(urdf.path), followers=robot.followers)
    limits = [item.effort_limit or urdf.effort_limit(item.name) or NO_LIMIT for item in setups]
    driven = {item.name: (item, limit) for item, limit in zip(setups, limits, strict=True) if item.leader is None}
    for name, joint in joints.items():
        item, limit = driven.get(name, (None, NO_LIMIT))
        if item is not None and setup.actuation == "implicit":
            # An effort is a force of its own in PhysX, which the drive does not bound.
            bound = NO_LIMIT if item.drive == "effort" else limit
            joint.set_drive_properties(item.stiffness or 0.0, item.damping or 0.0, force_limit=bound, mode="force")
        else:
            joint.set_drive_properties(0.0, urdf.damping(name), force_limit=NO_LIMIT, mode="force")
        joint.set_armature(np.array([urdf.armature(name)], dtype=np.float32))
        joint.set_friction(0.0)
    for item in setups:
        if item.armature is not None:
            joints[item.name].set_armature(np.array([item.armature], dtype=np.float32))
    for link in articulation.links:
        link.disable_gravity = setup.gravity_compensation or link.name in physics.weightless
        # PhysX would slow every spinning body down by default; no other simulator does.
        link.linear_damping = link.angular_damping = 0.0
    gains = [_gains(item, robot, setup) for item in setups]
    return Gains(
        drives=tuple(item.drive for item in setups),
        gain=np.array([gain for gain, _ in gains]),
        damping=np.array([damping for _, damping in gains]),
        limit=np.array(limits),
        targets=np.array([physics.targets.get(item.name, (-np.inf, np.inf)) for item in setups]).reshape(-1, 2).T,
    )


def _gains(item: JointSetup, robot: SapienRobot, setup: PlantSetup) -> tuple[float, float]:
    """Gain on the target of a joint's drive, and damping beside it."""
    if setup.actuation != "model" or item.leader is not None:
        stiffness, damping = item.stiffness or 0.0, item.damping or 0.0
        return {"position": (stiffness, damping), "velocity": (damping, 0.0), "effort": (1.0, damping)}[item.drive]
    if item.name not in robot.physics.drives:
        raise RobotError(
            f"{robot.urdf.path}: the contract's actuation.kind is model (the robot file's own actuators), and "
            f"the file has none for joint '{item.name}'. Write kind: implicit or explicit in the contract, and "
            "stiffness, damping and armature per joint"
        )
    return robot.physics.drives[item.name]


def lowest_point(articulation: physx.PhysxArticulation, robot: SapienRobot) -> float | None:
    """Height of the lowest point over the ground that can touch it [m]; None when nothing can.

    Args:
        articulation: The robot as it stands.
        robot: What it was built of.
    """
    ground = ALL if robot.physics.ground is None else robot.physics.ground.groups
    heights = [
        float((link.entity_pose * shape.local_pose).p[2]) - _reach_down(link, shape) - robot.physics.ground_height
        for link in articulation.links
        for shape in link.collision_shapes
        if meet(shape.collision_groups, ground)
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
    # What is left is a mesh; the list of shapes has no type of its own for it.
    vertices = np.asarray(shape.vertices) * np.asarray(shape.scale)  # pyrefly: ignore[missing-attribute]
    return -float((vertices @ down).min())
