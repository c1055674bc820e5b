"""From a robot file and a setup to a Newton model: read by Newton's own importers, then drives and ground added."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import newton
import numpy as np
import warp
from numpy.typing import NDArray

from policy_port.contract.actions import Drive
from policy_port.errors import RobotError, one_line
from policy_port.plants.newton_drives import Motors, let_go, set_up_joints
from policy_port.plants.newton_file import NAMED, Source, read_robot, tail
from policy_port.plants.newton_losses import refuse_what_newton_lost
from policy_port.plants.places import ORIGIN, Link, Places, Pose, Site
from policy_port.plants.setup import JointSetup, PlantSetup
from policy_port.robot_models.coupling import Followers

Solver = newton.solvers.SolverMuJoCo
GROUND = (newton.GeoType.PLANE, newton.GeoType.HFIELD)


@dataclass(frozen=True, kw_only=True)
class NewtonRobot:
    """A model of one or more worlds with a robot each, its solver, and where things are in one world's arrays."""

    model: newton.Model
    """The model on its device."""
    solver: Solver
    """The solver; its `mj_model` is what MuJoCo makes of one world."""
    joints: tuple[JointSetup, ...]
    """Hinges and slides that the setup names, in Newton's order: depth-first, bodies in <frame>s last first."""
    q_index: NDArray[np.intp]
    """Index of each joint in a world's joint_q."""
    qd_index: NDArray[np.intp]
    """Index of each joint in a world's joint_qd."""
    damping: NDArray[np.float64]
    """Damping of each drive that Newton holds as the joint's own: of implicit ones [N m s/rad or N s/m]."""
    motors: Motors
    """Of each drive to efforts, in the order of their joints: its index in a world's controls, control per effort."""

    def only(self, drive: Drive) -> NDArray[np.intp]:
        """Which of the joints are driven so."""
        return np.array([place for place, joint in enumerate(self.joints) if joint.drive == drive], dtype=np.intp)

    followers: Followers
    """Joints that follow others."""
    q_places: dict[str, int]
    """Index of every hinge and slide in a world's joint_q, followers too."""
    base_q: int | None
    """Index of the free joint's coordinates in a world's joint_q; None where the base is fixed."""
    base_body: int
    """Index of the base link among a world's bodies."""
    bodies: dict[str, int]
    """Index of each link among them, by the file's name."""
    frames: dict[str, tuple[int, NDArray[np.float64]]]
    """Body and pose in it (x, y, z, quaternion xyzw) of every link and site, by name."""
    places: Places
    """What is fixed to the base link."""
    skipped_meshes: int
    """Number of meshes that were left out."""
    left_out: tuple[str, ...]
    """What of the file Newton can't do, a clause each."""


def is_native(device: str) -> bool:
    """Whether MuJoCo's C library steps the worlds, one at a time, instead of MuJoCo Warp all at once."""
    return warp.get_device(device).is_cpu


