"""Whether a network is the same on its left as on its right, under the names that its numbers are said to have."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from policy_port.arrays import Array
from policy_port.closed_loop.symmetry import split
from policy_port.contract.base_terms import BaseLinVelTerm, BaseTerm, MeasuredTerm
from policy_port.contract.joint_terms import JointTerm, LastActionTerm
from policy_port.contract.layout import observation_slots
from policy_port.contract.place import Place
from policy_port.contract.spec import Contract
from policy_port.probe.network import Response

SIGNS = {
    "base_lin_vel": (1, -1, 1),
    "base_ang_vel": (-1, 1, -1),
    "projected_gravity": (1, -1, 1),
    "velocity_command": (1, -1, -1),
}
"""What the mirror between left and right makes of a vector; one that turns is turned over twice."""

OPPOSITE = {
    one: other
    for pair in (("left", "right"), ("l", "r"), ("fl", "fr"), ("rl", "rr"), ("hl", "hr"), ("lf", "rf"), ("lh", "rh"))
    for one, other in (pair, pair[::-1])
}
MOST_TRIED = 12
"""Pairs of joints up to which all their signs are tried; of more, a search finds them."""
STARTS = 8
"""Starts of that search."""

SYMMETRIC = 0.55
"""Fit from which a network counts as symmetric. Measured by benchmarks/probe.py, as what follows."""
CERTAIN = 0.05
"""What the other sign must take from the fit for a sign to be certain."""

Names = Mapping[str, str]
"""Stated joint name -> the one supposed."""


@functools.cache
def partner(name: str) -> str:
    """The joint on the other side: right_knee of left_knee; the joint itself where its name tells no side."""
    side, kind = split(name)
    other = OPPOSITE.get(side.lower(), "")
    if side.isupper():
        other = other.upper()
    elif side[:1].isupper():
        other = other.capitalize()
    return kind.replace("*", other, 1) if other else name


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How symmetric the network is under some names."""

    value: float
    """Correlation of the derivatives with their mirror image: 1 for a symmetric network, near 0.3 for a wrong pairing,
    as the signs are those that fit best."""
    signs: dict[str, int]
    """For each joint of the action, 1 where it turns the same way as its partner, -1 where the opposite way."""
    margins: dict[str, float]
    """For each of them, what the other sign would take from the fit."""


def turned(contract: Contract, fit: Fit) -> tuple[str, ...]:
    """Joints whose network turns them the other way round than their default pose and their partner's say.

    Defaults that are equal are of joints that turn the same way, opposite ones of joints that turn the opposite way;
    a default of zero tells nothing.
    """
    found = []
    for name, sign in fit.signs.items():
        own, other = contract.joints[name].default, contract.joints[partner(name)].default
        told = own != 0.0 and abs(own) == abs(other) and name < partner(name)
        if told and (own == other) != (sign == 1) and fit.margins[name] >= CERTAIN and fit.value >= SYMMETRIC:
            found.append(name)
    return tuple(found)


class Mirror:
    """The derivatives of a network, to be held against their mirror image under any names."""

    def __init__(self, contract: Contract, response: Response) -> None:
        terms = {term.label: term for term in contract.observation.terms}
        vectors = _mirrored(contract)
        self._rows = contract.action_joint_names
        slots = observation_slots(contract)
        self._columns = [
            (column, terms[slot.term], slot)
            for column, slot in enumerate(slots)
            if slot.term in vectors or isinstance(terms[slot.term], JointTerm | LastActionTerm)
        ]
        self._derivatives = _weighed(response, [slot.term for slot in slots])[:, [c for c, _, _ in self._columns]]
        self._signs = np.array(
            [SIGNS[t.term][t.axes.index(s.element)] if isinstance(t, BaseTerm) else 0 for _, t, s in self._columns]
        )
        """Of each column: the mirror's sign for a base vector, 0 for a joint."""
        self._blocks = [
            (None if isinstance(term, LastActionTerm) else slot.term, slot.element, f"{slot.term}@{slot.age}")
            for _, term, slot in self._columns
        ]
        """Of each column: the term whose names it goes by, None for the action's, its element, and its block."""
        self._known: dict[tuple[int, ...], Fit] = {}

    @property
    def silent(self) -> str:
        """Why nothing can be told; empty where it can."""
        seen = [slot.element for _, term, slot in self._columns if isinstance(term, JointTerm)]
        names = {*self._rows, *seen}
        if not any(partner(name) != name for name in names):
            return "no two joint names differ in their side alone"
        alone = sorted(name for name in names if partner(name) not in names)
        if alone:
            return f"{', '.join(alone[:3])} has no partner among the joints"
        if {partner(name) for name in self._rows} != set(self._rows):
            return "the action drives some joints on one side alone"
        if not self._derivatives.any():
            return "nothing of it moves an action"
        return ""

    def fit(self, action: Names, observed: Mapping[str, Names]) -> Fit:
        """The fit under other names.

        Args:
            action: Names of the action's joints, and so of last_action's.
            observed: Names of each joint term's joints, by the term's label; a term that is not there keeps its own.
        """
        rows = [action.get(name, name) for name in self._rows]
        columns = [
            ((action if of is None else observed.get(of, {})).get(element, element), block)
            for of, element, block in self._blocks
        ]
        """The name within a block, and the block."""
        # Pairs are numbered as they come, so that names which pair the same places are known to be alike.
        number: dict[str, int] = {}
        paired = [where for where, sign in zip(columns, self._signs, strict=True) if not sign]
        for name in (*rows, *(name for name, _ in paired)):
            number.setdefault(min(name, partner(name)), len(number))
        place = {where: i for i, where in enumerate(columns)}
        if {*map(partner, rows)} != {*rows} or any((partner(name), block) not in place for name, block in paired):
            # A joint that is driven, or seen, would take the name of one that is not: nothing mirrors it.
            return Fit(value=0.0, signs={}, margins={})
        other_row = [rows.index(partner(name)) for name in rows]
        other_column = [
            i if sign else place[partner(name), block]
            for i, ((name, block), sign) in enumerate(zip(columns, self._signs, strict=True))
        ]
        of_row = [number[min(name, partner(name))] for name in rows]
        of_column = [
            len(number) if sign else number[min(name, partner(name))]
            for (name, _), sign in zip(columns, self._signs, strict=True)
        ]
        key = (*other_row, *other_column, *of_row, *of_column)
        if key not in self._known:
            product = (
                self._derivatives * self._derivatives[other_row][:, other_column] * (self._signs + (self._signs == 0))
            )
            by_pair = np.eye(len(number) + 1)
            table = by_pair[:, of_row] @ product @ by_pair[:, of_column].T
            value, found, margins = _best_signs(table / (self._derivatives**2).sum())
            self._known[key] = Fit(
                value=value,
                signs=dict(zip(rows, (found[i] for i in of_row), strict=True)),
                margins=dict(zip(rows, (margins[i] for i in of_row), strict=True)),
            )
        return self._known[key]


