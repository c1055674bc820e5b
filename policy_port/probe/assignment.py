"""Which of a block's numbers answers which action best, and how far that is from chance."""

from __future__ import annotations

import numpy as np

from policy_port.arrays import Array


def standing(mean: Array) -> Array:
    """How much each pairing of an action with a number stands out; a whole assignment's sum is its standing.

    The sum is in deviations of what a random assignment comes to, so that zero is chance.

    Args:
        mean: Mean derivatives, shape (n, n).

    Returns:
        Shape (n, n); zeros where nothing stands out.
    """
    rows, columns = (np.sqrt((mean**2).sum(axis=axis, keepdims=True)) for axis in (1, 0))
    size = np.sqrt(rows * columns)
    share = np.divide(np.abs(mean), size, out=np.zeros_like(mean), where=size > 0.0)
    centered = share - share.mean(0) - share.mean(1, keepdims=True) + share.mean()
    deviation = np.sqrt((centered**2).sum() / max(1, len(mean) - 1))
    return centered / deviation if deviation > 1e-12 else np.zeros_like(mean)


def best_assignment(score: Array) -> list[int]:
    """The column of each row in the assignment of the largest sum (the Hungarian method), for a square table."""
    size = len(score)
    cost = np.zeros((size + 1, size + 1))
    cost[1:, 1:] = score.max() - score
    rows, columns, row_of = np.zeros(size + 1), np.zeros(size + 1), np.zeros(size + 1, int)
    for row in range(1, size + 1):
        row_of[0], column = row, 0
        least, way = np.full(size + 1, np.inf), np.zeros(size + 1, int)
        used = np.zeros(size + 1, bool)
        while True:
            used[column] = True
            slack = cost[row_of[column]] - rows[row_of[column]] - columns
            nearer = ~used & (slack < least)
            least[nearer], way[nearer] = slack[nearer], column
            least[0] = np.inf
            chosen = int(np.argmin(np.where(used, np.inf, least)))
            step = least[chosen]
            rows[row_of[used]] += step
            columns[used] -= step
            least[~used] -= step
            column = chosen
            if row_of[column] == 0:
                break
        while column:
            row_of[column], column = row_of[way[column]], way[column]
    found = [0] * size
    for column in range(1, size + 1):
        found[row_of[column] - 1] = column - 1
    return found