def build_robot(path: Path, setup: PlantSetup, *, worlds: int, meshes: bool, device: str, native: bool) -> NewtonRobot:
    """Load a robot file and set it up in `worlds` worlds, stepped by MuJoCo's C library or by MuJoCo Warp.

    Raises:
        RobotError: When the file can't be loaded or does not fit the setup.
        MissingDependencyError: When Newton lacks a package to read it.
    """
    builder = newton.ModelBuilder()
    Solver.register_custom_attributes(builder)
    source = read_robot(builder, path, setup, meshes=meshes)
    indices, root = _robot_joints(builder, path, setup)
    followers = setup.followers(source.followers, robot=str(path))
    found = {tail(builder.joint_label[index]): index for index in indices}
    joints = setup.in_order(list(found), robot=str(path), followers=followers)
    everywhere, indices = found, [found[joint.name] for joint in joints]
    base_body = int(builder.joint_child[root])
    free = builder.joint_type[root] == newton.JointType.FREE
    if setup.floating != free:
        raise RobotError(
            f"{path}: Newton makes the base {'floating' if free else 'fixed'}, the contract's base.floating says "
            "otherwise; take the URDF or MJCF of the robot"
        )
    if not free and setup.height is not None:
        pose: Any = builder.joint_X_p[root]
        builder.joint_X_p[root] = warp.transform((pose.p[0], pose.p[1], setup.height), pose.q)
    motors = set_up_joints(builder, indices, joints, setup, source, path)
    for name in followers:
        let_go(builder, int(builder.joint_qd_start[everywhere[name]]))
    _set_up_shapes(builder, setup, source)
    if setup.gravity_compensation:
        builder.custom_attributes["mujoco:gravcomp"].values = dict.fromkeys(range(builder.body_count), 1.0)
    q_start, qd_start = np.array(builder.joint_q_start), np.array(builder.joint_qd_start)
    scene = newton.ModelBuilder()
    Solver.register_custom_attributes(scene)
    scene.replicate(builder, worlds)
    if not any(kind in GROUND and body < 0 for kind, body in zip(builder.shape_type, builder.shape_body, strict=True)):
        scene.add_ground_plane(cfg=newton.ModelBuilder.ShapeConfig(mu=setup.friction))
    model, solver = _finalize(scene, path, device, _integrator(setup, source), native)
    if source.meant is not None:
        refuse_what_newton_lost(source.meant, solver.mj_model, setup, path)
    return NewtonRobot(
        model=model,
        solver=solver,
        joints=joints,
        followers=followers,
        q_places={name: int(q_start[index]) for name, index in everywhere.items()},
        q_index=q_start[indices].astype(np.intp),
        qd_index=qd_start[indices].astype(np.intp),
        damping=np.array(
            [(item.damping or 0.0) * (setup.actuation == "implicit" and item.drive != "velocity") for item in joints]
        ),
        motors=motors,
        base_q=int(q_start[root]) if free else None,
        base_body=base_body,
        bodies={tail(label): body for body, label in enumerate(builder.body_label)},
        frames=_frames(builder),
        places=_places(builder, base_body, path, source, setup.frame),
        skipped_meshes=source.skipped_meshes,
        left_out=source.left_out,
    )


def _robot_joints(builder: newton.ModelBuilder, path: Path, setup: PlantSetup) -> tuple[list[int], int]:
    """Hinges and slides of the tree that holds a joint of the setup, and the joint between its base and the world."""
    above = {int(child): index for index, child in enumerate(builder.joint_child)}

    def root_of(joint: int) -> int:
        while (parent := int(builder.joint_parent[joint])) >= 0:
            joint = above[parent]
        return joint

    moving = [index for index, kind in enumerate(builder.joint_type) if kind in NAMED]
    known = set(setup.joint_names)
    first = next((index for index in moving if tail(builder.joint_label[index]) in known), None)
    if first is None:
        setup.in_order([tail(builder.joint_label[index]) for index in moving], robot=str(path))
        raise RobotError(f"{path}: has no joints to drive")
    root = root_of(first)
    for index, kind in enumerate(builder.joint_type):
        if kind not in (*NAMED, newton.JointType.FIXED, newton.JointType.FREE) and root_of(index) == root:
            raise RobotError(
                f"{path}: Newton makes {builder.joint_label[index]} one joint of several axes "
                f"({newton.JointType(kind).name}), which can't be driven by name; give each axis a body of its own"
            )
    return [index for index in moving if root_of(index) == root], root


def _set_up_shapes(builder: newton.ModelBuilder, setup: PlantSetup, source: Source) -> None:
    for first, second in source.excluded_pairs:
        _exclude(builder, first, second)
    for shape in range(builder.shape_count):
        # MuJoCo's collision detection keeps no margin in Newton and warns of each.
        builder.shape_margin[shape] = 0.0
        if not source.friction_stated:
            builder.shape_material_mu[shape] = setup.friction


