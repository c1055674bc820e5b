"""Numbers that sum a replay up: pure functions of recorded arrays, shapes (steps, ...), SI units."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array

SATURATED = 0.99
"""A drive counts as saturated from this share of its effort limit on."""


def mean_velocity(lin_vel: Array, ang_vel: Array, dt: float, *, after: float) -> tuple[float, float, float] | None:
    """Mean forward, sideways [m/s] and turning velocity [rad/s] in the base frame.

    Args:
        lin_vel: Linear velocity in the base frame, shape (steps, 3).
        ang_vel: Angular velocity in the base frame, shape (steps, 3).
        dt: Control period [s].
        after: Seconds at the start that are left out, because the robot is still speeding up.

    Returns:
        None when nothing is left.
    """
    first = round(after / dt)
    if len(lin_vel) <= first:
        return None
    x, y = lin_vel[first:, :2].mean(axis=0)
    return float(x), float(y), float(ang_vel[first:, 2].mean())


def tracking_error(target: Array, joint_pos: Array) -> float:
    """Root mean square of target minus what the joints do one control step later [rad or m, or per second].

    Args:
        target: Joint targets, positions or velocities, shape (steps, joints).
        joint_pos: Joint positions or velocities at the moments of the targets, shape (steps, joints).

    Returns:
        NaN where there is no joint, or no second step.
    """
    if len(target) < 2 or not target.shape[1]:
        return math.nan
    return float(np.sqrt(np.mean((target[:-1] - joint_pos[1:]) ** 2)))


def action_rate(action: NDArray[np.floating]) -> float:
    """Mean absolute change of a raw action from one control step to the next, shape (steps, actions)."""
    return float(np.abs(np.diff(action.astype(np.float64), axis=0)).mean()) if len(action) > 1 else math.nan


def saturation(effort: Array, limit: Array) -> float | None:
    """Share of steps and joints at which the drive gave what it has.

    Args:
        effort: Torque or force, shape (steps, joints); NaN where the simulator does not tell.
        limit: Largest torque or force, shape (joints,); infinite where the joint has no limit.

    Returns:
        None when no joint has a limit, or the simulator does not tell.
    """
    known = np.isfinite(limit)
    if not known.any() or not np.isfinite(effort[:, known]).all() or not len(effort):
        return None
    return float((np.abs(effort[:, known]) >= SATURATED * limit[known]).mean())


def success_interval(successes: int, trials: int) -> tuple[float, float]:
    """The Clopper-Pearson interval of a success rate at 95 %: exact, whatever the rate and however few the trials."""
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} successes of {trials}")
    tail = 0.025
    # The bounds are the rates at which the outcome, or a more extreme one, would have the probability `tail`.
    low = 0.0 if successes == 0 else _solve(lambda p: 1.0 - _at_most(successes - 1, trials, p), tail)
    high = 1.0 if successes == trials else 1.0 - _solve(lambda q: _at_most(successes, trials, 1.0 - q), tail)
    return low, high


def _solve(rising: Callable[[float], float], value: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2.0
        if rising(middle) < value:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _at_most(count: int, trials: int, p: float) -> float:
    """Probability of at most `count` successes in `trials` of rate p."""
    if p <= 0.0:
        return 1.0
    if p >= 1.0:
        return float(count >= trials)
    logs = [
        math.lgamma(trials + 1)
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * math.log(p)
        + (trials - k) * math.log1p(-p)
        for k in range(count + 1)
    ]
    return min(1.0, math.fsum(math.exp(value) for value in logs))
