"""Parameters that others make up for, so that a search stops short: delay and backlash, profiled on a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from policy_port.arrays import Array, Integers
from policy_port.identify.fit import GAINED, Problem
from policy_port.identify.parameters import Space

FOLLOWED = 4
"""Steps in which the other parameters follow a move."""
WORTH = 0.05
"""A move is followed on where the last step won more than this share of what it lies above the best."""
STEPS = (1, 2, 3)
"""Physics steps by which delays are moved, beside what the caller names."""
BESIDE = 3
"""Iterations from delays a physics step away."""
FARTHEST = 1.0
"""Longest of these steps, in standard deviations of the prior."""
SCANNED, APART = 0.01, 0.03
"""Step in which all delays are looked at, and how far apart two minima are that a search does not join [s]."""
FEW, SHARE = 8, 4
"""Least segments that are looked at then, and of how many one is."""
AS_GOOD, MOST = 6.0, 3
"""A minimum that costs a joint at most so many times its least is refined too, and how many are of each joint."""

Twins = dict[str, list[float]]
"""Delays far from those found that predict as well, by parameter [s]."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What moves of one parameter of every joint cost once the others have followed."""

    moves: Array
    """In standard deviations of the prior, ascending, 0 among them; shape (moves,)."""
    points: Array
    """Coordinates that were reached, shape (parameters, moves)."""
    costs: Array
    """Squares summed over each joint's own errors and parameters, shape (moves, joints)."""
    columns: Integers
    """Each parameter's joint, -1 for a common one; shape (parameters,)."""
    mine: Integers
    """Which parameters were moved."""

    @property
    def best(self) -> Array:
        """The coordinates from which each joint's are those of the move that serves it best."""
        found = self.points[:, int(np.flatnonzero(self.moves == 0.0)[0])].copy()
        for joint in range(self.costs.shape[1]):
            own = self.columns == joint
            found[own] = self.points[own, int(self.costs[:, joint].argmin())]
        return found

    def starts(self, apart: float) -> list[Array]:
        """`best`, then the points from which each joint's coordinates are those of its next best minimum.

        Args:
            apart: How far apart two minima are, in standard deviations of the prior.
        """
        found = [self.best]
        for row in self.mine:
            place, first = np.unique(self.points[row], return_index=True)
            joint = int(self.columns[row])
            cost = self.costs[first, joint]
            around = np.concatenate([[np.inf], cost, [np.inf]])
            least = np.flatnonzero((cost <= around[:-2]) & (cost <= around[2:]))
            kept: list[int] = []
            for index in least[cost[least].argsort()]:
                near = any(abs(place[index] - place[one]) < apart for one in kept)
                if not near and cost[index] <= AS_GOOD * cost.min() and len(kept) < MOST:
                    kept.append(int(index))
            for rank, index in enumerate(kept[1:], 1):
                if rank == len(found):
                    found.append(self.best)
                own = self.columns == joint
                found[rank][own] = self.points[own, first[index]]
        return found

    def interval(self, level: float) -> Array:
        """Coordinates between which a joint's cost stays within chi-square's quantile, shape (moved parameters, 2)."""
        bound, ends = special.chdtri(1, 1.0 - level), np.empty((len(self.mine), 2))
        for row, index in enumerate(self.mine):
            cost, place = self.costs[:, self.columns[index]], self.points[index]
            best = int(cost.argmin())
            inside = np.flatnonzero(cost - cost[best] <= bound)
            for side, last in enumerate((inside[0], inside[-1])):
                beyond = last + 2 * side - 1
                ends[row, side] = place[last]
                if 0 <= beyond < len(cost):
                    part = (bound + cost[best] - cost[last]) / (cost[beyond] - cost[last])
                    ends[row, side] += part * (place[beyond] - place[last])
        return ends


