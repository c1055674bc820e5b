"""A replay as a .rrd file, for the viewer of rerun.io."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from policy_port.contract.actions import TARGETS
from policy_port.errors import MissingDependencyError
from policy_port.trace import Trace

SERIES = dict.fromkeys(("joint_pos", "joint_vel", *TARGETS.values(), "effort"), "joint_names")
"""Arrays of a trace with a column per joint, and the header's entry that names the columns."""

VECTORS = {
    "base_lin_vel": ("x", "y", "z"),
    "base_ang_vel": ("x", "y", "z"),
    "command": ("lin_vel_x", "lin_vel_y", "ang_vel_z"),
}
"""Arrays of a fixed width, and the names of their columns."""


def require_rerun() -> Any:
    """The module `rerun`.

    Raises:
        MissingDependencyError: When it is not installed, naming its package.
    """
    try:
        import rerun
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "--rerun needs the Python package rerun-sdk, which is not installed: pip install rerun-sdk"
        ) from None
    return rerun


def write_rerun(trace: Trace, path: Path, *, title: str) -> None:
    """Write environment 0 of a trace as time series and the base's pose.

    Args:
        trace: A trace of `play`.
        path: The .rrd file.
        title: Name of the recording.

    Raises:
        MissingDependencyError: When rerun-sdk is not installed.
    """
    rerun = require_rerun()
    recording = rerun.RecordingStream("policy-port", recording_id=title)
    recording.save(path)
    # One line of time through all episodes: the trace's own time starts anew with each.
    period = float(trace.header["control_dt"])
    time = rerun.TimeColumn("replay", duration=np.arange(len(trace["time"])) * period)

    def log(entity: str, values: np.ndarray) -> None:
        known = np.where(np.isfinite(values), values, np.nan)
        recording.send_columns(entity, indexes=[time], columns=rerun.Scalars.columns(scalars=known))

    # By joint first, so that target and position of a joint share a plot.
    for name, key in SERIES.items():
        if name in trace:
            for column, joint in enumerate(trace.header[key]):
                log(f"joints/{joint}/{name}", trace[name][:, 0, column])
    for name, labels in VECTORS.items():
        if name in trace:
            for column, label in enumerate(labels):
                log(f"{name}/{label}", trace[name][:, 0, column])
    for name, key in (("action", "action_names"), ("observation", "observation_names")):
        if name in trace and len(trace.header.get(key, ())) == trace[name].shape[2]:
            for column, label in enumerate(trace.header[key]):
                log(f"{name}/{label.replace('/', '_')}", trace[name][:, 0, column])
    if "base_pos" in trace:
        quat = trace["base_quat"][:, 0]
        pose = rerun.Transform3D.columns(translation=trace["base_pos"][:, 0], quaternion=np.roll(quat, -1, axis=1))
        recording.send_columns("base", indexes=[time], columns=pose)
        recording.log("base/box", rerun.Boxes3D(half_sizes=[[0.1, 0.1, 0.1]]), static=True)
    recording.flush()
