"""Types of arrays, once for the whole package."""

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
