"""Actuator groups of an Isaac Lab robot: kind, gains, armature and effort limit of each joint.

What limits the effort depends on the model. An implicit actuator is clipped by the solver (`joint_effort_limit`; until
2.x `effort_limit_sim` or `effort_limit`), and `actuator_effort_limit` only reports. An explicit one clips itself
(`actuator_effort_limit`; until 2.x `effort_limit`), and the solver clips once more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from policy_port.descriptors.action_delays import ISAAC_LAB, put_actuator_delay
from policy_port.descriptors.draft import Draft
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record
from policy_port.descriptors.tagged_yaml import Foreign
from policy_port.descriptors.term_params import matches
from policy_port.errors import ContractError

_IMPLICIT = ("ImplicitActuator",)
_EXPLICIT = ("IdealPDActuator", "DCMotor", "DelayedPDActuator", "RemotizedPDActuator")
_PLAIN = ("ImplicitActuator", "IdealPDActuator", "DelayedPDActuator")
"""What a contract's kinds of actuation are, and its delay; the others do more."""
_SOLVER = ("joint_effort_limit", "effort_limit_sim")
_MODEL = ("actuator_effort_limit", "effort_limit")
"""Names of one limit, the present one first; Isaac Lab itself refuses two that differ."""
_KEYS = ("stiffness", "damping", "armature")
_SINGLE = 4e-7
"""Relative difference that single precision makes of a number, with a little to spare."""


def add_actuators(actuators: Record, drawn: Mapping[str, str], options: ImportOptions, draft: Draft) -> set[str]:
    """Add the kind of actuation and each joint's numbers; the joints that are driven.

    Args:
        actuators: The groups.
        drawn: Key of a joint to the event that draws it anew at start, so that the descriptor lacks the nominal number.
        options: What the user states; a number stated by `--set` is held against nothing.
        draft: Where the descriptor's own numbers are.

    Raises:
        ContractError: When a group leads to no joint, two lead to one, or the numbers contradict the descriptor's.
    """
    kinds: dict[str, str] = {}
    more: list[str] = []
    owners: dict[str, str] = {}
    groups = {name: actuators.section(name) for name in actuators.entries()}
    for name, actuator in groups.items():
        kinds[name] = actuator.text("class_type").replace(":", ".").rpartition(".")[2]
        driven = _driven(actuator, draft.joint_names)
        for joint in driven:
            if joint in owners:
                raise actuator.error("joint_names_expr", f"drives '{joint}', which {owners[joint]} drives already")
            owners[joint] = name
        for key in _KEYS:
            _add_number(actuator, key, driven, drawn.get(key), options, draft)
        read = _add_effort_limit(actuator, kinds[name] in _IMPLICIT, driven, draft)
        left = [f"{key} {_short(actuator.data[key])}" for key in actuator.entries() if _says_more(actuator, key, read)]
        if left or kinds[name] not in _PLAIN:
            more.append(f"{name} ({', '.join([kinds[name], *left])})")
    put_actuator_delay(groups, ISAAC_LAB, draft)
    if more:
        draft.note(
            f"{actuators.path.name}: a contract has no words for all of the actuators {', '.join(more)}; a replay "
            "drives the joints with gains, armature and effort limit alone"
        )
    known = {"implicit" if kind in _IMPLICIT else "explicit" if kind in _EXPLICIT else kind for kind in kinds.values()}
    if known == {"implicit"} or known == {"explicit"}:
        draft.put(
            "actuation.kind", known.pop(), actuators.source("*.class_type", ", ".join(sorted(set(kinds.values()))))
        )
    else:
        listed = ", ".join([*more, *(f"{name} ({kind})" for name, kind in kinds.items() if kind in _PLAIN)])
        draft.lacks("actuation.kind", f"env.yaml has actuators that no single kind covers ({listed})")
    if more:
        draft.sources["actuation"] = actuators.source("*", ", ".join(more))
    return set(owners)


def by_pattern(record: Record, key: str, joints: list[str]) -> dict[str, float]:
    """Numbers by joint: one for all, or by patterns of names, as Isaac Lab resolves them.

    Args:
        record: Where it stands.
        key: Its key.
        joints: Joints that patterns may lead to.

    Raises:
        ContractError: When a pattern leads to no joint, or two lead to one.
    """
    if not isinstance(record.get(key), dict):
        return dict.fromkeys(joints, record.number(key))
    section = record.section(key)
    found: dict[str, str] = {}
    for pattern in section.entries():
        hits = [name for name in joints if matches(pattern, name, section)]
        if not hits:
            raise section.error(pattern, f"is none of the joints {', '.join(joints)}; is the file of another run?")
        for name in hits:
            if name in found:
                raise section.error(pattern, f"leads to '{name}', to which '{found[name]}' leads too")
            found[name] = pattern
    return {name: section.number(found[name]) for name in joints if name in found}


def same_number(one: float, other: float) -> bool:
    """Whether two numbers are one, written in single or in double precision."""
    return abs(one - other) <= _SINGLE * max(abs(one), abs(other))


def told(options: ImportOptions, joint: str, key: str) -> bool:
    """Whether `--set` states this number of this joint."""
    return bool({f"joints.{joint}.{key}", f"joints.*.{key}"} & set(options.settings))


