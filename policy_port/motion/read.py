"""Clips as other projects write them, read strictly: what a file does not say must be stated, nothing is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from policy_port.arrays import Array
from policy_port.contract.motion import ClipFiles
from policy_port.contract.spec import Contract
from policy_port.errors import MotionError, one_line
from policy_port.motion.motion import MAX_BYTES, MAX_FRAMES, VERSION, Motion, arrays_of, checked, velocities
from policy_port.motion.rotations import conjugate, multiply, without_jumps

QUATERNIONS = {"wxyz": (0, 1, 2, 3), "xyzw": (3, 0, 1, 2)}
"""Where w, x, y, z stand in a file's four columns."""
POSE = 7
"""Columns of a CSV before its joints: position and quaternion of the root link."""


def read_motion(path: Path, stated: ClipFiles) -> Motion:
    """Read a clip: policy-port's own NPZ, that of whole_body_tracking and mjlab, or a CSV of root pose and joints.

    Args:
        path: The file.
        stated: What the file does not say by itself.

    Raises:
        MotionError: When it can't be read, something is neither written nor stated, or it can't be a robot's motion.
    """
    if not path.is_file():
        raise MotionError(f"{path}: no such file. Give a clip: .npz or .csv")
    if path.suffix.lower() == ".csv":
        return checked(_csv(path, stated), str(path))
    if path.suffix.lower() != ".npz":
        raise MotionError(f"{path}: a clip ends in .npz or .csv")
    arrays = arrays_of(path)
    return checked(_own(path, arrays) if "motion_version" in arrays else _body_poses(path, arrays, stated), str(path))


WORDS = {
    "rate": "rate: frames per second",
    "quaternion_order": "quaternion_order: wxyz or xyzw",
    "joints": "joints: [name of each joint column]",
    "links": "links: [name of the link of each pose, the root first]",
}


def _need(path: Path, because: str, stated: ClipFiles, *keys: str) -> None:
    """Refuse a file of which something is neither written in it nor stated."""
    missing = [WORDS[key] for key in keys if getattr(stated, key) is None]
    if missing:
        raise MotionError(f"{path}: {because}; say under motion.files of the contract {'; '.join(missing)}")


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
    return checked(_body_poses(where, dict(arrays), told), str(where))


def unpacked(path: Path, data: bytes) -> Motion:
    """A clip in policy-port's own form, from its bytes.

    Raises:
        MotionError: When it is none, or can't be a robot's motion.
    """
    return checked(_own(path, arrays_of(path, data)), str(path))


def _csv(path: Path, stated: ClipFiles) -> Motion:
    _need(path, "a CSV holds numbers alone", stated, "rate", "quaternion_order", "joints")
    assert stated.rate is not None
    assert stated.joints is not None
    assert stated.quaternion_order is not None
    if path.stat().st_size > MAX_BYTES:
        raise MotionError(f"{path}: {path.stat().st_size} bytes; a clip has at most {MAX_BYTES}")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
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
        notes=("joint velocities by central differences of the file's positions",),
    )


def _own(path: Path, arrays: dict[str, np.ndarray]) -> Motion:
    if "motion_version" not in arrays or int(arrays["motion_version"]) != VERSION:
        raise MotionError(f"{path}: clip version {arrays.get('motion_version')}; this release reads {VERSION}")
    missing = [name for name in ("rate", "joint_names", "joint_pos", "joint_vel", "link_names") if name not in arrays]
    if missing:
        raise MotionError(f"{path}: lacks {', '.join(missing)}")
    optional = {name: _numbers(path, arrays, name) for name in ("root_pos", "root_quat", "link_pos", "link_quat")
                if name in arrays}  # fmt: skip
    motion = Motion(
        rate=float(arrays["rate"]),
        joint_names=tuple(map(str, arrays["joint_names"])),
        joint_pos=_numbers(path, arrays, "joint_pos"),
        joint_vel=_numbers(path, arrays, "joint_vel"),
        link_names=tuple(map(str, arrays["link_names"])),
        notes=tuple(map(str, arrays.get("notes", ()))),
        **optional,
    )
    _check_shapes(path, motion)
    return motion


