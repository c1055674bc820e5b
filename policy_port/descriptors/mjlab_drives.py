"""Actuators and actions of an mjlab run: which joints they drive, with which numbers, and how.

The class of an actuator is lost in env.yaml. `BuiltinPositionActuator` (the solver integrates the drive) and
`IdealPdActuator` (a torque computed once per step) have the same keys; what the exporter read from the MuJoCo model
tells them apart: gains of the drive, or a motor's 1 and 0.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policy_port.descriptors.action_delays import MJLAB, put_actuator_delay
from policy_port.descriptors.draft import Draft
from policy_port.descriptors.elements import by_joint, joint_offset
from policy_port.descriptors.mjlab_env import OF_ANOTHER_RUN, ROBOT, Run, full_match, name_of, selected
from policy_port.descriptors.precise import rounds_to
from policy_port.descriptors.record import Record
from policy_port.descriptors.tagged_yaml import Foreign

_TARGETS = ("target_names_expr", "joint_names_expr")
"""Key of an actuator's joints; the second is that of mjlab before 1.0."""

_READ = ("stiffness", "damping", "armature", "effort_limit")
_QUIET = {"delay_hold_prob", "delay_update_period", "delay_per_env_phase", *MJLAB, "command_field", "gear"}
"""Keys that say nothing by themselves: what a lag is made of counts only where there is one, a gear of 1 is none."""

_NO_POSITION = {"effort_limit", "damping", "force", "length_range"}

_MODELS = {"saturation_effort": "a torque-speed curve", "network_file": "a learned network", "motor_params": "a motor"}

_ACTION = frozenset(
    (
        *("entity_name", "asset_name", "class_type", "clip", "transmission_type", "actuator_names", "scale", "offset"),
        *("preserve_order", "use_default_offset"),
    )
)

_ACTIONS = {
    "JointPositionAction": "joint_position",
    "JointVelocityAction": "joint_velocity",
    "JointEffortAction": "joint_effort",
}


@dataclass(frozen=True, kw_only=True)
class Drive:
    """One group of actuators."""

    record: Record
    """Where it stands."""
    joints: tuple[str, ...]
    """Joints that it drives, in the robot's order."""

    @property
    def gains(self) -> tuple[float, float] | None:
        """Stiffness and damping; None where the robot's file has them (`XmlActuator`).

        A velocity actuator has damping alone, a motor neither.
        """
        if self.record.has("stiffness"):
            return self.record.number("stiffness"), self.record.number("damping")
        if self.record.has("damping"):
            return 0.0, self.record.number("damping")
        return (0.0, 0.0) if self.record.has("effort_limit") else None

    def kind(self, stated: Mapping[str, tuple[float, float]]) -> str | None:
        """How its targets become torques: told by its keys, or by the gains that the exporter found in the model.

        Args:
            stated: Stiffness and damping of its joints in the metadata; empty where it does not say.

        Raises:
            ContractError: When the metadata has other gains than any actuator with these numbers.
        """
        if any(self.record.has(key) for key in ("network_file", "motor_params")):
            return None
        if self.gains is None:
            # An XmlActuator has no numbers at all; motors, velocity drives and muscles are no position drives.
            return "model" if not _NO_POSITION & self.record.data.keys() else None
        if not self.record.has("stiffness"):
            return "implicit"
        limit = self.record.data.get("effort_limit", 0.0)
        if self.record.has("saturation_effort") or limit == math.inf:
            return "explicit"
        if not stated:
            return "implicit" if limit is None else None
        stiffness, damping = self.gains
        # BuiltinPdActuator has a position and a velocity element; the exporter meets the second.
        fits = (("implicit", stiffness, damping), ("implicit", damping, damping), ("explicit", 1.0, 0.0))
        kinds = {
            kind
            for kind, *pair in fits
            if all(rounds_to(*each) for two in stated.values() for each in zip(pair, two, strict=True))
        }
        if not kinds:
            found = ", ".join(f"{k:g} and {d:g} for {name}" for name, (k, d) in stated.items())
            raise self.record.error(
                "stiffness",
                f"is {stiffness:g} with a damping of {damping:g}, but the metadata has {found}, which no rounding "
                f"explains; {OF_ANOTHER_RUN}",
            )
        return kinds.pop() if len(kinds) == 1 else None


