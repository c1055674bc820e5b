"""Which of a block's numbers answers which action best, and how far that is from chance."""

from __future__ import annotations

import math

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
    # Plain lists: tables of a robot's joints are too small for arrays to be faster.
    size, cost = len(score), (score.max() - score).tolist()
    rows, columns, row_of = [0.0] * (size + 1), [0.0] * (size + 1), [0] * (size + 1)
    for row in range(1, size + 1):
        row_of[0], column = row, 0
        least, way = [math.inf] * (size + 1), [0] * (size + 1)
        used, free = [0], list(range(1, size + 1))
        while True:
            line, base, step, chosen = cost[row_of[column] - 1], rows[row_of[column]], math.inf, 0
            for other in free:
                slack = line[other - 1] - base - columns[other]
                if slack < least[other]:
                    least[other], way[other] = slack, column
                if least[other] < step:
                    step, chosen = least[other], other
            for other in used:
                rows[row_of[other]] += step
                columns[other] -= step
            for other in free:
                least[other] -= step
            column = chosen
            if row_of[column] == 0:
                break
            used.append(column)
            free.remove(column)
        while column:
            row_of[column], column = row_of[way[column]], way[column]
    found = [0] * size
    for column in range(1, size + 1):
        found[row_of[column] - 1] = column - 1
    return found
