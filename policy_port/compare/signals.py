"""How alike two recordings are, and what an action sounds like: pure functions of arrays, shapes (steps, columns)."""

from __future__ import annotations

import math

import numpy as np

from policy_port.arrays import Array

SHORTEST = 16
"""Fewest steps that have a spectrum or an alignment."""


def resample(values: Array, dt: float, new_dt: float) -> Array:
    """Values at other moments, on straight lines between the recorded ones; the first moment stays.

    Args:
        values: Shape (steps, columns).
        dt: Period of the steps [s].
        new_dt: Period wanted [s].
    """
    if len(values) < 2 or math.isclose(dt, new_dt, rel_tol=1e-9):
        return values
    old = np.arange(len(values)) * dt
    # A last moment that rounding has put behind the end belongs to the recording.
    new = np.arange(math.floor(old[-1] / new_dt * (1.0 + 1e-12)) + 1) * new_dt
    return np.stack([np.interp(new, old, column) for column in values.T], axis=1)


def best_lag(first: Array, second: Array, most: int) -> int:
    """Steps by which `second` comes later than `first`, by the largest cross-correlation of all columns together.

    Of equally good lags, which a periodic gait has many of, the one nearest to zero is returned.

    Args:
        first: Shape (steps, columns).
        second: Shape (steps, columns).
        most: Largest lag to consider [steps]; less where the recordings are too short for it.
    """
    length = min(len(first), len(second))
    most = min(most, length - max(2, length // 2))
    best, best_score = 0, -math.inf
    for lag in sorted(range(-most, most + 1), key=lambda lag: (abs(lag), lag)):
        ours, theirs = overlap(first, second, lag)
        ours, theirs = ours - ours.mean(axis=0), theirs - theirs.mean(axis=0)
        size = math.sqrt(float((ours**2).sum() * (theirs**2).sum()))
        score = float((ours * theirs).sum()) / size if size > 0.0 else 0.0
        # Strictly better by more than rounding: a tie must not be decided by noise.
        if score > best_score + 1e-9:
            best, best_score = lag, score
    return best


def overlap(first: Array, second: Array, lag: int) -> tuple[Array, Array]:
    """The steps that both have once `second` is moved earlier by `lag` steps."""
    if lag < 0:
        second, first = overlap(second, first, -lag)
        return first, second
    second = second[lag:]
    length = min(len(first), len(second))
    return first[:length], second[:length]


def rmse(first: Array, second: Array) -> Array:
    """Root mean square difference of each column, shape (columns,); both of equal length."""
    return np.sqrt(np.mean((first - second) ** 2, axis=0))


def divergence_step(first: Array, second: Array, threshold: float) -> int | None:
    """First step at which the root mean square over the columns differs by more than `threshold`.

    Nothing is aligned: both start at the same moment. NaN counts as apart.

    Returns:
        None when they stay together for as long as both last.
    """
    length = min(len(first), len(second))
    apart = np.sqrt(np.mean((first[:length] - second[:length]) ** 2, axis=1))
    beyond = ~(apart <= threshold)
    return int(np.argmax(beyond)) if beyond.any() else None


def spectrum(values: Array, dt: float) -> tuple[Array, Array] | None:
    """Power over frequency, summed over the columns, without the mean and under a Hann window.

    Args:
        values: Shape (steps, columns).
        dt: Period of the steps [s].

    Returns:
        Frequencies [Hz] and power, each of shape (bins,), or None for less than SHORTEST steps.
    """
    if len(values) < SHORTEST:
        return None
    window = np.hanning(len(values) + 1)[:-1, None]
    # The window itself has a mean, so the constant part goes before it is applied.
    power = np.abs(np.fft.rfft((values - values.mean(axis=0)) * window, axis=0)) ** 2
    return np.fft.rfftfreq(len(values), dt).astype(np.float64), power.sum(axis=1).astype(np.float64)


def dominant_frequency(frequency: Array, power: Array) -> float | None:
    """Frequency of the largest peak above the constant part [Hz]; None where nothing moves.

    The peak's place between bins is that of a parabola through it and its neighbours.
    """
    if len(power) < 3 or not power[1:].max() > 0.0:
        return None
    peak = int(np.argmax(power[1:])) + 1
    step = float(frequency[1])
    if peak == len(power) - 1:
        return peak * step
    left, middle, right = (math.log(max(float(value), 1e-300)) for value in power[peak - 1 : peak + 2])
    bend = left - 2.0 * middle + right
    shift = 0.5 * (left - right) / bend if bend < 0.0 else 0.0
    return (peak + max(-0.5, min(0.5, shift))) * step


def power_share(frequency: Array, power: Array, above: float) -> float | None:
    """Share of the power, without the constant part, that lies above a frequency [Hz].

    Returns:
        None where nothing moves, or where the recording is too coarse to hold such a frequency.
    """
    moving = power[1:]
    if frequency[-1] <= above or not moving.sum() > 0.0:
        return None
    return float(moving[frequency[1:] > above].sum() / moving.sum())
