"""What a robot file says, read by Newton's importers; our own readers find what is wrong with it first."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import newton
import warp

from policy_port.errors import MissingDependencyError, RobotError, one_line
from policy_port.plants.mjcf_limits import base_left_out
from policy_port.plants.mujoco_drives import file_drives
from policy_port.plants.mujoco_file import compile_spec, effort_limit, read_mujoco, robot_joints, root_of, set_up_base
from policy_port.plants.mujoco_scene import ensure_ground
from policy_port.plants.places import Sensor
from policy_port.plants.setup import PlantSetup
from policy_port.robot_models.coupling import Followers
from policy_port.robot_models.find import USD_SUFFIXES
from policy_port.robot_models.urdf import Urdf, read_urdf

NO_LIMIT = 1.0e6
"""What Newton's importers give a joint without an effort limit [N m or N]."""

NAMED = (newton.JointType.REVOLUTE, newton.JointType.PRISMATIC)
"""The joints that a setup names."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a robot file says beside what Newton's importer keeps of it."""

    limit: Callable[[str], float | None]
    """Effort limit of a joint [N m or N]."""
    integrator: str | None = None
    """MuJoCo's integrator in an MJCF."""
    skipped_meshes: int = 0
    """Meshes left out."""
    excluded_pairs: tuple[tuple[str, str], ...] = ()
    """Pairs of links that never collide."""
    friction_stated: bool = True
    """Whether the file's shapes carry their friction."""
    followers: Followers = field(default_factory=dict)
    """Joints that follow others."""
    left_out: tuple[str, ...] = ()
    """What Newton can't do, and a user should know of."""
    sensors: Mapping[str, Sensor] = field(default_factory=dict)
    """Sensors of an MJCF, for where they are mounted."""
    meant: mujoco.MjModel | None = None
    """What MuJoCo makes of an MJCF with its ground, to hold Newton's against."""


def read_robot(builder: newton.ModelBuilder, path: Path, setup: PlantSetup, *, meshes: bool) -> Source:
    """Read the robot at `path` into `builder`.

    Raises:
        RobotError: When the file can't be read, or says what Newton can't.
        MissingDependencyError: When Newton lacks a package to read it.
    """
    suffix = path.suffix.lower()
    if suffix == ".urdf":
        urdf = read_urdf(path, meshes=meshes)
        (w, x, y, z), position = urdf.place.rotation, urdf.place.position
        place = warp.transform(position, (x, y, z, w))
        _import(path, lambda: builder.add_urdf(_with_mimics(urdf), floating=setup.floating, xform=place))
        return Source(
            limit=urdf.effort_limit,
            skipped_meshes=urdf.skipped_meshes,
            excluded_pairs=urdf.excluded_pairs,
            friction_stated=False,
            followers=urdf.followers,
        )
    if suffix in USD_SUFFIXES:
        _import(path, lambda: builder.add_usd(str(path), floating=setup.floating))
        limits = {tail(label): builder.joint_effort_limit[dof] for label, dof in _dofs(builder).items()}
        return Source(limit=lambda name: limits[name] if limits[name] < NO_LIMIT else None)
    return _read_mjcf(builder, path, setup, meshes=meshes)


def _with_mimics(urdf: Urdf) -> str:
    """The URDF's text, with what joints follow written back for Newton to read."""
    root = copy.deepcopy(urdf.root)
    for follower in urdf.followers.values():
        offset, multiplier = follower.coefficients
        joint = root.find(f"joint[@name='{follower.name}']")
        assert joint is not None
        ElementTree.SubElement(joint, "mimic", joint=follower.leader, multiplier=repr(multiplier), offset=repr(offset))
    return replace(urdf, root=root).text()


def _read_mjcf(builder: newton.ModelBuilder, path: Path, setup: PlantSetup, *, meshes: bool) -> Source:
    file = read_mujoco(path, meshes=meshes)
    spec = file.spec
    bent = [joint.name for joint in spec.joints if joint.ref != 0.0]
    if bent:
        raise RobotError(
            f"{path}: joint {', '.join(bent)} has a reference position (ref), from which Newton counts and others do "
            "not; use --plant mujoco"
        )
    if spec.option.solver == mujoco.mjtSolver.mjSOL_PGS:
        raise RobotError(
            f"{path}: <option solver> is PGS, which Newton does not have; it has CG and Newton. Take it out of the "
            "file, or use --plant mujoco"
        )
    before = len(spec.joints)
    robot = robot_joints(spec, path, setup)
    names = [joint.name for joint in robot]
    root = root_of(robot[0].parent, spec)
    if len(spec.joints) != before:
        raise RobotError(
            f"{path}: the base is moved by slides with a ball or hinges, of which Newton makes one joint of several "
            "axes. Write a <freejoint> in their place"
        )
    free = any(joint.type == mujoco.mjtJoint.mjJNT_FREE for joint in spec.joints)
    hinged = any(joint.parent == root for joint in robot) and not free
    floating = None if (free and setup.floating) or (hinged and not setup.floating) else setup.floating
    _import(path, lambda: builder.add_mjcf(str(path), floating=floating, parse_meshes=meshes))
    limits = {joint.name: effort_limit(spec, joint.name) for joint in spec.joints if joint.name}
    integrator = mujoco.mjtIntegrator(spec.option.integrator).name.removeprefix("mjINT_").lower()
    followers = setup.followers(file.followers, robot=str(path))
    set_up_base(spec, root, setup)
    ensure_ground(spec, setup.friction)
    meant = compile_spec(spec, path, file.skipped_meshes)
    if setup.actuation == "model":
        file_drives(meant, path, setup.drives(followers), followers)
    return Source(
        limit=limits.__getitem__,
        integrator=integrator,
        skipped_meshes=file.skipped_meshes,
        followers=file.followers,
        sensors=file.sensors,
        left_out=base_left_out(meant, int(meant.body_rootid[meant.jnt_bodyid[meant.joint(names[0]).id]])),
        meant=meant,
    )


def _import(path: Path, read: Callable[[], object]) -> None:
    try:
        with warnings.catch_warnings():
            # Newton says what it makes of a file's oddities; none of it is about driving the joints.
            warnings.simplefilter("ignore")
            read()
    except ImportError as cause:
        raise MissingDependencyError(
            f"{path}: Newton needs {cause.name or cause} to read it: pip install "
            f"{'usd-core' if cause.name == 'pxr' else cause.name}"
        ) from None
    except Exception as cause:
        raise RobotError(f"{path}: Newton can't read it: {one_line(cause)}") from None


def tail(label: str) -> str:
    """Name of an element in its file: Newton's labels are paths through the tree."""
    return label.rpartition("/")[2]


def _dofs(builder: newton.ModelBuilder) -> dict[str, int]:
    """First degree of freedom of each hinge and slide, by label."""
    columns = (builder.joint_label, builder.joint_type, builder.joint_qd_start)
    return {label: int(dof) for label, kind, dof in zip(*columns, strict=True) if kind in NAMED}
