"""Recordings cut into stretches that are predicted: each starts at what was measured and runs for one horizon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from policy_port.arrays import Array, Integers
from policy_port.identify.recording import Recording

BESIDE = 2
"""Rows to each side that tell the velocity of one: a parabola's slope, as noise would drown differences."""


@dataclass(frozen=True, kw_only=True)
class Segments:
    """Stretches of recordings, of equal length; columns are the robot file's joints."""

    recordings: tuple[Recording, ...]
    """Where they are from."""
    of: Integers
    """Index of each one's recording, shape (segments,)."""
    start: Array
    """When each begins, on its recording's clock [s], shape (segments,)."""
    position: Array
    """Reading at the start [rad], shape (segments, joints)."""
    velocity: Array
    """Its slope at the start [rad/s], shape (segments, joints)."""
    after: Array
    """When each reading that is predicted was made, since the start [s], shape (segments, samples)."""
    measured: Array
    """Those readings [rad], shape (segments, samples, joints)."""
    horizon: float
    """Length of each [s]."""
    shared: float = 1.0
    """How many segments each row is in."""

    @property
    def count(self) -> int:
        """Number of segments."""
        return len(self.of)

    def sampled(self, path: Array, timestep: float) -> Array:
        """Paths (..., segments, steps + 1, joints) at the readings' times, shape (..., segments, samples, joints)."""
        place = np.minimum(self.after / timestep, path.shape[-2] - 1 - 1e-9)
        low = place.astype(np.int64)
        rows, part = np.arange(self.count)[:, None], (place - low)[..., None]
        return path[..., rows, low, :] * (1.0 - part) + path[..., rows, low + 1, :] * part

    def take(self, chosen: Integers) -> Segments:
        """Some of them."""
        return Segments(
            recordings=self.recordings,
            of=self.of[chosen],
            start=self.start[chosen],
            position=self.position[chosen],
            velocity=self.velocity[chosen],
            after=self.after[chosen],
            measured=self.measured[chosen],
            horizon=self.horizon,
            shared=max(1.0, self.shared * len(chosen) / self.count),
        )

    def some(self, most: int) -> Segments:
        """At most so many, spread evenly."""
        if self.count <= most:
            return self
        return self.take(np.unique(np.linspace(0, self.count - 1, most).astype(np.int64)))


def slopes(rows: Array) -> Array:
    """Slope of the parabola through each row and those beside it, the nearest whole one's at both ends."""
    found = np.zeros_like(rows)
    end = len(rows) - BESIDE
    for apart in range(1, BESIDE + 1):
        found[BESIDE:end] += apart * (rows[BESIDE + apart : end + apart] - rows[BESIDE - apart : end - apart])
    found[:BESIDE], found[end:] = found[BESIDE], found[end - 1]
    return found / (2.0 * sum(apart**2 for apart in range(1, BESIDE + 1)))


def cut(recordings: Sequence[Recording], horizon: float, least: int = 0) -> Segments:
    """Cut recordings into stretches one after the other; what is left at an end is not used.

    Args:
        recordings: In one robot's joints.
        horizon: Length of each stretch [s]: at least two rows, and no longer than the shortest recording.
        least: So many segments, or more; where recordings are too short for that they overlap, by seven eighths at
            most.
    """
    parts: dict[str, list[Any]] = {key: [] for key in ("of", "start", "position", "velocity", "after", "measured")}
    samples = min(min(max(2, int(horizon / item.period + 1e-6)), len(item.time) - 6) for item in recordings)
    apart = sum(max(1, (len(item.time) - 6) // samples) for item in recordings)
    stride = max(1, samples // min(8, max(1, -(-least // apart))))
    for index, item in enumerate(recordings):
        velocity = slopes(item.measured) / item.period
        # The first rows have no commands before them that a delay could bring.
        first: Any = np.arange(min(5, len(item.time) // 4), len(item.time) - samples, stride)
        rows = first[:, None] + 1 + np.arange(samples)
        after = item.time[rows] - item.time[first, None]
        whole = after[:, -1] <= 1.3 * samples * item.period
        first, rows, after = first[whole], rows[whole], after[whole]
        parts["of"].append(np.full(len(first), index))
        parts["start"].append(item.time[first])
        parts["position"].append(item.measured[first])
        parts["velocity"].append(velocity[first])
        parts["after"].append(after)
        parts["measured"].append(item.measured[rows])
    joined = {key: np.concatenate(values) for key, values in parts.items()}
    return Segments(
        recordings=tuple(recordings),
        of=joined.pop("of").astype(np.int64),
        horizon=float(joined["after"].max()),
        shared=samples / stride,
        **joined,
    )
