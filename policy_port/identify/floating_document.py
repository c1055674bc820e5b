"""What was identified of a walking robot as a dynamics.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.arrays import Array
from policy_port.dynamics.document import Dynamics
from policy_port.files import sha256
from policy_port.identify.document import rounded
from policy_port.identify.floating import OF_JOINTS, Walked
from policy_port.identify.walks import Walk


def walk_dynamics(
    walked: Walked, robot: Path, joints: Sequence[str], walks: tuple[Sequence[Walk], Sequence[Walk]]
) -> Dynamics:
    """The document: what is one for all joints stands with each of them.

    Args:
        walked: What was identified.
        robot: The robot file.
        joints: Its joints.
        walks: What was fitted, and what was held out.
    """
    by_joint: dict[str, dict[str, Any]] = {joint: {} for joint in joints}
    common: dict[str, Any] = {}
    names, rows, means = [], [], []
    for row, item in enumerate(walked.parameters):
        entry = _entry(walked, row)
        sure, each = walked.identified[row], item.key in OF_JOINTS
        if sure or entry["value"] != 0.0:
            for target in by_joint.values() if each else (common,):
                target[item.key] = entry
        mine = [f"{joint}.{item.key}" for joint in joints] if each else [item.key]
        for name in mine if sure else ():
            names.append(name)
            rows.append(row)
            means.append(entry["value"])
    document: dict[str, Any] = {
        "policy_port_dynamics": 1,
        "robot": {"file": robot.name, "sha256": sha256(robot)},
        "joints": {joint: entries for joint, entries in by_joint.items() if entries},
        "common": common,
        "data": _data(walks),
        "held_out": [_held_out(walked, joints)] if walked.held_out else [],
    }
    if names:
        matrix = walked.covariance[np.ix_(rows, rows)]
        document["posterior"] = {"names": names, "mean": means, "covariance": ((matrix + matrix.T) / 2.0).tolist()}
    return Dynamics.model_validate(document)


def _entry(walked: Walked, row: int) -> dict[str, Any]:
    item, sure = walked.parameters[row], walked.identified[row]
    value, ends = rounded(float(walked.value[row]), walked.interval[row].tolist())
    low, high = item.bounds
    value = min(max(value, low), high)
    interval = [max(min(ends[0], value), low), min(max(ends[1], value), high)]
    source = "recordings" if sure else f"prior, which the data do not narrow: {item.source}"
    return {"value": value, "interval": interval, "identified": sure, "source": source}


def _data(walks: tuple[Sequence[Walk], Sequence[Walk]]) -> list[dict[str, Any]]:
    files = [(use, file) for use, group in zip(("fit", "held_out"), walks, strict=True) for walk in group
             for file in walk.recording.files]  # fmt: skip
    return [{"file": f"{file.parent.name}/{file.name}", "sha256": sha256(file), "use": use}
            for use, file in dict.fromkeys(files)]  # fmt: skip


def _held_out(walked: Walked, joints: Sequence[str]) -> dict[str, Any]:
    def both(columns: slice) -> dict[str, float]:
        mine, stock = (_rms(walked.errors[name][columns]) for name in ("identified", "stock"))
        return {"rmse": mine, "stock_rmse": stock}

    return {
        "horizon": float(walked.ahead[-1]),
        **both(slice(0, len(joints))),
        "joints": {joint: both(slice(column, column + 1)) for column, joint in enumerate(joints)},
    }


def _rms(values: Array) -> float:
    return float(f"{np.sqrt(np.mean(values**2)):.3g}")
