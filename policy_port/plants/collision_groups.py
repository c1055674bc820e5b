"""Which shapes touch which, as collision groups of SAPIEN."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CLASSES = 32
"""SAPIEN has so many bits."""


def collision_classes(touch: NDArray[np.bool_], matters: NDArray[np.bool_]) -> list[tuple[int, int]] | None:
    """Bits by which shapes touch each other as told: two do where one's first number and the other's second share one.

    Args:
        touch: Which shapes touch, symmetric, shape (shapes, shapes).
        matters: Which of that has to be met, symmetric, shape (shapes, shapes).

    Returns:
        Two numbers of 32 bits per shape; None when that takes more bits.
    """
    # Between two classes: 1 they touch, 0 they don't, -1 either will do. Every shape starts as a class of its own.
    asked = np.where(matters, touch.astype(np.int8), np.int8(-1))
    classes = [[shape] for shape in range(len(touch))]
    first = 0
    while first < len(classes):
        second = first + 1
        while second < len(classes):
            if not _alike(asked, first, second):
                second += 1
                continue
            asked[first] = np.maximum(asked[first], asked[second])
            asked[:, first] = np.maximum(asked[:, first], asked[:, second])
            asked = np.delete(np.delete(asked, second, axis=0), second, axis=1)
            classes[first] += classes.pop(second)
        first += 1
    if len(classes) > CLASSES:
        return None
    bits = [(0, 0)] * len(touch)
    for number, members in enumerate(classes):
        partners = sum(1 << other for other in np.flatnonzero(asked[number] == 1).tolist())
        for member in members:
            bits[member] = (1 << number, partners)
    return bits


def _alike(asked: NDArray[np.int8], one: int, other: int) -> bool:
    """Whether two classes can be one."""
    mine, theirs = asked[one], asked[other]
    if np.any((mine != theirs) & (mine >= 0) & (theirs >= 0)):
        return False
    inside = {int(asked[one, one]), int(asked[one, other]), int(asked[other, other])} - {-1}
    return len(inside) <= 1
