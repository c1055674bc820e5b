"""Guesses in which joints stand in another order: all of them, two of them, or those of one term."""

from __future__ import annotations

import itertools

from policy_port.closed_loop.symmetry import exchanged_sides, grouped_orders, split
from policy_port.contract.joint_terms import JointTerm
from policy_port.contract.spec import Contract
from policy_port.mistakes.changes import Changes
from policy_port.mistakes.edits import plain, stated_order, validated, with_action, with_joint_order, with_term
from policy_port.mistakes.orders import Names, known_orders

SIMULATOR = "the simulator's own order"

MANY_JOINTS = 16
"""Up to so many joints every two are exchanged; of more, neighbours and those of the same kind."""

FIELDS = (("default",), ("stiffness", "damping"), ("effort_limit",), ("armature",))
"""Numbers of a joint that are often listed apart from the names."""


def order_guesses(contract: Contract, plant_names: Names) -> Changes:
    """Another order of all joints, of two, of one term's, or of a list of numbers beside the names."""
    orders = likely_orders(contract, plant_names)
    for order, who in orders.items():
        yield with_joint_order(contract, order), f"joint order: another in the source ({who})"
    for order, who in orders.items():
        words = f"joint names, the values beside them untouched: another order in the source ({who})"
        yield with_joint_order(contract, order, values_stay=True), words
    yield from _pairs(contract)
    few = dict(itertools.islice(_principal(contract, plant_names, orders).items(), 8))
    for order, who in few.items():
        stated = stated_order(contract, order)
        for term in contract.observation.terms:
            if isinstance(term, JointTerm) and set(contract.observation_joints(term)) == set(order):
                yield (
                    with_term(contract, term.label, joints=stated),
                    f"{term.label}: another joint order in the source ({who})",
                )
        if len(contract.action.terms) == 1 and set(contract.action_joint_names) == set(order):
            yield with_action(contract, 0, joints=stated), f"action: another joint order in the source ({who})"
    for order, who in few.items():
        for fields in FIELDS:
            yield from _fields(contract, fields, order, who)


def likely_orders(contract: Contract, plant_names: Names) -> dict[Names, str]:
    """Orders of exactly the contract's joints, and whose they are: parsers', files', or a slip of the hand."""
    names = contract.joint_names
    found = known_orders(contract, plant_names, SIMULATOR)
    base = plant_names if set(plant_names) == set(names) else names
    guesses = [*exchanged_sides(names), *grouped_orders(base), *grouped_orders(names)]
    guesses += [(tuple(sorted(names)), "names sorted"), (names[::-1], "names reversed")]
    for order, who in guesses:
        if set(order) == set(names) and len(order) == len(names):
            found.setdefault(order, who)
    found.pop(names, None)
    return found


def _principal(contract: Contract, plant_names: Names, orders: dict[Names, str]) -> dict[Names, str]:
    """The orders that are tried for single terms and lists: the contract's own, and what parsers really do."""
    own = {contract.joint_names: "the contract's joints"}
    known = known_orders(contract, plant_names, SIMULATOR)
    base = plant_names if set(plant_names) == set(contract.joint_names) else contract.joint_names
    first = {order: who for order, who in itertools.islice(grouped_orders(base), 2) if order in orders}
    rest = {order: orders[order] for order in (tuple(sorted(base)), contract.joint_names[::-1]) if order in orders}
    return own | {order: who for order, who in known.items() if order in orders} | first | rest


def _pairs(contract: Contract) -> Changes:
    names = contract.joint_names
    for i, j in itertools.combinations(range(len(names)), 2):
        a, b = names[i], names[j]
        near = j == i + 1 or split(a)[1] == split(b)[1]
        if len(names) > MANY_JOINTS and not near:
            continue
        order = list(names)
        order[i], order[j] = b, a
        yield with_joint_order(contract, order), f"joint order: {a} and {b} exchanged"


def _fields(contract: Contract, fields: Names, order: Names, who: str) -> Changes:
    """Values beside the names that were listed in another order than they were read in, either way round."""
    names = contract.joint_names
    if any(getattr(joint, field) is None for joint in contract.joints.values() for field in fields):
        return
    for read, listed in ((names, order), (order, names)):
        data = plain(contract)
        for name, other in zip(listed, read, strict=True):
            for field in fields:
                data["joints"][name][field] = getattr(contract.joints[other], field)
        words = "default pose" if fields == ("default",) else " and ".join(fields)
        yield validated(data), f"{words} in another order ({who})"
