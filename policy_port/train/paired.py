"""Whether one policy did better than another in the same episodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policy_port.errors import EvidenceError
from policy_port.replay.result import Episode

FLIPS = 9_999
"""Random changes of sign of the permutation test."""


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Two policies in the same episodes."""

    episodes: int
    """How many."""
    won: int
    """Episodes that the new one fulfilled and the old one did not."""
    lost: int
    """The other way round."""
    outcome_p: float
    """Two-sided p of the exact McNemar test of the outcomes."""
    nearer: float
    """By how much the new one ended nearer to the goal, in the mean [m]."""
    nearer_p: float
    """Two-sided p of it, by random changes of sign."""

    def better(self, level: float) -> bool:
        """Whether the new one is surely better: in outcomes, or in distances where outcomes do not say otherwise.

        Args:
            level: Chance of saying so where nothing is different; the two tests share it.
        """
        by_outcome = self.won > self.lost and self.outcome_p <= level / 2.0
        return by_outcome or (self.won >= self.lost and self.nearer > 0.0 and self.nearer_p <= level / 2.0)

    def text(self) -> str:
        """Both tests in words."""
        return (
            f"over {self.episodes} paired episodes {self.won} won and {self.lost} lost (exact McNemar test, p = "
            f"{self.outcome_p:.2g}), {1e3 * self.nearer:+.1f} mm nearer to the goal (permutation of signs, p = "
            f"{self.nearer_p:.2g})"
        )


def paired(new: Sequence[Episode], old: Sequence[Episode]) -> Paired:
    """Hold a policy's episodes against another's.

    Raises:
        EvidenceError: When they are not the same episodes, or there are none.
    """
    seeds = ([one.seed for one in new], [one.seed for one in old])
    if seeds[0] != seeds[1] or not new:
        raise EvidenceError(
            f"episodes {_span(seeds[0])} can't be held against episodes {_span(seeds[1])}: a comparison in pairs needs "
            "the same seeds in the same order"
        )
    won = sum(a.success and not b.success for a, b in zip(new, old, strict=True))
    lost = sum(b.success and not a.success for a, b in zip(new, old, strict=True))
    gains = np.array([_distance(b) - _distance(a) for a, b in zip(new, old, strict=True)])
    return Paired(
        episodes=len(new),
        won=won,
        lost=lost,
        outcome_p=mcnemar(won, lost),
        nearer=float(gains.mean()),
        nearer_p=sign_flip(gains),
    )


def mcnemar(won: int, lost: int) -> float:
    """Two-sided p of the exact test: how likely so uneven a share is where each is as likely as the other."""
    count = won + lost
    tail = sum(math.comb(count, k) for k in range(min(won, lost) + 1)) / 2.0**count
    return min(1.0, 2.0 * tail)


def sign_flip(gains: np.ndarray) -> float:
    """Two-sided p of a mean that is zero: how often random signs give one as far away."""
    if not np.abs(gains).max(initial=0.0) > 0.0:
        return 1.0
    signs = np.random.default_rng(0).choice((-1.0, 1.0), (FLIPS, len(gains)))
    as_far = np.abs(signs @ gains) >= abs(gains.sum()) * (1.0 - 1e-12)
    return float((1 + as_far.sum()) / (1 + FLIPS))


def _distance(one: Episode) -> float:
    """How far from the goal it ended [m]; one that diverged, as far as an arm can reach."""
    distance = one.final_distance
    return 1.0 if distance is None or not math.isfinite(distance) else distance


def _span(seeds: Sequence[int]) -> str:
    return f"{min(seeds)} to {max(seeds)} ({len(seeds)})" if seeds else "of none"
