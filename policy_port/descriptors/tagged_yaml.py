"""The YAML that Isaac Lab and its relatives write: two Python tags are known, and nothing is ever constructed.

`!!python/tuple` becomes a tuple and `!!python/object/apply:builtins.slice` a `Slice` of three plain values. Any other
tag is refused by name before a single value is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from policy_port.errors import ContractError

MAX_BYTES = 16 * 1024 * 1024
"""Largest descriptor read."""

MAX_DEPTH = 60
"""Deepest nesting read; the deepest env.yaml seen has twelve levels."""

_PYTHON = "tag:yaml.org,2002:python/"
_TUPLE = _PYTHON + "tuple"
_SLICE = _PYTHON + "object/apply:builtins.slice"
_PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")}
_KNOWN = {*_PLAIN, _TUPLE, _SLICE}


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


class _Loader(yaml.SafeLoader):
    pass


def _construct_tuple(loader: yaml.SafeLoader, node: yaml.Node) -> tuple[Any, ...]:
    assert isinstance(node, yaml.SequenceNode)
    return tuple(loader.construct_sequence(node, deep=True))


def _construct_slice(loader: yaml.SafeLoader, node: yaml.Node) -> Slice:
    assert isinstance(node, yaml.SequenceNode)
    return Slice(*loader.construct_sequence(node, deep=True))


_Loader.add_constructor(_TUPLE, _construct_tuple)
_Loader.add_constructor(_SLICE, _construct_slice)


def read_tagged_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML or JSON mapping with string keys.

    Raises:
        ContractError: When the file can't be read, is no such mapping, has a key twice, or holds a tag that these
            files have no need of; with file and line.
    """
    text = _text(path)
    try:
        loader = _Loader(text)
    except yaml.YAMLError as cause:
        raise ContractError(f"{path}: is not text: {str(cause).splitlines()[0]}") from None
    try:
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise ContractError(f"{path}: holds no YAML mapping (key: value lines)")
        _check(root, path)
        data = loader.construct_document(root)
    except yaml.YAMLError as cause:
        mark = getattr(cause, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(cause, "problem", None) or str(cause).splitlines()[0]
        raise ContractError(f"{where}: can't be read as YAML: {problem}") from None
    except RecursionError:
        raise ContractError(f"{path}: is nested too deeply for a descriptor") from None
    except (ValueError, TypeError, OverflowError) as cause:
        raise ContractError(f"{path}: holds a value that can't be read: {cause}") from None
    finally:
        loader.dispose()
    return data


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ContractError(f"{path}: {path.stat().st_size} bytes are too many for a descriptor")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ContractError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise ContractError(f"{path}: is not text; give the YAML or JSON file") from None
    except OSError as cause:
        raise ContractError(f"{path}: can't be read: {cause.strerror or type(cause).__name__}") from cause


def _check(root: yaml.Node, path: Path) -> None:
    """Refuse unknown tags, repeated keys and loops before anything is constructed."""
    seen: set[int] = set()
    # An alias makes a node the child of two others; each is looked at once, so that aliases can't multiply the work.
    pending: list[tuple[yaml.Node, int]] = [(root, 0)]
    while pending:
        node, depth = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        where = f"{path}:{node.start_mark.line + 1}"
        if depth > MAX_DEPTH:
            raise ContractError(f"{where}: is nested more than {MAX_DEPTH} levels deep")
        if node.tag not in _KNOWN:
            raise ContractError(
                f"{where}: the tag !!{node.tag.removeprefix('tag:yaml.org,2002:')} is refused: it would have to run "
                "code to be read. Descriptors need only !!python/tuple and !!python/object/apply:builtins.slice; "
                "remove the line if you know what it stands for"
            )
        if node.tag in (_TUPLE, _SLICE) and not isinstance(node, yaml.SequenceNode):
            raise ContractError(f"{where}: a tuple or slice is written as a list")
        if node.tag == _SLICE and len(node.value) != 3:
            raise ContractError(f"{where}: a slice has three entries, this one has {len(node.value)}")
        pending += [(child, depth + 1) for child in _children(node, path)]
    _refuse_loops(root, path)


def _children(node: yaml.Node, path: Path) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise ContractError(f"{path}:{line}: a key is a word here, not a list or mapping")
            if key.value in lines:
                raise ContractError(
                    f"{path}:{line}: key '{key.value}' stands twice, first in line {lines[key.value]}; keep one"
                )
            lines[key.value] = line
            yield key
            yield value


def _refuse_loops(root: yaml.Node, path: Path) -> None:
    finished: set[int] = set()
    open_nodes: set[int] = set()
    pending: list[tuple[yaml.Node, bool]] = [(root, False)]
    while pending:
        node, leaving = pending.pop()
        if leaving:
            open_nodes.discard(id(node))
            finished.add(id(node))
        elif id(node) in open_nodes:
            raise ContractError(f"{path}:{node.start_mark.line + 1}: an alias leads back to itself")
        elif id(node) not in finished:
            open_nodes.add(id(node))
            pending.append((node, True))
            pending += [(child, False) for child in _children(node, path)]
