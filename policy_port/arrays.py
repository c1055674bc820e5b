"""Types of arrays, once for the whole package, and what NumPy does slowly with few of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""Numbers in SI units, one row per environment unless a docstring says otherwise."""

Float32 = NDArray[np.float32]
"""What networks read and write."""

Integers = NDArray[np.int64]
"""Indices and counts."""

Pixels = NDArray[Any]
"""Images, bytes or float32, in the layout that a docstring names."""

PLUS, MINUS = [1, 2, 0, 2, 0, 1], [2, 0, 1, 1, 2, 0]


def cross(a: Array, b: Array) -> Array:
    """Cross products along the last axis, of three numbers; np.cross takes several times as long for few."""
    products = a.take(PLUS, -1) * b.take(MINUS, -1)
    return products[..., :3] - products[..., 3:]


def turned_back(vectors: Array, axes: Array) -> Array:
    """Vectors as components along `axes`, the columns of the matrices (..., 3, 3), in MuJoCo's order of adding."""
    return axes[..., 0, :] * vectors[..., :1] + axes[..., 1, :] * vectors[..., 1:2] + axes[..., 2, :] * vectors[..., 2:]


def turn(into: Array, vector: Array, quat: Array) -> None:
    """Turn vectors by wxyz unit quaternions, a row each, as mju_rotVecQuat does one."""
    (a, b, c), (w, x, y, z) = vector.T, quat.T
    across = w * a + y * c - z * b, w * b + z * a - x * c, w * c + x * b - y * a
    into[:, 0] = a + 2.0 * (y * across[2] - z * across[1])
    into[:, 1] = b + 2.0 * (z * across[0] - x * across[2])
    into[:, 2] = c + 2.0 * (x * across[1] - y * across[0])
