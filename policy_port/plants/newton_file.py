"""What a robot file says, read by Newton's importers; our own readers find what is wrong with it first."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mujoco
import newton

from policy_port.errors import MissingDependencyError, RobotError, one_line
from policy_port.plants.mujoco_model import effort_limit, load_spec
from policy_port.plants.setup import PlantSetup
from policy_port.robot_models.find import USD_SUFFIXES
from policy_port.robot_models.urdf import read_urdf

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


def read_robot(builder: newton.ModelBuilder, path: Path, setup: PlantSetup, *, meshes: bool) -> Source:
    """Read the robot at `path` into `builder`.

    Raises:
        RobotError: When the file can't be read, or says what Newton can't.
        MissingDependencyError: When Newton lacks a package to read it.
    """
    suffix = path.suffix.lower()
    if suffix == ".urdf":
        urdf = read_urdf(path, meshes=meshes)
        _import(path, lambda: builder.add_urdf(urdf.text(), floating=setup.floating))
        return Source(
            limit=urdf.effort_limit,
            skipped_meshes=urdf.skipped_meshes,
            excluded_pairs=urdf.excluded_pairs,
            friction_stated=False,
        )
    if suffix in USD_SUFFIXES:
        _import(path, lambda: builder.add_usd(str(path), floating=setup.floating))
        limits = {tail(label): builder.joint_effort_limit[dof] for label, dof in _dofs(builder).items()}
        return Source(limit=lambda name: limits[name] if limits[name] < NO_LIMIT else None)
    spec, _, skipped = load_spec(path, meshes=meshes)
    bent = [joint.name for joint in spec.joints if joint.ref != 0.0]
    if bent:
        raise RobotError(
            f"{path}: joint {', '.join(bent)} has a reference position (ref), from which Newton counts and others do "
            "not; use --plant mujoco"
        )
    free = any(joint.type == mujoco.mjtJoint.mjJNT_FREE for joint in spec.joints)
    floating = None if free and setup.floating else setup.floating
    _import(path, lambda: builder.add_mjcf(str(path), floating=floating, parse_meshes=meshes))
    limits = {joint.name: effort_limit(spec, joint.name) for joint in spec.joints if joint.name}
    integrator = mujoco.mjtIntegrator(spec.option.integrator).name.removeprefix("mjINT_").lower()
    return Source(limit=limits.__getitem__, integrator=integrator, skipped_meshes=skipped)


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
