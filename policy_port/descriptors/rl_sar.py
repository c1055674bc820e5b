"""rl_sar base.yaml and config.yaml: names in SDK order, everything that the policy touches in its own order."""

from __future__ import annotations

import itertools
import re
from typing import Any

from policy_port.descriptors.draft import Draft
from policy_port.descriptors.elements import by_joint, uniform
from policy_port.descriptors.following import put_motion
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record
from policy_port.errors import ContractError, closest

MAIN = "config.yaml"
BASE = "base.yaml"
BESIDE = ((BASE, f"../{BASE}"),)
FLAGS: frozenset[str] = frozenset()

COMMAND = "whole_body_tracking/motion_command"
WAIST = ("waist_yaw_joint", "waist_roll_joint", "waist_pitch_joint")
"""The joints from which rl_sar computes the anchor of a G1, whose torso hangs on them."""

# Name in rl_sar -> the term, and the key of its scale.
TERMS: dict[str, tuple[dict[str, Any], str | None]] = {
    "lin_vel": ({"term": "base_lin_vel"}, "lin_vel_scale"),
    "ang_vel": ({"term": "base_ang_vel"}, "ang_vel_scale"),
    "gravity_vec": ({"term": "projected_gravity"}, None),
    "commands": ({"term": "velocity_command"}, "commands_scale"),
    "dof_pos": ({"term": "joint_pos_rel"}, "dof_pos_scale"),
    "dof_vel": ({"term": "joint_vel"}, "dof_vel_scale"),
    "actions": ({"term": "last_action"}, None),
    # Written into its source: sine and cosine of a clock of 0.8 s.
    "g1_phase": ({"term": "gait_phase", "period": 0.8}, None),
    "RoboMimic_Deploy/phase": ({"term": "external", "name": "motion_phase", "size": 1}, None),
    # The clip's joint positions, then its joint velocities: two terms of a contract.
    COMMAND: ({"term": "motion_command"}, None),
    "whole_body_tracking/motion_anchor_ori_b": ({"term": "motion_anchor_ori_b"}, None),
}
_KNOWN = {scale for _, scale in TERMS.values() if scale} | {
    *("action_scale", "clip_obs", "clip_actions_lower", "clip_actions_upper"),
    *("observations", "observations_history", "observations_history_priority", "num_observations"),
}
_DECIDES = re.compile(r"_scale$|_offset$|^clip|^observations|^modifiers|delay|noise")
"""Keys that say how numbers are made."""


def role(record: Record) -> str | None:
    """What the file is to this importer; both have all keys under one key such as "go2/robot_lab"."""
    if len(record.data) != 1:
        return None
    inner = next(iter(record.data.values()))
    if not isinstance(inner, dict) or "num_of_dofs" not in inner:
        return None
    return MAIN if "observations" in inner else BASE if "joint_names" in inner else None


def read(records: dict[str, Record], options: ImportOptions) -> Draft:
    """Draft a contract."""
    if BASE not in records:
        raise ContractError(
            f"{records[MAIN].path}: rl_sar keeps joint names, timestep and decimation in base.yaml; give that file too"
        )
    config, base = (record.section(next(record.entries())) for record in (records[MAIN], records[BASE]))
    draft = Draft(str(config.path))
    robot = base.where.split("/")[0]
    if config.where.split("/")[0] != robot:
        raise ContractError(f"{config.path} is of '{config.where}', but {base.path} of robot '{robot}'")
    draft.put("robot", robot, f"{base.path.name}: top key")
    draft.put("trained_in", f"not stated; run by rl_sar as {config.where}", f"{config.path.name}: top key")
    for key, name in (("timestep", "dt"), ("decimation", "decimation")):
        record = config if config.has(name) else base
        if record.has(name):
            draft.put(key, record.number(name) if name == "dt" else record.integer(name), record.source(name))
    count = config.integer("num_of_dofs")
    strange = next((key for key in config.entries() if _DECIDES.search(key) and key not in _KNOWN), None)
    if strange is not None and config.has(strange):
        raise config.error(
            strange,
            f"is unknown{closest(strange, _KNOWN) or '.'} rl_sar scales, clips and stacks by "
            f"{', '.join(sorted(_KNOWN))}. Take the key out of the file if it does nothing",
        )
    _joints(config, base, count, draft)
    _observation(config, draft)
    if COMMAND in config.names("observations"):
        _motion(config, base, options, draft)
    _action(config, count, draft)
    draft.lacks("actuation.kind", "rl_sar computes the torque itself and does not say how the training simulator did")
    return draft