def drives(run: Run) -> list[Drive]:
    """The groups of actuators of the robot's joints.

    Raises:
        ContractError: When one names no joint, or two drive the same.
    """
    articulation = run.robot.below("articulation")
    if articulation is None or not articulation.has("actuators"):
        return []
    found: list[Drive] = []
    for record in _sections(articulation, "actuators"):
        if _word(record, "transmission_type", "joint") != "joint":
            continue
        key = next((key for key in _TARGETS if record.has(key)), _TARGETS[0])
        joints = selected(record, key, run.names)
        if twice := [name for drive in found for name in drive.joints if name in joints]:
            raise record.error(key, f"picks '{twice[0]}', which another actuator drives already")
        found.append(Drive(record=record, joints=tuple(joints)))
    return found


def add_drives(run: Run, metadata: Mapping[str, tuple[float, float]], draft: Draft) -> None:
    """Add armature, effort limits and the kind of actuation, and say what a contract has no words for.

    Args:
        run: The run.
        metadata: Stiffness and damping by joint, as the exporter found them; empty where their order is not known.
        draft: What is added to.
    """
    kinds: dict[str, str] = {}
    more: list[str] = []
    place = f"{run.robot.source('articulation')}.actuators"
    for drive in drives(run):
        record = drive.record
        for key in ("armature", "effort_limit"):
            if record.has(key) and record.get(key) != math.inf:
                draft.per_joint(key, dict.fromkeys(drive.joints, record.number(key)), f"{place}.{key}")
        kinds[record.where] = (
            drive.kind({name: metadata[name] for name in drive.joints if name in metadata}) or "unknown"
        )
        left = [f"{key} {record.data[key]}" for key in record.entries() if _says_more(record, key)]
        model = [words for key, words in _MODELS.items() if record.has(key)]
        if left or model:
            more.append(f"{record.where} ({', '.join([*model, *left])})")
    put_actuator_delay({drive.record.where: drive.record for drive in drives(run)}, MJLAB, draft)
    if more:
        draft.note(
            f"{run.env.path.name}: a contract has no words for all of the actuators {'; '.join(more)}; a replay drives "
            "the joints with gains, armature and effort limit alone"
        )
    if len(set(kinds.values())) == 1 and "unknown" not in kinds.values():
        kind = next(iter(kinds.values()))
        why = "gains as the exporter found them in the MuJoCo model" if metadata else "keys of the actuators"
        draft.put("actuation.kind", kind, f"{place}; {why}")
    else:
        listed = ", ".join(f"{where} {kind}" for where, kind in kinds.items()) or "none"
        draft.lacks(
            "actuation.kind",
            f"env.yaml keeps no class of an actuator: BuiltinPositionActuator (implicit) and IdealPdActuator "
            f"(explicit) have the same keys, and nothing else tells ({listed})",
        )


def exact_gains(run: Run) -> dict[str, dict[str, float]]:
    """Stiffness and damping by joint, as far as env.yaml has them."""
    pairs = {name: drive.gains for drive in drives(run) for name in drive.joints}
    return {
        key: {name: gains[i] for name, gains in pairs.items() if gains is not None}
        for i, key in enumerate(("stiffness", "damping"))
    }


def add_actions(run: Run, driven: Sequence[str], told: Container[str], draft: Draft) -> dict[str, dict[str, float]]:
    """Add the actions; the scale of each by joint is handed back under its name.

    Args:
        run: The run.
        driven: The joints that actuators drive, in the robot's order.
        told: Keys of the contract that the user sets.
        draft: What is added to; it has the default positions.

    Raises:
        ContractError: When one is no position of joints, with how to state it.
    """
    actions = run.env.section("actions")
    scales: dict[str, dict[str, float]] = {}
    default = {name: joint["default"] for name, joint in draft.data["joints"].items()}
    for key in actions.entries():
        if not actions.has(key):
            continue
        record = actions.section(key)
        joints = _action_joints(record, driven)
        kind = _action_kind(record)
        term: dict[str, Any] = {"term": kind}
        if joints != list(run.names):
            term["joints"] = joints
        scale = full_match(record, "scale", joints, 1.0) if record.has("scale") else dict.fromkeys(joints, 1.0)
        scales[key] = {name: _number(record, "scale", value) for name, value in scale.items()}
        term["scale"] = by_joint(joints, list(scales[key].values()))
        if kind == "joint_position" and record.flag("use_default_offset"):
            term["offset"] = "default"
        elif kind == "joint_velocity" and record.flag("use_default_offset"):
            # The default joint velocity, which mjlab's robots leave at zero; another is in the robot's initial state.
            _refuse_start_velocity(run)
        else:
            offset = full_match(record, "offset", joints, 0.0) if record.has("offset") else dict.fromkeys(joints, 0.0)
            values = [_number(record, "offset", value) for value in offset.values()]
            at_rest = {name: default[name] for name in joints} if kind == "joint_position" else {}
            term["offset"] = joint_offset(at_rest, joints, values)
        place = len(scales) - 1
        if record.has("clip") and f"action.terms.{place}.clip" not in told:
            term["clip"] = _clips(record, joints, place)
        draft.action(term, record.source("scale") + ", actuator_names, offset")
    return scales


