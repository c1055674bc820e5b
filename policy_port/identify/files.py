"""Readers of recordings by file format: traces, LeRobotDatasets, SAGE's CSV folders, pairs of arrays in an .npz."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.arrays import Array
from policy_port.errors import EvidenceError, MissingDependencyError
from policy_port.identify.recording import Recording, make_recording
from policy_port.trace import DAMAGE, Trace, TraceError, read_array

KINDS = (
    "a trace (.npz), a folder of SAGE (joint_list.txt, control.csv, state_motor.csv), a "
    "LeRobotDataset (meta/info.json), an .npz with qpos and target_qpos, or a folder of these"
)
"""What can be read, in words."""
SAGE = ("joint_list.txt", "control.csv", "state_motor.csv")
INFO = Path("meta") / "info.json"


@dataclass(frozen=True, kw_only=True)
class Unstated:
    """What a file may leave out and the user then states."""

    rate: float | None = None
    """Rows per second [Hz], of files without time stamps."""
    joints: tuple[str, ...] | None = None
    """Joints of the columns, of files without names."""


def read_recordings(paths: Sequence[Path], unstated: Unstated) -> list[Recording]:
    """Read every recording that the paths hold, in order of names.

    Raises:
        EvidenceError: When a path holds none, or one is damaged.
        MissingDependencyError: When a LeRobotDataset needs pyarrow, which is not installed.
    """
    found = [recording for path in paths for recording in _read(path, unstated)]
    names = [recording.name for recording in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise EvidenceError(f"{twice[0]}: is given twice; each recording counts once")
    known = dict[str, Recording]()
    for recording in found:
        other = known.setdefault(motion(recording), recording)
        # Episodes of one file may be alike: a simulator does the same twice.
        if other.files != recording.files:
            raise EvidenceError(f"{recording.name}: is the motion of {other.name}, given twice; take one of them out")
    return found


def motion(recording: Recording) -> str:
    """What was measured, whatever it is called."""
    return hashlib.sha256(np.ascontiguousarray(recording.measured).tobytes()).hexdigest()


def _read(path: Path, unstated: Unstated) -> Iterator[Recording]:
    reader = _reader(path)
    if reader is not None:
        yield from reader(path, unstated)
        return
    inside = [item for item in sorted(path.iterdir()) if _reader(item) is not None] if path.is_dir() else []
    if not inside:
        raise EvidenceError(
            f"{path}: {'holds' if path.exists() else 'no such file; it may hold'} {KINDS}"
            if not path.exists()
            else f"{path}: is not {KINDS}"
        )
    for item in inside:
        yield from _read(item, unstated)


def _reader(path: Path) -> Callable[[Path, Unstated], Iterator[Recording]] | None:
    if path.is_dir():
        if (path / INFO).is_file():
            return _lerobot
        return _sage if any((path / name).is_file() for name in SAGE) else None
    return _npz if path.suffix == ".npz" and path.is_file() else None


def _npz(path: Path, unstated: Unstated) -> Iterator[Recording]:
    try:
        with zipfile.ZipFile(path) as file:
            names = set(file.namelist())
    except DAMAGE as cause:
        raise EvidenceError(f"{path}: can't be read: {cause}") from cause
    if "header.json" in names:
        yield from _trace(path)
        return
    if not {"qpos.npy", "target_qpos.npy"} <= names:
        raise EvidenceError(
            f"{path}: is no trace (no header.json), and has no arrays qpos and target_qpos; it has: "
            f"{', '.join(sorted(names)) or 'nothing'}"
        )
    if unstated.rate is None or unstated.joints is None:
        raise EvidenceError(
            f"{path}: its rows have no time stamps and its columns no names; state them with --rate HZ and --joints "
            "NAME,NAME,..."
        )
    try:
        measured, command = (np.asarray(read_array(path, name), np.float64) for name in ("qpos", "target_qpos"))
    except DAMAGE as cause:
        raise EvidenceError(f"{path}: can't be read: {cause}") from cause
    time = np.arange(len(measured)) / unstated.rate
    yield make_recording(str(path), (path,), unstated.joints, (time, measured, time, command))


def _trace(path: Path) -> Iterator[Recording]:
    try:
        trace = Trace(path)
        joints = tuple(trace.header["joint_names"])
        measured = _by_row(trace["joint_pos"])
        episodes = (
            np.broadcast_to(_by_row(trace["episode"])[..., 0], measured.shape[:2]) if "episode" in trace else None
        )
        wanted = _by_row(trace["target_sent" if "target_sent" in trace else "target"])
        sent, time = _clocks(trace, (measured.shape[0], measured.shape[1]))
        # What stopped an arm (a table, a hand, an overload) is no dynamics of it, so such an episode is not looked at.
        stopped = {(one["env"], one["episode"]) for one in trace.header.get("episodes", ()) if one.get("stopped")}
    except (TraceError, KeyError, TypeError, IndexError) as cause:
        raise EvidenceError(f"{path}: can't serve as a recording: {cause}") from cause
    arm = trace.header.get("calibration_sha256")
    if arm is not None and not (isinstance(arm, str) and re.fullmatch("[0-9a-f]{64}", arm)):
        raise EvidenceError(
            f"{path}: its header's calibration_sha256 is {arm!r}, which is no SHA-256 (64 hexadecimal digits): write "
            "the calibration file's, or leave it out"
        )
    for env in range(measured.shape[1]):
        number = np.zeros(len(measured), np.int64) if episodes is None else episodes[:, env]
        for episode in [one for one in np.unique(number) if (env, one) not in stopped]:
            rows = np.flatnonzero(
                (number == episode) & np.isfinite(wanted[:, env]).all(axis=-1) & np.isfinite(sent[:, env])
            )
            label = f"{path}" if len(np.unique(number)) * measured.shape[1] == 1 else f"{path}#{env}.{episode}"
            if len(rows) >= 20:
                made = make_recording(
                    label,
                    (path,),
                    joints,
                    (time[rows, env], measured[rows, env], sent[rows, env], wanted[rows, env]),
                    robot=_robot_of(trace.header),
                )
                yield replace(made, arm=arm)


def _by_row(array: Array) -> Array:
    """An array of a trace with an axis for environments, shape (rows, environments, width)."""
    return (
        array.reshape(len(array), -1, array.shape[-1] if array.ndim > 2 else 1) if array.ndim != 2 else array[:, None]
    )


def _clocks(trace: Trace, shape: tuple[int, int]) -> tuple[Array, Array]:
    """When each command was sent and each row measured [s], shape (rows, environments)."""
    time = np.broadcast_to(np.asarray(trace["time"], np.float64).reshape(shape[0], -1), shape)
    if "clock" not in trace:
        return time, time
    decided = np.broadcast_to(np.asarray(trace["clock"], np.float64).reshape(shape[0], -1), shape)
    # A target is sent as soon as the policy has decided; its measurement is `observation_age` older.
    return decided, decided - np.asarray(trace["observation_age"], np.float64).reshape(shape[0], -1)


def _robot_of(header: dict[str, Any]) -> str | None:
    robot = header.get("robot")
    return robot if isinstance(robot, str) else None


def _sage(path: Path, unstated: Unstated) -> Iterator[Recording]:
    missing = [name for name in SAGE if not (path / name).is_file()]
    if missing:
        raise EvidenceError(f"{path}: a folder of SAGE has {', '.join(SAGE)}; {missing[0]} is missing")
    joints = tuple((path / SAGE[0]).read_text(encoding="utf-8").split())
    sent, command = _sage_rows(path / SAGE[1], "CONTROL")
    time, measured = _sage_rows(path / SAGE[2], "STATE_MOTOR")
    rows = min(len(sent), len(time))
    if abs(len(sent) - len(time)) > 2:
        raise EvidenceError(f"{path}: control.csv has {len(sent)} rows, state_motor.csv {len(time)}; one was cut")
    yield make_recording(
        str(path),
        tuple(path / name for name in SAGE),
        joints,
        (time[:rows], measured[:rows], sent[:rows], command[:rows]),
    )


def _sage_rows(path: Path, kind: str) -> tuple[Array, Array]:
    """Time [s] and positions of a CSV of SAGE."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["type"] == kind]
        time = np.array([float(row["timestamp"]) for row in rows]) * 1e-6
        positions = np.array([json.loads(row["positions"]) for row in rows], np.float64)
    except (KeyError, ValueError, TypeError, csv.Error) as cause:
        raise EvidenceError(
            f"{path}: is no CSV of SAGE (type, timestamp in microseconds, positions): {cause!r}"
        ) from cause
    return time, positions


