"""Joints that stay behind their targets: when an arm's supervisor, and whoever simulates it, takes one for blocked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array

ROUNDING = 1e-9
"""By how much sums of equal periods may be off [s]."""


class Behind:
    """How long joints of arms side by side have been farther behind their targets than they may."""

    def __init__(self, allowed: Array, patience: float, arms: int = 1) -> None:
        """Begin to look.

        Args:
            allowed: How far each joint may be behind [rad], shape (joints,).
            patience: How long it may be farther [s].
            arms: How many.
        """
        self._allowed, self._patience = allowed, patience
        self._since: Array = np.full((arms, len(allowed)), np.inf)

    def forget(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Nothing is known of arms any more: of all, or of those in `rows`, shape (arms,)."""
        self._since[slice(None) if rows is None else rows] = np.inf

    def look(self, now: float, angles: Array, target: Array) -> NDArray[np.bool_]:
        """Which joints have stayed behind for too long, shape (arms, joints).

        Args:
            now: Time of the measurement [s].
            angles: Where joints are [rad], shape (arms, joints), of one arm also (joints,).
            target: Where they were told to be [rad], of the same shape.
        """
        away = np.abs(target - angles) > self._allowed
        self._since = np.where(away, np.minimum(self._since, now), np.inf)
        return now - self._since > self._patience + ROUNDING


def blocked(name: str, away: float, allowed: float) -> str:
    """What is said of a joint that is `away` from its target, and may be as far as `allowed` [rad]."""
    return (
        f"{name} stays {abs(away):.2f} rad behind its target: something blocks it, or it is too weak for what it "
        "carries. Where nothing blocks it, take weight off, or raise its `tracking_error` in the robot file above "
        f"{allowed:g} (at most 1)"
    )


def first_target(name: str, asked: float, angle: float, bound: float) -> str:
    """What is said of a first target that is farther from where its joint is than `bound` [rad]."""
    return f"the policy's first target of {name} is {asked:.3f} rad, the arm is at {angle:.3f}; the bound is {bound:g}"
