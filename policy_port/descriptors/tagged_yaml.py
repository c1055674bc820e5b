"""The YAML that Isaac Lab and its relatives write: two Python tags are known, and nothing is ever constructed.

`!!python/tuple` becomes a tuple and `!!python/object/apply:builtins.slice` a `Slice` of three plain values. What stands
under any other tag becomes a `Foreign` value, which nobody can use: a `Record` that is asked for it names tag and line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from policy_port.errors import ContractError
from policy_port.plain_yaml import PlainYaml, read_text

MAX_BYTES = 16 * 1024 * 1024
"""Largest descriptor read."""

MAX_DEPTH = 60
"""Deepest nesting read; the deepest env.yaml seen has twelve levels."""


@dataclass(frozen=True)
class Slice:
    """What a slice tag says."""

    start: Any
    stop: Any
    step: Any

    @property
    def everything(self) -> bool:
        """Whether it selects all."""
        return self.start is None and self.stop is None and self.step is None


@dataclass(frozen=True)
class Foreign:
    """A value whose tag only code could read."""

    tag: str
    """The tag, as the file writes it."""
    line: int
    """Its line, counted from 1."""
    value: Any = field(default=None, compare=False)
    """The plain value under the tag, as far as it is one."""

    @property
    def name(self) -> str:
        """The dotted name of what the tag names: a function, or the class of an enumeration; "" for other tags."""
        return self.tag.partition("python/name:")[2] or self.tag.partition("python/object/apply:")[2]

    def __str__(self) -> str:
        """What a message says of it."""
        return f"a value with the tag {self.tag} (line {self.line}), which only code could read"


def _foreign(node: yaml.Node, value: Any) -> Foreign:
    return Foreign(node.tag.replace("tag:yaml.org,2002:", "!!"), node.start_mark.line + 1, value)


def _tuple(node: yaml.Node, value: Any) -> tuple[Any, ...] | Foreign:
    return tuple(value) if isinstance(value, list) else _foreign(node, value)


def _slice(node: yaml.Node, value: Any) -> Slice | Foreign:
    return Slice(*value) if isinstance(value, list) and len(value) == 3 else _foreign(node, value)


_TAGS = {"python/tuple": _tuple, "python/object/apply:builtins.slice": _slice}


def read_tagged_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML or JSON mapping with string keys.

    Raises:
        ContractError: When the file can't be read, is no such mapping, has a key twice, or a foreign tag on a key;
            with file and line.
    """
    return parsed(path, text_at(path))


def text_at(path: Path) -> str:
    """The text of a descriptor."""
    return read_text(path, ContractError, what="a YAML or JSON file", max_bytes=MAX_BYTES)


def parsed(path: Path, text: str) -> dict[str, Any]:
    """What `read_tagged_yaml` makes of the file's text."""
    document = PlainYaml(text, path, ContractError, tags=_TAGS, any_tag=_foreign, strict=False, max_depth=MAX_DEPTH)
    if not isinstance(document.data, dict):
        raise ContractError(f"{path}: holds no YAML mapping (key: value lines)")
    for key in _keys(document.data):
        if isinstance(key, Foreign):
            raise ContractError(f"{path}:{key.line}: a key has the tag {key.tag}; keys are plain words, so take it out")
    return document.data


def _keys(data: Any) -> Iterator[Any]:
    """Every key of nested mappings; what aliases share is looked at once."""
    pending, seen = [data], set[int]()
    while pending:
        node = pending.pop()
        if not isinstance(node, dict | list | tuple) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, dict):
            yield from node
        pending += node.values() if isinstance(node, dict) else node
