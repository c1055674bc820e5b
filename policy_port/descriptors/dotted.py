"""Dotted keys into plain contract data: "joints.*.armature", "observation.terms.joint_vel.scale".

A name may hold dots itself, as LeRobot's do ("joints.gripper.pos.unit"): the longest name that is there counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policy_port.errors import ContractError, closest


def find(data: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of everything that `key` leads to; a value that is absent or null is None.

    A `*` stands for every entry; the entries of a list of terms are called by their label. Where a `*` meets
    nothing, nothing is yielded.
    """
    yield from _find(data, key.split("."), "")


def assign(data: dict[str, Any], key: str, value: Any) -> None:
    """Put `value` where `key` leads to, making mappings on the way.

    Raises:
        ContractError: When the key leads through something that is no mapping, or names an entry that a list has not.
    """
    _assign(data, key.split("."), key, value)


def label(item: Any) -> str | None:
    """Label of a term as plain data."""
    return item.get("name") or item.get("term") if isinstance(item, dict) else None


def covers(pattern: str, key: str) -> bool:
    """Whether `pattern` leads to `key` or to something that holds it."""
    return _covers(pattern.split("."), key.split("."))


def _find(node: Any, parts: list[str], where: str) -> Iterator[tuple[str, Any]]:
    if not parts:
        yield where, node
        return
    head, rest = _entry(node, parts)
    if head == "*":
        names = list(node) if isinstance(node, dict) else [label(item) or str(i) for i, item in enumerate(node or [])]
    else:
        names = [head]
    for name in names:
        yield from _find(_child(node, name), rest, f"{where}.{name}".lstrip("."))


def _child(node: Any, name: str) -> Any:
    if isinstance(node, dict):
        return node.get(name)
    if isinstance(node, list):
        by_label = [item for i, item in enumerate(node) if name in (label(item), str(i))]
        return by_label[0] if by_label else None
    return None


def _entry(node: Any, parts: list[str]) -> tuple[str, list[str]]:
    """The entry of `node` that dotted parts begin with, and the parts behind it."""
    if isinstance(node, dict):
        for count in range(len(parts), 1, -1):
            if (name := ".".join(parts[:count])) in node:
                return name, parts[count:]
    return parts[0], parts[1:]


def _covers(wanted: list[str], parts: list[str]) -> bool:
    if not wanted or not parts:
        return not wanted
    if wanted[0] == "*":
        # The name that it stands for may hold dots.
        return any(_covers(wanted[1:], parts[count:]) for count in range(1, len(parts) + 1))
    return wanted[0] == parts[0] and _covers(wanted[1:], parts[1:])


def _assign(node: Any, parts: list[str], key: str, value: Any) -> None:
    head, rest = _entry(node, parts)
    if isinstance(node, list):
        for place in range(len(node)) if head == "*" and rest else [_index(node, head, key)]:
            if rest:
                _assign(node[place], rest, key, value)
            else:
                node[place] = value
    elif isinstance(node, dict):
        for name in list(node) if head == "*" else [head]:
            if not rest:
                node[name] = value
                continue
            if node.get(name) is None:
                node[name] = {}
            _assign(node[name], rest, key, value)
    else:
        raise ContractError(f"--set {key}: nothing to go into at '{head}'")


def _index(node: list[Any], part: str, key: str) -> int:
    labels = [label(item) or str(i) for i, item in enumerate(node)]
    if part in labels:
        return labels.index(part)
    if part.isdigit() and int(part) < len(node):
        return int(part)
    raise ContractError(
        f"--set {key}: there is no entry '{part}'{closest(part, labels)} There are: {', '.join(labels)}"
    )
