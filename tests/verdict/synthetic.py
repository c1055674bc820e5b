"""Traces of a made-up robot, computed one number at a time from named signals: nothing of the package but its data."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.contract import Contract
from policy_port.trace import Recorder
from tests.samples import LEGS, contract_data

TRACE_JOINTS = LEGS[::-1]
"""Order of the joints in the trace, which is nobody's order but the trace's."""

KEPT: dict[tuple[str, tuple[int, ...], int], dict[str, np.ndarray]] = {}


def toy(**changes: Any) -> Contract:
    """The toy contract with a term of every kind that a trace can tell."""
    data = contract_data(**changes)
    if "observation" not in changes:
        data["observation"]["terms"] += [
            {"term": "projected_gravity"},
            {"term": "base_lin_vel"},
            {"term": "joint_target"},
        ]
        data["observation"]["terms"].append({"term": "goal", "size": 2, "frame": "base, m", "scale": 0.5})
    return Contract.model_validate(data)


def stacked(layout: str = "term_major", order: str = "oldest_first", fill: str = "first") -> Contract:
    """A toy contract with a history of three steps."""
    terms = [
        {"term": "base_ang_vel", "scale": 0.25, "history": 3},
        {"term": "joint_pos_rel", "history": 3},
        {"term": "joint_vel", "scale": 0.05, "history": 3},
        {"term": "last_action", "history": 3},
    ]
    return toy(observation={"terms": terms, "history": {"layout": layout, "order": order, "fill": fill}})


def past_only(**keys: Any) -> Contract:
    """A toy contract as ASAP's policies: the present, and in a block of its own the steps before."""
    terms: list[dict[str, Any]] = [
        {"term": "last_action"},
        {"term": "base_ang_vel", "scale": 0.25},
        {"term": "joint_pos_rel"},
    ]
    past = [{**term, "name": f"past_{term['term']}", "group": "past"} for term in terms]
    steps = {"length": 3, "newest": 1, "order": "newest_first", **keys.pop("steps", {})}
    groups = {"past": {"steps": steps, "layout": "term_major", "fill": "zero", **keys}}
    return toy(observation={"terms": [*terms, *past], "groups": groups})


def number(value: Any, name: str, place: int) -> float:
    if isinstance(value, dict):
        return value[name]
    return value[place] if isinstance(value, tuple) else value


