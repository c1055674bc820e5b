"""Clips that other projects write as named arrays: whole_body_tracking, mjlab, holosoma, Isaac Lab's AMP, GMR."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from policy_port.arrays import Array
from policy_port.contract.motion import ClipFiles
from policy_port.errors import CheckpointError, MotionError
from policy_port.motion.motion import MAX_BYTES, Motion, velocities
from policy_port.motion.rotations import conjugate, multiply, without_jumps

Arrays = dict[str, np.ndarray]

QUATERNIONS = {"wxyz": (0, 1, 2, 3), "xyzw": (3, 0, 1, 2)}
"""Where w, x, y, z stand in a file's four columns."""
WORDS = {
    "rate": "rate: frames per second",
    "quaternion_order": "quaternion_order: wxyz or xyzw",
    "joints": "joints: [name of each joint column]",
}
"""What is to be stated of a file that does not say it."""
SPELLINGS = {
    "dof_names": "joint_names",
    "dof_positions": "joint_pos",
    "dof_velocities": "joint_vel",
    "dof_pos": "joint_pos",
    "body_positions": "body_pos_w",
    "body_rotations": "body_quat_w",
    "body_angular_velocities": "body_ang_vel_w",
}
"""Isaac Lab's AMP and GMR call by other names what whole_body_tracking has."""


def need(path: Path, because: str, stated: ClipFiles, *keys: str) -> None:
    """Refuse a file of which something is neither written in it nor stated."""
    missing = [WORDS[key] for key in keys if getattr(stated, key) is None]
    if missing:
        raise MotionError(f"{path}: {because}; say under motion.files of the contract {'; '.join(missing)}")


def of_arrays(path: Path, given: Arrays, stated: ClipFiles) -> Motion:
    """A clip of arrays: poses of links with the root first, or of the root alone.

    Args:
        path: The file, for messages.
        given: Its arrays by name.
        stated: What it does not say by itself; its own names of joints and links win over these.

    Raises:
        MotionError: When an array is missing or of another shape, or something is neither written nor stated.
    """
    arrays = {SPELLINGS.get(name, name): values for name, values in given.items()}
    rooted = {"root_pos", "root_rot"} <= arrays.keys()
    wanted = ("joint_pos",) if rooted else ("joint_pos", "joint_vel", "body_pos_w", "body_quat_w")
    if missing := [name for name in wanted if name not in arrays]:
        raise MotionError(
            f"{path}: holds {', '.join(sorted(given)) or 'nothing'}; a clip of body poses needs {', '.join(missing)}, "
            "one of the root alone root_pos, root_rot and dof_pos"
        )
    named = tuple(map(str, arrays["joint_names"].tolist())) if "joint_names" in arrays else stated.joints
    told = stated.model_copy(update={"rate": _rate(path, arrays, stated), "joints": named})
    need(path, "it holds arrays without names", told, "rate", "quaternion_order", "joints")
    assert told.rate is not None
    assert told.joints is not None
    assert told.quaternion_order is not None
    columns = QUATERNIONS[told.quaternion_order]
    joint_pos, joint_vel, notes = _joints(path, arrays, len(told.joints), told.rate)
    names: tuple[str, ...] = ()
    if rooted:
        places, quats = numbers(path, arrays, "root_pos")[:, None], numbers(path, arrays, "root_rot")[:, None]
    else:
        places, quats = numbers(path, arrays, "body_pos_w"), numbers(path, arrays, "body_quat_w")
        names = _links(arrays, stated, places.shape[1])
        if not names:
            notes += (f"its {places.shape[1]} links have no names: the first is the root, as in every such file",)
        if "body_ang_vel_w" in arrays:
            _check_spin(path, quats, numbers(path, arrays, "body_ang_vel_w"), told.rate, told.quaternion_order)
    quats = quats[..., columns] if quats.shape[-1] == 4 else quats
    first = 1 if names[:1] == ("world",) else 0
    found = Motion(
        rate=told.rate,
        joint_names=told.joints,
        joint_pos=joint_pos,
        joint_vel=joint_vel,
        root_pos=places[:, first],
        root_quat=quats[:, first],
        link_names=names[first:],
        link_pos=places[:, first:] if names else None,
        link_quat=quats[:, first:] if names else None,
        notes=notes,
    )
    check_shapes(path, found)
    return found


