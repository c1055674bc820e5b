"""Recordings of robots whose base floats, and the short stretches of them that are predicted from what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from policy_port.arrays import Array
from policy_port.errors import EvidenceError, closest
from policy_port.identify.recording import Recording, make_recording
from policy_port.identify.segments import Segments
from policy_port.trace import Trace, TraceError

BASE = {"base_pos": 3, "base_quat": 4, "base_lin_vel": 3, "base_ang_vel": 3}
"""What is measured of the base, in the terms of `PlantState`, and how wide."""
STILL, ASKED = 1e-3, 0.1
"""A joint that moves less while its targets move by more is stuck [rad]."""
FARTHEST = 2.0 * np.pi
"""No joint of a leg is farther from 0 [rad]."""
LEAST_ROWS = 20


@dataclass(frozen=True, kw_only=True)
class Walk:
    """One recording of a robot with a floating base."""

    recording: Recording
    """Its joints' positions and targets."""
    joint_vel: Array
    """[rad/s], shape (rows, joints)."""
    base: Array
    """Position, orientation, linear and angular velocity as in `PlantState`, shape (rows, 13)."""


@dataclass(frozen=True, kw_only=True)
class Stretches:
    """Stretches of walks, all of one length."""

    segments: Segments
    """Their joints and targets."""
    start: Array
    """Base at the start, shape (stretches, 13)."""
    base: Array
    """Base as it was measured then, shape (stretches, samples, 13)."""

    def take(self, chosen: np.ndarray) -> Stretches:
        """Some of them."""
        return Stretches(segments=self.segments.take(chosen), start=self.start[chosen], base=self.base[chosen])


def read_walks(paths: Sequence[Path], joints: tuple[str, ...]) -> list[Walk]:
    """Read the traces that paths hold.

    Args:
        paths: Traces, or folders of `policy-port play` that hold one.
        joints: The robot file's joints; columns come in their order.

    Raises:
        EvidenceError: When one is no trace of this robot, or says nothing of its base.
    """
    found = [walk for path in paths for walk in _read(path / "trace.npz" if path.is_dir() else path, joints)]
    names = [walk.recording.name for walk in found]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise EvidenceError(f"{twice[0]}: is given twice; each recording counts once")
    return found


def _read(path: Path, joints: tuple[str, ...]) -> list[Walk]:
    try:
        trace = Trace(path)
        names = tuple(trace.header["joint_names"])
        arrays = {name: trace[name] for name in ("time", "joint_pos", "joint_vel", "target") if name in trace}
        arrays |= {name: trace[name] for name in ("episode", *BASE) if name in trace}
    except (TraceError, KeyError, TypeError) as cause:
        raise EvidenceError(f"{path}: can't serve as a recording: {cause}") from cause
    lost = [name for name in ("time", "joint_pos", "joint_vel", "target", *BASE) if name not in arrays]
    if lost:
        raise EvidenceError(
            f"{path}: has no {', '.join(lost)}; a robot that walks is predicted from where its base was and how it "
            "moved. Record it with `policy-port play --plant mujoco`, or from a motion capture"
        )
    for one, other, whose in ((names, joints, "which the robot file has not"), (joints, names, "of the robot file")):
        over = [name for name in one if name not in other]
        if over:
            raise EvidenceError(
                f"{path}: {'has' if whose.startswith('which') else 'lacks'} joint '{over[0]}' {whose}"
                f"{closest(over[0], other) or '.'} It has: {', '.join(names)}. It is another robot's"
            )
    columns = [names.index(name) for name in joints]
    rows, environments = (
        arrays["joint_pos"].shape[0],
        arrays["joint_pos"].reshape(len(arrays["joint_pos"]), -1).shape[1],
    )
    environments //= len(names)
    time = np.broadcast_to(arrays["time"].reshape(rows, -1), (rows, environments))
    episode = arrays.get("episode", np.zeros((rows, environments), np.int64)).reshape(rows, -1)
    walks = []
    for env in range(environments):
        for number in np.unique(episode[:, env]):
            mine = np.flatnonzero(episode[:, env] == number)
            if len(mine) < LEAST_ROWS:
                continue
            of = {name: arrays[name].reshape(rows, environments, -1)[mine, env] for name in arrays if name != "time"}
            label = str(path) if environments * len(np.unique(episode)) == 1 else f"{path}#{env}.{number}"
            at = time[mine, env]
            numbers = (at, of["joint_pos"][:, columns], at, of["target"][:, columns])
            recording = make_recording(label, (path,), joints, numbers)
            base = np.concatenate([of[name] for name in BASE], axis=1).astype(np.float64)
            walks.append(Walk(recording=recording, joint_vel=of["joint_vel"][:, columns].astype(np.float64), base=base))
            _check(walks[-1])
    if not walks:
        raise EvidenceError(f"{path}: has no episode of {LEAST_ROWS} rows")
    return walks