def _action_joints(record: Record, driven: Sequence[str]) -> list[str]:
    advice = "if you know what it does, state the action yourself: --set action.terms='[{term: KIND, ...}]'"
    record.only(_ACTION, advice)
    kind = name_of(record, "class_type").rpartition(".")[2]
    if not (kind in _ACTIONS if kind else record.has("use_default_offset")):
        raise record.error(
            "use_default_offset" if not kind else "class_type",
            f"is {kind or 'missing'}: this is no {', '.join(_ACTIONS)} of mjlab, the actions that a contract knows of "
            f"it; {advice}",
        )
    entity = next((record.text(key) for key in ("entity_name", "asset_name") if record.has(key)), ROBOT)
    if entity != ROBOT or _word(record, "transmission_type", "joint") != "joint":
        raise record.error("entity_name", f"is '{entity}', or no joints are driven; {advice}")
    joints = selected(record, "actuator_names", driven)
    # Old versions obeyed preserve_order, 1.6 does not: where the two differ, nothing tells which this is.
    if record.flag("preserve_order"):
        patterns = record.get("actuator_names")
        ordered = [
            name for pattern in patterns for name in selected(Record(record.path, {"p": [pattern]}), "p", driven)
        ]
        if ordered != joints:
            raise record.error(
                "preserve_order",
                f"is true, and mjlab's versions differ in what it does: {', '.join(joints)}, or "
                f"{', '.join(ordered)}; {advice}",
            )
    return joints


def _action_kind(record: Record) -> str:
    return _ACTIONS.get(name_of(record, "class_type").rpartition(".")[2], "joint_position")


def _refuse_start_velocity(run: Run) -> None:
    state = run.robot.below("init_state")
    speeds = state.data.get("joint_vel") if state is not None else None
    if isinstance(speeds, dict) and state is not None and any(speeds.values()):
        raise state.error(
            "joint_vel", "is not 0, and the velocity action adds it: write that into the action term of the contract"
        )


def _clips(record: Record, joints: list[str], place: int) -> Any:
    advice = f"give the bounds that hold with --set action.terms.{place}.clip='[LOW, HIGH]'"
    bounds = full_match(record, "clip", joints, None)
    open_joints = [name for name, pair in bounds.items() if pair is None]
    if open_joints:
        raise record.error("clip", f"leaves out {', '.join(open_joints)}, which a contract's clip can't; {advice}")
    return by_joint(
        joints, [Record(record.path, {"clip": pair}, record.where).bounds("clip") for pair in bounds.values()]
    )


def _number(record: Record, key: str, value: Any) -> float:
    return Record(record.path, {key: value}, record.where).number(key)


def _sections(record: Record, key: str) -> list[Record]:
    """The mappings of a list or tuple at `key`."""
    return Record(record.path, {key: list(record.get(key))}, record.where).sections(key)


def _word(record: Record, key: str, otherwise: str) -> str:
    """The value of an enumeration, which mjlab's file has as a tag around a word."""
    value = record.data.get(key)
    if isinstance(value, Foreign) and isinstance(value.value, list) and len(value.value) == 1:
        value = value.value[0]
    return value if isinstance(value, str) else otherwise


def _says_more(record: Record, key: str) -> bool:
    """Whether a key says something that no contract holds; null, 0 and nothing say nothing."""
    value = record.data[key]
    known = {*_TARGETS, *_READ, *_MODELS, *_QUIET, "transmission_type", "class_type"}
    zero = isinstance(value, int | float) and not value
    return key not in known and not zero and value not in (None, "", {}, [], ())
