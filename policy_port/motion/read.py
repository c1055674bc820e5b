"""Clips as other projects write them, read strictly: what a file does not say must be stated, nothing is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from policy_port.arrays import Array
from policy_port.contract.motion import ClipFiles
from policy_port.contract.spec import Contract
from policy_port.errors import MotionError, one_line
from policy_port.motion.foreign import QUATERNIONS, check_shapes, need, numbers, of_arrays, pickled
from policy_port.motion.motion import MAX_BYTES, MAX_FRAMES, VERSION, Motion, arrays_of, checked, velocities

RATE_STATED = "a CSV does not tell its rate"
"""How the note begins that a user should read before believing a replay."""
GRAVITY, FALLING, TOO_FAST = 9.81, 0.08, 1.5
"""[m/s^2]; for how long a fall is looked at [s]; how many times gravity a pelvis does not fall with, even in a flip."""
POSE = 7
"""Columns of a CSV before its joints: position and quaternion of the root link."""


def read_motion(path: Path, stated: ClipFiles) -> Motion:
    """Read a clip: policy-port's own NPZ, one of another project's arrays, or a CSV of root pose and joints.

    Args:
        path: The file.
        stated: What the file does not say by itself.

    Raises:
        MotionError: When it can't be read, something is neither written nor stated, or it can't be a robot's motion.
    """
    if not path.is_file():
        raise MotionError(f"{path}: no such file. Give a clip: .npz, .csv or .pkl")
    if path.suffix.lower() == ".csv":
        return checked(_csv(path, stated), str(path))
    if path.suffix.lower() not in (".npz", ".pkl", ".pickle"):
        raise MotionError(f"{path}: a clip ends in .npz, .csv or .pkl")
    arrays = arrays_of(path) if path.suffix.lower() == ".npz" else pickled(path)
    return checked(_own(path, arrays) if "motion_version" in arrays else of_arrays(path, arrays, stated), str(path))


def motion_of(contract: Contract, path: Path | None) -> Motion | None:
    """A clip in a contract's parsing; None where no file is given.

    Raises:
        MotionError: When it can't be read as the contract says, or the contract follows none.
    """
    if path is None:
        return None
    if contract.motion is None:
        raise MotionError(f"contract '{contract.name}' reads no reference motion; leave --motion out")
    return read_motion(path, contract.motion.files)


def clip_of_arrays(where: Path, arrays: Mapping[str, np.ndarray], contract: Contract) -> Motion:
    """The clip that a policy's file plays beside the network, at one frame per control step where nothing else is said.

    Raises:
        MotionError: When the contract follows none, or the arrays can't be what it says.
    """
    if contract.motion is None:
        raise MotionError(f"{where}: plays a reference motion, and contract '{contract.name}' follows none")
    files = contract.motion.files
    told = files if files.rate is not None else files.model_copy(update={"rate": 1.0 / contract.control_dt})
    return checked(of_arrays(where, dict(arrays), told), str(where))


def unpacked(path: Path, data: bytes) -> Motion:
    """A clip in policy-port's own form, from its bytes.

    Raises:
        MotionError: When it is none, or can't be a robot's motion.
    """
    return checked(_own(path, arrays_of(path, data)), str(path))


def _csv(path: Path, stated: ClipFiles) -> Motion:
    need(path, "a CSV holds numbers alone", stated, "rate", "quaternion_order", "joints")
    assert stated.rate is not None
    assert stated.joints is not None
    assert stated.quaternion_order is not None
    if path.stat().st_size > MAX_BYTES:
        raise MotionError(f"{path}: {path.stat().st_size} bytes; a clip has at most {MAX_BYTES}")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append([float(item) for item in line.split(",")])
        except ValueError as error:
            raise MotionError(f"{path}: line {number}: {one_line(error)}; each line is numbers with commas") from error
        if len(rows[-1]) != len(rows[0]):
            raise MotionError(f"{path}: line {number} has {len(rows[-1])} numbers, the first has {len(rows[0])}")
        if len(rows) > MAX_FRAMES:
            raise MotionError(f"{path}: more than {MAX_FRAMES} frames")
    width = len(rows[0]) if rows else 0
    if width != POSE + len(stated.joints):
        raise MotionError(
            f"{path}: {width} columns; position (3), quaternion (4) and the {len(stated.joints)} joints stated make "
            f"{POSE + len(stated.joints)}"
        )
    table = np.asarray(rows)
    return Motion(
        rate=stated.rate,
        joint_names=stated.joints,
        joint_pos=table[:, POSE:],
        joint_vel=velocities(table[:, POSE:], stated.rate),
        root_pos=table[:, :3],
        root_quat=table[:, 3:POSE][:, QUATERNIONS[stated.quaternion_order]],
        notes=(
            "joint velocities by central differences of the file's positions",
            *rate_notes(stated.rate, table[:, :3]),
        ),
    )


def rate_notes(rate: float, root_pos: Array) -> tuple[str, ...]:
    """That a rate is a statement, and whether gravity allows it.

    A rate that is too low can't be told from a slow motion. One that is too high makes a body fall faster than it can.

    Args:
        rate: The rate as stated [Hz].
        root_pos: Origin of the root in the world [m], shape (frames, 3).
    """
    stated = f"{RATE_STATED}: {rate:g} Hz is what motion.files.rate of the contract says"
    length = max(1, round(FALLING * rate))
    if len(root_pos) <= length + 4:
        return (stated,)
    height = np.gradient(np.gradient(root_pos[:, 2], 1.0 / rate), 1.0 / rate)[2:-2]
    fastest = -float(np.convolve(height, np.ones(length) / length, "valid").min()) / GRAVITY
    if fastest < TOO_FAST:
        return (stated,)
    return (
        f"{stated}. Its root falls with {fastest:.1f} times gravity for {FALLING:g} s, as nothing does by itself: the "
        f"true rate is hardly more than {rate / np.sqrt(fastest):.0f} Hz",
    )


def _own(path: Path, arrays: dict[str, np.ndarray]) -> Motion:
    if "motion_version" not in arrays or int(arrays["motion_version"]) != VERSION:
        raise MotionError(f"{path}: clip version {arrays.get('motion_version')}; this release reads {VERSION}")
    missing = [name for name in ("rate", "joint_names", "joint_pos", "joint_vel", "link_names") if name not in arrays]
    if missing:
        raise MotionError(f"{path}: lacks {', '.join(missing)}")
    optional = {name: numbers(path, arrays, name) for name in ("root_pos", "root_quat", "link_pos", "link_quat")
                if name in arrays}  # fmt: skip
    motion = Motion(
        rate=float(arrays["rate"]),
        joint_names=tuple(map(str, arrays["joint_names"])),
        joint_pos=numbers(path, arrays, "joint_pos"),
        joint_vel=numbers(path, arrays, "joint_vel"),
        link_names=tuple(map(str, arrays["link_names"])),
        notes=tuple(map(str, arrays.get("notes", ()))),
        **optional,
    )
    check_shapes(path, motion)
    return motion
