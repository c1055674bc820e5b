"""Configurations that run legged_gym's policies on Unitree's humanoids: unitree_rl_gym's and OpenWBT's.

Both list gains and scales, and leave the order of the observation to their runner's source: `--layout` says whose.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from policy_port.descriptors.draft import Draft
from policy_port.descriptors.elements import decimal, uniform
from policy_port.descriptors.listed_joints import named
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record
from policy_port.errors import ContractError, closest

MAIN = "deploy configuration"
BESIDE: tuple[tuple[str, ...], ...] = ()
FLAGS = frozenset({"layout", "names", "names_order"})

LAYOUTS = {
    "unitree_rl_gym": (
        "base_ang_vel",
        "projected_gravity",
        "command",
        "joint_pos_rel",
        "joint_vel",
        "last_action",
        "gait",
    ),
    "openwbt": ("command", "projected_gravity", "base_ang_vel", "joint_pos_rel", "joint_vel", "last_action", "gait"),
}
"""Order of the observation in each runner: deploy_mujoco.py and deploy_real.py; policy_unified.py."""
SCALES = {"base_ang_vel": "ang_vel_scale", "joint_pos_rel": "dof_pos_scale", "joint_vel": "dof_vel_scale"}
PERIOD = 0.8
"""Written into unitree_rl_gym's runner [s]."""
START = 0.3
"""Where OpenWBT's clock starts, and where it is held while the robot stands [cycles]."""
HEIGHT = 0.75
"""Height of the base that OpenWBT's squat starts from [m]."""
VELOCITY = ("lin_vel_x", "lin_vel_y", "ang_vel_z")
_GAIT = {
    "frequencies",
    "phase_offset",
    "stance_ratio",
    "kappa_gait_probs",
    "desired_stance_width",
    "desired_swing_height",
}
_KNOWN = {
    *("kps", "kds", "default_angles", "num_actions", "num_obs", "num_dof", "dof_idx", "action_idx", "policy_path"),
    *("ang_vel_scale", "dof_pos_scale", "dof_vel_scale", "action_scale", "cmd_scale", "cmd_clip", "max_cmd"),
    *("clip_observations", "clip_actions", "use_gait", "gait_parameters", "leg_joint2motor_idx"),
    *("arm_waist_joint2motor_idx", "arm_waist_kps", "arm_waist_kds", "arm_waist_target"),
}
_DECIDES = re.compile(r"_scale$|^clip|_clip$|offset|filter|delay|history|gait|phase|_idx$|^num_")
"""Keys that say how numbers are made."""


class Motors(NamedTuple):
    """The lists of a file, the policy's joints first."""

    numbers: list[int]
    """Motor of each entry."""
    observed: list[int]
    """Entries that the policy observes."""
    acting: list[int]
    """Entries that it drives."""
    values: dict[str, list[float]]
    """Number of each entry, by the contract's key for it."""
    source: str
    """Keys of the lists."""


def role(record: Record) -> str | None:
    """What the file is to this importer."""
    return MAIN if {"kps", "kds", "default_angles", "cmd_scale", "num_obs"} <= record.data.keys() else None


