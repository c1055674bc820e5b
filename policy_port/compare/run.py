"""One run as evidence for a comparison: what was recorded, and what was measured, under one name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.errors import EvidenceError
from policy_port.replay.result import METRICS, TRACE
from policy_port.trace import Trace, TraceError

ARRAYS = ("joint_pos", "target", "action", "effort", "base_lin_vel", "base_ang_vel", "command")
"""What is compared, as far as it was recorded."""


MEASURED = ("joint_pos", "target", "action")
"""What is a number at every step; a simulator or robot may have no effort, say, and record that as NaN."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """An episode: rows of one environment that follow one another."""

    env: int
    """Column of the trace."""
    rows: NDArray[np.intp]
    """Steps of the trace."""
    first: bool
    """Whether it is the environment's first; those after a fall no longer count for survival."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A trace, and the metrics.json beside it where there is one."""

    label: str
    """What the tables call it."""
    path: Path
    """The trace."""
    header: dict[str, Any]
    """Names, rates, versions, as recorded."""
    metrics: dict[str, Any]
    """metrics.json; empty for a bare trace."""
    control_dt: float
    """Control period [s]."""
    joint_names: tuple[str, ...]
    """Joint of each column of joint_pos, target and effort."""
    driven: tuple[str, ...]
    """The joints that the policy drives, as far as the trace has them; all, where it does not say."""
    placed: tuple[str, ...]
    """Those of them that it drives to positions."""
    arrays: dict[str, Array]
    """Recorded arrays, shape (steps, environments, columns)."""
    episodes: dict[Any, Stretch]
    """Episodes by what names the same one in another run: its seed, or environment and number."""

    @property
    def simulator(self) -> str:
        """Where it ran."""
        return str(self.header.get("simulator", "not stated"))

    def of(self, name: str, episode: Stretch) -> Array | None:
        """An array's steps of one episode, shape (steps, columns); None where it was not recorded."""
        return self.arrays[name][episode.rows, episode.env] if name in self.arrays else None

    def columns(self, names: tuple[str, ...]) -> list[int]:
        """Columns of joints by name."""
        return [self.joint_names.index(name) for name in names]


def read_run(path: Path, label: str) -> Run:
    """Read a folder of `play`, or a trace.

    Raises:
        EvidenceError: When there is no trace, it is damaged or empty, or its header lacks names or rate.
    """
    file = path / TRACE if path.is_dir() else path
    try:
        trace = Trace(file)
        loaded = {name: np.asarray(trace[name]) for name in (*ARRAYS, "episode", "time") if name in trace}
        control_dt = trace.control_dt()
    except TraceError as cause:
        raise EvidenceError(f"{cause}. A run is a folder that `play --out` wrote, or a trace (.npz)") from None
    if not len(trace) or not all(len(array) for array in loaded.values()):
        raise EvidenceError(f"{file}: the run is empty: its trace has no step. Play it again")
    steps, envs = _shape(file, loaded)
    names = trace.header.get("joint_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise EvidenceError(
            f"{file}: the header's joint_names is {names!r}; runs are matched joint by joint, so name the columns of "
            "joint_pos, each once"
        )
    arrays = {name: _array(file, name, loaded[name], (steps, envs), len(names)) for name in ARRAYS if name in loaded}
    if control_dt is None:
        raise EvidenceError(f"{file}: its header states no control_dt (control period [s]), and it holds no time")
    stated = trace.header.get("action_names")
    driven = tuple(name for name in stated if name in names) if isinstance(stated, list) else ()
    driven, turned = driven or tuple(names), trace.header.get("driven_by", {})
    return Run(
        label=label,
        path=file,
        header=trace.header,
        metrics=_metrics(path / METRICS) if path.is_dir() else {},
        control_dt=control_dt,
        joint_names=tuple(names),
        driven=driven,
        placed=tuple(name for name in driven if name not in turned),
        arrays=arrays,
        episodes=_episodes(file, trace.header, loaded, (steps, envs)),
    )


def _shape(file: Path, loaded: dict[str, NDArray[Any]]) -> tuple[int, int]:
    if "joint_pos" not in loaded:
        there = ", ".join(loaded) or "nothing that is compared"
        raise EvidenceError(f"{file}: the trace has no 'joint_pos'; it has {there}. Record it, in rad or m")
    joint_pos = loaded["joint_pos"]
    if joint_pos.ndim not in (2, 3):
        raise EvidenceError(
            f"{file}: joint_pos has shape {joint_pos.shape}; it must be (steps, joints) or (steps, environments, "
            "joints)"
        )
    return joint_pos.shape[0], 1 if joint_pos.ndim == 2 else joint_pos.shape[1]


def _array(file: Path, name: str, array: NDArray[Any], rows: tuple[int, int], joints: int) -> Array:
    shape = array.shape
    if array.ndim == 2 and rows[1] == 1:
        array = array[:, None, :]
    per_joint = name in ("joint_pos", "target", "effort")
    if array.ndim != 3 or array.shape[:2] != rows or (per_joint and array.shape[2] != joints):
        raise EvidenceError(
            f"{file}: {name} has shape {shape}; joint_pos has {rows[0]} steps of {rows[1]} environments"
            + (f", and joint_names has {joints} joints" if per_joint else "")
        )
    values = array.astype(np.float64)
    if name in MEASURED and not np.isfinite(values).all():
        step, env, column = (int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise EvidenceError(
            f"{file}: {name}[{column}] is {values[step, env, column]} at step {step} of environment {env}; nothing can "
            "be compared with that. Play it again, or cut the trace before that step"
        )
    return values


def _per_row(file: Path, name: str, array: NDArray[Any], rows: tuple[int, int]) -> NDArray[Any]:
    """One finite number per step, and per environment or for all of them: as (steps, environments)."""
    if array.shape not in ((rows[0],), (rows[0], 1), rows, (*rows, 1)):
        raise EvidenceError(
            f"{file}: {name} has shape {array.shape}; it must be one number per step and environment: {rows}"
        )
    if not np.isfinite(array).all():
        raise EvidenceError(f"{file}: {name} holds what is no finite number, so the episodes can't be told")
    return np.broadcast_to(array.reshape(rows[0], -1), rows)


def _episodes(
    file: Path, header: dict[str, Any], loaded: dict[str, NDArray[Any]], rows: tuple[int, int]
) -> dict[Any, Stretch]:
    envs = rows[1]
    if "episode" in loaded:
        number = _per_row(file, "episode", loaded["episode"], rows)
    else:
        number = np.zeros(rows, dtype=np.int64)
        if "time" in loaded:
            # Time that goes back is a new episode.
            back = np.diff(_per_row(file, "time", loaded["time"], rows), axis=0) <= 0.0
            number[1:] = np.cumsum(back, axis=0)
    found = {
        (env, int(k)): Stretch(env=env, rows=np.flatnonzero(number[:, env] == k), first=bool(k == number[0, env]))
        for env in range(envs)
        for k in np.unique(number[:, env])
    }
    listed = header.get("episodes")
    if not isinstance(listed, list) or not listed:
        return found
    # Only listed episodes are part of the run: an environment that has run out of them repeats the last.
    return {
        ("seed", entry["seed"]): found[entry["env"], entry["episode"]]
        for entry in listed
        if (entry["env"], entry["episode"]) in found
    }


def _metrics(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as cause:
        raise EvidenceError(f"{file}: can't be read: {cause}. Play the run again") from None
    if not isinstance(document, dict) or not isinstance(document.get("metrics"), dict):
        raise EvidenceError(f"{file}: is no metrics.json of play: it has no 'metrics'")
    return document