def pickled(path: Path) -> Arrays:
    """The arrays of a pickle of GMR, of which nothing is imported or run.

    Raises:
        MotionError: When it is another pickle.
    """
    # Here, as a port is read without torch, which the room of checkpoints has.
    from policy_port.checkpoints.files.inert_pickle import array_of, read_inert

    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_BYTES else b""
        held = read_inert(data, str(path))
        if not isinstance(held, dict) or not {"root_pos", "root_rot", "dof_pos"} <= held.keys():
            has = ", ".join(map(str, list(held)[:6])) if isinstance(held, dict) else type(held).__name__
            raise MotionError(
                f"{path}: holds {has}; a clip of GMR is a dict of fps, root_pos, root_rot and dof_pos. Save another "
                "project's arrays by those names with numpy.savez"
            )
        wanted = [name for name in ("fps", "root_pos", "root_rot", "dof_pos") if name in held]
        return {name: array_of(held[name], f"{path}: {name}") for name in wanted}
    except (CheckpointError, OSError) as error:
        raise MotionError(str(error)) from error


def numbers(path: Path, arrays: Arrays, name: str) -> Array:
    """An array of numbers, frames first.

    Raises:
        MotionError: When it is something else.
    """
    values = arrays[name]
    if values.dtype.kind not in "fiu" or values.ndim < 2:
        raise MotionError(f"{path}: {name} is {values.dtype} of shape {values.shape}; expected numbers, frames first")
    return values.astype(np.float64)


def check_shapes(path: Path, motion: Motion) -> None:
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


def _rate(path: Path, arrays: Arrays, stated: ClipFiles) -> float | None:
    if "fps" not in arrays:
        return stated.rate
    stored = np.asarray(arrays["fps"], dtype=np.float64).reshape(-1)
    if len(stored) != 1 or not (np.isfinite(stored[0]) and stored[0] > 0.0):
        raise MotionError(f"{path}: fps is {stored.tolist()[:4]}, expected one number of frames per second")
    fps = float(stored[0])
    if stated.rate is not None and abs(stated.rate - fps) > 1e-6 * fps:
        raise MotionError(f"{path}: says {fps:g} frames per second, {stated.rate:g} were stated")
    return fps


def _joints(path: Path, arrays: Arrays, count: int, rate: float) -> tuple[Array, Array, tuple[str, ...]]:
    """Joint positions and velocities, without the columns of a free joint in front of them."""
    joint_pos = numbers(path, arrays, "joint_pos")
    if "joint_vel" not in arrays:
        note = "joint velocities by central differences of the file's positions"
        return joint_pos, velocities(joint_pos, rate), (note,)
    joint_vel = numbers(path, arrays, "joint_vel")
    if (joint_pos.shape[1], joint_vel.shape[1]) == (count + 7, count + 6):
        # holosoma writes MuJoCo's whole qpos and qvel.
        return joint_pos[:, 7:], joint_vel[:, 6:], ()
    return joint_pos, joint_vel, ()


def _links(arrays: Arrays, stated: ClipFiles, count: int) -> tuple[str, ...]:
    """Names of the links, the file's own or the stated ones; none where neither are as many as its poses."""
    if "body_names" in arrays:
        return tuple(map(str, arrays["body_names"].tolist()))
    links = stated.links or ()
    # The contract may list what a BeyondMimic file tracks, of which a clip for training has many more.
    return links if len(links) == count else ()


def _check_spin(path: Path, quats: Array, spin: Array, rate: float, order: str) -> None:
    """Angular velocities that follow from the quaternions in the other order only say that the order is wrong."""
    if not quats.size or not spin.size:
        raise MotionError(f"{path}: its arrays of links have no link; leave them out, or store the root's pose")
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