def read(records: dict[str, Record], options: ImportOptions) -> Draft:
    """Draft a contract."""
    record = records[MAIN]
    draft = Draft(str(record.path))
    strange = next((key for key in record.entries() if _DECIDES.search(key) and key not in _KNOWN), None)
    if strange is not None:
        raise record.error(
            strange,
            f"is unknown{closest(strange, _KNOWN) or '.'} Known: {', '.join(sorted(_KNOWN))}; take it out of the "
            "file if it does nothing",
        )
    if options.layout is not None and options.layout not in LAYOUTS:
        raise ContractError(
            f"--layout {options.layout}: unknown here{closest(options.layout, LAYOUTS) or '.'} Known: "
            f"{', '.join(LAYOUTS)}"
        )
    draft.put(
        "trained_in", f"Isaac Gym (PhysX), {options.layout or 'legged_gym'}", f"{record.path.name} is its runner's"
    )
    draft.put("actuation.kind", "explicit", "legged_gym computes torques from gains, once per physics step")
    draft.put("base.floating", True, "the runner reads an IMU")
    _rates(record, draft)
    motors = _motors(record)
    names = named(record, motors.numbers, len(motors.acting), options, draft)
    if names is None:
        return draft
    for key, values in motors.values.items():
        draft.per_joint(key, values[: len(names)], record.source(motors.source))
    observed, acting = ([names[index] for index in part if index < len(names)] for part in motors[1:3])
    _observation(record, options, names, observed, acting, draft)
    scale = {"scale": record.number("action_scale"), "offset": "default"}
    subset = {} if acting == names else {"joints": acting}
    draft.action({"term": "joint_position", **subset, **scale}, record.source("action_scale"))
    for key, name in (("observation.clip", "clip_observations"), ("action.raw_clip", "clip_actions")):
        if record.has(name):
            draft.put(key, [-record.number(name), record.number(name)], record.source(name))
    return draft


def _rates(record: Record, draft: Draft) -> None:
    """deploy_mujoco states the physics timestep, OpenWBT the control period and decimation, deploy_real its period."""
    if record.has("control_decimation"):
        steps = record.integer("control_decimation")
        draft.put("decimation", steps, record.source("control_decimation"))
        key = "simulation_dt" if record.has("simulation_dt") else "control_dt"
        timestep = record.number(key) if key == "simulation_dt" else decimal(record.number(key) / steps)
        draft.put("timestep", timestep, record.source(key))
        draft.note("timestep and decimation are the runner's; those of training may be others with the same product")
    elif record.has("control_dt"):
        draft.control_dt = (record.number("control_dt"), record.source("control_dt"))


def _motors(record: Record) -> Motors:
    keys = {"default": "default_angles", "stiffness": "kps", "damping": "kds"}
    count = record.integer("num_actions")
    if record.has("leg_joint2motor_idx"):
        legs = record.integers("leg_joint2motor_idx")
        others = record.integers("arm_waist_joint2motor_idx") if record.has("arm_waist_joint2motor_idx") else []
        values = {key: record.numbers(name, len(legs), per="leg joint") for key, name in keys.items()}
        more = {"default": "arm_waist_target", "stiffness": "arm_waist_kps", "damping": "arm_waist_kds"}
        for key, name in more.items() if others else ():
            values[key] += record.numbers(name, len(others), per="joint of arms and waist")
        first = list(range(len(legs)))
        found = Motors([*legs, *others], first, first, values, "leg_joint2motor_idx")
    else:
        size = len(record.numbers("kps"))
        values = {key: record.numbers(name, size, per="entry of kps") for key, name in keys.items()}
        observed, acting = (
            record.integers(key, below=size) if record.has(key) else list(range(size))
            for key in ("dof_idx", "action_idx")
        )
        found = Motors(list(range(size)), observed, acting, values, "kps")
        if acting != list(range(len(acting))):
            raise record.error("action_idx", "does not begin with the first joint; sort every list by it")
    if len(found.acting) != count:
        raise record.error("num_actions", f"is {count}, but {len(found.acting)} joints are driven")
    return found


