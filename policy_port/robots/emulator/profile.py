"""How a servo's firmware leads its joint from one goal to the next: a trapezoid of speed over time."""

from __future__ import annotations

import math


class Profile:
    """A set point that moves with bounded speed and acceleration."""

    def __init__(self, start: float) -> None:
        """Stand still at `start` [ticks]."""
        self._position = start
        self._velocity = 0.0

    def step(self, goal: float, speed: float, acceleration: float, time_step: float) -> float:
        """Move towards `goal`.

        Args:
            goal: Where to go [ticks].
            speed: Largest speed [ticks/s].
            acceleration: Largest acceleration [ticks/s^2]; infinite for none.
            time_step: Time that passes [s].

        Returns:
            The set point at its end [ticks].
        """
        distance = goal - self._position
        if math.isinf(acceleration):
            self._velocity = math.copysign(min(speed, abs(distance) / time_step), distance)
        else:
            # No faster than it can stop from; half a step of speed is lost to deciding once per step.
            half = 0.5 * acceleration * time_step
            stoppable = math.sqrt(half * half + 2.0 * acceleration * abs(distance)) - half
            wanted = math.copysign(min(speed, stoppable, abs(distance) / time_step), distance)
            change = acceleration * time_step
            self._velocity += min(max(wanted - self._velocity, -change), change)
        moved = self._velocity * time_step
        if abs(distance) < 0.5 and abs(self._velocity) <= acceleration * time_step:
            self._position, self._velocity = goal, 0.0
        else:
            self._position += moved
        return self._position
