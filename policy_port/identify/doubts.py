"""Mistakes in commands and readings alike: would the recordings be predicted better without one?

A turned sign, two exchanged joints and a wrong clock move as right ones do, and differ by gravity and inertia alone. So
no recording by itself tells them; the model does, where it predicts clearly better once the mistake is undone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from policy_port.arrays import Array, Integers
from policy_port.identify.fit import Problem
from policy_port.identify.parameters import Space, Values
from policy_port.identify.segments import Segments

FOLLOW = ("offset", "stiffness", "damping", "friction", "delay")
"""Parameters of the joints concerned that are searched once more."""
ROUNDS = 3
"""Iterations of that search."""
FEW, SHARE = 8, 8
"""Least segments that are looked at, and of how many one is, spread evenly."""
CLEARLY = 0.7
"""A mistake is believed where undoing it leaves less than this share of the cost."""
ALIKE, LIKELY = 0.05, 6
"""How much undoing a mistake has to change the cost to be looked at, and how many are looked at closely."""
RATES = (0.5, 2.0)
"""Clocks that are tried."""


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A mistake that the recordings may have."""

    what: str
    """What would be another way, in words."""
    share: float
    """Cost that is left without it, over the cost with it."""

    def __str__(self) -> str:
        return f"the recordings are predicted better ({self.share:.0%} of the cost) {self.what}"


@dataclass(frozen=True, kw_only=True)
class _Undone:
    """A mistake, undone."""

    what: str
    joints: tuple[int, ...]
    """Those concerned; none for all."""
    sign: Array
    order: Integers
    rate: float = 1.0

    def segments(self, segments: Segments) -> Segments:
        """What was recorded without it."""

        def turned(array: Array) -> Array:
            return array[..., self.order] * self.sign

        recordings = tuple(
            replace(
                item,
                time=self.rate * item.time,
                sent=self.rate * item.sent,
                measured=turned(item.measured),
                command=turned(item.command),
            )
            for item in segments.recordings
        )
        return replace(
            segments,
            recordings=recordings,
            start=self.rate * segments.start,
            after=self.rate * segments.after,
            horizon=self.rate * segments.horizon,
            position=turned(segments.position),
            velocity=turned(segments.velocity) / self.rate,
            measured=turned(segments.measured),
        )

    def values(self, values: Values) -> Values:
        """Where the search without it starts: each joint's numbers go with its column."""
        found = {key: array[self.order] if len(array) > 1 else array.copy() for key, array in values.items()}
        found["offset"] = found["offset"] * self.sign
        for key, power in (("delay", 1), ("damping", 1), ("drive_damping", 1), ("armature", 2)):
            found[key] = found[key] * self.rate**power
        return found


def doubts(problem: Problem, space: Space, z: Array, joints: Sequence[str]) -> list[Doubt]:
    """Mistakes without which the recordings would clearly be predicted better, the likeliest first.

    Each is undone, and the joints concerned are searched once more; of the likeliest, all parameters are.

    Args:
        problem: What was fitted.
        space: What was searched.
        z: The minimum.
        joints: Names of the joints.
    """
    few = replace(problem, segments=problem.segments.some(max(FEW, problem.segments.count // SHARE)))
    usual, tried = few.cost(space, z), list[tuple[float, _Undone, Array]]()
    for undone in _mistakes(joints):
        other = replace(few, segments=undone.segments(few.segments))
        start = undone.values(space.values(z))
        names = [joints[index] for index in undone.joints or range(len(joints))]
        followers = {f"{name}.{key}" for name in names for key in (FOLLOW if undone.joints else ("damping", "delay"))}
        rest = space.without([item.name for item in space.parameters if item.name not in followers])
        rest.fixed.update({key: array.copy() for key, array in start.items()})
        if rest.parameters:
            start = rest.values(other.minimise(rest, rest.coordinates(start), ROUNDS))
        point = space.coordinates(start)
        tried.append((other.cost(space, point) / usual, undone, point))
    # What changes nothing can't be told: a joint that turns upright looks the same turned over.
    likely = sorted((one for one in tried if abs(one[0] - 1.0) > ALIKE), key=lambda one: one[0])[:LIKELY]
    again, found = few.cost(space, few.minimise(space, z, ROUNDS)), []
    for _, undone, point in likely:
        other = replace(few, segments=undone.segments(few.segments))
        share = other.cost(space, other.minimise(space, point, ROUNDS)) / again
        if share < CLEARLY:
            found.append(Doubt(what=undone.what, share=share))
    return sorted(found, key=lambda one: one.share)


def _mistakes(joints: Sequence[str]) -> Iterator[_Undone]:
    count = len(joints)
    same: Integers = np.arange(count, dtype=np.int64)
    plus = np.ones(count)
    for index, name in enumerate(joints):
        sign = np.where(same == index, -1.0, 1.0)
        yield _Undone(what=f"with {name} turned over, in commands and readings", joints=(index,), sign=sign, order=same)
    for one, two in combinations(range(count), 2):
        order = same.copy()
        order[[one, two]] = two, one
        what = f"with {joints[one]} and {joints[two]} exchanged, in commands and readings"
        yield _Undone(what=what, joints=(one, two), sign=plus, order=order)
    for rate in RATES:
        what = f"with time stamps {rate:g} times as far apart"
        yield _Undone(what=what, joints=(), sign=plus, order=same, rate=rate)
