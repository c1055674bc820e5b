"""Dotted keys into plain contract data: "joints.*.armature", "observation.terms.joint_vel.scale"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policy_port.errors import ContractError, closest

Node = dict[str, Any] | list[Any]


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
    *way, last = key.split(".")
    nodes: list[Any] = [data]
    for part in way:
        nodes = [child for node in nodes for child in _step(node, part, key)]
    for node in nodes:
        if isinstance(node, list):
            node[_index(node, last, key)] = value
        elif isinstance(node, dict):
            for name in list(node) if last == "*" else [last]:
                node[name] = value
        else:
            raise ContractError(f"--set {key}: '{way[-1]}' holds no keys to set")


def label(item: Any) -> str | None:
    """Label of a term as plain data."""
    return item.get("name") or item.get("term") if isinstance(item, dict) else None


def covers(pattern: str, key: str) -> bool:
    """Whether `pattern` leads to `key` or to something that holds it."""
    wanted, parts = pattern.split("."), key.split(".")
    return len(wanted) <= len(parts) and all(a in ("*", b) for a, b in zip(wanted, parts, strict=False))


def leaves(data: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of every value that is no mapping and no list of mappings."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from leaves(value, f"{where}.{name}".lstrip("."))
    elif isinstance(data, list) and any(isinstance(item, dict) for item in data):
        for i, item in enumerate(data):
            yield from leaves(item, f"{where}.{label(item) or i}")
    else:
        yield where, data


def _find(node: Any, parts: list[str], where: str) -> Iterator[tuple[str, Any]]:
    if not parts:
        yield where, node
        return
    head, rest = parts[0], parts[1:]
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


def _step(node: Any, part: str, key: str) -> list[Any]:
    if isinstance(node, list):
        return list(node) if part == "*" else [node[_index(node, part, key)]]
    if not isinstance(node, dict):
        raise ContractError(f"--set {key}: nothing to go into at '{part}'")
    if part == "*":
        return list(node.values())
    if node.get(part) is None:
        node[part] = {}
    return [node[part]]


def _index(node: list[Any], part: str, key: str) -> int:
    labels = [label(item) or str(i) for i, item in enumerate(node)]
    if part in labels:
        return labels.index(part)
    if part.isdigit() and int(part) < len(node):
        return int(part)
    raise ContractError(
        f"--set {key}: there is no entry '{part}'{closest(part, labels)} There are: {', '.join(labels)}"
    )
