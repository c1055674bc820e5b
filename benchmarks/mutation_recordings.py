"""The single mistakes of recordings: each takes a trace's arrays and spoils them in place."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from mutation_kinds import Data, NotApplicableError, names_of, table, terms_of
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


def quaternion_xyzw(arrays: Arrays, data: Data) -> None:
    terms_of(data, "projected_gravity")
    arrays["base_quat"] = np.roll(arrays["base_quat"], -1, axis=-1)


def quaternion_inverse(arrays: Arrays, data: Data) -> None:
    terms_of(data, "projected_gravity")
    arrays["base_quat"] = arrays["base_quat"] * [1.0, -1.0, -1.0, -1.0]


def turned(quat: NDArray[Any], vector: NDArray[Any]) -> NDArray[Any]:
    """Base vector to world by the rotation matrix, written out."""
    w, x, y, z = np.moveaxis(quat, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([sum(row[k] * vector[..., k] for k in range(3)) for row in rows], axis=-1)


def world_frame(name: str) -> Callable[[Arrays, Data], None]:
    def mutate(arrays: Arrays, data: Data) -> None:
        terms_of(data, name)
        arrays[name] = turned(arrays["base_quat"], arrays[name])

    return mutate


def later(*names: str, steps: int = 1) -> Callable[[Arrays, Data], None]:
    """The state of another control step beside each observation."""

    def mutate(arrays: Arrays, data: Data) -> None:
        episode = arrays["episode"]
        for name in names:
            moved = np.roll(arrays[name], -steps, axis=0)
            last = np.roll(episode, -steps, axis=0) != episode
            arrays[name] = np.where(last[..., None], arrays[name], moved)

    return mutate


def noise(arrays: Arrays, data: Data) -> None:
    """Recorded with the training's observation noise on."""
    rng = np.random.default_rng(0)
    seen = arrays["observation"]
    arrays["observation"] = (seen + rng.uniform(-0.02, 0.02, seen.shape)).astype(seen.dtype)


def axes_exchanged(arrays: Arrays, data: Data) -> None:
    terms_of(data, "base_ang_vel")
    arrays["base_ang_vel"] = arrays["base_ang_vel"][..., [1, 0, 2]]


def finite_differences(arrays: Arrays, data: Data) -> None:
    """Joint velocities taken as differences of positions, where the source read the simulator's own."""
    terms_of(data, "joint_vel")
    difference = np.diff(arrays["joint_pos"], axis=0, prepend=arrays["joint_pos"][:1]) / (
        data["timestep"] * data["decimation"]
    )
    started = np.diff(arrays["episode"], axis=0, prepend=-1) != 0
    arrays["joint_vel"] = np.where(started[..., None], 0.0, difference).astype(arrays["joint_vel"].dtype)


def normalised(arrays: Arrays, data: Data) -> None:
    """Observations recorded behind the network's normaliser."""
    seen = arrays["observation"].astype(np.float64)
    spread = seen.std(axis=0) + 0.01
    arrays["observation"] = ((seen - seen.mean(axis=0)) / spread).astype(np.float32)


def filtered_targets(arrays: Arrays, data: Data) -> None:
    """Targets behind a low-pass filter that the contract knows nothing of."""
    target = arrays["target"].copy()
    for step in range(1, len(target)):
        target[step] = 0.8 * target[step] + 0.2 * target[step - 1]
    arrays["target"] = target


def per_action(data: Data, value: Callable[[Data, str], float]) -> NDArray[Any]:
    """A number for each action, in its order."""
    terms = [(term, name) for term in data["action"]["terms"] for name in term.get("joints") or names_of(data)]
    return np.array([value(term, name) for term, name in terms])


def scales_of(data: Data) -> NDArray[Any]:
    return per_action(data, lambda term, name: table(term["scale"], [name])[name])


def action_recorded_scaled(arrays: Arrays, data: Data) -> None:
    """The action recorded after its scale, where the network's own output belongs."""
    arrays["action"] = arrays["action"] * scales_of(data)


def action_recorded_as_target(arrays: Arrays, data: Data) -> None:
    """The action recorded after scale and offset."""
    if data["action"]["terms"][0]["term"] != "joint_position":
        raise NotApplicableError

    def offset(term: Data, name: str) -> float:
        stated = term.get("offset", 0.0)
        return data["joints"][name]["default"] if stated == "default" else table(stated, [name])[name]

    arrays["action"] = arrays["action"] * scales_of(data) + per_action(data, offset)


def action_recorded_clipped(arrays: Arrays, data: Data) -> None:
    """The action recorded behind a clip that nothing else went through."""
    bound = float(np.round(0.5 * np.abs(arrays["action"]).max(), 2))
    arrays["action"] = np.clip(arrays["action"], -bound, bound)


def action_recorded_filtered(arrays: Arrays, data: Data) -> None:
    """The action recorded behind a low-pass filter."""
    action = arrays["action"].astype(np.float64).copy()
    for step in range(1, len(action)):
        if arrays["episode"][step] == arrays["episode"][step - 1]:
            action[step] = 0.8 * action[step] + 0.2 * action[step - 1]
    arrays["action"] = action


