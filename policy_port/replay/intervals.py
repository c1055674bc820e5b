"""Figures over episodes with their 95 % intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES = 4000
"""Draws of a bootstrap."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number with its 95 % interval; NaN where it can't be given."""

    value: float
    low: float
    high: float

    def text(self, digits: int = 3, factor: float = 1.0) -> str:
        """As a table shows it: "0.912 (0.905 to 0.918)"."""
        if not np.isfinite(self.value):
            return "-"
        if not np.isfinite(self.low):
            return f"{factor * self.value:.{digits}f}"
        value, low, high = (f"{factor * number:.{digits}f}" for number in (self.value, self.low, self.high))
        return f"{value} ({low} to {high})"


def bootstrap(statistic: Any, count: int) -> Figure:
    """A statistic of episodes, and the middle 95 % of what it is of episodes drawn with replacement.

    Args:
        statistic: Takes indices of episodes, shape (..., count), and gives one number for each row.
        count: Number of episodes.
    """
    drawn = statistic(np.random.default_rng(0).integers(0, count, (RESAMPLES, count)))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Figure(value=float(statistic(np.arange(count))), low=float(low), high=float(high))