def _body_poses(path: Path, arrays: dict[str, np.ndarray], stated: ClipFiles) -> Motion:
    """The NPZ of whole_body_tracking's and mjlab's csv_to_npz, and what a BeyondMimic ONNX holds: no names in it."""
    missing = [name for name in ("joint_pos", "joint_vel", "body_pos_w", "body_quat_w") if name not in arrays]
    if missing:
        raise MotionError(
            f"{path}: holds {', '.join(sorted(arrays)) or 'nothing'}; a clip of body poses needs {', '.join(missing)}"
        )
    if "fps" in arrays:
        fps = float(np.asarray(arrays["fps"], dtype=np.float64).reshape(-1)[0])
        if stated.rate is not None and abs(stated.rate - fps) > 1e-6 * fps:
            raise MotionError(f"{path}: says {fps:g} frames per second, {stated.rate:g} were stated")
    else:
        fps = stated.rate
    told = stated.model_copy(update={"rate": fps})
    _need(path, "it holds arrays without names", told, "rate", "quaternion_order", "joints", "links")
    assert fps is not None
    assert stated.joints is not None
    assert stated.links is not None
    assert stated.quaternion_order is not None
    quats = _numbers(path, arrays, "body_quat_w")
    if "body_ang_vel_w" in arrays:
        _check_spin(path, quats, _numbers(path, arrays, "body_ang_vel_w"), fps, stated.quaternion_order)
    places = _numbers(path, arrays, "body_pos_w")
    quats = quats[..., QUATERNIONS[stated.quaternion_order]]
    motion = Motion(
        rate=fps,
        joint_names=stated.joints,
        joint_pos=_numbers(path, arrays, "joint_pos"),
        joint_vel=_numbers(path, arrays, "joint_vel"),
        root_pos=places[:, 0],
        root_quat=quats[:, 0],
        link_names=stated.links,
        link_pos=places,
        link_quat=quats,
    )
    _check_shapes(path, motion)
    return motion


def _numbers(path: Path, arrays: dict[str, np.ndarray], name: str) -> Array:
    values = arrays[name]
    if values.dtype.kind not in "fiu" or values.ndim < 2:
        raise MotionError(f"{path}: {name} is {values.dtype} of shape {values.shape}; expected numbers, frames first")
    return values.astype(np.float64)


def _check_shapes(path: Path, motion: Motion) -> None:
    """Every array has as many frames, and as many columns as there are names."""
    frames, joints, links = motion.frames, len(motion.joint_names), len(motion.link_names)
    wanted = {
        "joint_pos": (frames, joints),
        "joint_vel": (frames, joints),
        "root_pos": (frames, 3),
        "root_quat": (frames, 4),
        "link_pos": (frames, links, 3),
        "link_quat": (frames, links, 4),
    }
    for name, shape in wanted.items():
        values = getattr(motion, name)
        if values is not None and values.shape != shape:
            raise MotionError(
                f"{path}: {name} has shape {values.shape}, expected {shape}: {frames} frames, {joints} joints and "
                f"{links} links are named"
            )


def _check_spin(path: Path, quats: Array, spin: Array, rate: float, order: str) -> None:
    """Angular velocities that follow from the quaternions in the other order only say that the order is wrong."""
    errors = {}
    for name, columns in QUATERNIONS.items():
        ordered = without_jumps(quats[..., columns])
        change = multiply(ordered[2:], conjugate(ordered[:-2]))
        derived = change[..., 1:] * np.where(change[..., :1] < 0.0, -1.0, 1.0) * rate
        errors[name] = float(np.median(np.abs(derived - spin[1:-1]).max(axis=(1, 2))))
    other = next(name for name in QUATERNIONS if name != order)
    if errors[order] > 0.5 and errors[other] < 0.2 * errors[order]:
        raise MotionError(
            f"{path}: its angular velocities are {errors[order]:.2f} rad/s away from what its quaternions turn by as "
            f"{order}, {errors[other]:.2f} rad/s as {other}: state {other}"
        )