def _joints(config: Record, base: Record, count: int, draft: Draft) -> None:
    names_from = config if config.has("joint_names") else base
    sdk = names_from.names("joint_names")
    if config.has("joint_mapping"):
        mapping = config.integers("joint_mapping", below=len(sdk))
        if len(mapping) != count:
            raise config.error("joint_mapping", f"has {len(mapping)} entries, num_of_dofs says {count}")
        names = [sdk[index] for index in mapping]
        draft.joints(names, names_from.source("joint_names", "SDK order, through joint_mapping"))
    elif config.has("command_mapping"):
        raise config.error("command_mapping", "is of an rl_sar before joint_mapping; convert the file with a newer one")
    else:
        raise config.error(
            "joint_mapping",
            "is missing, so nothing says which SDK joint the policy's first one is; [0, 1, 2, ...] if none moves",
        )
    draft.per_joint(
        "default",
        config.numbers("default_dof_pos", count, per="joint"),
        config.source("default_dof_pos", "policy order"),
    )
    # fixed_kp and fixed_kd are for standing up; the policy runs with rl_kp and rl_kd.
    for key, name in (("stiffness", "rl_kp"), ("damping", "rl_kd"), ("effort_limit", "torque_limits")):
        if config.has(name):
            draft.per_joint(key, config.numbers(name, count, per="joint"), config.source(name, "policy order"))


def _observation(config: Record, draft: Draft) -> None:
    count, wheels = len(draft.joint_names), _wheels(config, draft)
    stated = {"joint_pos_rel": count, "joint_vel": count, "last_action": count, "gait_phase": 2}
    stated |= {"motion_command": 2 * count, "motion_anchor_ori_b": 6}
    width: list[tuple[str, int]] = []
    terms: list[tuple[dict[str, Any], str]] = []
    for name in config.names("observations"):
        if name not in TERMS:
            raise config.error(
                "observations",
                f"names '{name}', which is unknown{closest(name, TERMS) or '.'} Known: {', '.join(TERMS)}. rl_sar "
                "itself passes over a name it does not know, and every number after it shifts",
            )
        given, scale_key = TERMS[name]
        term, scale = dict(given), 1.0
        if scale_key is not None:
            size = 3 if name == "commands" else 1
            scales = config.spread(scale_key, size, per="element")
            same = uniform(scales)
            scale = scales if same is None else same
            if scale != 1.0:
                term["scale"] = scale
        if name == "dof_pos" and wheels:
            # rl_sar shows the wheels' positions as zero, in their places.
            term["scale"] = {joint: 0.0 if joint in wheels else scale for joint in draft.joint_names}
        width.append((name, term.get("size") or stated.get(term["term"], 3)))
        more = config.source(scale_key) if scale_key else ""
        more += f"; {config.source('wheel_indices')}" if name == "dof_pos" and wheels else ""
        where = f"{config.source('observations', name)}{'; ' + more if more else ''}"
        terms.append((term, where))
    total = sum(size for _, size in width)
    if config.has("num_observations") and config.integer("num_observations") != total:
        parts = " + ".join(f"{name} {size}" for name, size in width)
        raise config.error(
            "num_observations", f"is {config.integer('num_observations')}, but the terms add up to {total}: {parts}"
        )
    steps = _history(config, draft)
    for term, source in terms:
        draft.term(term | steps, source)
    if config.has("clip_obs"):
        bound = config.number("clip_obs")
        draft.put("observation.clip", [-bound, bound], config.source("clip_obs"))


