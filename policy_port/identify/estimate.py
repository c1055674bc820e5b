"""What the data say of each parameter: intervals, whether it is identified at all, and which go only together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from policy_port.arrays import Array, Integers
from policy_port.identify.fit import FREE, Problem
from policy_port.identify.grid import Profile, Twins
from policy_port.identify.parameters import SCALED, Space, Values

LEVEL = 0.95
"""Of intervals."""
TOGETHER = 0.9
"""Correlation from which on two parameters are named as a pair."""
DRAWS = 400
"""Of the bootstrap."""
BLOCKS = 8
"""Parts that recordings are cut into for the bootstrap where there are fewer recordings."""


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """Every parameter that was searched; arrays have the shape (parameters,), values in the parameter's own unit."""

    space: Space
    """The parameters."""
    values: Values
    """What to simulate with: those that are not identified keep their priors."""
    value: Array
    """The same by parameter."""
    gauss_newton: Array
    """Interval from the curvature at the minimum, shape (parameters, 2)."""
    bootstrap: Array
    """Interval from resampled recordings, shape (parameters, 2)."""
    interval: Array
    """The wider of the two at each end, shape (parameters, 2)."""
    identified: tuple[bool, ...]
    """Whether the data narrow it to half of its prior."""
    kept: tuple[str, ...]
    """Names of those that keep their priors; others that are not identified moved with what they are tied to."""
    pairs: tuple[tuple[str, str, float], ...]
    """Pairs that are known only together, with their correlation."""
    ratios: dict[str, float]
    """Joints of which only ratios of what scales together are known, and the factor by which all of it may be off."""
    covariance: Array
    """Of coordinates (standard deviations of the priors), shape (parameters, parameters)."""
    centre: Array
    """Coordinates of the minimum with all parameters free."""
    twins: Twins
    """Delays that predict as well as those that stand."""

    def said_of(self, pair: tuple[str, str, float]) -> str:
        """A pair in words."""
        log = {item.name: item.log for item in self.space.parameters}
        how = ("ratio" if pair[2] > 0.0 else "product") if log[pair[0]] and log[pair[1]] else (
            "difference" if pair[2] > 0.0 else "sum")  # fmt: skip
        return f"{pair[0]} and {pair[1]} are known only together, by their {how} (correlation {pair[2]:+.2f})"

    @property
    def together(self) -> list[str]:
        """What is known only together, in words."""
        names = [item.name for item in self.space.parameters]
        groups = {joint: [key for key in SCALED if f"{joint}.{key}" in names] for joint in self.ratios}
        said = [
            f"of {joint}'s {', '.join(keys)} only the ratios are known: all may be {self.ratios[joint]:.2g} times more "
            "or less"
            for joint, keys in groups.items()
        ]
        within = [{f"{joint}.{key}" for key in keys} for joint, keys in groups.items()]
        told = dict(zip(names, self.value.tolist(), strict=True))
        for name, others in self.twins.items():
            other = " or ".join(f"{one:.3g}" for one in others)
            said.append(
                f"{name} may as well be {other} as {told[name]:.3g} s: these recordings repeat themselves; record "
                "steps or a random walk too"
            )
        return said + [self.said_of(pair) for pair in self.pairs if not any({*pair[:2]} <= one for one in within)]


def estimate(
    problem: Problem,
    space: Space,
    moved: tuple[Profile, Twins],
    note: Callable[[str], None],
    seed: int = 0,
) -> Estimates:
    """Judge a minimum, let unidentified parameters keep their priors, and search the others once more.

    Args:
        problem: What was fitted.
        space: What was searched.
        moved: The minimum, and what moving each delay costs, which tells their intervals: curvature can't where
            derivatives change at each whole number of physics steps; and delays far off that serve as well.
        note: Told what is being done.
        seed: Of the bootstrap.
    """
    note("intervals")
    (delays, twins), z = moved, moved[0].best
    residual, slope = problem.jacobian(space, z)
    count = len(z)
    data = slope[:-count]
    information = data.T @ data
    covariance: Any = np.linalg.inv(information + np.eye(count))
    spread = np.sqrt(np.diag(covariance)) * special.ndtri(0.5 + LEVEL / 2.0)
    near = np.stack([z - spread, z + spread], axis=1)
    near[delays.mine] = delays.interval(LEVEL)
    _reach(near, space, twins)
    drawn = _bootstrap(problem, residual[:-count], data, z, np.random.default_rng(seed))
    wide = np.stack([np.minimum(near[:, 0], drawn[:, 0]), np.maximum(near[:, 1], drawn[:, 1])], axis=1)
    half = np.diff(wide, axis=1)[:, 0] / 2.0 / special.ndtri(0.5 + LEVEL / 2.0)
    kept = _kept(space, information, half)
    known = tuple(bool(item) for item in half < FREE)
    values = space.values(z)
    final = z
    if kept:
        note(f"{len(kept)} of {count} parameters keep their priors; searching the others once more")
        rest = space.without(kept)
        if rest.parameters:
            rounds = 6 if problem.predictor.quick is None else 2
            values = rest.values(problem.minimise(rest, _conditional(space, rest, information, z), rounds))
        else:
            values = rest.fixed
        final = space.coordinates(values)
    wide = np.stack([np.minimum(wide[:, 0], final), np.maximum(wide[:, 1], final)], axis=1)
    return Estimates(
        space=space,
        values=values,
        value=_in_unit(space, final[:, None])[:, 0],
        gauss_newton=_in_unit(space, near),
        bootstrap=_in_unit(space, drawn),
        interval=_in_unit(space, wide),
        identified=known,
        kept=kept,
        pairs=_pairs(space, covariance, known),
        ratios=ratios_of(space, covariance),
        covariance=covariance,
        centre=z,
        twins=twins,
    )


