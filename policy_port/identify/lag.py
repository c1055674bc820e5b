"""A first-order lag with a delay for each joint by itself: a start for the fit, and the baseline it has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from policy_port.arrays import Array
from policy_port.identify.commands import drive_targets
from policy_port.identify.segments import Segments

DELAYS: Any = np.arange(0.0, 0.3001, 0.01)
"""Delays that are tried [s]."""
TIME_CONSTANTS: Any = np.geomspace(0.01, 1.0, 25)
"""Time constants that are tried [s]."""
STEP = 0.01
"""Longest time step of the lag [s]."""


@dataclass(frozen=True, kw_only=True)
class Lag:
    """One lag per joint; shapes (joints,)."""

    delay: Array
    """[s]."""
    time_constant: Array
    """[s]."""
    bias: Array
    """Where a joint comes to rest, less its target [rad]."""

    def predict(self, segments: Segments, *, biased: bool = True) -> Array:
        """Readings that it predicts [rad], shape (segments, samples, joints)."""
        joints = len(self.delay)
        targets = _targets(segments, self.delay) + (self.bias if biased else 0.0)
        path = _paths(segments, targets, np.tile(self.time_constant, (1, 1)))
        assert path.shape[-1] == joints
        return path[0]


def fit_lag(segments: Segments) -> Lag:
    """The lag, delay and bias of each joint that predict segments best, by a grid and a line for the bias."""
    joints = segments.measured.shape[-1]
    best = np.full(joints, np.inf)
    found = {key: np.zeros(joints) for key in ("delay", "time_constant", "bias")}
    constants = np.repeat(TIME_CONSTANTS[:, None], joints, axis=1)
    for delay in DELAYS:
        targets = _targets(segments, np.full(joints, delay))
        error = segments.measured - _paths(segments, targets, constants)
        # A bias b moves the prediction by b (1 - exp(-t / tau)).
        moved = 1.0 - np.exp(-segments.after[None, :, :, None] / constants[:, None, None, :])
        bias = (error * moved).sum(axis=(1, 2)) / (moved**2).sum(axis=(1, 2))
        cost = ((error - bias[:, None, None] * moved) ** 2).mean(axis=(1, 2))
        chosen = cost.argmin(axis=0)
        for joint in np.flatnonzero(cost.min(axis=0) < best):
            row = chosen[joint]
            best[joint] = cost[row, joint]
            found["delay"][joint], found["time_constant"][joint] = delay, TIME_CONSTANTS[row]
            found["bias"][joint] = bias[row, joint]
    return Lag(**found)


def _step(segments: Segments) -> tuple[float, int]:
    horizon = float(segments.after.max())
    steps = int(np.ceil(horizon / STEP))
    return horizon / steps, steps


def _targets(segments: Segments, delay: Array) -> Array:
    return drive_targets(segments, delay, *_step(segments))


def _paths(segments: Segments, targets: Array, constants: Array) -> Array:
    """Readings at the samples, shape (lags, segments, samples, joints); `constants` has shape (lags, joints)."""
    step, steps = _step(segments)
    kept = np.exp(-step / constants)[:, None]
    path = np.empty((len(constants), segments.count, steps + 1, targets.shape[-1]))
    path[:, :, 0] = segments.position
    for index in range(steps):
        path[:, :, index + 1] = targets[:, index] + (path[:, :, index] - targets[:, index]) * kept
    return segments.sampled(path, step)
