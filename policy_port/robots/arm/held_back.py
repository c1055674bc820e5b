"""A policy whose targets the limits hold back all the time: what the arm does then is not what it asks for."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from policy_port.arrays import Array
from policy_port.robots.arm.lerobot_arm import TOP_SPEED
from policy_port.robots.arm.stops import ArmStopError

WINDOW = 1.0
"""Time that is looked at [s]."""
WARNED, STOPPED = 0.5, 0.9
"""Shares of it beyond which it is said, and beyond which the arm is stopped."""


class HeldBack:
    """Counts the steps whose target no arm could follow."""

    def __init__(self, names: Sequence[str], far: float, period: float) -> None:
        """Begin to count.

        Args:
            names: Joints.
            far: How far a target may be from what the limits let through [rad].
            period: Control period [s].
        """
        self._names, self._far, self._period = tuple(names), far, period
        self._steps: deque[bool] = deque(maxlen=max(2, round(WINDOW / period)))
        self._before: Array | None = None
        self._warned = False

    def start(self) -> None:
        """The next target is a first one."""
        self._steps.clear()
        self._before = None

    def look(self, asked: Array, sent: Array) -> str | None:
        """Look at a target and what was sent of it, both [rad], shape (joints,). Returns a warning, once.

        Raises:
            ArmStopError: When nearly all targets of the last second were held back.
        """
        away = np.abs(asked - sent)
        change = np.zeros_like(away) if self._before is None else np.abs(asked - self._before)
        self._before = asked.copy()
        self._steps.append(bool((away > self._far).any() or (change > TOP_SPEED * self._period).any()))
        share = sum(self._steps) / len(self._steps)
        if len(self._steps) < (self._steps.maxlen or 0) or share <= WARNED:
            return None
        worst = int(away.argmax())
        text = (
            f"{100.0 * share:.0f} % of the policy's targets of the last {WINDOW:g} s were out of reach: more than "
            f"{self._far:g} rad (first_target) from what the limits let through, or faster than any servo. "
            f"{self._names[worst]} was asked to {asked[worst]:.3g} rad and sent to {sent[worst]:.3g}"
        )
        if share >= STOPPED:
            raise ArmStopError(
                f"{text}. The arm does not do what the policy says: look at units, action scale and joint order of its "
                "contract (policy-port verify, diagnose), or at speed in the robot file",
                may_move=True,
            )
        if self._warned:
            return None
        self._warned = True
        return text
