"""Where on the base a vector is measured: what a trace holds of it, and which point and axes its numbers show."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from policy_port.contract.base_terms import BaseLinVelTerm, MeasuredTerm
from policy_port.contract.place import place_signal
from policy_port.contract.spec import Contract
from policy_port.verdict.evidence import Evidence, Mask, Read, Values
from policy_port.verdict.fits import SLACK, present, with_rows_ahead
from policy_port.verdict.rebuild import FLOOR, ROUNDINGS, factors
from policy_port.verdict.signals import base_vector, recorded_place, turned_into

TOLD = 0.01
"""How far off a fitted point may be [m] before a trace does not tell it."""

FARTHEST = 2.0
"""Farthest from the link's origin that a point of a base is looked for [m]."""


NOWHERE = 1e30
"""Stands for what can't be told at all: a number, so that nothing times it is nothing."""


class Shown(NamedTuple):
    """What the network was shown of a vector, before scale and offset."""

    values: Values
    """Shape (steps, environments, 3)."""
    rows: Mask
    """Where no bound holds it, shape (steps, environments)."""


class Fit(NamedTuple):
    """The point whose velocity explains what was shown: v + w x r, by least squares."""

    offset: Values
    """r of each environment, from the link's origin in its axes [m], shape (environments, 3)."""
    left: float
    """Largest difference that is left [m/s]."""
    allowed: float
    """What rounding explains of it."""
    doubt: Values
    """How far off each number of r may be, by what is left [m], shape (3,)."""
    unseen: Values
    """The same by what rounding allows: beyond `TOLD`, the trace does not tell it."""

    @property
    def explains(self) -> bool:
        """Whether nothing but rounding is left."""
        return self.left <= self.allowed

    @property
    def common(self) -> Values | None:
        """The one point of all environments; None where each has its own."""
        apart = np.ptp(self.offset, axis=0)
        return self.offset[0] if bool((apart <= 1e-12).all()) else None

    @property
    def words(self) -> str:
        """The point, or those of the first environments: "(0, 0, -0.07605)"."""
        points = self.offset[:1] if self.common is not None else self.offset[:4]
        more = " and more" if len(self.offset) > len(points) > 1 else ""
        doubt = float(max(self.doubt[self.doubt < TOLD].max(initial=0.0), 1e-6))
        return " and ".join(f"({', '.join(_short(value, doubt) for value in point)})" for point in points) + more


def _short(value: float, doubt: float) -> str:
    digits = int(np.clip(np.ceil(-np.log10(doubt)), 1, 5))
    return f"{round(float(value), digits) + 0.0:g}"


def missing(evidence: Evidence, term: MeasuredTerm) -> tuple[str, ...]:
    """Names of the arrays that say where a term is measured, and that the trace does not have."""
    point = term.point if isinstance(term, BaseLinVelTerm) else None
    if (
        point is None
        or point == "link"
        or isinstance(point, tuple)
        or recorded_place(evidence, point, "pos") is not None
    ):
        return ()
    return (place_signal(point, "pos"),)


def assumed_axes(evidence: Evidence, term: MeasuredTerm) -> str:
    """What is assumed of a term's axes, where the trace does not hold them; nothing where it does."""
    place = term.axes_of
    if place is None or recorded_place(evidence, place, "quat") is not None:
        return ""
    return f"taken to be in the base link's axes, as the trace has no {place_signal(place, 'quat')}"


def shown_vector(contract: Contract, evidence: Evidence, term: MeasuredTerm) -> Shown | None:
    """What the network was shown, back in the raw unit; None where a scale of zero hides it."""
    found = []
    rows = with_rows_ahead(contract, evidence).usable.copy()
    for column, element in zip(present(contract, evidence, term), contract.term_elements(term), strict=True):
        scale, _, offset = factors(contract, term, element)
        if not scale:
            return None
        raw = (column - offset) / scale
        own = column if term.clip_after_scale else raw
        for clip, values in ((term.entry("clip", element), own), (contract.observation.clip, column)):
            if clip is not None:
                rows &= (values > clip[0]) & (values < clip[1])
        found.append(raw)
    return Shown(np.stack(found, axis=2), rows)


