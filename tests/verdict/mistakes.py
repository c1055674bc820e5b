"""Mistakes that users make, each with the words that name it and the comparisons that it fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.contract import Contract
from policy_port.verdict.evidence import Evidence, read_evidence
from tests.verdict.synthetic import header, simulate, write


def evidence_of(
    folder: Path, contract: Contract, change: Callable[[dict[str, np.ndarray]], None] | None = None, **more: Any
) -> Evidence:
    arrays = simulate(contract)
    if change is not None:
        change(arrays)
    return read_evidence(write(folder / "trace.npz", arrays, header(contract, **more)))


def edited(contract: Contract, change: Callable[[dict[str, Any]], None]) -> Contract:
    data = contract.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    change(data)
    return Contract.model_validate(data)


def term(data: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(each for each in data["observation"]["terms"] if each["term"] == kind)


def set_scale(kind: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: term(data, kind).update(scale=value)


def set_joint(name: str, key: str, value: float) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["joints"][name].update({key: value})


def reorder(*names: str) -> Callable[[dict[str, Any]], None]:
    return lambda data: data.update(joints={name: data["joints"][name] for name in names})


def set_action(**keys: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["action"]["terms"][0].update(keys)


MISTAKES: dict[str, tuple[Callable[[dict[str, Any]], None], str, set[str]]] = {
    "scale missing": (
        set_scale("base_ang_vel", 1.0),
        "factor 4.00: the scale 0.25 is missing",
        {"base_ang_vel"},
    ),
    "scale doubled": (set_scale("joint_vel", 0.1), "factor 2.00: scale 0.1 instead of 0.05", {"joint_vel"}),
    "command scale": (set_scale("velocity_command", 1.0), "the scale .*lin_vel_x 2.* is missing", {"velocity_command"}),
    "two joints": (
        reorder("left_hip", "right_hip", "left_knee", "right_knee"),
        "right_hip and left_knee exchanged",
        {"joint_pos_rel", "joint_pos", "joint_vel", "joint_target", "target"},
    ),
    "left and right": (
        reorder("right_hip", "right_knee", "left_hip", "left_knee"),
        "left and right exchanged",
        {"joint_pos_rel", "joint_pos", "joint_vel", "joint_target", "target"},
    ),
    "one sign": (
        set_scale("joint_vel", {"left_hip": 0.05, "left_knee": 0.05, "right_hip": -0.05, "right_knee": 0.05}),
        "sign of right_hip flipped",
        {"joint_vel"},
    ),
    "default left out": (
        lambda data: term(data, "joint_pos_rel").update(term="joint_pos", name="joint_pos_rel"),
        "default pose not subtracted",
        {"joint_pos_rel"},
    ),
    "one default": (
        set_joint("right_hip", "default", 0.301),
        "default position of right_hip 0.301 instead of 0.3",
        {"joint_pos_rel", "target"},
    ),
    "gait": (
        lambda data: term(data, "gait_phase").update(period=0.75),
        "gait period 0.75 s instead of 0.8",
        {"gait_phase"},
    ),
    "action scale of one": (
        set_action(scale={"left_hip": 0.25, "left_knee": 0.185, "right_hip": 0.25, "right_knee": 0.25}),
        "left_knee scaled 0.74",
        {"target"},
    ),
    "action offset": (set_action(offset=0.0), "the default pose is not added as offset", {"target"}),
    "stiffness of one": (set_joint("left_knee", "stiffness", 22.0), "left_knee 22 instead of 11", {"stiffness"}),
    "half the rate": (
        lambda data: data.update(decimation=8),
        "0.5 times the control rate",
        {"control_dt", "gait_phase"},
    ),
    "actuation": (
        lambda data: data["actuation"].update(kind="explicit"),
        "explicit instead of implicit",
        {"actuation"},
    ),
}


def roll_quaternion(arrays: dict[str, np.ndarray]) -> None:
    arrays["base_quat"] = np.roll(arrays["base_quat"], -1, axis=1)


def delay(arrays: dict[str, np.ndarray]) -> None:
    # Recorded after the step: the state that each observation shows stands one row above it.
    for name in ("joint_pos", "joint_vel"):
        arrays[name][:-1] = arrays[name][1:].copy()


def swap_targets(arrays: dict[str, np.ndarray]) -> None:
    arrays["target"][:, [0, 1]] = arrays["target"][:, [1, 0]]


def exchange_axes(arrays: dict[str, np.ndarray]) -> None:
    arrays["base_ang_vel"] = arrays["base_ang_vel"][:, [1, 0, 2]]


def normalise(arrays: dict[str, np.ndarray]) -> None:
    seen = arrays["observation"]
    arrays["observation"] = (seen - seen.mean(axis=0)) / (seen.std(axis=0) + 0.01)


def difference_positions(arrays: dict[str, np.ndarray]) -> None:
    """Velocities that a recorder took as differences of positions."""
    change = np.diff(arrays["joint_pos"], axis=0, prepend=arrays["joint_pos"][:1]) / 0.02
    started = np.diff(arrays["episode"], prepend=-1.0) != 0.0
    arrays["joint_vel"] = np.where(started[:, None], 0.0, change)
