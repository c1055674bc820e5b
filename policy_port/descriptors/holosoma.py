"""holosoma's metadata inside its ONNX file: JSON at full precision, with the whole configuration where it was kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from policy_port.contract.base_terms import VELOCITY_COMMAND, XYZ
from policy_port.descriptors.draft import Draft
from policy_port.descriptors.elements import by_joint, uniform
from policy_port.descriptors.onnx_metadata import OnnxMetadata
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.precise import PreciseValues
from policy_port.descriptors.record import Record
from policy_port.errors import ContractError

FLAGS = frozenset({"precise"})
KEYS = ("dof_names", "observation_layout")
"""What holosoma's metadata is known by."""

_MODULE = "holosoma.managers.observation.terms.locomotion"
_TERMS = {
    "base_lin_vel": ("base_lin_vel", 3),
    "base_ang_vel": ("base_ang_vel", 3),
    "projected_gravity": ("projected_gravity", 3),
    "command": ("velocity_command", 3),
    "dof_pos": ("joint_pos_rel", None),
    "dof_vel": ("joint_vel", None),
    "actions": ("last_action", None),
}
"""Term and size, where that is not the number of joints, by the name of holosoma's function."""
_COMMANDS = {"command_lin_vel": ("lin_vel_x", "lin_vel_y"), "command_ang_vel": ("ang_vel_z",)}
"""Parts of the velocity command, which stand apart in an observation that is sorted by name."""
_RANGES = {"lin_vel_x": "lin_vel_x", "lin_vel_y": "lin_vel_y", "ang_vel_z": "ang_vel_yaw"}
_ENTRY = frozenset({"group", "name", "func", "dim", "history_length", "scale", "clip", "params"})
_HISTORY = {"layout": "term_major", "order": "oldest_first", "fill": "zero"}
_ACTION = "holosoma.managers.action.terms.joint_control:JointPositionActionTerm"


def is_holosoma(file: OnnxMetadata) -> bool:
    """Whether a file's metadata are holosoma's."""
    return all(key in file.entries for key in KEYS)


def read(path: Path, options: ImportOptions) -> Draft:
    """Draft a contract."""
    file = OnnxMetadata(path)
    if not is_holosoma(file):
        raise ContractError(
            f"{path}: its metadata has no {' and no '.join(key for key in KEYS if key not in file.entries)}, which "
            f"holosoma writes since 0.0.3. Its keys are: {', '.join(file.entries) or 'none'}"
        )
    record = Record(path, {key: _json(path, key, text) for key, text in file.entries.items()}, "metadata")
    draft = Draft(f"{path}: metadata")
    draft.put("trained_in", "holosoma", record.source("dof_names"))
    names = record.names("dof_names")
    draft.joints(names, record.source("dof_names"))
    for key, entry in (("stiffness", "kp"), ("damping", "kd")):
        if record.has(entry):
            draft.per_joint(key, record.numbers(entry, len(names), per="entry of dof_names"), record.source(entry))
    config = record.below("experiment_config")
    _default(config, names, options, draft)
    _simulator(config, draft)
    if "action.terms" not in options.settings:
        _action(record, config, names, draft)
    ranges = record.below("command_ranges")
    if ranges is not None:
        for key, entry in _RANGES.items():
            if ranges.has(entry):
                draft.put(f"command.{key}", ranges.bounds(entry), ranges.source(entry))
    if "observation.terms" not in options.settings:
        _observation(record, ranges, options, draft)
    return draft


