"""Contracts of any terms, drawn from a seed, and a stand for them: a controller whose plant is a table of numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from policy_port.contract import Contract
from policy_port.control.controller import Controller
from policy_port.control.plant import Mounting
from policy_port.motion.motion import Motion

JOINTS = ("hip", "knee", "ankle", "jaw")
UNITS = {"hip": "rad", "knee": "deg", "ankle": "rad", "jaw": "m"}
PLANT = ("jaw", "knee", "wheel", "hip", "ankle")
"""The plant's order differs, and it has a joint that the contract does not know."""
COMMAND = {
    "lin_vel_x": {"range": [-1, 1], "slew": 3.0},
    "heading": {"range": [-3, 3]},
    "gait_frequency": {"range": [0.5, 3], "default": 1.5},
    "stance_share": {"range": [0.2, 0.8], "default": 0.6},
    "gait_phase": {"range": [0, 1], "default": 0.2, "dead_zone": 0.1},
}
MOTION_TERMS = ("motion_joint_pos", "motion_joint_vel", "motion_command", "motion_anchor_ori_b", "motion_anchor_pos_b")


class Draws:
    """Choices from a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def one(self, *choices: Any) -> Any:
        return choices[self.rng.integers(len(choices))]

    def number(self) -> float:
        return round(float(self.rng.uniform(-2.0, 2.0)), 3)

    def bounds(self) -> list[float]:
        return [-round(float(self.rng.uniform(0.1, 2.0)), 3), round(float(self.rng.uniform(0.1, 2.0)), 3)]

    def by(self, names: tuple[str, ...], draw: Any) -> Any:
        return self.one(draw(), {name: draw() for name in names})


def term(draws: Draws, kind: str, sensed: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"term": kind}
    scaled = {"scale": draws.number(), "clip": draws.one(None, draws.bounds())}
    if kind.startswith("joint"):
        joints = tuple(draws.rng.permutation(JOINTS)[: draws.rng.integers(1, 5)])
        found |= {"joints": joints, "scale": draws.by(joints, draws.number), "offset": draws.by(joints, draws.number)}
        return found | {"clip": draws.one(None, draws.by(joints, draws.bounds))}
    if kind in ("base_lin_vel", "base_ang_vel", "projected_gravity"):
        if sensed and draws.one(True, False):
            return found | {"link": "foot"}
        point = {"point": draws.one(None, "com", [0.1, -0.2, 0.3])} if kind == "base_lin_vel" else {}
        return found | scaled | {"frame": draws.one(None, {"site": "imu"})} | point
    if kind == "base_euler":
        return found | {"angles": draws.one(["yaw"], ["pitch", "roll"]), "interval": draws.one("signed", "positive")}
    if kind == "link_pos":
        return found | {
            "link": "foot",
            "axes": draws.one(["z", "x"], ["y"]),
            "frame": draws.one("world", "base", "yaw"),
        }
    more = {
        "gait_phase": lambda: {"period": 0.7, "offsets": [0.0, draws.number()]},
        "goal": lambda: {"size": 2, "frame": "base, m", "scale": draws.number()},
        "constant": lambda: {"value": [draws.number(), draws.number()]},
        "last_action": lambda: scaled | {"ago": draws.one(1, 3)},
        "command": lambda: {"elements": ["heading", "lin_vel_x"], "scale": draws.number()},
        "gait_clock": lambda: clock(draws),
        "elapsed": lambda: {"length": 0.3, "end": draws.one("hold", "run", "repeat"), "start": 0.02},
        "base_quat": lambda: {"positive_w": draws.one(True, False)},
        "link_height": lambda: {"link": "foot", "above": draws.one([], ["toe", "foot"])},
        "heading": lambda: {"parts": ["cos", "angle"], "link": draws.one(None, "foot")},
        "heading_error": lambda: {"parts": ["sin", "angle"]},
        "contact": lambda: draws.one(
            {"links": ["toe", "foot"], "threshold": draws.one(None, 1.0)}, {"links": ["toe"], "measure": "vector"}
        ),
        "height_scan": lambda: {"size": [0.2, 0.1], "resolution": 0.1, "miss": 1.0},
        "motion_phase": lambda: {"ahead": draws.one(0, [0, 5])},
        **{kind: lambda: {"ahead": draws.one(0, [1, -2])} for kind in MOTION_TERMS},
    }
    return found | more.get(kind, lambda: scaled)()


def clock(draws: Draws) -> dict[str, Any]:
    waves = [{"wave": "sin"}, {"wave": "cos", "offset": 0.5, "plus": ["gait_phase"]}, {"wave": "phase", "offset": 0.2}]
    paced = draws.one({"period": 0.5}, {"frequency": "gait_frequency"})
    standing = draws.one(*("run", "freeze", "zero", {"value": 1.0}, {"phase": 0.5}), {"phase": 0.25, "then": "restart"})
    below = {} if standing == "run" else {"standing": standing, "below": 0.6}
    return {"elements": waves, **paced, "stance": draws.one(0.5, 0.6, "stance_share"), "start": -0.1, **below}


PLAIN = (
    *("base_lin_vel", "base_ang_vel", "projected_gravity", "velocity_command", "joint_pos", "joint_pos_rel"),
    *("joint_vel", "joint_target", "last_action", "gait_phase", "goal", "constant", "command", "gait_clock", "elapsed"),
)
SENSED = ("base_euler", "base_quat", "link_height", "link_pos", "heading", "heading_error", "contact", "height_scan")


def action(draws: Draws, follows: bool, wheels: bool) -> dict[str, Any]:
    names = tuple(draws.rng.permutation(JOINTS))
    cut = int(draws.rng.integers(1, 5))
    terms = []
    for joints in (names[:cut], names[cut:][: draws.rng.integers(0, 3)]):
        stated = {"joints": joints, "scale": draws.by(joints, draws.number)}
        offset = draws.by(joints, draws.number)
        kind = draws.one(
            {"term": "joint_position", "offset": draws.one("default", offset, "motion" if follows else "default")},
            {"term": "joint_position_delta", "reference": draws.one("joint_pos", "joint_target"), "offset": offset},
            {"term": "joint_velocity"} if wheels else {"term": "joint_position", "offset": offset},
        )
        if joints:
            terms.append(stated | kind | {"clip": draws.one(None, draws.by(joints, draws.bounds))})
    filters = [
        {"kind": "first_order", "alpha": 0.3},
        {"kind": "moving_average", "steps": draws.one(2, 3)},
    ]
    of = draws.one({"of": "raw", "fill": draws.one("zero", "first")}, {"of": "target"})
    if of["of"] == "target":
        of["fill"] = draws.one("start", "default", "first")
    delay = draws.one(0, 0, {"steps": 2, "fill": draws.one("zero", "first")})
    bounds = draws.one(None, draws.bounds(), {name: draws.bounds() for stated in terms for name in stated["joints"]})
    filter_ = draws.one(None, None, draws.one(*filters) | of)
    return {"terms": terms, "raw_clip": bounds, "delay": delay, "filter": filter_}


def forgetful(contract: Contract) -> Contract:
    """The same without delays, filters and histories."""
    data = contract.model_dump(mode="json", exclude_none=True, exclude_defaults=True, by_alias=True)
    for each in data["observation"]["terms"]:
        for key in ("delay", "history", "group", "ago"):
            each.pop(key, None)
    data["observation"].pop("groups", None)
    for key in ("delay", "filter"):
        data["action"].pop(key, None)
    return Contract.model_validate(data)


def draw_contract(seed: int) -> Contract:
    """Any terms, units, clips, delays, histories, commands, clocks, sensed things, motions and actions."""
    draws = Draws(seed)
    sensed, follows = draws.one(True, False), draws.one(True, False)
    moving = draws.one(True, False)
    kinds = [*PLAIN, *(SENSED if sensed else ()), *((*MOTION_TERMS, "motion_phase") if follows else ())]
    groups = {"a": {"steps": draws.one([2, 0, 5], {"length": 2, "newest": 1, "stride": 2, "order": "oldest_first"})}}
    groups["a"] |= {"layout": draws.one("term_major", "time_major"), "fill": draws.one("first", "zero")}
    terms: list[dict[str, Any]] = []
    for index, kind in enumerate(draws.rng.choice(kinds, draws.rng.integers(2, 8)).tolist()):
        late = draws.one({}, {}, {"delay": 2}, {"delay": {"steps": 1, "fill": "zero"}})
        terms.append({**term(draws, kind, sensed), "name": f"t{index}", **late})
    history = {"layout": "term_major", "order": draws.one("oldest_first", "newest_first")}
    for each in terms if moving else ():
        each["history"] = int(draws.rng.integers(1, 4))
    grouped = [{**each, "history": 1, "group": "a"} for each in terms[-2:]] if draws.one(True, False) else []
    data = {
        "contract_version": 1,
        "name": f"drawn{seed}",
        "robot": "test",
        "trained_in": "nowhere",
        "quaternion_order": "xyzw" if any(each["term"] == "base_quat" for each in terms) else None,
        "timestep": 0.01,
        "decimation": 2,
        "base": {"floating": True},
        "actuation": {"kind": "implicit"},
        "joints": {n: {"default": 0.1 * (i + 1), "unit": UNITS[n]} for i, n in enumerate(JOINTS)},
        "command": COMMAND,
        "observation": {
            "terms": [*terms[: len(terms) - len(grouped)], *grouped],
            "history": history | {"fill": draws.one("first", "zero")},
            "groups": groups if grouped else {},
            "clip": draws.one(None, draws.bounds(), [0.2, 3.0]),
        },
        "action": action(draws, follows, all(each["term"] != "joint_target" for each in terms)),
    }
    stated = {"align": draws.one("none", "yaw", "yaw_and_position"), "end": draws.one("hold", "repeat")}
    if any(each["term"].startswith("motion") for each in terms) or any(
        each.get("offset") == "motion" for each in data["action"]["terms"]
    ):
        data["motion"] = {"anchor": "torso", "chain": CHAIN, **stated, "rate": draws.one(None, 30.0)}
    return Contract.model_validate(data)


CHAIN = [{"link": "torso", "offset": [0.1, 0.0, 0.2], "quat": [0.8, 0.0, 0.6, 0.0], "joint": "hip", "axis": [0, 0, 1]}]


def motion() -> Motion:
    rng = np.random.default_rng(5)
    frames = 12
    quat = rng.normal(size=(frames, 4))
    return Motion(
        rate=50.0,
        joint_names=JOINTS,
        joint_pos=rng.normal(size=(frames, 4)),
        joint_vel=rng.normal(size=(frames, 4)),
        root_pos=rng.normal(size=(frames, 3)),
        root_quat=quat / np.linalg.norm(quat, axis=1, keepdims=True),
    )


def mounting(place: Any, num_envs: int = 1) -> Mounting:
    turn = np.array([[0.0, -0.6, 0.8], [1.0, 0.0, 0.0], [0.0, 0.8, 0.6]])
    return Mounting(np.tile([0.1, -0.2, 0.05], (num_envs, 1)), np.eye(3) if place == "com" else turn)


class Network:
    """A policy of one layer, with a memory where it is asked for."""

    images: Any = {}

    def __init__(self, contract: Contract, num_envs: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.weight = rng.normal(0.0, 0.4, (contract.observation_size, contract.action_size)).astype(np.float32)
        self.observation = np.zeros((num_envs, contract.observation_size), np.float32)
        self.action_size = contract.action_size

    def of(self, observation: np.ndarray) -> np.ndarray:
        return np.tanh(0.1 * (observation @ self.weight))

    def act(self) -> np.ndarray:
        return self.of(self.observation)

    def reset(self, rows: Any = None) -> None:
        """Nothing to forget."""


def measure(controller: Controller, rng: np.random.Generator) -> None:
    """Fill every signal that a plant or a task fills."""
    signals = controller.signals
    names = [*("joint_pos", "joint_vel", "base_pos", "base_lin_vel", "base_ang_vel", "velocity_command", "goal")]
    names += [name for name in signals.contract.senses.columns(len(signals.joint_names)) if "quat" not in name]
    for name in names:
        view = signals.view(name)
        view[...] = rng.normal(size=view.shape)
        if name.startswith("height_scan"):
            view[rng.random(view.shape) < 0.1] = math.nan
    for name in ("base_quat", *(name for name in signals.column if "link_quat" in name)):
        quat = rng.normal(size=(signals.num_envs, 4))
        signals.view(name)[...] = quat / np.linalg.norm(quat, axis=1, keepdims=True)
    command = signals.command
    low = [0.5 if name == "gait_frequency" else 0.2 if name == "stance_share" else -1.0 for name in names_of(signals)]
    command[...] = np.clip(command, low, [0.8 if name == "stance_share" else 3.0 for name in names_of(signals)])
    # Told to stand now and then.
    command[rng.random(len(command)) < 0.3, :3] = 0.0


def names_of(signals: Any) -> tuple[str, ...]:
    return signals.contract.command.names
