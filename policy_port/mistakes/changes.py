"""Changes of a contract that no evidence is needed to think of: kinds and orders of terms."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence, Set

from policy_port.contract.base_terms import VELOCITY_COMMAND, XYZ
from policy_port.contract.spec import Contract
from policy_port.contract.terms import ObservationTerm
from policy_port.mistakes.edits import with_new_term, with_term_order

Changes = Iterator[tuple[Contract | None, str]]
"""The changed contract, None where it is no contract, and what would be wrong with the one as it was given."""

VECTORS = ("base_lin_vel", "base_ang_vel", "projected_gravity", "velocity_command")
JOINTS = ("joint_pos_rel", "joint_pos", "joint_vel", "joint_target", "last_action")
"""Kinds of terms that one may take for another, of three numbers and of one per joint."""


def kinds_of_width(contract: Contract, width: int) -> list[tuple[str, tuple[str, ...]]]:
    """The kinds of terms that have as many elements in a contract, each with the names of these."""
    elements = {kind: VELOCITY_COMMAND if kind == "velocity_command" else XYZ for kind in VECTORS}
    elements |= dict.fromkeys(JOINTS, contract.joint_names) | {"last_action": contract.action_joint_names}
    return [(kind, names) for kind, names in elements.items() if len(names) == width]


def clock(contract: Contract, term: ObservationTerm, period: float, offsets: Sequence[float]) -> Contract | None:
    """A gait clock where a term stands; the term keeps a name of its own."""
    named = {"name": term.name} if term.name not in (None, "gait_phase") else {}
    shifted = {"offsets": list(offsets)} if any(offsets) else {}
    return with_new_term(contract, term.label, {"term": "gait_phase", **named, "period": period, **shifted})


def swapped[Item](items: Sequence[Item], i: int, j: int) -> tuple[Item, ...]:
    """The items with two of them exchanged."""
    other = list(items)
    other[i], other[j] = other[j], other[i]
    return tuple(other)


def term_order_changes(contract: Contract, right: Set[str] = frozenset()) -> Changes:
    """Two terms exchanged, or one term moved; none that is known by its label to be where it belongs."""
    count = len(contract.observation.terms)
    labels = [term.label for term in contract.observation.terms]
    places = tuple(range(count))
    orders = {}
    free = [place for place in places if labels[place] not in right]
    for i, j in itertools.combinations(free, 2):
        orders[swapped(places, i, j)] = f"terms {labels[i]} and {labels[j]} exchanged"
    for i, j in itertools.product(free, places):
        if i == j:
            continue
        moved = [place for place in places if place != i]
        moved.insert(j, i)
        orders.setdefault(tuple(moved), f"term {labels[i]} stands in another place")
    for order, words in orders.items():
        yield with_term_order(contract, order), words