def _json(path: Path, key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ContractError(f"{path}: metadata '{key}' is no JSON, as holosoma writes it: {text[:60]!r}") from None


def _default(config: Record | None, names: list[str], options: ImportOptions, draft: Draft) -> None:
    """The default pose, of the configuration or of --precise."""
    if options.precise is not None:
        values = PreciseValues.read(options.precise, names)
        if unused := [key for key in values.values if key != "default_joint_pos"]:
            raise ContractError(
                f"{options.precise}: key '{unused[0]}': the metadata has it at full precision; give default_joint_pos"
            )
        if values.has("default_joint_pos"):
            draft.per_joint("default", values.values["default_joint_pos"], f"{options.precise.name}: default_joint_pos")
            return
    angles = config.below("robot", "init_state", "default_joint_angles") if config is not None else None
    if angles is not None:
        pairs = {name: angles.number(name) for name in names}
        draft.per_joint("default", pairs, angles.source("*"))
        return
    for name in names:
        draft.data["joints"][name].setdefault("default", None)
    draft.lacks(
        "joints.*.default",
        "the metadata has no default pose; in holosoma it is init_state.default_joint_angles of the robot's "
        "configuration",
        "--precise FILE, a YAML with default_joint_pos: {JOINT: NUMBER, ...}, or --set joints.JOINT.default=NUMBER",
    )


def _simulator(config: Record | None, draft: Draft) -> None:
    """Rates, base and drives, as far as the configuration says them."""
    draft.put("actuation.kind", "explicit", "holosoma computes torques from position targets by itself")
    if config is None:
        for key in ("timestep", "decimation"):
            draft.lacks(key, "the metadata has no rates; in holosoma they are sim.fps and sim.control_decimation")
        return
    sim = config.below("simulator", "config", "sim")
    if sim is not None:
        rate = sim.number("fps")
        draft.put("timestep", 1.0 / rate, sim.source("fps"))
        written = sim.get("control_decimation")
        steps = rate / float(written[:-2]) if isinstance(written, str) and written.endswith("Hz") else written
        if not isinstance(steps, int | float) or abs(steps - round(steps)) > 1e-9 or steps < 1:
            raise sim.error("control_decimation", f"is {written!r}, expected whole steps or a rate such as '50Hz'")
        draft.put("decimation", round(steps), sim.source("control_decimation"))
    robot = config.below("robot")
    if robot is None:
        return
    asset, names = robot.below("asset"), draft.joint_names
    if asset is not None and asset.has("fix_base_link"):
        draft.put("base.floating", not asset.flag("fix_base_link"), asset.source("fix_base_link"))
    same = robot.has("dof_names") and robot.names("dof_names") == names
    for key, entry in (
        ("effort_limit", "dof_effort_limit_list"),
        ("armature", "dof_armature_list"),
        ("lower", "dof_pos_lower_limit_list"),
        ("upper", "dof_pos_upper_limit_list"),
    ):
        if same and robot.has(entry):
            draft.per_joint(key, robot.numbers(entry, len(names), per="entry of dof_names"), robot.source(entry))


def _action(record: Record, config: Record | None, names: list[str], draft: Draft) -> None:
    control = config.below("robot", "control") if config is not None else None
    if control is not None and control.has("control_type") and control.text("control_type") != "P":
        raise control.error(
            "control_type", f"is {control.text('control_type')}; a contract's action is joint position targets (P)"
        )
    terms = config.below("action", "terms") if config is not None else None
    for each in (terms.section(name) for name in terms.entries()) if terms is not None else ():
        if each.text("func") != _ACTION:
            raise each.error("func", f"is no {_ACTION.rpartition(':')[2]}; state it: --set action.terms='[...]'")
    scales = record.spread("action_scale", len(names), per="entry of dof_names")
    term: dict[str, Any] = {"term": "joint_position", "scale": by_joint(names, scales), "offset": "default"}
    if control is not None and control.has("clip_actions") and control.flag("clip_actions"):
        bound = control.number("action_clip_value")
        default = [draft.data["joints"][name].get("default") for name in names]
        if None not in default:
            reach = [bound * abs(scale) for scale in scales]
            term["clip"] = by_joint(names, [[zero - far, zero + far] for zero, far in zip(default, reach, strict=True)])
    elif control is None:
        draft.note(
            f"{record.path.name}: whether actions are clipped (control.clip_actions) is not in the metadata; the "
            "robots of holosoma clip the raw action at 100"
        )
    draft.action(term, record.source("action_scale", "offset: holosoma acts around the default pose"))


def _observation(record: Record, ranges: Record | None, options: ImportOptions, draft: Draft) -> None:
    entries = record.sections("observation_layout")
    longest = 1
    for place, entry in enumerate(entries):
        name = entry.text("name")
        if draft.told_whole(name, options):
            continue
        entry.only(_ENTRY, f"if you know what it does, --set observation.terms.{place}='{{term: KIND, ...}}'")
        history = entry.integer("history_length") if entry.has("history_length") else 1
        term = _term(entry, name, ranges, draft)
        if history > 1:
            term["history"] = history
        longest = max(longest, history)
        draft.term(term, f"{entry.path.name}: {entry.where} ({entry.text('func')})", name=name)
    if longest > 1:
        draft.put("observation.history", _HISTORY, record.source("observation_layout", "holosoma's history"))
    if record.has("observation_clip"):
        bound = record.number("observation_clip")
        if bound <= 0.0:
            raise record.error("observation_clip", f"is {bound:g}, expected a positive bound")
        draft.put("observation.clip", [-bound, bound], record.source("observation_clip"))


def _term(entry: Record, name: str, ranges: Record | None, draft: Draft) -> dict[str, Any]:
    module, _, function = entry.text("func").rpartition(":")
    size, joints = entry.integer("dim"), draft.joint_names
    if module == _MODULE and function in _COMMANDS and not entry.data.get("params"):
        return _command(entry, name, _COMMANDS[function], ranges)
    known, expected = _TERMS.get(function, (None, None)) if module == _MODULE else (None, None)
    if known is None:
        draft.note(
            f"'{name}' ({size} numbers, {entry.text('func')}) is known to its task only; it is an external term, as "
            "the network sees it"
        )
        return {"term": "external", "name": name, "size": size}
    if entry.data.get("params"):
        raise entry.error("params", f"is {entry.data['params']}, which this program does not know for {function}")
    expected = len(joints) if expected is None else expected
    if size != expected:
        raise entry.error("dim", f"is {size}, but {function} has {expected} numbers")
    if known == "base_lin_vel":
        draft.note(
            f"'{name}' is the root's velocity as the simulator of the training reports it (PhysX: of the centre of "
            f"mass, MuJoCo: of the link's origin); say which with --set observation.terms.{name}.point=com or link"
        )
    per_joint = known in ("joint_pos_rel", "joint_vel", "last_action")
    scales, bounds = _scaled(entry, size)
    term: dict[str, Any] = {"term": known}
    if set(scales) != {1.0}:
        same = uniform(scales)
        term["scale"] = by_joint(joints, scales) if per_joint else scales if same is None else same
    if bounds is not None:
        axes = VELOCITY_COMMAND if known == "velocity_command" else XYZ
        term["clip"] = by_joint(joints if per_joint else axes, bounds)
    return term


def _scaled(entry: Record, size: int) -> tuple[list[float], list[list[float]] | None]:
    """Factors, and bounds of the raw numbers: holosoma clips after it scales, a contract before."""
    scales = entry.spread("scale", size, per="element of the term") if entry.has("scale") else [1.0] * size
    if not entry.has("clip"):
        return scales, None
    if 0.0 in scales:
        raise entry.error("scale", "is 0 for an element that is clipped; nothing of it is left")
    low, high = entry.bounds("clip")
    return scales, [sorted((low / scale, high / scale)) for scale in scales]


def _command(entry: Record, name: str, axes: tuple[str, ...], ranges: Record | None) -> dict[str, Any]:
    """A part of the velocity command, as a goal."""
    if entry.integer("dim") != len(axes) or entry.has("clip"):
        raise entry.error("dim", f"is {entry.get('dim')}, but {name} is {', '.join(axes)}, without a clip")
    scale = uniform(entry.spread("scale", len(axes), per="axis")) if entry.has("scale") else 1.0
    if scale is None:
        raise entry.error("scale", "differs between the axes, which a contract's goal can't state")
    unit = "rad/s" if axes == ("ang_vel_z",) else "m/s"
    term = {"term": "goal", "name": name, "size": len(axes), "scale": scale}
    term["frame"] = f"commanded {', '.join(axes)} [{unit}]"
    if ranges is not None and all(ranges.has(_RANGES[axis]) for axis in axes):
        bounds = [ranges.bounds(_RANGES[axis]) for axis in axes]
        term |= {"low": [low for low, _ in bounds], "high": [high for _, high in bounds]}
    return term
