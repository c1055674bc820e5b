"""A contract as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import indent
from typing import Any

from policy_port.contract import Contract
from policy_port.contract.command import CommandElement, unit_of
from policy_port.contract.layout import observation_slots
from policy_port.contract.shaping import FirstOrder
from policy_port.text_table import columns


def describe(contract: Contract) -> str:
    """The whole contract in words and tables."""
    order = f", quaternions {contract.quaternion_order}" if contract.quaternion_order in ("wxyz", "xyzw") else ""
    rate = f"{1.0 / contract.control_dt:g} Hz control ({contract.timestep:g} s x {contract.decimation})"
    frame = f", base terms in frame {contract.base.frame}" if contract.base.frame else ""
    weightless = ", links without gravity" if contract.actuation.gravity_compensation else ""
    parts = [
        f"{contract.name}: {contract.robot}, trained in {contract.trained_in}",
        f"{rate}, {contract.actuation.kind} actuation{weightless}{order}, "
        f"{'floating' if contract.base.floating else 'fixed'} base{frame}",
        "",
        f"observation, {contract.observation_size} numbers",
        table(("term", "kind", "index", "size", "scale", "offset", "clip"), _terms(contract)),
        *_history(contract),
        "",
        f"action, {contract.action_size} numbers"
        + (f", raw clip {_clip_words(contract.action.raw_clip)}" if contract.action.raw_clip is not None else ""),
        *_shaping(contract),
        table(("term", "joints", "scale", "offset", "clip"), _actions(contract)),
        "",
        "joints, in the policy's order",
        table(("joint", *_JOINT_KEYS), _joints(contract)),
    ]
    command = contract.command
    stated = [name for name in command.names if command.element(name) != CommandElement()]
    if stated:
        keys = ("default", "slew", "dead_zone")
        rows = [
            (
                name,
                *map(_short, command.bounds(name) or (None, None)),
                *(_short(getattr(command.element(name), key)) for key in keys),
                unit_of(command, name),
            )
            for name in stated
        ]
        parts += ["", "commands: trained range", table(("command", "low", "high", *keys, "unit"), rows)]
    if contract.images:
        rows = [
            (i.name, f"{i.height}x{i.width}x{i.channels}", i.layout, i.dtype, _short(i.scale)) for i in contract.images
        ]
        parts += ["", "images", table(("camera", "size", "layout", "type", "scale"), rows)]
    if contract.sources:
        parts += ["", "sources", table(("key", "from"), list(contract.sources.items()))]
    return "\n".join(parts)


_JOINT_KEYS = ("default", "unit", "lower", "upper", "stiffness", "damping", "armature", "effort_limit")


def _clip_words(clip: Any) -> str:
    if not isinstance(clip, dict):
        return str(clip)
    return ", ".join(f"{name} [{low:g}, {high:g}]" for name, (low, high) in clip.items())


def _shaping(contract: Contract) -> list[str]:
    """What lies between the action and the joints, and the delays of terms, a line each."""
    action, late = contract.action, contract.action.late
    lines = []
    for steps, of in ((late.steps, "control"), (late.physics_steps, "physics")):
        if steps:
            lines.append(f"late by {steps} {of} step{'' if steps == 1 else 's'}, {late.fill} before")
    if isinstance(action.filter, FirstOrder):
        weight = action.filter.weight(contract.control_dt)
        lines.append(
            f"filter of {action.filter.of}: {weight:g} * new + {1 - weight:g} * last, from {action.filter.held}"
        )
    elif action.filter is not None:
        lines.append(f"filter of {action.filter.of}: mean of {action.filter.steps} steps, from {action.filter.held}")
    if action.between != "hold":
        lines.append(f"{action.between}d between control steps")
    for term in contract.observation.terms:
        if term.late.steps:
            steps = term.late.steps
            lines.append(f"{term.label} is shown {steps} control step{'' if steps == 1 else 's'} late")
    return lines


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns, two blanks apart; the last column is not padded."""
    return indent(columns((header, *rows)), "  ", lambda line: True)


def _terms(contract: Contract) -> list[tuple[str, ...]]:
    labels = [slot.term for slot in observation_slots(contract)]
    rows: list[tuple[str, ...]] = []
    for term in contract.observation.terms:
        first = labels.index(term.label)
        size = contract.term_size(term)
        stack = contract.observation.stack(term)
        last = first + size * (1 if stack.time_major else len(stack.ages)) - 1
        times = f" x {len(stack.ages)}" if len(stack.ages) > 1 else ""
        times += f" of {stack.group}" if stack.group is not None else ""
        values = [_short(getattr(term, key, None)) for key in ("scale", "offset", "clip")]
        place = f"{first}-{last}" if last > first else f"{first}"
        rows.append((term.label, f"{term.term} {term.where}".rstrip(), place, f"{size}{times}", *values))
    return rows


def _history(contract: Contract) -> list[str]:
    history = contract.observation.history
    lines = [] if history is None else [f"  history: {history.layout}, {history.order}, filled with {history.fill}"]
    for name, group in contract.observation.groups.items():
        steps = ", ".join(map(str, group.ages[:12])) + (", ..." if len(group.ages) > 12 else "")
        lines.append(f"  history {name}: {steps} steps ago, {group.layout}, filled with {group.fill}")
    return lines


def _actions(contract: Contract) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for term in contract.action.terms:
        joints = "all" if term.joints is None else ", ".join(term.joints)
        rows.append((term.term, joints, _short(term.scale), _short(term.offset), _short(term.clip)))
    return rows


def _joints(contract: Contract) -> list[tuple[str, ...]]:
    return [(name, *(_short(getattr(joint, key)) for key in _JOINT_KEYS)) for name, joint in contract.joints.items()]


def _short(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool() | str():
            return str(value)
        case int() | float():
            return f"{value:.6g}"
        case dict():
            return "per joint" if len(value) > 4 else ", ".join(f"{name} {_short(v)}" for name, v in value.items())
        case list() | tuple():
            return "[" + ", ".join(_short(item) for item in value) + "]"
        case _:
            return str(value)
