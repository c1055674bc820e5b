"""A reference motion: what the robot shall do, frame by frame, with names and a rate."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.arrays import Array
from policy_port.errors import MotionError, closest, one_line
from policy_port.motion.rotations import slerp, without_jumps

VERSION = 1
MAX_BYTES = 256 * 1024 * 1024
"""Largest clip read: half an hour of thirty joints and thirty links at 50 Hz."""
MAX_FRAMES = 200_000
UNIT = 1e-2
"""How far a quaternion's length may be from one: written text is rounded, another meaning of the columns is not."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Motion:
    """A clip. All arrays are float64, SI units, one row per frame; quaternions are wxyz, body in world."""

    rate: float
    """Frames per second."""
    joint_names: tuple[str, ...]
    """Order of the joint columns."""
    joint_pos: Array
    """rad or m, shape (frames, joints)."""
    joint_vel: Array
    """rad/s or m/s, shape (frames, joints)."""
    root_pos: Array | None = None
    """Origin of the root link in the world [m], shape (frames, 3); None where the clip has joints alone."""
    root_quat: Array | None = None
    """Orientation of the root link, shape (frames, 4)."""
    link_names: tuple[str, ...] = ()
    """Order of the links whose poses the clip brings."""
    link_pos: Array | None = None
    """Origins of those links in the world [m], shape (frames, links, 3)."""
    link_quat: Array | None = None
    """Their orientations, shape (frames, links, 4)."""
    notes: tuple[str, ...] = ()
    """What was done to it, in words."""

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.joint_pos)

    @property
    def seconds(self) -> float:
        """From the first frame to the last [s]."""
        return (self.frames - 1) / self.rate

    def joints(self, names: Sequence[str], where: str) -> Motion:
        """The same clip with these joints in this order.

        Raises:
            MotionError: When the clip lacks one of them.
        """
        missing = [name for name in names if name not in self.joint_names]
        if missing:
            raise MotionError(
                f"{where}: the clip has no joint '{missing[0]}'{closest(missing[0], self.joint_names) or '.'} "
                f"It has: {', '.join(self.joint_names)}"
            )
        columns = [self.joint_names.index(name) for name in names]
        return replace(
            self, joint_names=tuple(names), joint_pos=self.joint_pos[:, columns], joint_vel=self.joint_vel[:, columns]
        )

    def resampled(self, rate: float) -> Motion:
        """The clip at another rate: positions linear, orientations slerp, joint velocities by central differences.

        The last frame is kept only where it falls on the new rate's raster.
        """
        if abs(rate - self.rate) < 1e-9 * rate:
            return self
        times = np.arange(int(np.floor(self.seconds * rate + 1e-6)) + 1) / rate
        place = np.minimum(times * self.rate, self.frames - 1)
        first = np.minimum(np.floor(place + 1e-9).astype(int), max(self.frames - 2, 0))
        share = np.clip(place - first, 0.0, 1.0)
        second = np.minimum(first + 1, self.frames - 1)

        def line(values: Array) -> Array:
            weight = share.reshape(-1, *[1] * (values.ndim - 1))
            return (1.0 - weight) * values[first] + weight * values[second]

        def turn(values: Array) -> Array:
            return without_jumps(slerp(values[first], values[second], share))

        joint_pos = line(self.joint_pos)
        return replace(
            self,
            rate=rate,
            joint_pos=joint_pos,
            joint_vel=velocities(joint_pos, rate),
            root_pos=None if self.root_pos is None else line(self.root_pos),
            root_quat=None if self.root_quat is None else turn(self.root_quat),
            link_pos=None if self.link_pos is None else line(self.link_pos),
            link_quat=None if self.link_quat is None else turn(self.link_quat),
            notes=(
                *self.notes,
                f"resampled from {self.rate:g} to {rate:g} Hz: positions linear, orientations slerp, "
                f"joint velocities by central differences",
            ),
        )


def velocities(positions: Array, rate: float) -> Array:
    """Derivative in time of (frames, n) by central differences, one-sided at both ends."""
    if len(positions) < 2:
        return np.zeros_like(positions)
    return np.gradient(positions, 1.0 / rate, axis=0)


FARTHEST = 1000.0
"""Joint positions beyond this are nobody's [rad or m]."""
TURNS = 4.0 * math.pi
"""Beyond this only a joint without a stop goes [rad]."""