def action_recorded_reversed(arrays: Arrays, data: Data) -> None:
    """The action recorded in another order than the network's."""
    arrays["action"] = arrays["action"][..., ::-1].copy()


def action_recorded_late(arrays: Arrays, data: Data) -> None:
    """The action recorded one row behind the observation that it answers."""
    arrays["action"] = np.roll(arrays["action"], 1, axis=0)


def action_recorded_drawn(arrays: Arrays, data: Data) -> None:
    """The action recorded with the exploration of training."""
    rng = np.random.default_rng(0)
    arrays["action"] = arrays["action"] + rng.normal(0.0, 0.1, arrays["action"].shape)


def in_degrees(*names: str) -> Callable[[Arrays, Data], None]:
    """Raw angles and rates recorded in degrees."""

    def mutate(arrays: Arrays, data: Data) -> None:
        used = {"joint_pos": "joint_pos_rel"}
        terms_of(data, *names, *(used[name] for name in names if name in used))
        for name in names:
            arrays[name] = np.degrees(arrays[name])

    return mutate


def in_rpm(arrays: Arrays, data: Data) -> None:
    """Joint velocities recorded in revolutions per minute."""
    terms_of(data, "joint_vel")
    arrays["joint_vel"] = arrays["joint_vel"] * 60.0 / math.tau


def sine_and_cosine(arrays: Arrays, data: Data) -> None:
    """A gait clock recorded with its cosines first."""
    term = terms_of(data, "gait_phase")[0]
    terms, first = data["observation"]["terms"], 0
    if "history" in data["observation"]:
        raise NotApplicableError
    sizes = {"last_action": len(scales_of(data)), "gait_phase": 2 * len(term.get("offsets", [0.0]))}
    for other in terms[: terms.index(term)]:
        joints = len(other.get("joints") or names_of(data)) if other["term"].startswith("joint") else 3
        first += other.get("size", len(other["value"]) if "value" in other else sizes.get(other["term"], joints))
    half, seen = sizes["gait_phase"] // 2, arrays["observation"].copy()
    seen[..., first : first + half] = arrays["observation"][..., first + half : first + 2 * half]
    seen[..., first + half : first + 2 * half] = arrays["observation"][..., first : first + half]
    arrays["observation"] = seen


def from_one_period(arrays: Arrays, data: Data) -> None:
    """A clock that is counted before the network is asked."""
    arrays["time"] = arrays["time"] + data["timestep"] * data["decimation"]


def from_the_middle(arrays: Arrays, data: Data) -> None:
    """A recording that was cut out of a run."""
    kept = np.flatnonzero(np.asarray(arrays["episode"]).reshape(len(arrays["time"]), -1)[:, 0] == 0)[25:]
    for name in list(arrays):
        arrays[name] = arrays[name][kept]


def without_clock(arrays: Arrays, data: Data) -> None:
    """A recording without time."""
    del arrays["time"]


def first_command(arrays: Arrays, data: Data) -> None:
    """One command only: its first episode."""
    terms_of(data, "velocity_command", "constant")
    kept = np.flatnonzero(np.asarray(arrays["episode"]).reshape(len(arrays["time"]), -1)[:, 0] == 0)
    for name in list(arrays):
        arrays[name] = arrays[name][kept]


ASKEW = np.array([0.9, 0.3, 0.1, -0.3]) / np.linalg.norm([0.9, 0.3, 0.1, -0.3])
"""How a sensor is mounted on the base, wxyz."""


def site_askew(arrays: Arrays, data: Data) -> None:
    """The axes of a site, beside what was recorded."""
    arrays["site_quat_askew"] = np.broadcast_to(ASKEW, arrays["base_quat"].shape).copy()


def askew(name: str) -> Callable[[Arrays, Data], None]:
    """A vector recorded in the axes of a sensor that is mounted askew."""

    def mutate(arrays: Arrays, data: Data) -> None:
        terms_of(data, name)
        arrays[name] = turned(np.broadcast_to(ASKEW, arrays["base_quat"].shape), arrays[name])

    return mutate


def of_another_point(arrays: Arrays, data: Data) -> None:
    """The velocity of the centre of mass recorded as base_lin_vel."""
    if "point" in terms_of(data, "base_lin_vel")[0]:
        raise NotApplicableError
    arrays["base_lin_vel"] = arrays["base_lin_vel"] + np.cross(arrays["base_ang_vel"], [0.06, 0.02, -0.08])


BIAS = 0.0137241
"""What a sensor that is not zeroed is off by, as training draws it."""


def biased(name: str, *kinds: str) -> Callable[[Arrays, Data], dict[str, str]]:
    """The first number of an array recorded without the bias that the network was shown."""

    def mutate(arrays: Arrays, data: Data) -> dict[str, str]:
        terms_of(data, *kinds)
        arrays[name] = arrays[name].copy()
        arrays[name][..., 0] -= BIAS
        return {}

    return mutate