def _reach(ends: Array, space: Space, twins: Twins) -> None:
    """Widen intervals, shape (parameters, 2), to delays that serve as well."""
    for row, item in zip(ends, space.parameters, strict=True):
        there = [item.coordinate(one) for one in twins.get(item.name, ())]
        row[:] = min([row[0], *there]), max([row[1], *there])


def _in_unit(space: Space, ends: Array) -> Array:
    """Coordinates as values, within bounds; shape (parameters, n)."""
    return np.array(
        [[min(max(item.value(float(end)), item.bounds[0]), item.bounds[1]) for end in row]
         for item, row in zip(space.parameters, ends, strict=True)]
    )  # fmt: skip


def _kept(space: Space, information: Array, half: Array) -> tuple[str, ...]:
    """Names of parameters that keep their priors: the least known first, until the data know what is left."""
    free = list(range(len(space.parameters)))
    kept: list[int] = []
    while free:
        inside = np.linalg.inv(information[np.ix_(free, free)] + np.eye(len(free)))
        spread = np.sqrt(np.diag(inside))
        worst = int(spread.argmax())
        if spread[worst] < FREE:
            break
        kept.append(free.pop(worst))
    # What the curvature alone believes to know and the recordings contradict, they know together.
    return tuple(space.parameters[index].name for index in sorted(kept) if half[index] >= FREE)


def _conditional(space: Space, rest: Space, information: Array, z: Array) -> Array:
    """Where the minimum lies, to first order, once the other parameters are at their priors."""
    names = [item.name for item in rest.parameters]
    free = [index for index, item in enumerate(space.parameters) if item.name in names]
    fixed = [index for index in range(len(z)) if index not in free]
    curve = information + np.eye(len(z))
    moved = z[free] + np.linalg.solve(curve[np.ix_(free, free)], curve[np.ix_(free, fixed)] @ z[fixed])
    low, high = rest.bounds
    # Far off the line that derivatives describe, the old place is the better start.
    return np.clip(np.where(np.abs(moved - z[free]) < 2.0, moved, z[free]), low, high)


def _bootstrap(problem: Problem, residual: Array, slope: Array, z: Array, random: np.random.Generator) -> Array:
    """Ends of intervals from resampling recordings, each draw one Gauss-Newton step from the minimum."""
    groups = _groups(problem)
    per = residual.size // problem.segments.count
    rows = groups.repeat(per)
    number = int(groups.max()) + 1
    gradient = np.array([slope[rows == group].T @ residual[rows == group] for group in range(number)])
    curve = np.array([slope[rows == group].T @ slope[rows == group] for group in range(number)])
    drawn = np.empty((DRAWS, len(z)))
    for draw in range(DRAWS):
        times = np.bincount(random.integers(0, number, number), minlength=number)
        drawn[draw] = -np.linalg.solve(
            np.tensordot(times, curve, 1) + np.eye(len(z)), np.tensordot(times, gradient, 1) + z
        )
    # With few recordings resampling shows too little; sqrt(n / (n - 1)) is what a mean's would need.
    spread = np.quantile(drawn, [0.5 - LEVEL / 2.0, 0.5 + LEVEL / 2.0], axis=0) * np.sqrt(number / max(number - 1, 1))
    return z[:, None] + spread.T


def _groups(problem: Problem) -> Integers:
    """What is resampled together: recordings, or, where they are few, stretches of them."""
    segments = problem.segments
    used = np.unique(segments.of)
    if len(used) >= BLOCKS:
        return np.searchsorted(used, segments.of).astype(np.int64)
    return np.arange(segments.count, dtype=np.int64) * min(BLOCKS, segments.count) // segments.count


def ratios_of(space: Space, covariance: Array) -> dict[str, float]:
    """Joints whose common scale the data do not narrow to half of what the priors say of it, and its interval."""
    found: dict[str, float] = {}
    for index, item in enumerate(space.parameters):
        scale = space.directions[:, index]
        spread = float(np.sqrt(covariance[index, index]))
        if item.key == "stiffness" and np.count_nonzero(scale) > 1 and spread >= FREE / np.linalg.norm(scale):
            wide = spread * item.spread * special.ndtri(0.5 + LEVEL / 2.0)
            found[item.name.rpartition(".")[0]] = float(np.exp(wide))
    return found


def _pairs(space: Space, covariance: Array, known: tuple[bool, ...]) -> tuple[tuple[str, str, float], ...]:
    spread = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(spread, spread)
    names = [item.name for item in space.parameters]
    return tuple(
        (names[one], names[other], float(np.clip(correlation[one, other], -1.0, 1.0)))
        for one in range(len(names))
        for other in range(one + 1, len(names))
        if abs(correlation[one, other]) >= TOGETHER and not (known[one] and known[other])
    )