def _check(walk: Walk) -> None:
    item, quat = walk.recording, walk.base[:, 3:7]
    if not np.isfinite(walk.base).all() or not np.isfinite(walk.joint_vel).all():
        raise EvidenceError(f"{item.name}: base or joint velocities are NaN or infinite; cut the recording there")
    if np.abs(np.linalg.norm(quat, axis=1) - 1.0).max() > 0.01:
        raise EvidenceError(f"{item.name}: base_quat is no unit quaternion (w, x, y, z)")
    for column, joint in enumerate(item.joint_names):
        moved, asked = np.ptp(item.measured[:, column]), np.ptp(item.command[:, column])
        if np.abs(item.measured[:, column]).max() > FARTHEST:
            raise EvidenceError(
                f"{item.name}: joint {joint} is at {np.abs(item.measured[:, column]).max():.4g}, more than a turn: its "
                "readings are in degrees. Write the trace in radians"
            )
        if asked > ASKED and moved < STILL:
            raise EvidenceError(
                f"{item.name}: joint {joint} is stuck: its targets span {asked:.3g} rad, its readings {moved:.2g} rad"
            )


def cut_walks(walks: Sequence[Walk], horizon: float, most: int | None = None) -> Stretches:
    """Cut walks into stretches one after the other; `most` of them at most, spread evenly.

    Raises:
        EvidenceError: When none is as long.
    """
    recordings = tuple(walk.recording for walk in walks)
    samples = max(2, round(horizon / recordings[0].period))
    of, firsts = [], []
    for index, item in enumerate(recordings):
        # The first rows have no commands before them that a delay could bring.
        first = np.arange(5, len(item.time) - samples, samples)
        of += [np.full(len(first), index)]
        firsts += [first]
    which, first = np.concatenate(of).astype(np.int64), np.concatenate(firsts).astype(np.int64)
    if not len(first):
        raise EvidenceError(f"{recordings[0].name}: no recording is {horizon:g} s long")
    if most is not None and len(first) > most:
        chosen = np.unique(np.linspace(0, len(first) - 1, most).astype(np.int64))
        which, first = which[chosen], first[chosen]
    rows = first[:, None] + 1 + np.arange(samples)
    each = list(zip([walks[index] for index in which], first, rows, strict=True))
    segments = Segments(
        recordings=recordings,
        of=which,
        start=np.array([walk.recording.time[row] for walk, row, _ in each]),
        position=np.stack([walk.recording.measured[row] for walk, row, _ in each]),
        velocity=np.stack([walk.joint_vel[row] for walk, row, _ in each]),
        after=np.stack([walk.recording.time[mine] - walk.recording.time[row] for walk, row, mine in each]),
        measured=np.stack([walk.recording.measured[mine] for walk, _, mine in each]),
        horizon=horizon,
    )
    start, base = (np.stack(part) for part in zip(*[(w.base[row], w.base[mine]) for w, row, mine in each], strict=True))
    return Stretches(segments=segments, start=start, base=base)
