"""Random numbers as a robot in training shows them: what observation terms draw their raw values from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from policy_port.arrays import Array
from policy_port.contract.parsing import Parsing


class Draws:
    """Numbers over `length` steps of `batch` independent sequences; equal generators draw equal numbers."""

    def __init__(self, contract: Parsing, length: int, batch: int, rng: np.random.Generator) -> None:
        self.shape = (length, batch)
        self._contract, self._rng = contract, rng
        self.positions: dict[str, Array] = {}
        """A way through each joint's range [unit], shape (length, batch), by joint name."""
        for name, joint in contract.joints.items():
            low, high = joint.sweep
            self.positions[name] = low + (high - low) * 0.5 * (self.smooth() + 1.0)

    def smooth(self) -> Array:
        """Numbers within +-1 that change little from step to step, shape (length, batch)."""
        length, batch = self.shape
        time = np.arange(length)[:, None]
        weight = self._rng.random(batch)
        slow, fast = (
            np.sin(self._rng.uniform(0.0, 2.0 * math.pi, batch) + self._rng.uniform(*pace, batch) * time)
            for pace in ((0.01, 0.1), (0.1, 0.6))
        )
        return weight * slow + (1.0 - weight) * fast

    def vector(self) -> Array:
        """Three of them, shape (length, batch, 3)."""
        return np.stack([self.smooth() for _ in range(3)], axis=-1)

    def rotation(self, reach: float) -> Array:
        """Rotations by up to `reach` [rad] about each of three axes, shape (length, batch, 3, 3)."""
        turned: Array = np.broadcast_to(np.eye(3), (*self.shape, 3, 3))
        for first, second in ((1, 2), (2, 0), (0, 1)):
            angle = reach * self.smooth()
            about = np.broadcast_to(np.eye(3), (*self.shape, 3, 3)).copy()
            about[..., first, first] = about[..., second, second] = np.cos(angle)
            about[..., first, second], about[..., second, first] = -np.sin(angle), np.sin(angle)
            turned = about @ turned
        return turned

    def held(self, bounds: Sequence[tuple[float, float]]) -> Array:
        """Numbers that are drawn once per sequence, as commands and goals are, shape (length, batch, bounds)."""
        return np.stack([np.broadcast_to(self._rng.uniform(*b, self.shape[1]), self.shape) for b in bounds], axis=-1)

    def noise(self, size: int) -> Array:
        """Plain noise, shape (length, batch, size)."""
        return self._rng.standard_normal((*self.shape, size))

    def time(self, period: float) -> Array:
        """Time since some moment within `period` [s], shape (length, batch)."""
        length, batch = self.shape
        return self._contract.control_dt * np.arange(length)[:, None] + period * self._rng.random(batch)
