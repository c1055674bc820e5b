"""How well a robot did in a set of trials, as numbers of which less is better."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array

IDLE, STANDING = 0.9, 1.7
"""From which loss on a robot that stays up does nothing of what it was told, and what that counts in the search."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What came of the trials of one candidate, each array with one number per trial, in the trials' order."""

    loss: Array
    """0: did as it was told throughout. Up to 1: stayed up, with this error as a share of what was asked. From 1 to 2:
    fell, the earlier the more; or missed its goal, the farther the more. Shape (trials,)."""
    failed: NDArray[np.bool_]
    """The trials that fell, or missed their goal, shape (trials,)."""
    seconds: Array
    """How long each lasted [s], shape (trials,)."""
    error: Array
    """Velocity error as a share of the commanded speed, or distance of the tip from its goal [m]; NaN for a trial that
    fell, shape (trials,)."""
    asked: NDArray[np.intp]
    """Which trials ask the same: a number for each command, or for each goal, shape (trials,)."""
    tracking: float
    """Joint tracking error, root mean square [rad or m]; NaN where nothing can be told."""
    rate: float
    """Mean absolute change of a joint's target [rad/s or m/s]; NaN where nothing can be told."""
    saturation: float
    """Share of steps and joints at the effort limit; 0 where no joint has one."""

    @property
    def mean(self) -> float:
        """Mean loss over the trials."""
        return float(self.loss.mean())

    @property
    def progress(self) -> float:
        """Mean loss, but that a robot which stands still counts as one that fell: who does nothing falls late.

        The search goes by this, the verdict by `mean`.
        """
        idle = ~self.failed & (self.loss >= IDLE)
        return float(np.where(idle, STANDING, self.loss).mean())

    @property
    def effort(self) -> float:
        """What decides between candidates that do equally well: bad tracking, nervous targets, saturated drives."""
        numbers = np.array([self.tracking, 0.1 * self.rate, self.saturation])
        return float(numbers.sum()) if np.isfinite(numbers).all() else np.inf


def gain(before: Outcome, after: Outcome) -> tuple[float, float]:
    """By how much the loss falls over equal trials, and twice the standard error of that."""
    difference = before.loss - after.loss
    count = len(difference)
    doubt = 2.0 * float(difference.std(ddof=1)) / np.sqrt(count) if count > 1 else 0.0
    return float(difference.mean()), float(doubt)


def widespread_gain(before: Outcome, after: Outcome) -> float:
    """By how much the loss falls over all that is asked but the one command, or goal, at which it falls most.

    In another simulator than its own a correct policy may fail at one command, and any change there looks like a cure.
    """
    difference = before.loss - after.loss
    falls = {int(kind): float(difference[before.asked == kind].mean()) for kind in np.unique(before.asked)}
    if len(falls) < 2:
        return float(difference.mean())
    most = max(falls, key=falls.__getitem__)
    return float(difference[before.asked != most].mean())


CHANCE = 0.02
"""Probability below which so many won trials are no chance."""


def wins_surely(before: Outcome, after: Outcome) -> bool:
    """Whether more of the equal trials went better than chance gives: the sign test, which one bad fall can't sway."""
    difference = before.loss - after.loss
    won, decided = int((difference > 0.0).sum()), int((difference != 0.0).sum())
    tail = sum(math.comb(decided, count) for count in range(won, decided + 1))
    return decided > 0 and tail / 2**decided < CHANCE
