"""Which raw signal explains a recorded number, and with which factor and offset: least squares, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policy_port.contract.layout import observation_slots
from policy_port.contract.spec import Contract
from policy_port.contract.term import Term
from policy_port.verdict.evidence import Evidence, Mask, Values
from policy_port.verdict.rebuild import FLOOR, ROUNDINGS

SLACK = 4.0
"""Factor on the rounding that a fitted line may have: it balances the errors of all rows."""

PLATEAU = 3
"""Rows at exactly one extreme that make it a bound rather than a peak."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """recorded = gain * raw + bias, over all rows that no bound holds."""

    gain: float
    bias: float
    error: float
    """Largest difference left."""
    allowed: float
    """Difference that rounding explains."""
    gain_uncertainty: float
    """How far off the gain may be."""

    @property
    def explains(self) -> bool:
        """True where nothing but rounding is left."""
        return self.error <= self.allowed

    @property
    def tells(self) -> bool:
        """True where the gain can be told as well: a signal that stands still has none."""
        return self.explains and bool(np.isfinite(self.gain_uncertainty))


def fit(recorded: Values, raw: Values, rows: Mask, *, rounding: float, size: float = 0.0) -> Line:
    """Fit a line; rows at a plateau of the recorded number are left out where they don't lie on it.

    Args:
        recorded: What the network saw, shape (steps, environments).
        raw: The signal, same shape.
        rows: The rows to use.
        rounding: Relative rounding of the trace.
        size: Largest magnitude of what the signal was computed from, where that is larger than the signal.
    """
    y, x = recorded[rows], raw[rows]
    line = _line(y, x, rounding, size)
    if line.explains or not y.size:
        return line
    free = np.ones(y.size, dtype=np.bool_)
    for bound in (y.min(), y.max()):
        at_bound = y == bound
        if at_bound.sum() >= PLATEAU:
            free &= ~at_bound
    return _line(y[free], x[free], rounding, size) if PLATEAU < free.sum() < y.size else line


def _line(y: Values, x: Values, rounding: float, size: float) -> Line:
    size = max(size, float(np.abs(x).max(initial=0.0)))
    spread = float(np.ptp(x)) if x.size else 0.0
    moves = spread > 100.0 * rounding * max(size, FLOOR)
    x0, y0 = (float(x.mean()), float(y.mean())) if x.size else (0.0, 0.0)
    gain = float((x - x0) @ (y - y0) / ((x - x0) @ (x - x0))) if moves else 0.0
    bias = y0 - gain * x0
    error = float(np.abs(y - gain * x - bias).max(initial=0.0))
    allowed = max(FLOOR, SLACK * ROUNDINGS * rounding * (abs(gain) * size + abs(bias)))
    return Line(
        gain=gain,
        bias=bias,
        error=error,
        allowed=allowed,
        gain_uncertainty=2.0 * allowed / spread if moves else np.inf,
    )


def moves(values: Values, rows: Mask, *, rounding: float) -> bool:
    """False where a number stands still but for rounding."""
    chosen = values[rows]
    return bool(chosen.size) and float(np.ptp(chosen)) > 100.0 * rounding * max(float(np.abs(chosen).max()), FLOOR)


def settled_rows(evidence: Evidence) -> Mask:
    """Rows at which the previous step is known too."""
    return evidence.usable & (evidence.age >= 1)


def present(contract: Contract, evidence: Evidence, term: Term) -> list[Values]:
    """The recorded numbers of the present step of a term, each of shape (steps, environments).

    Of a term whose history leaves the present out, what later rows show of it; see `with_rows_ahead`.
    """
    newest = min(contract.observation.stack(term).ages)
    observation = evidence.arrays["observation"]
    columns = [i for i, slot in enumerate(observation_slots(contract)) if (slot.term, slot.age) == (term.label, newest)]
    return list(np.moveaxis(evidence.earlier(observation[:, :, columns], -newest)[0], 2, 0))


def with_rows_ahead(contract: Contract, evidence: Evidence) -> Evidence:
    """The evidence without the rows of which no later row shows what `present` takes from it."""
    newest = max(min(contract.observation.stack(term).ages) for term in contract.observation.terms)
    return evidence.with_arrays({}, evidence.earlier(evidence.usable, -newest)[1]) if newest else evidence


def match(recorded: Sequence[Values], signals: Sequence[Values], rows: Mask, *, rounding: float) -> list[int | None]:
    """The signal that each recorded column is a line of; its own place first, None where none is.

    Standing columns say nothing and keep their place where that stands too.
    """
    y = np.stack([column[rows] for column in recorded], axis=1)
    x = np.stack([column[rows] for column in signals], axis=1)
    y0, x0 = y - y.mean(axis=0), x - x.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.abs(y0.T @ x0) / np.sqrt((y0**2).sum(axis=0)[:, None] * (x0**2).sum(axis=0)[None, :])
    correlation = np.nan_to_num(correlation)
    found: list[int | None] = []
    for column in range(y.shape[1]):
        own = column if column < x.shape[1] else None
        best = [own] if own is not None else []
        best += [int(place) for place in np.argsort(-correlation[column], kind="stable")[:3]]
        still = not moves(recorded[column], rows, rounding=rounding)
        if still:
            steady = own is not None and not moves(signals[own], rows, rounding=rounding)
            found.append(own if steady else None)
            continue
        fits = (place for place in best if fit(recorded[column], signals[place], rows, rounding=rounding).explains)
        found.append(next(fits, None))
    return found
