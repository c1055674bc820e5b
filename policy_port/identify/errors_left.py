"""What a model leaves unexplained: errors by joint and horizon, and whether they look like noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from policy_port.arrays import Array
from policy_port.identify.segments import Segments

SETTLING = 0.35
"""Share of a segment after which the noise of its start has died away."""
LAGS = 10
"""Rows over which errors are looked at for memory."""
SURE = 1e-6
"""Chance at which noise would look as little like noise."""
LARGER = 1.3
"""Errors that are not white count from this multiple of the reading's noise on: hidden arms' own true numbers leave
0.98 to 1.10 of it."""


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """A joint whose errors are not noise."""

    joint: str
    """Its name."""
    error: float
    """Root mean square [rad]."""
    noise: float
    """What the readings' noise and steps explain [rad]."""
    memory: float
    """Correlation of an error with the next row's."""
    goes_with: str
    """What the errors go with, in words."""

    def __str__(self) -> str:
        return (
            f"{self.joint}: errors of {self.error:.2g} rad are not noise ({self.noise:.2g} rad; one row to the next "
            f"{self.memory:+.2f}); they go with {self.goes_with}"
        )


def rmse(error: Array, segments: Segments) -> tuple[Array, Array]:
    """Root mean square [rad] of errors (segments, samples, joints): of each joint, and of each recording by joint."""
    square = error**2
    used = np.unique(segments.of)
    by_recording = np.array([np.sqrt(square[segments.of == index].mean(axis=(0, 1))) for index in used])
    return np.sqrt(square.mean(axis=(0, 1))), by_recording


def reading_noise(segments: Segments) -> tuple[Array, Array]:
    """Noise of readings [rad] and the step that they are multiples of, shapes (joints,); 0 where none shows.

    The noise is what fourth differences show, the steps' share included; a motion hardly fills those, and the median
    over short stretches passes over jerks. A joint that stands still on one reading shows none.
    """
    fourth = np.diff(segments.measured, n=4, axis=1)
    size = max(1, min(8, fourth.shape[1]))
    whole = fourth[:, : fourth.shape[1] // size * size].reshape(-1, size, fourth.shape[2])
    level = np.sqrt((whole**2).mean(axis=1))
    noise = [float(np.median(one[one > 0.0])) if one.any() else 0.0 for one in level.T]
    step = [quantisation(segments.measured[..., joint].ravel()) for joint in range(fourth.shape[2])]
    return np.array(noise) / np.sqrt(70.0), np.array(step)


def quantisation(readings: Array) -> float:
    """Step of which readings are whole multiples [rad], 0 where there is none."""
    levels = np.unique(np.round(readings, 9))
    if len(levels) < 3:
        return 0.0
    gaps = np.diff(levels)
    least = float(np.quantile(gaps, 0.05))
    whole = gaps / least
    return least if np.abs(whole - np.round(whole)).max() < 0.05 and least > 1e-6 else 0.0


def misfits(error: Array, segments: Segments, joints: Sequence[str], command: Array) -> list[Misfit]:
    """Joints whose errors are neither white nor as small as the readings' noise.

    Args:
        error: Prediction less reading [rad], shape (segments, samples, joints), of segments longer than settling takes.
        segments: What was predicted.
        joints: Names of the joints.
        command: Target less reading at each sample [rad], the same shape: what drives a joint.
    """
    first = int(SETTLING * error.shape[1])
    late = error[:, first:]
    noise, step = reading_noise(segments)
    floor = np.maximum(noise, step / np.sqrt(12.0))
    found = []
    for joint, name in enumerate(joints):
        mine = late[..., joint]
        size = float(np.sqrt((mine**2).mean()))
        memory, chance = _memory(mine - mine.mean())
        biased = abs(mine.mean()) > LARGER * floor[joint]
        if size > LARGER * floor[joint] and (chance < SURE or biased):
            speed = np.gradient(segments.measured[..., joint], axis=1)[:, first:]
            reasons = {
                "the speed: a delay or damping": speed,
                "the direction of motion: friction or backlash": np.tanh(speed / max(float(speed.std()), 1e-9) * 3.0),
                "the load: stiffness, gravity or an offset": command[:, first:, joint],
                "a constant: an offset or gravity": np.ones_like(mine),
            }
            found.append(
                Misfit(
                    joint=name, error=size, noise=float(floor[joint]), memory=memory, goes_with=_explains(mine, reasons)
                )
            )
    return found


def _memory(error: Array) -> tuple[float, float]:
    """Correlation from one row to the next, and Ljung and Box's chance of so much memory in noise."""
    power = float((error**2).sum())
    if power == 0.0:
        return 0.0, 1.0
    length = error.shape[1]
    lags = range(1, min(LAGS, length - 1) + 1)
    found = [float((error[:, lag:] * error[:, :-lag]).sum()) / power * length / (length - lag) for lag in lags]
    count = error.size
    statistic = count * sum(value**2 for value in found)
    return found[0], float(special.chdtrc(len(found), statistic))


def _explains(error: Array, reasons: dict[str, Array]) -> str:
    """The reason whose line through 0 takes most of the errors' power."""
    share = {}
    for name, signal in reasons.items():
        power = float((signal**2).sum())
        share[name] = 0.0 if power == 0.0 else float((error * signal).sum()) ** 2 / power / float((error**2).sum())
    best = max(share, key=lambda name: share[name])
    return f"{best} ({share[best]:.0%} of their power)" if share[best] > 0.1 else "none of speed, direction and load"