def simulate(
    contract: Contract,
    *,
    lengths: tuple[int, ...] = (40, 30, 30),
    seed: int = 0,
    act: Callable[[np.ndarray], np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Arrays of a trace in which a network with this contract saw and did something, one environment.

    Each joint swings in its own way, the base turns and drifts, the command changes with the episode; actions are
    drawn at random unless `act` gives them, and the targets are what the contract makes of them.
    """
    if act is not None:
        return _simulated(contract, lengths, seed, act)
    # Made once: many tests change a copy of the same.
    key = (contract.model_dump_json(), lengths, seed)
    if key not in KEPT:
        KEPT[key] = _simulated(contract, lengths, seed, act)
    return {name: array.copy() for name, array in KEPT[key].items()}


def _simulated(
    contract: Contract, lengths: tuple[int, ...], seed: int, act: Callable[[np.ndarray], np.ndarray] | None
) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    dt = contract.timestep * contract.decimation
    swing = {name: (rng.uniform(0.1, 0.4), rng.uniform(1.0, 3.0), rng.uniform(0, 6), rng.normal()) for name in LEGS}
    rows: list[dict[str, Any]] = []
    clock = 0
    for episode, length in enumerate(lengths):
        command = rng.uniform(-1, 1, 3)
        goal = rng.uniform(-1, 1, 2)
        past: list[dict[tuple[str, str], float]] = []
        target_before: dict[str, float] | None = None
        action_before = dict.fromkeys(contract.action_joint_names, 0.0)
        for step in range(length):
            t = clock * dt
            clock += 1
            pos = {n: c + a * math.sin(w * t + p) for n, (a, w, p, c) in swing.items()}
            vel = {n: a * w * math.cos(w * t + p) + 0.1 * math.sin(7 * t * w) for n, (a, w, p, _) in swing.items()}
            # Roll, pitch and yaw as separate rotations: the world's axes in the base are rows of a matrix.
            roll, pitch, yaw = 0.2 * math.sin(1.3 * t), 0.3 * math.sin(0.7 * t + 1), 0.5 * t + 0.4
            quat = product(product(about(2, yaw), about(1, pitch)), about(0, roll))
            gravity = matrix(quat).T @ np.array([0.0, 0.0, -1.0])
            lin = np.array([math.sin(t), 0.3 * math.cos(2 * t), 0.1 * math.sin(3 * t)])
            ang = np.array([0.4 * math.cos(1.1 * t), 0.5 * math.sin(0.9 * t), 0.3 * math.cos(0.4 * t)])
            target_before = pos if target_before is None else target_before
            now: dict[tuple[str, str], float] = {}
            for term in contract.observation.terms:
                for place, name in enumerate(contract.term_elements(term)):
                    match term.term:
                        case "base_lin_vel":
                            raw = lin[place]
                        case "base_ang_vel":
                            raw = ang[place]
                        case "projected_gravity":
                            raw = gravity[place]
                        case "velocity_command":
                            raw = command[place]
                        case "joint_pos":
                            raw = pos[name]
                        case "joint_pos_rel":
                            raw = pos[name] - contract.joints[name].default
                        case "joint_vel":
                            raw = vel[name]
                        case "joint_target":
                            raw = target_before[name]
                        case "last_action":
                            raw = action_before[name]
                        case "gait_phase":
                            angle = 2 * math.pi * (step * dt / term.period + term.offsets[int(name[3:])])
                            raw = math.sin(angle) if name.startswith("sin") else math.cos(angle)
                        case "elapsed":
                            share = (step * dt + term.start) / term.length
                            raw = {"hold": min(share, 1.0), "run": share, "repeat": share % 1.0}[term.end]
                        case "goal":
                            raw = goal[place]
                        case "constant":
                            raw = 0.0
                        case _:
                            raw = rng.normal()
                    if getattr(term, "clip", None) is not None:
                        raw = min(max(raw, term.clip[0]), term.clip[1])
                    value = number(getattr(term, "scale", 1.0), name, place) * raw
                    value += number(getattr(term, "offset", 0.0), name, place)
                    if term.term == "constant":
                        value = term.value[place]
                    if contract.observation.clip is not None:
                        value = min(max(value, contract.observation.clip[0]), contract.observation.clip[1])
                    now[term.label, name] = value
            past.append(now)
            seen = np.array(flat(contract, past), dtype=np.float32)
            numbers = rng.normal(size=contract.action_size) if act is None else act(seen)
            action = {n: float(np.float32(x)) for n, x in zip(contract.action_joint_names, numbers, strict=True)}
            clip = contract.action.raw_clip
            clipped = action if clip is None else {n: min(max(v, clip[0]), clip[1]) for n, v in action.items()}
            target = dict(pos if target_before is pos else target_before)
            for term in contract.action.terms:
                for name in contract.action_joints(term):
                    value = number(term.scale, name, 0) * clipped[name]
                    if term.term == "joint_position_delta":
                        value += {"joint_pos": pos, "joint_target": target_before}[term.reference][name]
                    value += contract.joints[name].default if term.offset == "default" else number(term.offset, name, 0)
                    target[name] = value
            rows.append(
                {
                    "time": step * dt,
                    "episode": float(episode),
                    "joint_pos": [pos[n] for n in TRACE_JOINTS],
                    "joint_vel": [vel[n] for n in TRACE_JOINTS],
                    "base_pos": [t, 0.0, 1.0],
                    "base_quat": quat,
                    "base_lin_vel": lin,
                    "base_ang_vel": ang,
                    "command": command,
                    "goal": goal,
                    "observation": seen,
                    "action": [action[n] for n in contract.action_joint_names],
                    "target": [target[n] for n in TRACE_JOINTS],
                }
            )
            target_before, action_before = target, clipped
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def flat(contract: Contract, past: list[dict[tuple[str, str], float]]) -> list[float]:
    """The observation after the steps of `past`, laid out as the contract's histories say."""
    history, groups = contract.observation.history, contract.observation.groups

    def value(term: Any, name: str, age: int) -> float:
        if age < len(past):
            return past[-1 - age][term.label, name]
        layout = history if term.group is None else groups[term.group]
        return past[0][term.label, name] if layout is not None and layout.fill == "first" else 0.0

    def ages(term: Any) -> list[int]:
        if term.group is None:
            oldest_first = history is None or history.order == "oldest_first"
            return list(range(term.history))[::-1] if oldest_first else list(range(term.history))
        steps = groups[term.group].steps
        if isinstance(steps, tuple):
            return list(steps)
        newest_first = [steps.newest + k * steps.stride for k in range(steps.length)]
        return newest_first if steps.order == "newest_first" else newest_first[::-1]

    found: list[float] = []
    terms = list(contract.observation.terms)
    while terms:
        layout = history if terms[0].group is None else groups[terms[0].group]
        time_major = layout is not None and layout.layout == "time_major"
        together = [t for t in terms if t.group == terms[0].group] if time_major else terms[:1]
        terms = terms[len(together) :]
        for age in ages(together[0]):
            found += [value(t, n, age) for t in together for n in contract.term_elements(t)]
    return found


def header(contract: Contract, **more: Any) -> dict[str, Any]:
    """What a recorder in the source simulator writes: joint names, gains by name, rates."""
    gains = {
        key: {name: getattr(joint, key) for name, joint in contract.joints.items()} for key in ("stiffness", "damping")
    }
    dt = contract.timestep * contract.decimation
    return {"joint_names": list(TRACE_JOINTS), "control_dt": dt, "actuation": contract.actuation.kind, **gains, **more}


def write(path: Path, arrays: dict[str, np.ndarray], about: dict[str, Any], dtype: Any = None) -> Path:
    """Record the arrays step by step."""
    with Recorder(path, about) as recorder:
        for step in range(len(next(iter(arrays.values())))):
            recorder.record(**{name: array[step].astype(dtype or array.dtype) for name, array in arrays.items()})
    return path


def about(axis: int, angle: float) -> np.ndarray:
    quat = np.zeros(4)
    quat[0], quat[1 + axis] = math.cos(angle / 2), math.sin(angle / 2)
    return quat


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    w, v, u, r = a[0], a[1:], b[0], b[1:]
    return np.concatenate([[w * u - v @ r], w * r + u * v + np.cross(v, r)])


def matrix(quat: np.ndarray) -> np.ndarray:
    """Base in world, column by column the base's axes."""
    w, x, y, z = quat
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
