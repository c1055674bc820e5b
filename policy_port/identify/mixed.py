"""Recordings that are not of one robot: would the others be predicted better without one of them?

Of another arm of the same model each recording looks right by itself, and what is fitted to all of them is neither's.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from policy_port.arrays import Array, Integers
from policy_port.identify.fit import Problem
from policy_port.identify.parameters import Space

MIXED = "mixed"
"""What such a doubt is called."""
EACH = 4
"""Segments of each recording that are looked at, spread evenly."""
ROUNDS = 3
"""Iterations from the minimum of all, with a recording and without."""
LEFT, ALONE = 0.3, 0.4
"""A recording is odd where the others' cost falls below this share without it, and below this share of what it falls to
without the next likeliest. One of another arm leaves 0 to 0.17, the next 0.58 and more; of right ones of a real SO101,
which no model explains, the first two leave 0.43 and 0.68."""


def odd_one(problem: Problem, space: Space, z: Array) -> tuple[str, float] | None:
    """The one recording that is not like the others, and what of the others' cost is left without it; None if none.

    Of two nobody can tell which one is odd, so two are not looked at.

    Args:
        problem: What was fitted.
        space: What was searched.
        z: The minimum.
    """
    of = problem.segments.of
    used = np.unique(of)
    if len(used) < 3:
        return None
    chosen: Integers = np.concatenate([_some(np.flatnonzero(of == index)) for index in used])
    few = replace(problem, segments=problem.segments.take(chosen))
    fitted, found = few.minimise(space, z, ROUNDS), dict[str, float]()
    for index in used:
        others = replace(few, segments=few.segments.take(np.flatnonzero(few.segments.of != index)))
        left = others.cost(space, others.minimise(space, fitted, ROUNDS))
        found[problem.segments.recordings[int(index)].name] = left / others.cost(space, fitted)
    name, other = sorted(found, key=lambda one: found[one])[:2]
    return (name, found[name]) if found[name] < min(LEFT, ALONE * found[other]) else None


def _some(rows: Integers) -> Integers:
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(EACH, len(rows))).astype(np.int64))]
