"""Targets within position, speed and acceleration limits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array

LIMITED = 1e-6
"""By how much a target has to differ from what was asked for to count as limited [rad]."""


class Limiter:
    """Follows the targets that are asked for as closely as the limits allow, and never overshoots them."""

    def __init__(self, lower: Array, upper: Array, speed: Array, acceleration: Array, period: float) -> None:
        """Set the limits, each of shape (joints,).

        Args:
            lower: Least position [rad].
            upper: Greatest position [rad].
            speed: Greatest speed [rad/s].
            acceleration: Greatest acceleration [rad/s^2].
            period: Time between two targets [s].
        """
        self._lower, self._upper, self._speed, self._period = lower, upper, speed, period
        self._change = acceleration * period
        self.position = np.zeros_like(lower)
        """The target sent last [rad]."""
        self.velocity = np.zeros_like(lower)
        """Its speed [rad/s]."""

    def start(self, position: Array) -> None:
        """Stand still at `position`, or at the nearest one within the limits."""
        self.position = np.clip(position, self._lower, self._upper)
        self.velocity = np.zeros_like(self.position)

    def rest(self) -> None:
        """The target has stood still for long enough that its speed is over."""
        self.velocity = np.zeros_like(self.position)

    def keep(self, joints: NDArray[np.bool_], position: Array) -> None:
        """Some joints stand still at `position` [rad]: they never got the last target."""
        self.position = np.where(joints, np.clip(position, self._lower, self._upper), self.position)
        self.velocity = np.where(joints, 0.0, self.velocity)

    def follow(self, asked: Array) -> Array:
        """The next target on the way to `asked`, both [rad], shape (joints,)."""
        goal = np.clip(asked, self._lower, self._upper)
        distance = goal - self.position
        # No faster than it can stop from before the goal. Braking takes `change` off the speed once per step, so from
        # n times that it covers n (n + 1) / 2 times what one such step does; in between it needs a step more.
        left = np.abs(distance) / (self._change * self._period)
        braking = np.floor(np.sqrt(2.0 * left + 0.25) - 0.5)
        stoppable = (left / (braking + 1.0) + 0.5 * braking) * self._change
        wanted = np.copysign(np.minimum(self._speed, stoppable), distance)
        velocity = self.velocity + np.clip(wanted - self.velocity, -self._change, self._change)
        before = self.position
        # Rounding must not lead out of the limits.
        self.position = np.clip(before + velocity * self._period, self._lower, self._upper)
        self.velocity = (self.position - before) / self._period
        return self.position
