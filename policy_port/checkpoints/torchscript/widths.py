"""The observation's width, solved for at the first node of a graph that refuses a wrong one."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from policy_port.checkpoints.networks.tape import BATCH, Traced, leaves

MOST = 100_000
"""The widest observation that is thought of."""
_LISTED = 1024
_PROBE = 720
"""Divisible by what a graph may split its observation into, and wider than what it may cut out of it."""
_ROUNDS = 8


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A node that did not take what it was given."""

    step: int
    """How many nodes were run until then."""
    sizes: tuple[int, ...]
    """The sizes, numbers and products of sizes that it was given, the batch counted as one."""


UNFIT = Refusal(step=sys.maxsize, sizes=())
"""All nodes took the width, and what came out is no action."""


def sizes_of(arguments: Sequence[object]) -> tuple[int, ...]:
    """All numbers that decide whether a node takes its arguments."""
    found: list[int] = []
    for argument in arguments:
        groups = [_shape(leaf) for leaf in leaves(argument)]
        found += [size for group in groups for size in (*group, math.prod(group))]
        if isinstance(argument, (list, tuple)) and all(len(group) == 1 for group in groups):
            found.append(math.prod(abs(group[0]) for group in groups))
    return tuple(found)


def _shape(leaf: object) -> tuple[int, ...]:
    value = leaf.meta if isinstance(leaf, Traced) else leaf
    sizes = tuple(value.shape) if isinstance(value, Tensor) else (value,) if type(value) is int else ()
    return tuple(size if size % BATCH or not size else size // BATCH for size in sizes)


def search(walk: Callable[[int], Refusal | None]) -> Iterable[int]:
    """The widths worth a try: those at which the sizes of what refuses are equal, all where nearly any one fits.

    Args:
        walk: What refuses a width; None where all of the graph takes it.
    """
    width = _PROBE
    for attempt in range(_ROUNDS):
        one, two = walk(width), walk(2 * width)
        if one is None or two is None:
            return range(1, _LISTED + 1)
        if one.step != two.step or len(one.sizes) != len(two.sizes):
            return () if attempt else range(1, _LISTED + 1)
        solved = _solved(one, two, width)
        refusals = {candidate: walk(candidate) for candidate in solved}
        fitting = [candidate for candidate, refusal in refusals.items() if refusal is None]
        if fitting:
            open_ended = any(walk(more) is None for fits in fitting for more in (fits + 1, 2 * fits))
            return range(1, _LISTED + 1) if open_ended else fitting
        further = [candidate for candidate, refusal in refusals.items() if refusal and refusal.step > one.step]
        if not further:
            return ()
        width = max(further)
    return ()


def _solved(one: Refusal, two: Refusal, width: int) -> list[int]:
    """The widths at which a size that grows with the width equals one that does not."""
    pairs = list(zip(one.sizes, two.sizes, strict=True))
    fixed = {first for first, second in pairs if first == second}
    found: set[int] = set()
    for first, second in pairs:
        for size in fixed:
            if first != second and (size - first) * width % (second - first) == 0:
                found.add(width + (size - first) * width // (second - first))
    return sorted(found & set(range(1, MOST + 1)))
