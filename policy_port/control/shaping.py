"""Delays and filters over control steps, in place and without allocating; what each holds at reset is stated to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract.shaping import ActionFilter, FirstOrder, MovingAverage

Rows = NDArray[np.bool_] | None
"""Environments, or all of them."""


class Shaping(ABC):
    """Something that remembers numbers of earlier steps, and starts anew where an environment is reset."""

    def __init__(self, shape: tuple[int, int], first: bool) -> None:
        """Remember nothing yet.

        Args:
            shape: Environments and numbers.
            first: Whether the first numbers after a reset stand for those before.
        """
        self._first = first
        self._fresh = np.ones(shape[0], dtype=np.bool_)
        self._any_fresh = first

    def reset(self, rows: Rows, held: Array | float) -> None:
        """Forget what environments went through.

        Args:
            rows: The environments.
            held: What is held in place of it, unless the first numbers are, shape (environments, numbers).
        """
        chosen = slice(None) if rows is None else rows
        self._fresh[chosen] = self._any_fresh = self._first
        if not self._first:
            self._fill(chosen, held[chosen] if isinstance(held, np.ndarray) else held)

    def __call__(self, values: Array) -> None:
        """Replace the numbers of this step by what comes out, shape (environments, numbers)."""
        if self._any_fresh:
            self._fill(self._fresh, values[self._fresh])
            self._fresh[:] = self._any_fresh = False
        self._pass(values)

    @abstractmethod
    def _fill(self, rows: NDArray[np.bool_] | slice, held: Array | float) -> None:
        """Remember one row of numbers throughout."""

    @abstractmethod
    def _pass(self, values: Array) -> None:
        """Take the numbers in, and put in their place what comes out."""


class Delay(Shaping):
    """Each number as it was some steps ago."""

    def __init__(self, shape: tuple[int, int], lags: int | Sequence[int], *, first: bool) -> None:
        """Make room for the past.

        Args:
            shape: Environments and numbers.
            lags: Steps, for all numbers or one each.
            first: See `Shaping`.
        """
        super().__init__(shape, first)
        late = np.broadcast_to(np.asarray(lags, dtype=np.intp), shape[1])
        depth = int(late.max()) + 1
        self._past = np.zeros((depth, *shape))
        self._flat = self._past.reshape(-1)
        place = np.arange(shape[0] * shape[1]).reshape(shape)
        self._shown = [((now - late) % depth) * place.size + place for now in range(depth)]
        self._now = 0

    def _fill(self, rows: NDArray[np.bool_] | slice, held: Array | float) -> None:
        self._past[:, rows] = held

    def _pass(self, values: Array) -> None:
        self._past[self._now] = values
        # mode="clip" only because the other modes buffer `out`; the places are in range by construction.
        self._flat.take(self._shown[self._now], None, values, "clip")
        self._now = (self._now + 1) % len(self._past)


class LowPass(Shaping):
    """Of first order: weight * new + (1 - weight) * what came out before."""

    def __init__(self, shape: tuple[int, int], weight: float, *, first: bool) -> None:
        super().__init__(shape, first)
        # One number each although all are equal: NumPy takes a third of the time when nothing is broadcast.
        self._weight, self._kept = np.full(shape, weight), np.full(shape, 1.0 - weight)
        self._before = np.zeros(shape)

    def _fill(self, rows: NDArray[np.bool_] | slice, held: Array | float) -> None:
        self._before[rows] = held

    def _pass(self, values: Array) -> None:
        np.multiply(values, self._weight, values)
        np.multiply(self._before, self._kept, self._before)
        np.add(values, self._before, values)
        self._before[...] = values


class Mean(Shaping):
    """Of the numbers of some steps, the present one included."""

    def __init__(self, shape: tuple[int, int], steps: int, *, first: bool) -> None:
        super().__init__(shape, first)
        self._past = np.zeros((steps, *shape))
        self._share = np.full(shape, 1.0 / steps)
        self._sum = np.zeros(shape)
        self._now = 0

    def _fill(self, rows: NDArray[np.bool_] | slice, held: Array | float) -> None:
        self._past[:, rows] = held

    def _pass(self, values: Array) -> None:
        self._past[self._now] = values
        np.add.reduce(self._past, 0, None, self._sum)
        np.multiply(self._sum, self._share, values)
        self._now = (self._now + 1) % len(self._past)


def smoothing(stated: ActionFilter, shape: tuple[int, int], control_dt: float) -> Shaping:
    """The filter that a contract states, for so many environments and numbers, at a control period [s]."""
    first = stated.held == "first"
    match stated:
        case FirstOrder():
            return LowPass(shape, stated.weight(control_dt), first=first)
        case MovingAverage():
            return Mean(shape, stated.steps, first=first)
