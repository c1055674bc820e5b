"""Has it become worse? A test that may look after every episode and still errs no more often than stated.

Each episode gives a difference d = score now - score then on the same seed, between -1 and 1. Two bets run side by
side, each a nonnegative martingale under the hypothesis that it bets against:

- "no worse", mean d >= 0: wealth prod(1 - l d). Its inverse is the evidence that there is a regression.
- "worse by the margin", mean d <= -m: wealth prod(1 + l (d + m)). Its inverse is the evidence that there is none.

By Ville's inequality the chance that such a wealth ever reaches 1 / a is at most a, whenever one looks and whenever
one stops (Ville 1939; Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2024;
Shafer 2021). Stakes l are not tuned on the data: the bettor spreads the money evenly over a grid of them. For
outcomes that are 0 or 1 only discordant pairs move the first bet: it is McNemar's test made sequential. The pair of
bets takes the place of the two bounds of Wald's SPRT, without its simple alternatives.

What is assumed: seeds are drawn alike, that is, the difference expected of an episode does not depend on the ones
before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

STAKES = np.linspace(0.02, 0.98, 25)
"""Shares of the largest allowed stake over which the money is spread."""

Answer = Literal["pass", "regression", "open"]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the episodes seen so far say."""

    answer: Answer
    """open: neither bet has won yet."""
    episodes: int
    """Episode at which it was decided, counted from 1; the number seen where it is open."""
    worse: float
    """Evidence that the outcome has become worse; it alarms from 1 / alarm rate."""
    sound: float
    """Evidence that it has not dropped by the margin; it passes from 1 / miss rate."""


def decide(differences: ArrayLike, *, margin: float, alarm_rate: float, miss_rate: float) -> Decision:
    """Look at the episodes one after the other and stop where the answer is clear.

    Args:
        differences: Score now minus score then, each from -1 to 1, in the order of the seeds, shape (episodes,).
        margin: Drop of the mean that must not pass.
        alarm_rate: Largest chance of "regression" where the outcome is no worse.
        miss_rate: Largest chance of "pass" where the outcome has dropped by the margin or more.
    """
    d = np.asarray(differences, dtype=np.float64)
    if not d.size:
        return Decision(answer="open", episodes=0, worse=1.0, sound=1.0)
    worse, sound = evidence(d, margin)
    alarm, passed = worse >= 1.0 / alarm_rate, sound >= 1.0 / miss_rate
    clear = np.flatnonzero(alarm | passed)
    at = int(clear[0]) if clear.size else d.size - 1
    # Where both win at once, the alarm counts: something is wrong with at least one of the two claims.
    answer: Answer = "open" if not clear.size else "regression" if alarm[at] else "pass"
    return Decision(answer=answer, episodes=at + 1, worse=float(worse[at]), sound=float(sound[at]))


def evidence(differences: NDArray[np.float64], margin: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Wealth of both bets after each episode.

    Args:
        differences: Shape (..., episodes).
        margin: Drop that must not pass.

    Returns:
        Evidence for worse, and for sound, shape (..., episodes).
    """
    d = differences[..., None]
    if np.abs(d).max() > 1.0:
        raise ValueError("a difference of scores lies between -1 and 1")
    worse = np.log1p(-STAKES * d)
    sound = np.log1p(STAKES / (1.0 - margin) * (d + margin))
    return _wealth(worse), _wealth(sound)


def _wealth(log_gains: NDArray[np.float64]) -> NDArray[np.float64]:
    # Hundreds of episodes overflow nothing that matters: beyond 1e300 the answer is long clear.
    return np.exp(np.minimum(np.cumsum(log_gains, axis=-2), 690.0)).mean(axis=-1)
