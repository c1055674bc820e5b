"""Changes in which joints stand in another order: read off the trace, and the known ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from policy_port.contract.joint_terms import JointTerm
from policy_port.contract.spec import Contract
from policy_port.mistakes.changes import Changes
from policy_port.mistakes.edits import stated_order, with_action, with_joint_order, with_term
from policy_port.mistakes.orders import Names, known_orders, order_words
from policy_port.verdict.evidence import Evidence
from policy_port.verdict.fits import match, present, settled_rows
from policy_port.verdict.rebuild import recorded_targets
from policy_port.verdict.signals import RecordedSignals, clipped_action


def joint_order_changes(contract: Contract, evidence: Evidence, failing: set[str]) -> Changes:
    """Another order of all joints, or of one term's or the action's alone."""
    whole: list[Names] = []
    for term in contract.observation.terms:
        if isinstance(term, JointTerm) and term.label in failing:
            order = _observed_order(contract, evidence, term)
            if order != contract.observation_joints(term):
                words = order_words(contract.observation_joints(term), order, evidence.joint_names)
                yield with_term(contract, term.label, joints=stated_order(contract, order)), f"{term.label}: {words}"
                whole.append(order)
    if "target" in failing:
        order = driven_order(contract, evidence)
        if order != contract.action_joint_names:
            whole.append(order)
            if len(contract.action.terms) == 1:
                words = order_words(contract.action_joint_names, order, evidence.joint_names)
                yield with_action(contract, 0, joints=stated_order(contract, order)), f"action: {words}"
    if failing:
        whole += list(known_orders(contract, evidence.joint_names))
    for order in dict.fromkeys(whole):
        if set(order) == set(contract.joint_names) and order != contract.joint_names:
            words = order_words(contract.joint_names, order, evidence.joint_names)
            yield with_joint_order(contract, order), f"joint order: {words}"
            beside = with_joint_order(contract, order, values_stay=True)
            yield beside, f"joint names, the values beside them untouched: {words}"


def _observed_order(contract: Contract, evidence: Evidence, term: JointTerm) -> Names:
    """The joints that the columns of a term really show, as far as they move."""
    names = contract.observation_joints(term)
    others = tuple(name for name in contract.joint_names if name not in names)
    signals = RecordedSignals(contract, evidence)
    raw = [signals.raw(term.term, name).values for name in (*names, *others)]
    places = match(present(contract, evidence, term), raw, settled_rows(evidence), rounding=evidence.rounding)
    return _completed([None if place is None else (*names, *others)[place] for place in places], names)


def driven_order(contract: Contract, evidence: Evidence) -> Names:
    """The joint that each action really drives, as far as it moves."""
    names = contract.action_joint_names
    signals = RecordedSignals(contract, evidence)
    targets = list(np.moveaxis(recorded_targets(contract, evidence), 2, 0))
    for term in contract.action.terms:
        for name in contract.action_joints(term):
            if term.adds_to != "none":
                # In SI like the target.
                start = signals.raw("motion_joint_pos" if term.adds_to == "motion" else term.adds_to, name).values
                place = names.index(name)
                targets[place] = targets[place] - start / contract.per_si(name)
    action = clipped_action(contract, evidence)
    columns = [action[:, :, place] for place in range(len(names))]
    places = match(targets, columns, settled_rows(evidence), rounding=evidence.rounding)
    driven: list[str | None] = [None] * len(names)
    for name, place in zip(names, places, strict=True):
        if place is not None:
            driven[place] = name
    return _completed(driven, names)


def _completed(found: Sequence[str | None], names: Names) -> Names:
    """Fill what the trace does not tell with the names that are left, in their old order."""
    seen = set[str]()
    once: list[str | None] = []
    for name in found:
        once.append(None if name in seen else name)
        if name is not None:
            seen.add(name)
    # A joint that stands still stays where it is, if nobody else claims the place.
    for place, name in enumerate(names):
        if once[place] is None and name not in seen:
            once[place] = name
            seen.add(name)
    left = iter(name for name in names if name not in seen)
    return tuple(name if name is not None else next(left, names[place]) for place, name in enumerate(once))