def _exclude(builder: newton.ModelBuilder, first: str, second: str) -> None:
    shapes: dict[str, list[int]] = {
        tail(builder.body_label[body]): list(s) for body, s in builder.body_shapes.items() if body >= 0
    }
    for one in shapes.get(first, ()):
        for other in shapes.get(second, ()):
            builder.add_shape_collision_filter_pair(one, other)


def _integrator(setup: PlantSetup, source: Source) -> str | None:
    """Integrator under which a drive is what the setup says: as PhysX does it, or torques from the step's start."""
    return {"implicit": "implicitfast", "explicit": "euler", "model": source.integrator}[setup.actuation]


def _finalize(
    scene: newton.ModelBuilder, path: Path, device: str, integrator: str | None, native: bool
) -> tuple[newton.Model, Solver]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = scene.finalize(device=device)
            room = {} if native else _room(scene)
            solver = Solver(model, use_mujoco_cpu=native, integrator=integrator, **room)
    except Exception as cause:
        raise RobotError(f"{path}: Newton can't simulate it: {one_line(cause)}") from cause
    if native:
        # A diverged state must stay visible, not be replaced by the default pose in the middle of a rollout.
        solver.mj_model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    return model, solver


def _room(scene: newton.ModelBuilder) -> dict[str, int]:
    """How many contacts and constraints a world of MuJoCo Warp has room for: its own guess is too low for walkers.

    Contacts count that are near, not only those that press; constraints are friction and stops of every joint, and
    what presses.
    """
    worlds = max(1, scene.world_count)
    shapes = sum(bool(flags & newton.ShapeFlags.COLLIDE_SHAPES) for flags in scene.shape_flags) // worlds
    return {"nconmax": 64 + 8 * shapes, "njmax": 64 + 3 * scene.joint_dof_count // worlds + 6 * shapes}


def _frames(builder: newton.ModelBuilder) -> dict[str, tuple[int, NDArray[np.float64]]]:
    identity = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    frames = {tail(label): (body, identity) for body, label in enumerate(builder.body_label)}
    for shape, label in enumerate(builder.shape_label):
        if builder.shape_flags[shape] & newton.ShapeFlags.SITE and builder.shape_body[shape] >= 0:
            frames[tail(label)] = (int(builder.shape_body[shape]), np.array(builder.shape_transform[shape], float))
    return frames


def _places(builder: newton.ModelBuilder, base: int, path: Path, source: Source, frame: str | None) -> Places:
    """What is fixed to body `base`."""
    above = {int(child): joint for joint, child in enumerate(builder.joint_child)}
    links: dict[int, Link] = {}
    for body, label in enumerate(builder.body_label):
        joint = above.get(body, -1)
        parent = int(builder.joint_parent[joint]) if joint >= 0 else -1
        if body != base and parent not in links:
            continue
        fixed = body == base or builder.joint_type[joint] == newton.JointType.FIXED
        pose = ORIGIN
        if body != base and fixed:
            pose = _pose(builder.joint_X_p[joint]).then(_pose(builder.joint_X_c[joint]).inverse())
        links[body] = Link(
            name=tail(label),
            parent=links[parent].name if parent in links else "",
            moved_by="" if fixed else tail(builder.joint_label[joint]),
            pose=pose,
            mass=float(builder.body_mass[body]),
            centre_of_mass=np.array(builder.body_com[body], dtype=np.float64),
        )
    sites = {
        tail(label): Site(links[builder.shape_body[shape]].name, _pose(builder.shape_transform[shape]))
        for shape, label in enumerate(builder.shape_label)
        if builder.shape_flags[shape] & newton.ShapeFlags.SITE and builder.shape_body[shape] in links
    }
    return Places(file=path, links=list(links.values()), sites=sites, sensors=source.sensors, frame=frame)


def _pose(transform: Any) -> Pose:
    """From Newton's transform, whose quaternion is xyzw."""
    x, y, z, qx, qy, qz, qw = (float(number) for number in transform)
    return Pose.of((x, y, z), (qw, qx, qy, qz))
