"""deploy.yaml of unitree_rl_lab and unitree_rl_mjlab: no joint names, and all but the gains in the policy's order."""

from __future__ import annotations

import itertools
from typing import Any

from policy_port.contract.base_terms import VELOCITY_COMMAND, XYZ
from policy_port.descriptors.draft import Draft
from policy_port.descriptors.elements import by_joint, joint_clip, joint_offset, term_scale
from policy_port.descriptors.following import command_keys, put_motion
from policy_port.descriptors.layouts import HISTORY
from policy_port.descriptors.listed_joints import given_names
from policy_port.descriptors.name_file import JointNames, read_joint_names
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record
from policy_port.descriptors.term_params import (
    JOINT_TERMS,
    check_shape,
    check_term,
    delayed,
    history_length,
    index_selection,
    own_words,
    refuse_other_names,
    selected_joints,
    stacked,
)
from policy_port.errors import ContractError, closest

MAIN = "deploy.yaml"
BESIDE: tuple[tuple[str, ...], ...] = ()
FLAGS = frozenset({"names", "names_order", "gains_order", "sizes"})

# The names that their C++ controllers register; they compute by name, whatever the task called it.
TERMS = {
    "base_lin_vel": "base_lin_vel",
    "base_ang_vel": "base_ang_vel",
    "projected_gravity": "projected_gravity",
    "velocity_commands": "velocity_command",
    "keyboard_velocity_commands": "velocity_command",
    "joint_pos": "joint_pos",
    "joint_pos_rel": "joint_pos_rel",
    "joint_vel_rel": "joint_vel",
    "last_action": "last_action",
    "gait_phase": "gait_phase",
}
ACTIONS = {
    "JointPositionAction": "joint_position",
    "JointVelocityAction": "joint_velocity",
    "JointEffortAction": "joint_effort",
}
MOTION_TERMS = {"motion_command": 0, "motion_anchor_ori_b": 6, "motion_anchor_pos_b": 3}
"""What a policy that tracks a motion reads of it, with the numbers of what is no joint's."""
_SWITCHES = ("use_gym_history", "scale_first")
_WRITERS = "unitree_rl_lab and unitree_rl_mjlab"
_ORDERS = {"joint": "the policy's", "motor": "motor"}
_KEYS = frozenset(
    ("joint_ids_map", "step_dt", "stiffness", "damping", "default_joint_pos", "commands", "actions", "observations")
)
_ACTION_KEYS = frozenset(
    (
        *("joint_names", "joint_ids", "scale", "offset", "clip"),
        *("class_type", "asset_name", "debug_vis", "preserve_order", "use_default_offset"),
    )
)


def role(record: Record) -> str | None:
    """What the file is to this importer."""
    return MAIN if "joint_ids_map" in record.data and "step_dt" in record.data else None


def read(records: dict[str, Record], options: ImportOptions) -> Draft:
    """Draft a contract."""
    record = records[MAIN]
    draft = Draft(str(record.path))
    draft.put("trained_in", f"not stated; {record.path.name} is laid out as {_WRITERS} write it", record.path.name)
    draft.control_dt = (record.number("step_dt"), record.source("step_dt"))
    motors = record.integers("joint_ids_map")
    default = record.numbers("default_joint_pos", len(motors), per="entry of joint_ids_map")
    strange = [key for key in record.entries() if key not in _KEYS and record.has(key)]
    if strange:
        draft.note(f"{record.path.name}: the keys {', '.join(strange)} are unknown and were not read")
    names = _names(record, motors, options, draft)
    if names is None:
        return draft
    draft.per_joint("default", default, record.source("default_joint_pos", "policy order"))
    _gains(record, motors, options, draft)
    if "observation.terms" not in options.settings:
        _observation(record, names, options, draft)
    if "action.terms" not in options.settings:
        _action(record, motors, dict(zip(names, default, strict=True)), draft)
    ranges = record.below("commands", "base_velocity")
    if ranges is not None:
        draft.command(ranges.section("ranges"))
    return draft