def fit_point(contract: Contract, evidence: Evidence, term: BaseLinVelTerm, shown: Values, rows: Mask) -> Fit | None:
    """The point, one for all environments or one for each, whose velocity a vector in the link's axes is.

    Args:
        contract: The contract, for messages.
        evidence: The trace.
        term: The term.
        shown: The vector, shape (steps, environments, 3).
        rows: The rows to use.
    """
    where = f"'{term.label}' of contract '{contract.name}'"
    velocity, turning = (base_vector(evidence, name, where) for name in ("base_lin_vel", "base_ang_vel"))
    gap, cross = shown - velocity, cross_matrix(turning)
    if not rows.any(axis=0).all():
        return None
    size = float(np.linalg.norm(velocity, axis=2).max())
    swing = float(np.linalg.norm(turning, axis=2).max())

    def allowed(offset: Values) -> float:
        reach = float(np.linalg.norm(offset, axis=-1).max())
        return max(FLOOR, SLACK * ROUNDINGS * evidence.rounding * (size + swing * reach))

    every = _solve(cross[rows], gap[rows])
    offset = np.tile(every, (evidence.shape[1], 1))
    left = _left(cross, gap, offset, rows)
    if left > allowed(offset) and evidence.shape[1] > 1:
        each = [_solve(cross[:, env][rows[:, env]], gap[:, env][rows[:, env]]) for env in range(evidence.shape[1])]
        own = np.stack(each)
        if _left(cross, gap, own, rows) <= allowed(own):
            offset, left = own, _left(cross, gap, own, rows)
    told = np.max([_told(cross[:, env][rows[:, env]]) for env in range(evidence.shape[1])], axis=0)
    bound = allowed(offset)
    return Fit(offset, left, bound, left * told, bound / SLACK * told)


def _solve(cross: Values, gap: Values) -> Values:
    return np.linalg.lstsq(cross.reshape(-1, 3), gap.reshape(-1), rcond=1e-9)[0].astype(np.float64)


def _left(cross: Values, gap: Values, offset: Values, rows: Mask) -> float:
    moved = np.einsum("tnij,nj->tni", cross, offset)
    return float(np.abs(gap - moved)[rows].max(initial=0.0))


def _told(cross: Values) -> Values:
    """How far off each number of a point may be for each unit that every equation may be off."""
    table = cross.reshape(-1, 3)
    values, vectors = np.linalg.eigh(table.T @ table)
    told = values > max(1e-12 * float(values.max()), 1e-30)
    inverse = (vectors**2) @ np.where(told, 1.0 / np.where(told, values, 1.0), NOWHERE)
    return np.sqrt(len(table) * inverse)


def cross_matrix(turning: Values) -> Values:
    """The matrix that a vector r is multiplied with to give w x r, shape (..., 3, 3)."""
    x, y, z = np.moveaxis(turning, -1, 0)
    zero = np.zeros_like(x)
    rows = ((zero, -z, y), (z, zero, -x), (-y, x, zero))
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def fitted(contract: Contract, evidence: Evidence, term: BaseLinVelTerm) -> tuple[Evidence, Fit] | None:
    """The evidence in which a term saw the velocity of the point that fits best, in its axes; and that point."""
    shown = shown_vector(contract, evidence, term)
    if shown is None:
        return None
    place = term.axes_of
    quat = None if place is None else recorded_place(evidence, place, "quat")
    in_link = shown.values if quat is None else turned_into(evidence, shown.values, quat, back=True)
    fit = fit_point(contract, evidence, term, in_link, shown.rows)
    if fit is None or float(np.abs(fit.offset).max()) > FARTHEST:
        return None
    where = f"'{term.label}'"
    velocity, turning = (base_vector(evidence, name, where) for name in ("base_lin_vel", "base_ang_vel"))
    values = velocity + np.cross(turning, fit.offset[None])
    if quat is not None:
        values = turned_into(evidence, values, quat)
    known = np.ones(evidence.shape, dtype=np.bool_)
    reads = {(term.label, axis): Read(values[:, :, k], known) for k, axis in enumerate(contract.term_elements(term))}
    return evidence.seen_as(reads), fit