def profile(problem: Problem, space: Space, z: Array, key: str, moves: Sequence[float]) -> Profile:
    """Move one parameter of every joint and let the others follow.

    A delay, friction and inertia that are all a little wrong predict nearly as well as the right ones, and derivatives
    change where a delay is a whole number of physics steps, so that no small step leads from one to the other. All
    joints are moved at once and each is judged by its own errors. The others follow by Gauss-Newton's steps with the
    derivatives at `z`, for all moves in one call.

    Args:
        problem: What is fitted.
        space: What is searched.
        z: Coordinates to start from.
        key: The parameter.
        moves: In standard deviations of its prior.
    """
    mine = np.array([index for index, item in enumerate(space.parameters) if item.key == key], np.int64)
    steps = np.array(sorted({0.0, *moves, *(_whole_steps(problem, space, mine) if key == "delay" else ())}))
    rest = np.array([index for index, item in enumerate(space.parameters) if item.key != key], np.int64)
    low, high = (end[:, None] for end in space.bounds)
    points = np.tile(z[:, None], (1, len(steps)))
    points[mine] = np.clip(points[mine] + steps, low[mine], high[mine])
    if key == "delay":
        points = np.stack([_along_lag(space, z, point) for point in points.T], axis=1)
    slope = problem.slope(space, z, problem.residuals(space, z[:, None])[:, 0])
    curve = slope[:, rest].T @ slope[:, rest]
    residual = problem.residuals(space, points)
    least, by_joint = (residual**2).sum(axis=0), _by_joint(problem, space, points, residual)
    follows = FOLLOWED if problem.predictor.quick is None else FOLLOWED // 2
    # Which moves are followed on: those that won something by it.
    alive, there = np.arange(len(steps)), points
    for _ in range(follows if len(rest) else 0):
        step = np.linalg.solve(curve, slope[:, rest].T @ residual)
        there = there.copy()
        there[rest] = np.clip(there[rest] - np.clip(step, -FARTHEST, FARTHEST), low[rest], high[rest])
        residual = problem.residuals(space, there)
        costs = (residual**2).sum(axis=0)
        won = least[alive] - costs > np.maximum(GAINED, WORTH * (least[alive] - least.min()))
        if not won.any():
            break
        alive, there, residual = alive[won], there[:, won], residual[:, won]
        points[:, alive], least[alive] = there, costs[won]
        by_joint[alive] = _by_joint(problem, space, there, residual)
    return Profile(moves=steps, points=points, costs=by_joint, columns=_columns(space), mine=mine)