def _names(record: Record, motors: list[int], options: ImportOptions, draft: Draft) -> list[str] | None:
    given = given_names(record, len(motors), options, draft)
    if given is None:
        return None
    by_motor = _through_map(given, motors, record)
    policy = list(given.policy or by_motor or ())
    if len(policy) != len(motors):
        raise ContractError(
            f"{options.names}: has {len(policy)} joint names, but joint_ids_map in {record.path} has "
            f"{len(motors)} joints"
        )
    if given.policy and by_motor and policy != by_motor:
        wrong = next((a, b) for a, b in zip(policy, by_motor, strict=True) if a != b)
        raise ContractError(
            f"{options.names}: its two lists contradict joint_ids_map in {record.path}: the policy's joint "
            f"'{wrong[0]}' is motor '{wrong[1]}' there"
        )
    how = "" if given.policy else "through joint_ids_map"
    draft.joints(policy, given.source + (f" ({how})" if how else ""))
    return policy


def _through_map(given: JointNames, motors: list[int], record: Record) -> list[str] | None:
    if given.motor is None:
        return None
    record.integers("joint_ids_map", below=len(given.motor))
    return [given.motor[motor] for motor in motors]


def _gains(record: Record, motors: list[int], options: ImportOptions, draft: Draft) -> None:
    """Stiffness and damping: unitree_rl_lab writes them in motor order, unitree_rl_mjlab in the policy's.

    Lengths tell where the robot has more motors than the policy drives; else the user must, if it matters.
    """
    readings = {key: _readings(record, key, motors) for key in ("stiffness", "damping") if record.has(key)}
    if not readings:
        return
    orders = [order for order in _ORDERS if all(order in each for each in readings.values())]
    if not orders:
        raise record.error("damping", "has a length that contradicts stiffness: they can't be in one order")
    asked = "joint" if options.gains_order == "policy" else options.gains_order
    if asked is not None and asked not in orders:
        raise ContractError(
            f"--gains-order {options.gains_order}: the gains of {record.path} can only be in {_ORDERS[orders[0]]} "
            f"order: {len(record.numbers('stiffness' if record.has('stiffness') else 'damping'))} numbers, "
            f"{len(motors)} joints, motors up to {max(motors)}"
        )
    why = "--gains-order" if asked else ""
    open_ = asked is None and len(orders) == 2 and any(each["joint"] != each["motor"] for each in readings.values())
    if open_ and _is_isaac_labs(record):
        asked, why = "motor", "as unitree_rl_lab writes it: only Isaac Lab writes such an asset_cfg or slice"
        draft.note(
            f"{record.path.name}: gains were taken in motor order, {why}; --gains-order policy takes them the other way"
        )
    for key, each in readings.items():
        if asked is None and len(orders) == 2 and each["joint"] != each["motor"]:
            i = next(i for i, pair in enumerate(zip(each["joint"], each["motor"], strict=True)) if pair[0] != pair[1])
            draft.lacks(
                f"joints.*.{key}",
                f"unitree_rl_mjlab writes {key} in the policy's order, unitree_rl_lab in motor order, and the file "
                f"does not say whose it is: '{draft.joint_names[i]}' has {each['joint'][i]:g} in the one, "
                f"{each['motor'][i]:g} in the other",
                "--gains-order policy or --gains-order motor",
            )
            continue
        order = asked or orders[0]
        how = "policy order" if order == "joint" else "motor order, through joint_ids_map"
        draft.per_joint(key, each[order], record.source(key, ", ".join(filter(None, (how, why)))))


def _is_isaac_labs(record: Record) -> bool:
    """Whether the file has what unitree_rl_lab's exporter leaves in it and unitree_rl_mjlab's has no way to write."""
    actions, observations = (record.below(key) for key in ("actions", "observations"))
    terms = [group.data[name] for group in (actions, observations) if group is not None for name in group.data]
    for term in (term for term in terms if isinstance(term, dict)):
        params = term.get("params")
        if "slice" in str(term.get("joint_ids")).lower() or (isinstance(params, dict) and params.get("asset_cfg")):
            return True
    return False


