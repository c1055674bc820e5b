"""What was identified as a dynamics.yaml: no number with more digits than its interval has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.dynamics.document import Dynamics
from policy_port.files import sha256
from policy_port.identify.estimate import Estimates
from policy_port.identify.identify import Identified
from policy_port.identify.learned import Learned
from policy_port.identify.parameters import JOINT_KEYS
from policy_port.identify.recording import Recording
from policy_port.plants.mujoco_model import NO_LIMIT

NEUTRAL = {"backlash": 0.0, "delay": 0.0, "offset": 0.0, "gain": 1.0}
"""Values that say nothing, and are left out."""


def dynamics_of(
    found: Identified,
    robot: Path,
    joints: Sequence[str],
    recordings: tuple[Sequence[Recording], Sequence[Recording]],
    payload_link: str | None = None,
) -> Dynamics:
    """The document.

    Args:
        found: What was identified.
        robot: The robot file.
        joints: Its joints.
        recordings: What was fitted, and what was held out.
        payload_link: Link that carries the payload, where one was searched.
    """
    estimates = found.estimates
    said = {item.name: _entry(estimates, index) for index, item in enumerate(estimates.space.parameters)}
    by_joint: dict[str, dict[str, Any]] = {joint: {} for joint in joints}
    for column, joint in enumerate(joints):
        for key in JOINT_KEYS:
            value = float(estimates.values[key][column])
            entry = said.get(f"{joint}.{key}", value)
            if entry is not value or (value != NEUTRAL.get(key) and value < NO_LIMIT):
                by_joint[joint][key] = entry
    document: dict[str, Any] = {
        "policy_port_dynamics": 1,
        "robot": {"file": robot.name, "sha256": sha256(robot), "calibration_sha256": _arm(recordings)},
        "joints": by_joint,
        "common": _common(found, said, payload_link),
        "correlated": [list(pair) for pair in estimates.pairs],
        "data": _data(recordings),
        "held_out": _held_out(found, joints) if found.held_out else [],
        "accepted": [f"{one.name}: {one}" for one in found.accepted],
    }
    posterior = _posterior(estimates)
    if posterior["names"]:
        document["posterior"] = posterior
    return Dynamics.model_validate(document)


def with_networks(document: Dynamics, learned: Learned, joints: Sequence[str]) -> Dynamics:
    """The document with a network beside each drive, and the numbers that go with them, which nobody judged alone."""
    data: dict[str, Any] = document.model_dump(exclude_none=True) | {"correlated": [], "held_out": []}
    data.pop("posterior", None)
    for column, joint in enumerate(joints):
        mine = data["joints"][joint]
        mine.pop("backlash", None)
        for key in mine:
            value = float(f"{learned.values[key][column]:.6g}")
            mine[key] = {"value": value, "source": "recordings, beside a network"}
    return Dynamics.model_validate(data | {"actuator": learned.actuators(joints)})


def rounded(value: float, interval: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """A value and its interval, to two digits of the interval's half width; the value stays inside."""
    half = (interval[1] - interval[0]) / 2.0
    if half <= 0.0:
        return value, (value, value)
    digits = 1 - math.floor(math.log10(half))
    low, high = round(interval[0], digits), round(interval[1], digits)
    return min(max(round(value, digits), low), high), (low, high)


def _entry(estimates: Estimates, index: int) -> dict[str, Any]:
    item = estimates.space.parameters[index]
    value, interval = rounded(float(estimates.value[index]), estimates.interval[index].tolist())
    low, high = item.bounds
    interval = max(interval[0], low), min(interval[1], high)
    if item.name in estimates.kept:
        value, source = item.prior, f"prior, which the data do not narrow: {item.source}"
        interval = min(interval[0], value), max(interval[1], value)
    elif not estimates.identified[index]:
        source = "recordings, only together with what it is correlated with"
    else:
        source = "recordings"
    value = min(max(value, interval[0]), interval[1])
    return {"value": value, "interval": list(interval), "identified": estimates.identified[index], "source": source}


def _common(found: Identified, said: dict[str, Any], payload_link: str | None) -> dict[str, Any]:
    common: dict[str, Any] = {}
    if "payload_mass" in said and payload_link is not None:
        common["payload"] = {"link": payload_link, "mass": said["payload_mass"]}
    if "gravity_tilt_x" in said or "gravity_tilt_y" in said:
        common["gravity_tilt"] = [said.get(f"gravity_tilt_{axis}", 0.0) for axis in "xy"]
    step = float(np.median(found.step))
    noise = float(np.sqrt(max(float(np.median(found.noise)) ** 2 - step**2 / 12.0, 0.0)))
    if noise > 0.0:
        common["encoder_noise"] = float(f"{noise:.2g}")
    if step > 0.0:
        common["encoder_step"] = float(f"{step:.6g}")
    return common


def _arm(recordings: tuple[Sequence[Recording], Sequence[Recording]]) -> str | None:
    """The calibration that the recordings name; those that name one name the same."""
    return next((item.arm for group in recordings for item in group if item.arm is not None), None)


def _data(recordings: tuple[Sequence[Recording], Sequence[Recording]]) -> list[dict[str, Any]]:
    found: dict[tuple[Path, str], dict[str, Any]] = {}
    for use, group in zip(("fit", "held_out"), recordings, strict=True):
        for item in group:
            for file in item.files:
                name = f"{file.parent.name}/{file.name}"
                found[file, use] = {"file": name, "sha256": sha256(file), "use": use}
    return list(found.values())


def _held_out(found: Identified, joints: Sequence[str]) -> list[dict[str, Any]]:
    def both(mine: float, stock: float) -> dict[str, float]:
        return {"rmse": float(f"{mine:.3g}"), "stock_rmse": float(f"{stock:.3g}")}

    return [
        {
            "horizon": error.horizon,
            **both(error.median("identified"), error.median("stock")),
            "joints": {
                joint: both(float(error.joints["identified"][column]), float(error.joints["stock"][column]))
                for column, joint in enumerate(joints)
            },
        }
        for error in found.errors
    ]


def _posterior(estimates: Estimates) -> dict[str, Any]:
    """Of the identified parameters, in their own units, about the values that are written."""
    chosen = [index for index, known in enumerate(estimates.identified) if known]
    items = [estimates.space.parameters[index] for index in chosen]
    slope = np.array(
        [item.spread * (estimates.value[index] if item.log else 1.0) for index, item in zip(chosen, items, strict=True)]
    )
    block = estimates.covariance[np.ix_(chosen, chosen)]
    # The bootstrap's spread where it is the wider one.
    half = np.diff(estimates.interval[chosen], axis=1)[:, 0] / 2.0 / 1.96
    own = np.sqrt(np.diag(block)) * slope
    wider = np.maximum(half / np.maximum(own, 1e-300), 1.0)
    matrix = block * np.outer(slope * wider, slope * wider)
    matrix = (matrix + matrix.T) / 2.0
    means = [_entry(estimates, index)["value"] for index in chosen]
    return {"names": [item.name for item in items], "mean": means, "covariance": matrix.tolist()}