def _observation(
    record: Record, options: ImportOptions, names: list[str], observed: list[str], acting: list[str], draft: Draft
) -> None:
    if options.layout is None:
        draft.lacks(
            "observation.terms",
            "the file names no terms: their order is written into its runner",
            "--layout unitree_rl_gym or --layout openwbt",
        )
        return
    terms: list[tuple[dict[str, Any], int, str]] = []
    subset = {} if observed == names else {"joints": observed}
    for part in LAYOUTS[options.layout]:
        if part == "command":
            terms.append(_command(record, options.layout, draft))
        elif part == "gait":
            terms += _gait(record, options.layout, draft)
        else:
            term: dict[str, Any] = {"term": part}
            if part in SCALES:
                scale = record.number(SCALES[part])
                term |= {"scale": scale} if scale != 1.0 else {}
            size = {"joint_pos_rel": len(observed), "joint_vel": len(observed), "last_action": len(acting)}.get(part, 3)
            term |= subset if part in ("joint_pos_rel", "joint_vel") else {}
            terms.append((term, size, SCALES.get(part, "num_obs")))
    width, total = record.integer("num_obs"), sum(size for _, size, _ in terms)
    if options.layout == "unitree_rl_gym" and total == width + 2:
        terms.pop()
        draft.note(f"num_obs is {width}, which leaves no room for the runner's gait clock: it was left out")
    elif total != width:
        parts = " + ".join(f"{term['term']} {size}" for term, size, _ in terms)
        raise record.error(
            "num_obs", f"is {width}, but the terms of {options.layout}'s runner add up to {total}: {parts}"
        )
    for term, _, key in terms:
        draft.term(term, record.source(key, f"in the order of {options.layout}'s runner"))


def _command(record: Record, layout: str, draft: Draft) -> tuple[dict[str, Any], int, str]:
    scales = record.numbers("cmd_scale")
    if len(scales) == 2 and layout == "openwbt":
        # Its squat is told a height, down from the usual one, and how far the torso leans forward.
        lowered, leaning = record.numbers("max_cmd", 2, per="element of the command")
        source = record.source("max_cmd", "what its remote control can ask; the range of training is not stated")
        low = decimal(HEIGHT - lowered)
        draft.put("command.base_height", {"range": [low, HEIGHT], "default": HEIGHT}, source)
        draft.put("command.torso_pitch", [0.0, leaning], source)
        names = ["base_height", "torso_pitch"]
        scaled = {} if scales == [1.0, 1.0] else {"scale": dict(zip(names, scales, strict=True))}
        return {"term": "command", "elements": names, **scaled}, 2, "cmd_scale"
    scales = record.numbers("cmd_scale", 3, per="element of the velocity command")
    zones = (
        record.numbers("cmd_clip", 3, per="element of the velocity command") if record.has("cmd_clip") else [0.0] * 3
    )
    limits = record.numbers("max_cmd", 3, per="element of the velocity command") if record.has("max_cmd") else [0.0] * 3
    for name, most, zone in zip(VELOCITY, limits, zones, strict=True):
        stated = {"range": [-most, most]} if most else {}
        stated |= {"dead_zone": zone} if zone else {}
        if stated:
            why = "what its remote control can ask; the range of training is not stated"
            draft.put(f"command.{name}", stated, record.source("max_cmd" if most else "cmd_clip", why))
    same = uniform(scales)
    return {"term": "velocity_command"} | ({} if same == 1.0 else {"scale": scales}), 3, "cmd_scale"


def _gait(record: Record, layout: str, draft: Draft) -> list[tuple[dict[str, Any], int, str]]:
    if layout == "unitree_rl_gym":
        return [({"term": "gait_phase", "period": PERIOD}, 2, "num_obs")]
    if not record.flag("use_gait"):
        return []
    gait = record.section("gait_parameters")
    gait.only(_GAIT, "its runner reads frequencies, phase_offset and stance_ratio")
    frequency = gait.number("frequencies")
    if not draft.data.get("timestep"):
        raise record.error(
            "control_dt", "and control_decimation are needed: the clock moves on before it is first shown"
        )
    period = draft.data["timestep"] * draft.data["decimation"]
    draft.put(
        "command.walk", {"range": [0.0, 1.0], "default": 1.0}, "stance_command of OpenWBT's controller.py, turned"
    )
    left, right = (
        {"wave": "sin", "offset": gait.number("phase_offset"), "foot": "left"},
        {"wave": "sin", "foot": "right"},
    )
    clock = {
        "term": "gait_clock",
        "elements": [left, right],
        "period": decimal(1.0 / frequency),
        "stance": gait.number("stance_ratio"),
        "start": decimal(START / frequency + period),
        "standing": {"phase": START, "then": "restart"},
        "below": 0.5,
        "norm_of": ["walk"],
    }
    return [(clock, 2, "gait_parameters")]