def _readings(record: Record, key: str, motors: list[int]) -> dict[str, list[float]]:
    """The gains by joint in each order that their number allows."""
    values = record.numbers(key)
    fewest = max(motors, default=-1) + 1
    found = {"joint": values} if len(values) == len(motors) else {}
    if len(values) >= fewest:
        found["motor"] = [values[motor] for motor in motors]
    if not found:
        raise record.error(
            key,
            f"has {len(values)} numbers: {len(motors)} would be in the policy's order, {fewest} or more in motor "
            f"order, since joint_ids_map leads to motor {fewest - 1}",
        )
    return found


def _observation(record: Record, names: list[str], options: ImportOptions, draft: Draft) -> None:
    observations = record.section("observations")
    scale_first, gym = (observations.flag(key) for key in ("scale_first", "use_gym_history"))
    sizes = dict(options.sizes)
    actions = record.below("actions") or Record(record.path, {})
    picked = [index_selection(actions.section(name), "joint_ids", names) or names for name in actions.entries()]
    acting = list(itertools.chain(*picked))
    stacks = False
    for name in observations.entries():
        if name in _SWITCHES or draft.told_whole(name, options):
            continue
        term = observations.section(name)
        if not term.has("history_length") and "params" not in term.data:
            raise observations.error(
                name, "is a group of terms for a network of several inputs; give a file with one group"
            )
        if name in MOTION_TERMS:
            history = _motion_term(term, name, names, draft)
        elif name in TERMS:
            history = _term(term, TERMS[name], (names, acting), draft, scale_first=scale_first)
        else:
            history = _external(term, name, sizes.pop(name, None), draft)
        stacks = history > 1 or stacks
    if any(name in MOTION_TERMS for name in observations.entries()):
        put_motion(draft, options, source=record.source("observations"), anchor=None, files=_clips(options, record))
    if sizes:
        raise ContractError(
            f"--size {next(iter(sizes))}: {record.path} has no term of that name whose size is open"
            f"{closest(next(iter(sizes)), [n for n in observations.entries() if n not in TERMS])}"
        )
    if stacks:
        layout = HISTORY | ({"layout": "time_major"} if gym else {})
        why = "use_gym_history: true" if gym else "no use_gym_history, so its ObservationManager is term-major"
        filled = f"{record.path.name}: {why}; oldest first, filled with the first value"
        draft.put("observation.history", layout, filled)


def _external(term: Record, name: str, size: int | None, draft: Draft) -> int:
    """A term whose size the user gives; return its history length."""
    lengths = {len(term.get("scale"))} if isinstance(term.data.get("scale"), list | tuple) else set()
    if size is None:
        raise term.error(
            "params",
            f"belongs to '{name}', an observation that this program does not know{closest(name, TERMS) or '.'} Known: "
            f"{', '.join((*TERMS, *MOTION_TERMS))}. Dropping it would shift every number after it; if only its task "
            f"computes it, take it as it is with --size {name}=N",
        )
    if size is not None and lengths - {size}:
        raise term.error("scale", f"has {lengths.pop()} numbers, --size says {size}")
    check_shape(term, own_words(name))
    found = stacked({"term": "external", "name": name, "size": size}, term)
    draft.term(found, f"{term.path.name}: {term.where}", name=name)
    draft.note(f"'{name}' ({size} numbers) is known to its task only; it is an external term, as the network sees it")
    return history_length(term)


def _motion_term(term: Record, name: str, joints: list[str], draft: Draft) -> int:
    """A term of the motion that is tracked; return its history length."""
    check_shape(term, own_words(name))
    history, where = history_length(term), f"{term.path.name}: {term.where}"
    size = MOTION_TERMS[name] or 2 * len(joints)
    scale = term.spread("scale", size, per="number") if term.has("scale") else [1.0] * size
    if term.has("clip"):
        raise term.error("clip", "of a reference motion can't be stated in a contract")
    keys = command_keys(joints) if name == "motion_command" else [name] * size
    if len(set(scale)) > 1 and name != "motion_command":
        raise term.error("scale", f"differs between the numbers of '{name}', which a contract can't state")
    draft.term(_without_ones(stacked({"term": name, "scale": by_joint(keys, scale)}, term)), where, name=name)
    return history