def other_run(record: Record, key: str, joint: str, number: str, stated: float, described: float) -> ContractError:
    """What to say of a number that the configuration and the descriptor have differently."""
    return record.error(
        key,
        f"has {stated:g} for '{joint}', but the descriptor has {described:g}: the two files are of different runs. "
        "Give those of one, or where something of your project changed it at start, "
        f"--set joints.{joint}.{number}=NUMBER",
    )


def _driven(actuator: Record, joints: list[str]) -> list[str]:
    single = isinstance(actuator.data.get("joint_names_expr"), str)
    patterns = [actuator.text("joint_names_expr")] if single else actuator.names("joint_names_expr")
    for pattern in patterns:
        if not any(matches(pattern, name, actuator) for name in joints):
            raise actuator.error(
                "joint_names_expr",
                f"has '{pattern}', which is none of the joints {', '.join(joints)}; is the file of another run?",
            )
    return [name for name in joints if any(matches(pattern, name, actuator) for pattern in patterns)]


def _add_number(
    actuator: Record, key: str, driven: list[str], event: str | None, options: ImportOptions, draft: Draft
) -> None:
    """Put the number of each joint; the descriptor has it in single precision, or not at all for an explicit model."""
    joints = draft.data["joints"]
    if not actuator.has(key):
        return
    if isinstance(actuator.data[key], Foreign) and all(joints[name].get(key) is not None for name in driven):
        return
    stated = by_pattern(actuator, key, driven)
    described = {name: joints[name].get(key) for name in stated if not told(options, name, key)}
    differing = [
        name for name, number in described.items() if number is not None and not same_number(number, stated[name])
    ]
    for name in differing if event is None else ():
        raise other_run(actuator, key, name, key, stated[name], joints[name][key])
    if differing:
        draft.note(
            f"{actuator.path.name}: {event} draws {key} anew in training, so that the descriptor has what was drawn in "
            f"one environment; taken is {actuator.key(key)}, without the draw"
        )
    open_joints = {name: value for name, value in stated.items() if name in differing or joints[name].get(key) is None}
    if open_joints:
        draft.per_joint(key, open_joints, actuator.source(key))


def _add_effort_limit(actuator: Record, implicit: bool, driven: list[str], draft: Draft) -> set[str]:
    """Put what clips each joint's effort; the keys that were read."""
    solver = _one_of(actuator, _SOLVER, driven)
    model = _one_of(actuator, ("effort_limit",) if implicit else _MODEL, driven)
    read = {*_SOLVER, "effort_limit"} | (set() if implicit else set(_MODEL))
    found = [pair for pair in ((solver, model) if implicit else (model, solver)) if pair is not None]
    if not found:
        return read
    key, limits = found[0]
    for other, values in found[1:]:
        differing = [name for name in limits if name in values and values[name] != limits[name]]
        if differing and not implicit and any(values[name] < limits[name] for name in differing):
            limits = {name: min(value, values.get(name, value)) for name, value in limits.items()}
        if differing:
            name = differing[0]
            draft.note(
                f"{actuator.path.name}: {actuator.where} has {other} {values[name]:g} beside {key} for '{name}'; "
                f"the contract has {limits[name]:g}, "
                + ("which the solver clips at" if implicit else "the smaller: the model clips, then the solver")
            )
    draft.per_joint("effort_limit", limits, actuator.source(key))
    return read


def _one_of(actuator: Record, keys: tuple[str, ...], driven: list[str]) -> tuple[str, dict[str, float]] | None:
    """The limit that goes by several names, under the first of them that is there."""
    stated = [(key, _bounded(actuator, key, driven)) for key in keys if actuator.has(key)]
    if len(stated) > 1 and stated[0][1] != stated[1][1]:
        raise actuator.error(
            stated[1][0], f"is the old name of {stated[0][0]}, which says something else beside it; take one out"
        )
    return next((pair for pair in stated if pair[1]), None)


def _bounded(actuator: Record, key: str, driven: list[str]) -> dict[str, float]:
    """The limits that limit; an infinite one is none."""
    value = actuator.get(key)
    if value == math.inf:
        return {}
    if isinstance(value, dict) and math.inf in value.values():
        finite = {pattern: number for pattern, number in value.items() if number != math.inf}
        actuator = Record(actuator.path, {key: finite}, actuator.where)
    return by_pattern(actuator, key, driven)


def _says_more(actuator: Record, key: str, read: set[str]) -> bool:
    """Whether a key says something that no contract holds; null, 0 and nothing say nothing."""
    value = actuator.data[key]
    values = list(value.values()) if isinstance(value, dict) else [value]
    nothing = all(
        item is None or item in ("", [], ()) or (isinstance(item, int | float) and not item) for item in values
    )
    return key not in {"class_type", "joint_names_expr", *ISAAC_LAB, *_KEYS, *read} and not nothing


def _short(value: Any) -> str:
    if isinstance(value, dict) and len(value) <= 4:
        return "{" + ", ".join(f"{key}: {_short(item)}" for key, item in value.items()) + "}"
    if isinstance(value, dict | list | tuple):
        return f"of {len(value)} entries"
    return f"{value:g}" if isinstance(value, float) else str(value)[:60]
