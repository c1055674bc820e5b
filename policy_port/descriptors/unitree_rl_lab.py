"""unitree_rl_lab deploy.yaml: no joint names, gains in motor order, everything else in the policy's order."""

from __future__ import annotations

from typing import Any

from policy_port.descriptors.draft import Draft
from policy_port.descriptors.elements import by_joint, joint_clip, joint_offset, term_scale
from policy_port.descriptors.layouts import HISTORY
from policy_port.descriptors.name_file import JointNames, read_joint_names
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record
from policy_port.descriptors.tagged_yaml import Slice
from policy_port.errors import ContractError, closest

MAIN = "deploy.yaml"
BESIDE: tuple[tuple[str, ...], ...] = ()
FLAGS = frozenset({"names", "names_order"})

# The names that the C++ controller of unitree_rl_lab registers; it computes by name, whatever the task called it.
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
_JOINT_TERMS = ("joint_pos", "joint_pos_rel", "joint_vel")
_SWITCHES = ("use_gym_history", "scale_first")


def role(record: Record) -> str | None:
    """What the file is to this importer."""
    return MAIN if "joint_ids_map" in record.data and "step_dt" in record.data else None


def read(records: dict[str, Record], options: ImportOptions) -> Draft:
    """Draft a contract."""
    record = records[MAIN]
    draft = Draft(str(record.path))
    draft.put("trained_in", "Isaac Lab, unitree_rl_lab", f"{record.path.name} is unitree_rl_lab's")
    draft.control_dt = (record.number("step_dt"), record.source("step_dt"))
    motors = record.integers("joint_ids_map")
    default = record.numbers("default_joint_pos", len(motors), per="entry of joint_ids_map")
    names = _names(record, motors, options, draft)
    if names is None:
        return draft
    draft.per_joint("default", default, record.source("default_joint_pos", "policy order"))
    for key in ("stiffness", "damping"):
        if record.has(key):
            _gains(record, key, motors, draft)
    _observation(record, names, draft)
    _action(record, dict(zip(names, default, strict=True)), draft)
    ranges = record.below("commands", "base_velocity")
    if ranges is not None:
        draft.command(ranges.section("ranges"))
    return draft


def _names(record: Record, motors: list[int], options: ImportOptions, draft: Draft) -> list[str] | None:
    if options.names is None:
        draft.lacks(
            "joints",
            f"deploy.yaml numbers its {len(motors)} joints and has no names",
            "--names FILE, a YAML mapping with joint_names in the policy's order or motor_joint_names in motor order",
        )
        draft.waits_for_names = True
        return None
    given = read_joint_names(options.names, bare_list=options.names_order)
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


def _gains(record: Record, key: str, motors: list[int], draft: Draft) -> None:
    values = record.numbers(key)
    if max(motors) >= len(values):
        raise record.error(
            key, f"has {len(values)} numbers in motor order, but joint_ids_map leads to motor {max(motors)}"
        )
    draft.per_joint(key, [values[motor] for motor in motors], record.source(key, "motor order, through joint_ids_map"))


def _observation(record: Record, names: list[str], draft: Draft) -> None:
    observations = record.section("observations")
    stacked = False
    for name in observations.entries():
        if name in _SWITCHES:
            continue
        term = observations.section(name)
        if not term.has("history_length") and "params" not in term.data:
            raise observations.error(
                name, "is a group of terms for a network of several inputs; give a file with one group"
            )
        if name not in TERMS:
            raise observations.error(
                name,
                f"is no observation that unitree_rl_lab computes{closest(name, TERMS) or '.'} "
                f"Known: {', '.join(TERMS)}. Dropping it would shift every number after it",
            )
        scale_first = observations.data.get("scale_first") is True
        stacked = _term(term, TERMS[name], names, draft, scale_first=scale_first) > 1 or stacked
    if not stacked:
        return
    gym = observations.data.get("use_gym_history") is True
    layout = HISTORY | ({"layout": "time_major"} if gym else {})
    why = "use_gym_history: true" if gym else "no use_gym_history, so its ObservationManager is term-major"
    draft.put("observation.history", layout, f"{record.path.name}: {why}; oldest first, filled with the first value")


def _term(term: Record, kind: str, names: list[str], draft: Draft, *, scale_first: bool) -> int:
    joints = names if kind in _JOINT_TERMS else []
    size = {"last_action": len(names), "gait_phase": 2}.get(kind, len(joints) or 3)
    data: dict[str, Any] = {"term": kind}
    if term.has("scale"):
        data["scale"] = term_scale(term, "scale", kind, joints, size)
    if term.has("clip"):
        if scale_first and data.get("scale", 1.0) != 1.0:
            raise term.error("clip", "is applied after scale here (scale_first), which a contract can't state")
        data["clip"] = term.bounds("clip")
    if kind == "gait_phase":
        data = _gait_phase(term, data)
    history = max(term.integer("history_length"), 1) if term.has("history_length") else 1
    if history > 1:
        data["history"] = history
    draft.term(_without_ones(data), f"{term.path.name}: {term.where}")
    return history


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


def _action(record: Record, default: dict[str, float], draft: Draft) -> None:
    actions = record.section("actions")
    names = list(default)
    for name in actions.entries():
        if name != "JointPositionAction":
            raise actions.error(name, "is no joint position action, which is all that a contract states")
        action = actions.section(name)
        ids = action.data.get("joint_ids")
        if ids is None or (isinstance(ids, Slice) and ids.everything):
            joints = names
        elif isinstance(ids, Slice):
            raise action.error("joint_ids", "selects a part by a slice; write the indices as a list")
        else:
            joints = [names[index] for index in action.integers("joint_ids", below=len(names))]
        scale = action.spread("scale", len(joints), per="joint")
        offset = action.spread("offset", len(joints), per="joint")
        term: dict[str, Any] = {
            "term": "joint_position",
            "scale": by_joint(joints, scale),
            "offset": joint_offset(default, joints, offset),
        }
        if joints != names:
            term["joints"] = joints
        if action.has("clip"):
            term["clip"] = joint_clip(action, "clip", joints)
        draft.action(term, f"{action.path.name}: {action.where}")