def minima(problem: Problem, space: Space, z: Array, rounds: int) -> list[Array]:
    """What is reached from every minimum along the delays; first, of each joint the coordinates that serve it best.

    Where a motion repeats, a delay longer by its period predicts nearly as well, damping and inertia making up for what
    is left, and no step leads from the one to the other.

    Args:
        problem: What is fitted.
        space: What is searched.
        z: Coordinates to start from.
        rounds: Most iterations from each minimum.
    """
    mine = np.array([index for index, item in enumerate(space.parameters) if item.key == "delay"], np.int64)
    if not len(mine):
        return [z]
    width = SCANNED / space.parameters[int(mine[0])].spread
    low, high = ((end - z)[mine] / width for end in space.bounds)
    few = replace(problem, segments=problem.segments.some(max(FEW, problem.segments.count // SHARE)))
    scan = profile(few, space, z, "delay", (np.arange(np.floor(low.min()), high.max() + 1.0) * width).tolist())
    starts = scan.starts(APART / space.parameters[int(mine[0])].spread)
    if len(starts) == 1:
        return [min((z, *starts), key=lambda one: problem.cost(space, one))]
    ends = [problem.minimise(space, one, rounds) for one in starts]
    return [_mixed(problem, space, [z, *ends]), *ends]


def beside(problem: Problem, space: Space, z: Array) -> Array:
    """What is reached from delays a physics step away, of each joint where that serves it better.

    The wall between two minima that lie a step apart is too curved for a profile, whose others follow by the
    derivatives before the move: friction and play change sides with the delay, and inertia by half.

    Args:
        problem: What is fitted.
        space: What is searched.
        z: Coordinates of a minimum.
    """
    mine = [index for index, item in enumerate(space.parameters) if item.key == "delay"]
    if not mine:
        return z
    step, (low, high) = problem.predictor.timestep / space.parameters[mine[0]].spread, space.bounds
    ends = [z]
    for sign in (1.0, -1.0):
        moved = z.copy()
        moved[mine] = np.clip(moved + sign * step, low, high)[mine]
        ends.append(problem.minimise(space, _along_lag(space, z, moved), BESIDE))
    return _mixed(problem, space, ends)


def _mixed(problem: Problem, space: Space, ends: Sequence[Array]) -> Array:
    """The point whose coordinates are, of each joint, those of the end that serves it best; the best end, if better."""
    points, columns = np.stack(ends, axis=1), _columns(space)
    residual = problem.residuals(space, points)
    least = points[:, int((residual**2).sum(axis=0).argmin())].copy()
    mixed, by_joint = least.copy(), _by_joint(problem, space, points, residual)
    for joint, column in enumerate(by_joint.argmin(axis=0)):
        own = columns == joint
        mixed[own] = points[own, column]
    return min((mixed, least), key=lambda one: problem.cost(space, one))


def twins(problem: Problem, space: Space, z: Array, others: Sequence[Array], level: float) -> Twins:
    """Delays that the recordings tell as little from those at `z` as chance would."""
    found: Twins = {}
    columns, bound = _columns(space), special.chdtri(1, 1.0 - level)
    for other in others:
        points = np.stack([z, other], axis=1)
        costs = _by_joint(problem, space, points, problem.residuals(space, points))
        for row, item in enumerate(space.parameters):
            own = columns == columns[row]
            told = costs[:, columns[row]] - (points[own] ** 2).sum(axis=0)
            apart = item.key == "delay" and abs(item.value(z[row]) - item.value(other[row])) >= APART
            if apart and told[1] - told[0] < bound:
                found[item.name] = sorted([*found.get(item.name, ()), item.value(float(other[row]))])
    return found


def _whole_steps(problem: Problem, space: Space, mine: Integers) -> tuple[float, ...]:
    """Moves of delays by whole physics steps.

    Commands that jump tell within which step they arrive, so that minima lie a step apart with a wall between: a move
    that is no whole step ends on the wall, where no other parameter makes up for it.
    """
    if not len(mine):
        return ()
    step = problem.predictor.timestep / space.parameters[int(mine[0])].spread
    return tuple(sign * count * step for count in STEPS for sign in (-1.0, 1.0))


def _along_lag(space: Space, z: Array, moved: Array) -> Array:
    """A point with other delays, where each joint's inertia makes up for its delay.

    A drive's inertia lags by inertia over damping, so that a longer delay and a smaller inertia move alike. That ridge
    is curved, and derivatives at its one end don't lead to the other.
    """
    before, after = space.values(z), space.values(moved)
    lag = np.maximum(before["damping"] + before["drive_damping"], 1e-9)
    after["armature"] = before["armature"] + lag * (before["delay"] - after["delay"])
    found = space.coordinates(after)
    # A coordinate that did not move stays to the last bit.
    return np.where([item.key == "armature" for item in space.parameters], found, moved)


def _columns(space: Space) -> Integers:
    return np.array([item.column if "." in item.name else -1 for item in space.parameters], np.int64)


def _by_joint(problem: Problem, space: Space, points: Array, residual: Array) -> Array:
    """Squares summed over each joint's errors and parameters, shape (points, joints)."""
    joints, columns = problem.segments.measured.shape[-1], _columns(space)
    errors = residual[: -len(points)].reshape(-1, joints, points.shape[1])
    own = np.array([(points[columns == joint] ** 2).sum(axis=0) for joint in range(joints)])
    return ((errors**2).sum(axis=0) + own).T