def checked(motion: Motion, where: str) -> Motion:
    """A motion whose numbers can be a robot's: finite, unit quaternions, velocities that belong to the positions.

    Raises:
        MotionError: Naming the file, the frame and what was found there.
    """
    if not 0.1 <= motion.rate <= 10_000.0:
        raise MotionError(f"{where}: a rate of {motion.rate:g} Hz; expected frames per second")
    if not 2 <= motion.frames <= MAX_FRAMES:
        raise MotionError(f"{where}: {motion.frames} frames; a clip has 2 to {MAX_FRAMES}")
    if len(set(motion.joint_names)) != len(motion.joint_names):
        raise MotionError(f"{where}: a joint is named twice: {', '.join(motion.joint_names)}")
    turned: dict[str, Any] = {}
    for name in ("joint_pos", "joint_vel", "root_pos", "root_quat", "link_pos", "link_quat"):
        values = getattr(motion, name)
        if values is None:
            continue
        bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
        if bad.size:
            raise MotionError(f"{where}: {name} of frame {bad[0]} is not finite; {bad.size} frames are like that")
        if name.endswith("quat"):
            turned[name] = _unit(values, name, where)
    _check_velocities(motion, where)
    reach = np.abs(motion.joint_pos).max(axis=0)
    worst = int(reach.argmax()) if reach.size else 0
    if reach.size and reach[worst] > FARTHEST:
        frame = int(np.abs(motion.joint_pos[:, worst]).argmax())
        raise MotionError(
            f"{where}: joint '{motion.joint_names[worst]}' is at {motion.joint_pos[frame, worst]:g} in frame {frame}; "
            "joint positions are radians or metres"
        )
    if reach.size and reach[worst] > TURNS:
        turned["notes"] = (
            *motion.notes,
            f"joint '{motion.joint_names[worst]}' goes as far as {reach[worst]:.3g} rad, which only a wheel does: "
            "are these degrees?",
        )
    return replace(motion, **turned)


def _unit(quats: Array, name: str, where: str) -> Array:
    lengths = np.linalg.norm(quats, axis=-1)
    off = np.abs(lengths - 1.0).reshape(len(quats), -1).max(axis=1)
    worst = int(off.argmax())
    if off[worst] > UNIT:
        raise MotionError(
            f"{where}: {name} of frame {worst} has length {lengths.reshape(len(quats), -1)[worst].max():.3f}; "
            f"a quaternion's is 1, so these columns are something else"
        )
    return without_jumps(quats / lengths[..., None])


def _check_velocities(motion: Motion, where: str) -> None:
    """Stated velocities that are a multiple of the positions' change say another rate."""
    derived = velocities(motion.joint_pos, motion.rate)
    size = float(np.sum(derived * derived))
    if size < 1e-6 * derived.size or motion.frames < 8:
        return
    factor = float(np.sum(derived * motion.joint_vel)) / size
    left = motion.joint_vel - factor * derived
    explained = 1.0 - float(np.sum(left * left)) / max(float(np.sum(motion.joint_vel**2)), 1e-12)
    if explained > 0.9 and not 0.9 < factor < 1.1:
        raise MotionError(
            f"{where}: its joint velocities are {factor:.2f} times what its positions change by at {motion.rate:g} Hz; "
            f"they fit a rate of {motion.rate * factor:.1f} Hz"
        )
    if explained < 0.2:
        raise MotionError(
            f"{where}: its joint velocities have nothing to do with the change of its joint positions: one of the two "
            f"is in another joint order, or is no velocity"
        )


def packed(motion: Motion) -> bytes:
    """The one form in which ports keep clips: an NPZ of arrays and names alone, without pickles."""
    held = {
        "motion_version": np.array(VERSION),
        "rate": np.array(motion.rate),
        "joint_names": np.array(motion.joint_names),
        "link_names": np.array(motion.link_names, dtype=np.str_),
        "notes": np.array(motion.notes, dtype=np.str_),
    }
    for name in ("joint_pos", "joint_vel", "root_pos", "root_quat", "link_pos", "link_quat"):
        values = getattr(motion, name)
        if values is not None:
            held[name] = values
    buffer = io.BytesIO()
    np.savez(buffer, **held)
    return buffer.getvalue()


def arrays_of(path: Path, data: bytes | None = None) -> dict[str, np.ndarray]:
    """All arrays of an NPZ, or of its bytes where they were read already; none of them needs a pickle.

    Raises:
        MotionError: When it is no NPZ, too large, or holds Python objects.
    """
    try:
        opened = path if data is None else io.BytesIO(data)
        with zipfile.ZipFile(opened) as archive:
            size = sum(item.file_size for item in archive.infolist())
        if size > MAX_BYTES:
            raise MotionError(f"{path}: unpacks to {size} bytes; a clip has at most {MAX_BYTES}")
        with np.load(path if data is None else io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except MotionError:
        raise
    except (OSError, ValueError, zipfile.BadZipFile, KeyError, EOFError) as error:
        raise MotionError(f"{path}: can't be read as a clip: {one_line(error)}") from error