def _lerobot(path: Path, unstated: Unstated) -> Iterator[Recording]:
    try:
        import pyarrow.parquet as parquet
    except ModuleNotFoundError:
        raise MissingDependencyError(
            f"{path}: a LeRobotDataset needs the Python package pyarrow: pip install 'policy-port[dataset]'"
        ) from None
    try:
        info = json.loads((path / INFO).read_text(encoding="utf-8"))
        names = [tuple(info["features"][key]["names"]) for key in ("observation.state", "action")]
    except (KeyError, ValueError, TypeError) as cause:
        raise EvidenceError(
            f"{path / INFO}: names no joints under features observation.state and action: {cause!r}"
        ) from cause
    if names[0] != names[1]:
        raise EvidenceError(f"{path / INFO}: observation.state is {', '.join(names[0])}, action {', '.join(names[1])}")
    columns = ["observation.state", "action", "timestamp", "episode_index"]
    files = sorted((path / "data").rglob("*.parquet"))
    try:
        tables = [parquet.read_table(file, columns=columns).to_pydict() for file in files]
    except Exception as cause:
        raise EvidenceError(f"{path}: can't be read: {cause}") from cause
    if not files:
        raise EvidenceError(f"{path}: has no data/**/*.parquet")
    state, action, time, episode = (np.concatenate([np.asarray(t[key]) for t in tables]) for key in columns)
    for number in np.unique(episode):
        rows = np.flatnonzero(episode == number)
        yield make_recording(
            f"{path}#{number}",
            (path / INFO, *files),
            names[0],
            (time[rows], state[rows], time[rows], action[rows]),
            robot=info.get("robot_type"),
        )