def _clips(options: ImportOptions, record: Record) -> dict[str, Any]:
    """Their clips are CSV: position, quaternion xyzw, joints in motor order."""
    files: dict[str, Any] = {"quaternion_order": "xyzw"}
    given = None if options.names is None else read_joint_names(options.names, bare_list=options.names_order)
    if given is not None and given.motor is not None:
        files["joints"] = list(given.motor)
    elif given is not None and given.policy is not None:
        motors = record.integers("joint_ids_map")
        if sorted(motors) == list(range(len(motors))):
            files["joints"] = [given.policy[motors.index(motor)] for motor in range(len(motors))]
    return files


def _term(term: Record, kind: str, joints: tuple[list[str], list[str]], draft: Draft, *, scale_first: bool) -> int:
    """Add one term; `joints` are the names of all, and of those that act; return its history length."""
    names, acting = joints
    name = term.where.rpartition(".")[2]
    check_term(term, kind, name, commands=("base_velocity",), actions=tuple(ACTIONS))
    params = term.below("params")
    seen = selected_joints(params, names) if kind in JOINT_TERMS else []
    named = acting if kind == "last_action" else seen
    size = {"gait_phase": 2}.get(kind, len(named) or 3)
    data: dict[str, Any] = {"term": kind}
    if seen and seen != names:
        data["joints"] = seen
    if term.has("scale"):
        data["scale"] = term_scale(term, "scale", kind, named, size)
    if term.has("clip"):
        data["clip"] = joint_clip(term, "clip", named or (VELOCITY_COMMAND if kind == "velocity_command" else XYZ))
        if scale_first and data.get("scale", 1.0) != 1.0:
            data["clip_after_scale"] = True
    if kind == "gait_phase":
        data = _gait_phase(term, data)
    data = delayed(data, name, draft, term)
    draft.term(stacked(_without_ones(data), term), f"{term.path.name}: {term.where}", name=name)
    return history_length(term)


def _gait_phase(term: Record, data: dict[str, Any]) -> dict[str, Any]:
    if data.get("clip") is not None or data.get("scale", 1.0) != 1.0:
        raise term.error("scale", "or clip of a gait clock can't be stated in a contract")
    return {"term": "gait_phase", "period": term.section("params").number("period")}


def _without_ones(term: dict[str, Any]) -> dict[str, Any]:
    scale = term.get("scale")
    if scale == 1.0 or (isinstance(scale, list) and all(value == 1.0 for value in scale)):
        return {key: value for key, value in term.items() if key != "scale"}
    if isinstance(scale, list) and len(set(scale)) == 1:
        return term | {"scale": scale[0]}
    return term


def _action(record: Record, motors: list[int], default: dict[str, float], draft: Draft) -> None:
    actions = record.section("actions")
    names = list(default)
    for name in actions.entries():
        if name not in ACTIONS:
            raise actions.error(name, f"is no action that a contract states: {', '.join(ACTIONS)}")
        action = actions.section(name)
        action.only(_ACTION_KEYS, "if you know what it does, state the action yourself: --set action.terms='[...]'")
        joints = index_selection(action, "joint_ids", names) or names
        refuse_other_names(action, joints, names)
        scale = action.spread("scale", len(joints), per="joint")
        offset = action.spread("offset", len(joints), per="joint") if action.has("offset") else [0.0] * len(joints)
        turns_to = name == "JointPositionAction"
        if joints == names and turns_to:
            _refuse_two_orders(action, offset, list(default.values()), motors)
        term: dict[str, Any] = {
            "term": ACTIONS[name],
            "scale": by_joint(joints, scale),
            "offset": joint_offset(default, joints, offset) if turns_to else by_joint(joints, offset),
        }
        if joints != names:
            term["joints"] = joints
        if action.has("clip"):
            term["clip"] = joint_clip(action, "clip", joints)
        draft.action(term, f"{action.path.name}: {action.where}")


def _refuse_two_orders(action: Record, offset: list[float], default: list[float], motors: list[int]) -> None:
    """Refuse an offset that is the default pose in motor order, or the other way round; both are the policy's."""
    if offset == default or sorted(motors) != list(range(len(motors))):
        return
    if [offset[motor] for motor in motors] == default or [default[motor] for motor in motors] == offset:
        raise action.error(
            "offset",
            "is default_joint_pos in another order, through joint_ids_map: one of the two lists is in motor order. "
            "Both are in the policy's order where this file is right; correct it",
        )
