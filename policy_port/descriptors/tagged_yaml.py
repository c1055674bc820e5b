"""The YAML that Isaac Lab and its relatives write: two Python tags are known, and nothing is ever constructed.

`!!python/tuple` becomes a tuple and `!!python/object/apply:builtins.slice` a `Slice` of three plain values. Any other
tag is refused by name before a single value is built.
"""

from __future__ import annotations

from dataclasses import dataclass
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


def _tuple(node: yaml.Node, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ValueError("a tuple or slice is written as a list")
    return tuple(value)


def _slice(node: yaml.Node, value: Any) -> Slice:
    parts = _tuple(node, value)
    if len(parts) != 3:
        raise ValueError(f"a slice has three entries, this one has {len(parts)}")
    return Slice(*parts)


_TAGS = {"python/tuple": _tuple, "python/object/apply:builtins.slice": _slice}


def read_tagged_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML or JSON mapping with string keys.

    Raises:
        ContractError: When the file can't be read, is no such mapping, has a key twice, or holds a tag that these
            files have no need of; with file and line.
    """
    text = read_text(path, ContractError, what="a YAML or JSON file", max_bytes=MAX_BYTES)
    document = PlainYaml(text, path, ContractError, tags=_TAGS, strict=False, max_depth=MAX_DEPTH)
    if not isinstance(document.data, dict):
        raise ContractError(f"{path}: holds no YAML mapping (key: value lines)")
    return document.data
