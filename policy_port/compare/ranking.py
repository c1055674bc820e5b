"""Whether one world ranks policies as another does: Pearson's r, and SIMPLER's mean maximum rank violation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def pearson(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Correlation of two worlds' scores; None where one of them gives every policy the same."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt(float((a**2).sum() * (b**2).sum()))
    # Scores that differ by rounding only are the same.
    if size <= 1e-24:
        return None
    return max(-1.0, min(1.0, float((a * b).sum()) / size))


def mean_maximum_rank_violation(reference: Sequence[float], other: Sequence[float]) -> float:
    """MMRV of SIMPLER (arXiv 2405.05941): what it costs to trust the other world's ranking, in the reference's score.

    For each policy the largest difference in the reference's score to a policy that the other world ranks the other
    way round, averaged over the policies. 0: every pair is ranked alike.

    Args:
        reference: Score of each policy in the world that counts.
        other: Score of each policy in the world that is to stand in for it.
    """
    real, simulated = np.asarray(reference, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if real.shape != simulated.shape or real.ndim != 1 or not len(real):
        raise ValueError(f"scores of shapes {real.shape} and {simulated.shape}")
    cost = np.abs(real[:, None] - real[None, :])
    violated = (simulated[:, None] < simulated[None, :]) != (real[:, None] < real[None, :])
    return float((cost * violated).max(axis=1).mean())


def violations(reference: Sequence[float], other: Sequence[float]) -> list[tuple[int, int]]:
    """Pairs (better, worse) by the reference that the other world does not rank so."""
    return [
        (i, j)
        for i in range(len(reference))
        for j in range(len(reference))
        if reference[i] > reference[j] and not other[i] > other[j]
    ]