def _wheels(config: Record, draft: Draft) -> set[str]:
    """The joints whose action is a velocity and whose position the policy sees as zero."""
    names = draft.joint_names
    if not config.has("wheel_indices"):
        return set()
    return {names[index] for index in config.integers("wheel_indices", below=len(names))}


def _motion(config: Record, base: Record, options: ImportOptions, draft: Draft) -> None:
    """rl_sar's clips are CSV of 60 Hz with joints in SDK order; its G1 is compared at the torso."""
    sdk = (config if config.has("joint_names") else base).names("joint_names")
    anchor = None
    if config.has("waist_joint_indices"):
        waist = tuple(sdk[index] for index in config.integers("waist_joint_indices", below=len(sdk)))
        if waist == WAIST:
            anchor = ("torso_link", config.source("waist_joint_indices", "the torso hangs on these joints"))
    files = {"quaternion_order": "xyzw", "joints": sdk}
    if config.has("motion_file"):
        rate = re.search(r"(\d+)hz", str(config.get("motion_file")), re.IGNORECASE)
        files |= {"rate": float(rate[1])} if rate else {}
    put_motion(draft, options, source=config.source("observations", COMMAND), anchor=anchor, files=files)


def _history(config: Record, draft: Draft) -> dict[str, Any]:
    """State the history; return what each term says of it, nothing where there is none."""
    ages = config.integers("observations_history") if config.has("observations_history") else []
    if ages in ([], [0]):
        return {}
    newest_first = list(range(len(ages)))
    unbroken = ages in (newest_first, newest_first[::-1])
    source = config.source("observations_history", "0 is the newest; the buffer starts with zeros")
    if unbroken:
        key, steps = "observation.history", {"order": "newest_first" if ages == newest_first else "oldest_first"}
    else:
        key, steps = "observation.groups.history", {"steps": ages}
    draft.put(key, {**steps, "fill": "zero"}, source)
    if config.has("observations_history_priority"):
        priority = config.choice("observations_history_priority", ("time", "term"))
        draft.put(f"{key}.layout", f"{priority}_major", config.source("observations_history_priority"))
    else:
        draft.lacks(f"{key}.layout", "observations_history_priority is missing")
    return {"history": len(ages)} if unbroken else {"group": "history"}


def _action(config: Record, count: int, draft: Draft) -> None:
    scale = dict(zip(draft.joint_names, config.numbers("action_scale", count, per="joint"), strict=True))
    wheels = _wheels(config, draft)
    legs = config.source("action_scale", "target = default_dof_pos + action_scale * action")
    turned = config.source("wheel_indices", "velocity target = action_scale * action")
    for on_wheels, run in itertools.groupby(draft.joint_names, wheels.__contains__):
        names = list(run)
        term: dict[str, Any] = {"term": "joint_velocity" if on_wheels else "joint_position"}
        term |= {"joints": names} if wheels else {}
        term["scale"] = by_joint(names, [scale[name] for name in names])
        draft.action(term | ({} if on_wheels else {"offset": "default"}), turned if on_wheels else legs)
    if not config.has("clip_actions_lower") or not config.has("clip_actions_upper"):
        return
    ends = [config.numbers(f"clip_actions_{end}", count, per="joint") for end in ("lower", "upper")]
    for name, low, high in zip(draft.joint_names, *ends, strict=True):
        if low > high:
            raise config.error("clip_actions_lower", f"is {low:g} for '{name}', above clip_actions_upper, {high:g}")
    bounds = by_joint(draft.joint_names, [list(pair) for pair in zip(*ends, strict=True)])
    draft.put("action.raw_clip", bounds, config.source("clip_actions_lower", "and clip_actions_upper, policy order"))