def _mirrored(contract: Contract) -> frozenset[str]:
    """Labels of the vectors of which the mirror makes the same numbers, but for their signs.

    The velocity of a point beside the middle of the robot becomes another point's, and what the network makes of the
    angular velocity then has a share of it. In the axes of a site, which may be turned, any number may become any
    other. The centre of mass of a robot with two like sides is in its middle.
    """
    terms = [term for term in contract.observation.terms if term.term in SIGNS]
    beside = any(isinstance(term, BaseLinVelTerm) and _beside(term.point) for term in terms)
    odd = {term.label for term in terms if isinstance(term, MeasuredTerm) and term.axes_of is not None}
    if beside:
        odd |= {term.label for term in terms if term.term in ("base_lin_vel", "base_ang_vel")}
    return frozenset(term.label for term in terms) - odd


def _beside(point: str | Place | tuple[float, float, float] | None) -> bool:
    return isinstance(point, Place) or (isinstance(point, tuple) and point[1] != 0.0)


def _weighed(response: Response, labels: list[str]) -> Array:
    """Derivatives per usual change of each term, every term as important as the others."""
    weighed = np.zeros_like(response.mean)
    for label in dict.fromkeys(labels):
        columns = [i for i, other in enumerate(labels) if other == label]
        usual = np.sqrt((response.spread[columns] ** 2).mean())
        part = response.mean[:, columns] * usual
        size = np.sqrt((part**2).sum())
        if size > 0.0:
            weighed[:, columns] = part / size
    return weighed


def _best_signs(table: Array) -> tuple[float, list[int], list[float]]:
    """The largest s' table s of signs s, the last of them 1; these signs; and what each one's change would take."""
    pairs = len(table) - 1
    signs = _every_sign(pairs) if pairs <= MOST_TRIED else _climbed(table + table.T)
    values = ((signs @ table) * signs).sum(axis=1)
    best = signs[int(np.argmax(values))]
    off = table + table.T
    np.fill_diagonal(off, 0.0)
    margins = 2.0 * best * (off @ best)
    return float(values.max()), [int(sign) for sign in best[:-1]], [float(margin) for margin in margins[:-1]]


@functools.cache
def _every_sign(pairs: int) -> Array:
    """All signs of so many pairs, a row each, the last of them 1."""
    tried = np.array(list(itertools.product((1.0, -1.0), repeat=pairs))).reshape(-1, pairs)
    return np.hstack([tried, np.ones((len(tried), 1))])


def _climbed(both: Array) -> Array:
    """Signs that no single change betters, from each start, a row each, the last of them 1."""
    pairs = len(both) - 1
    starts = [np.random.default_rng(seed).choice([-1.0, 1.0], pairs) for seed in range(STARTS)]
    signs = np.hstack([starts, np.ones((STARTS, 1))])
    moved = True
    while moved:
        moved = False
        for i in range(pairs):
            worse = (signs @ both[i] - both[i, i] * signs[:, i]) * signs[:, i] < 0.0
            if worse.any():
                signs[worse, i] *= -1.0
                moved = True
    return signs
