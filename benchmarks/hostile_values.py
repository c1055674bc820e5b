"""Nested data whose structure and values Hypothesis changes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]


def _nested(depth: int) -> Any:
    if depth == 0:
        return 1
    inside = _nested(depth - 1)
    return {"a": inside} if depth % 2 else [inside]


NUMBERS = (0, -1, 1, 3, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, 1e-320, math.nan, math.inf, -math.inf)


TEXTS = ("", " ", "yes", "~", "0x10", "1e3", "2:00", "left", "../../canary", "/dev/zero", "\x1b[2J", "\u202e", "\u0430",
         "x" * 20_000, "{}", "[", "!!python/object", "*", ".*", "(a+)+$", "%s%n", "\n", "\u0000", "NaN")  # fmt: skip


LARGE = (
    [0.0] * 5000,
    ["left"] * 5000,
    {f"k{i}": 1.0 for i in range(5000)},
    [[1.0] * 50] * 50,
    _nested(60),
    _nested(400),
)


scalars = st.one_of(st.sampled_from(NUMBERS), st.sampled_from(TEXTS), st.sampled_from([None, True, False]))


values = st.one_of(
    scalars,
    st.sampled_from(LARGE),
    st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(TEXTS), inner)),
)


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside nested dicts and lists, the outermost first."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path] + [place for key, value in inner for place in places(value, (*path, key))]


def at(data: Any, path: tuple[Any, ...]) -> Any:
    """The value at a path."""
    for key in path:
        data = data[key]
    return data


def changed(draw: Draw, data: Any, values: st.SearchStrategy[Any] = values) -> Any:
    """Nested data with one to three changes of its structure or values."""
    data = copy.deepcopy(data)
    for _ in range(draw(st.integers(1, 3))):
        spots = places(data)
        *path, key = draw(st.sampled_from(spots[1:])) if len(spots) > 1 else ((), None)
        if key is None:
            return copy.deepcopy(draw(values))
        holder = at(data, tuple(path))
        how = draw(st.sampled_from(("value", "value", "value", "drop", "rename", "add", "wrap", "swap", "repeat")))
        if how == "value":
            holder[key] = copy.deepcopy(draw(values))
        elif how == "drop":
            del holder[key]
        elif how == "wrap":
            holder[key] = draw(st.sampled_from(([holder[key]], {"value": holder[key]}, [holder[key]] * 3)))
        elif how == "swap":
            holder[key] = copy.deepcopy(at(data, draw(st.sampled_from(spots[1:]))))
        elif isinstance(holder, list):
            holder.extend([holder[key]] * draw(st.sampled_from((1, 2, 1000))))
        elif how == "rename":
            holder[draw(st.sampled_from(TEXTS) | st.sampled_from(NUMBERS))] = holder.pop(key)
        else:
            holder[draw(st.sampled_from(TEXTS))] = copy.deepcopy(draw(values))
    return data
