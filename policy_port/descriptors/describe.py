"""A contract as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from policy_port.contract import Contract
from policy_port.contract.command import CommandElement, unit_of
from policy_port.contract.layout import observation_slots


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
        + (f", raw clip {contract.action.raw_clip}" if contract.action.raw_clip is not None else ""),
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


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns, two blanks apart; the last column is not padded."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)]
    return "\n".join("  " + line.rstrip() for line in lines)


def _terms(contract: Contract) -> list[tuple[str, ...]]:
    labels = [slot.term for slot in observation_slots(contract)]
    time_major = contract.observation.history is not None and contract.observation.history.layout == "time_major"
    rows = []
    for term in contract.observation.terms:
        first = labels.index(term.label)
        size = contract.term_size(term)
        last = first + size * (1 if time_major else term.history) - 1
        times = f" x {term.history}" if term.history > 1 else ""
        values = [_short(getattr(term, key, None)) for key in ("scale", "offset", "clip")]
        place = f"{first}-{last}" if last > first else f"{first}"
        rows.append((term.label, f"{term.term} {term.where}".rstrip(), place, f"{size}{times}", *values))
    return rows


def _history(contract: Contract) -> list[str]:
    history = contract.observation.history
    if history is None:
        return []
    return [f"  history: {history.layout}, {history.order}, filled with {history.fill}"]


def _actions(contract: Contract) -> list[tuple[str, ...]]:
    rows = []
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
