"""A YAML file of somebody's with a few of its values changed: comments, order and all else stay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

Edit = tuple[int, int, str]
"""From which character to which the text is replaced, and by what."""


def amended(text: str, before: dict[str, Any], after: dict[str, Any]) -> str | None:
    """A file's text in which what differs between two documents is changed.

    Args:
        text: The file.
        before: What it says, as far as it matters.
        after: What it is to say.

    Returns:
        None where that is not done by changing values and adding keys at the end.
    """
    root = yaml.compose(text, yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode) or root.flow_style or before.keys() - after.keys():
        return None
    known, added = {key: after[key] for key in before}, {key: after[key] for key in after.keys() - before.keys()}
    edits = [*_edits(root, before, known)]
    if None in edits or {key.value for key, _ in root.value} & added.keys():
        return None
    for start, end, new in sorted((edit for edit in edits if edit), reverse=True):
        text = text[:start] + new + text[end:]
    more = "".join(f"{key}: {_flow(added[key])}\n" for key in after if key in added)
    return f"{text.rstrip()}\n{more}" if more else text


def _edits(node: yaml.MappingNode, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Edit | None]:
    """Edits of one mapping whose keys stay; None for what the text does not have."""
    values = {key.value: value for key, value in node.value}
    for key in (key for key in before if before[key] != after[key]):
        value, old, new = values.get(key), before[key], after[key]
        if value is None:
            yield None
        elif (
            isinstance(value, yaml.MappingNode)
            and isinstance(old, dict)
            and isinstance(new, dict)
            and old.keys() == new.keys() <= {inner.value for inner, _ in value.value}
        ):
            yield from _edits(value, old, new)
        else:
            start, end = value.start_mark.index, _end(value)
            yield start, end, _flow(new) if start < end else f" {_flow(new)}"


def _end(node: yaml.Node) -> int:
    """Where a value ends; a block's own mark stands behind the comments that follow it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return node.end_mark.index


def _flow(value: Any) -> str:
    """A value on one line."""
    return yaml.safe_dump([value], sort_keys=False, allow_unicode=True, default_flow_style=True, width=1 << 20)[1:-2]
