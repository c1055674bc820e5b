"""Signals that are computed, not measured: gravity in the base frame, the gait clock, the base at another point.

One environment is the case of a real robot and of most replays. There, plain Python numbers through a memoryview
take a quarter of the time of the array operations that many environments need.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np

from policy_port.contract.base_terms import MeasuredTerm, ProjectedGravityTerm
from policy_port.contract.task_terms import GaitPhaseTerm
from policy_port.control.command_terms import GaitWaves
from policy_port.control.motion_terms import MOTION_READERS
from policy_port.control.sensed_terms import SensedTerms
from policy_port.control.signals import Signals
from policy_port.control.time_terms import Elapsed
from policy_port.deploy.places import VECTORS, moving


class Reader(Protocol):
    """Whoever fills columns of the signals that nobody measures."""

    def update(self) -> None:
        """Compute them from the signals as they stand."""
        ...


class ProjectedGravity:
    """The world's (0, 0, -1) in the base frame, from a wxyz unit quaternion of base in world."""

    def __init__(self, signals: Signals) -> None:
        self._quat = signals.column["base_quat"]
        self._gravity = signals.column["projected_gravity"]
        self._row = signals.numbers
        w, x, y, z = range(self._quat, self._quat + 4)
        self._source = signals.row
        self._left = np.array([x, w, y, w, x, y], dtype=np.intp)
        self._right = np.array([z, y, z, x, x, y], dtype=np.intp)
        # Rows are the products xz, wy, yz, wx, xx, yy; columns are the components of the result.
        self._sum = np.array([[-2, 2, 0, 0, 0, 0], [0, 0, -2, -2, 0, 0], [0, 0, 0, 0, 2, 2]], dtype=np.float64).T
        self._products = np.zeros((signals.num_envs, 6))
        self._factors = np.zeros((signals.num_envs, 6))
        self._result = np.zeros((signals.num_envs, 3))
        self._shift = np.array([0.0, 0.0, -1.0])
        self._out = signals.view("projected_gravity")

    def update(self) -> None:
        """Recompute from the quaternion as it stands."""
        row = self._row
        if row is None:
            self._update_many()
            return
        first, out = self._quat, self._gravity
        w, x, y, z = row[first], row[first + 1], row[first + 2], row[first + 3]
        row[out] = 2.0 * (w * y - x * z)
        row[out + 1] = -2.0 * (y * z + w * x)
        row[out + 2] = 2.0 * (x * x + y * y) - 1.0

    def _update_many(self) -> None:
        self._source.take(self._left, 1, self._products, "clip")
        self._source.take(self._right, 1, self._factors, "clip")
        np.multiply(self._products, self._factors, self._products)
        np.matmul(self._products, self._sum, self._result)
        np.add(self._result, self._shift, self._out)


class GaitClock:
    """Sine and cosine of 2 pi (t / period + offset) for every offset of every gait_phase term."""

    def __init__(self, signals: Signals) -> None:
        clocks = [
            (math.tau / term.period, math.tau * offset)
            for term in signals.contract.observation.terms
            if isinstance(term, GaitPhaseTerm)
            for offset in term.offsets
        ]
        self._clocks = clocks
        self._time = signals.time
        self._row = signals.numbers
        self._columns = (signals.column["gait_sin"], signals.column["gait_cos"])
        self._rate = np.array([rate for rate, _ in clocks])
        self._start = np.array([start for _, start in clocks])
        self._angle = np.zeros((signals.num_envs, len(clocks)))
        self._sin, self._cos = signals.view("gait_sin"), signals.view("gait_cos")

    def update(self) -> None:
        """Recompute from the time as it stands."""
        row = self._row
        if row is None:
            np.multiply(self._time, self._rate, self._angle)
            np.add(self._angle, self._start, self._angle)
            np.sin(self._angle, self._sin)
            np.cos(self._angle, self._cos)
            return
        time, (sine, cosine) = self._time.item(), self._columns
        for index, (rate, start) in enumerate(self._clocks):
            angle = time * rate + start
            row[sine + index] = math.sin(angle)
            row[cosine + index] = math.cos(angle)


class MovedVectors:
    """The velocity of another point than the link's origin, v + w x r, and vectors in another frame's axes.

    What a term is of the base's nine numbers is a matrix, made once: R' and R' [r]x of the frame's axes R as columns
    and the point r, both in the base frame.
    """

    def __init__(self, signals: Signals) -> None:
        terms = [term for term in signals.contract.observation.terms if isinstance(term, MeasuredTerm) and term.moved]
        self._matrix = np.concatenate(
            [moving(term, signals.contract, signals.mountings, signals.num_envs) for term in terms], axis=1
        )
        """Shape (num_envs, 3 for each term, 9)."""
        kinds = {type(term) for term in terms}
        self._gravity = ProjectedGravity(signals) if ProjectedGravityTerm in kinds else None
        first = signals.column[VECTORS[0]]
        self._from = range(first, first + 9)
        self._to = range(signals.column["moved"], signals.column["moved"] + self._matrix.shape[1])
        self._row = signals.numbers
        self._plain: list[list[float]] = self._matrix[0].tolist()
        self._base = signals.row[:, first : first + 9, None]
        self._out = signals.view("moved")[..., None]

    def update(self) -> None:
        """Recompute from the base's vectors as they stand."""
        if self._gravity is not None:
            self._gravity.update()
        row = self._row
        if row is None:
            np.matmul(self._matrix, self._base, self._out)
            return
        base = [row[column] for column in self._from]
        for column, factors in zip(self._to, self._plain, strict=True):
            row[column] = sum(map(float.__mul__, factors, base))


READERS: dict[str, Callable[[Signals], Reader]] = {
    "projected_gravity": ProjectedGravity,
    "gait_sin": GaitClock,
    "gait_clock": GaitWaves,
    "moved": MovedVectors,
    "sensed": SensedTerms,
    "elapsed": Elapsed,
    **MOTION_READERS,
}
"""What computes a signal, by the name of the first signal that it writes; `update` is called where a term reads it."""
