"""What a contract says the network saw and the joints were told, recomputed from a trace's raw state.

Nothing here is the control loop's code: it is a second way to the same numbers, whole traces at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from policy_port.contract.actions import TARGETS, ActionTerm
from policy_port.contract.base_terms import BaseTerm
from policy_port.contract.command_terms import NamedTerm
from policy_port.contract.joint_terms import JointTerm
from policy_port.contract.layout import Slot, observation_slots
from policy_port.contract.motion_terms import MotionJointTerm
from policy_port.contract.sensed_terms import SensedTerm
from policy_port.contract.spec import Contract
from policy_port.contract.task_terms import ConstantTerm
from policy_port.contract.term import Term
from policy_port.contract.terms import ObservationTerm
from policy_port.verdict.evidence import Evidence, Mask, Values
from policy_port.verdict.shaping import action_in_force, target_behind_filter, unreached
from policy_port.verdict.signals import RecordedSignals, clipped_action

ROUNDINGS = 32.0
"""Roundings allowed, each relative to the largest number that goes into an element.

A simulator computes in float32: unit, default pose, scale and offset are a handful of roundings of the number itself,
turning a vector into the base frame a dozen more. Twice to three times that is left free, and still a joint angle
may be wrong by a hundred-thousandth of its size at most.
"""

FLOOR = 1e-9
"""Allowed where every number is zero: what denormals and signed zeros may differ by."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """One recomputed number over the whole trace."""

    element: str
    """Joint name, axis or index."""
    values: Values
    """Shape (steps, environments)."""
    allowed: float
    """Difference that rounding explains."""
    known: Mask
    """False where the trace does not tell."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Rebuilt:
    """The flat observation, recomputed."""

    values: Values
    """Shape (steps, environments, observation size)."""
    allowed: Values
    """Difference that rounding explains, shape (observation size,)."""
    known: Mask
    """False where the trace does not tell, shape of `values`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """The joint targets, recomputed [SI]."""

    values: Values
    """Shape (steps, environments, actions), action order."""
    allowed: Values
    """Difference that rounding explains, shape (actions,)."""
    known: Mask
    """False where the trace does not tell, shape of `values`."""


def present_columns(contract: Contract, evidence: Evidence) -> dict[str, list[Column]]:
    """One step of every term by its label, without history; what no contract can compute is known nowhere.

    Raises:
        EvidenceError: When the trace lacks what a term is made of.
    """
    signals = RecordedSignals(contract, evidence)
    return {
        term.label: [_encode(contract, evidence, signals, term, element) for element in contract.term_elements(term)]
        for term in contract.observation.terms
    }


def rebuild(contract: Contract, evidence: Evidence) -> Rebuilt:
    """The observation that the contract describes, recomputed from the raw state.

    Raises:
        EvidenceError: When the trace lacks what a term is made of.
    """
    signals, places = RecordedSignals(contract, evidence), term_slots(contract)
    shape = (*evidence.shape, contract.observation_size)
    values, known, allowed = np.zeros(shape), np.zeros(shape, dtype=np.bool_), np.zeros(shape[2])
    for term in contract.observation.terms:
        mine = list(places[term.label])
        made = rebuild_term(contract, evidence, term, places[term.label].values(), signals)
        values[:, :, mine], known[:, :, mine], allowed[mine] = made.values, made.known, made.allowed
    return Rebuilt(values=values, allowed=allowed, known=known)


def term_slots(contract: Contract) -> dict[str, dict[int, Slot]]:
    """Each term's slots in the flat observation by their places there, by its label."""
    found: dict[str, dict[int, Slot]] = {term.label: {} for term in contract.observation.terms}
    for place, slot in enumerate(observation_slots(contract)):
        found[slot.term][place] = slot
    return found


def rebuild_term(
    contract: Contract, evidence: Evidence, term: ObservationTerm, slots: Iterable[Slot], signals: RecordedSignals
) -> Rebuilt:
    """What one term shows in its slots, recomputed; shapes as the whole observation's, of as many columns as slots.

    Raises:
        EvidenceError: When the trace lacks what the term is made of.
    """
    elements = contract.term_elements(term)
    columns = [_encode(contract, evidence, signals, term, element) for element in elements]
    now = np.stack([column.values for column in columns], axis=2)
    told = np.stack([column.known for column in columns], axis=2)
    place = {element: index for index, element in enumerate(elements)}
    source = np.array([place[slot.element] for slot in slots])
    ages = np.array([slot.age for slot in slots])
    zero = contract.observation.stack(term).fill == "zero"
    values, known = now[:, :, source], told[:, :, source]
    for age in np.unique(ages[ages > 0]):
        mine = np.flatnonzero(ages == age)
        (before, reached), (seen, _) = evidence.earlier(now, int(age)), evidence.earlier(told, int(age))
        before, seen, reached = before[:, :, source[mine]], seen[:, :, source[mine]], reached[:, :, None]
        values[:, :, mine] = np.where(reached, before, padding(contract)) if zero else before
        # What fills a history is the episode's first row, known or not; `earlier` stops there.
        filled = told[:, :, source[mine]] if zero else seen
        known[:, :, mine] = np.where(reached, seen, evidence.whole[:, :, None] & filled)
    allowed = np.array([column.allowed for column in columns])[source]
    return Rebuilt(values=values, allowed=allowed, known=known & evidence.usable[:, :, None])


def padding(contract: Contract) -> float:
    """What stands for steps that there are not yet, where that is zero: within the observation's clip."""
    return 0.0 if contract.observation.clip is None else float(np.clip(0.0, *contract.observation.clip))


def decode(contract: Contract, evidence: Evidence) -> Decoded:
    """The joint targets that the contract makes of the recorded actions.

    Known nowhere are those whose array the trace does not have.

    Raises:
        EvidenceError: When the trace lacks the targets, or what they are made of.
    """
    action, remembered = action_in_force(contract, evidence, clipped_action(contract, evidence))
    driven = driven_joints(contract)
    # A torque is in N m whatever the joint turns in.
    unit = np.array([1.0 if term.drive == "effort" else contract.per_si(name) for term, name in driven])
    scale = np.array([per_element(term.scale, name) for term, name in driven])
    offset = np.array([stated_offset(contract, term, name) for term, name in driven])
    values = scale * action + offset
    size = np.abs(scale) * np.abs(action).max(axis=(0, 1)) + np.abs(offset)
    told = np.array([TARGETS[term.drive] in evidence.arrays for term, _ in driven])
    known = (evidence.usable & remembered)[:, :, None] & told
    if any(term.adds_to != "none" for term, _ in driven):
        signals = RecordedSignals(contract, evidence)
        for place, (term, name) in enumerate(driven):
            if term.adds_to != "none":
                start = signals.raw("motion_joint_pos" if term.adds_to == "motion" else term.adds_to, name)
                values[:, :, place] += start.values
                size[place] += start.size
                known[:, :, place] &= start.known
    bounds = [per_element(term.clip, name) or (-np.inf, np.inf) for term, name in driven]
    values = np.clip(values, *np.transpose(bounds))
    if contract.action.filter is not None:
        recorded = recorded_targets(contract, evidence) * unit
        values, known = target_behind_filter(contract, evidence, (values, known), recorded)
    allowed = np.maximum(FLOOR, ROUNDINGS * evidence.rounding * size / unit)
    return Decoded(values=values / unit, allowed=allowed, known=known)


def recorded_targets(contract: Contract, evidence: Evidence) -> Values:
    """The recorded targets of the action's joints [SI], shape (steps, environments, actions), action order.

    Those whose array the trace does not have are zero.

    Raises:
        EvidenceError: When the trace lacks the targets or a joint.
    """
    where, nothing = f"the action of contract '{contract.name}'", np.zeros(evidence.shape)
    columns = [
        (evidence.arrays.get(TARGETS[term.drive]), evidence.joint_column(name, wanted_by=where))
        for term, name in driven_joints(contract)
    ]
    return np.stack([nothing if array is None else array[:, :, column] for array, column in columns], axis=2)


def driven_joints(contract: Contract) -> list[tuple[ActionTerm, str]]:
    """The action's joints, each with its term."""
    return [(term, name) for term in contract.action.terms for name in contract.action_joints(term)]


def stated_offset(contract: Contract, term: ActionTerm, name: str) -> float:
    """What an action adds to a joint [the contract's unit]; what it adds of a motion is not its offset."""
    if term.offset == "motion":
        return 0.0
    return contract.joints[name].default if term.offset == "default" else float(per_element(term.offset, name))


def factors(contract: Contract, term: Term, element: str) -> tuple[float, float, float]:
    """Scale, zero and offset of an element: the network sees scale * (raw - zero) + offset, clips aside."""
    position = contract.term_elements(term).index(element)
    match term:
        case MotionJointTerm():
            return per_element(term.scale, term.key(element)), 0.0, per_element(term.offset, term.key(element))
        case BaseTerm() | NamedTerm() | JointTerm():
            zero = contract.joints[element].default if term.term == "joint_pos_rel" else 0.0
            return per_element(term.scale, element, position), zero, per_element(term.offset, element, position)
        case SensedTerm():
            scale, offset = (
                value[position] if isinstance(value, tuple) else value for value in (term.scale, term.offset)
            )
            return scale, 0.0, offset
        case ConstantTerm():
            return 0.0, 0.0, term.value[position]
        case _:
            return per_element(getattr(term, "scale", 1.0), element), 0.0, 0.0


def per_element(value: Any, name: str, position: int = 0) -> Any:
    """The entry of a number, a tuple of bounds or numbers, or a table that belongs to one element."""
    if isinstance(value, dict):
        return value[name]
    return value[position] if isinstance(value, tuple) and len(value) == 3 else value


def _encode(
    contract: Contract, evidence: Evidence, signals: RecordedSignals, term: ObservationTerm, element: str
) -> Column:
    if term.term == "external":
        shape = evidence.shape
        return Column(element=element, values=np.zeros(shape), allowed=FLOOR, known=np.zeros(shape, dtype=np.bool_))
    signal = signals.of(term, element)
    scale, zero, offset = factors(contract, term, element)
    key = term.key(element) if isinstance(term, MotionJointTerm) else element
    clip = per_element(getattr(term, "clip", None), key)
    raw = signal.values - zero
    if clip is not None and not term.clip_after_scale:
        raw = np.clip(raw, *clip)
    values = scale * raw + offset
    if clip is not None and term.clip_after_scale:
        values = np.clip(values, *clip)
    if contract.observation.clip is not None:
        values = np.clip(values, *contract.observation.clip)
    if term.late.fill == "zero":
        values = np.where(unreached(evidence, term.late), padding(contract), values)
    size = abs(scale) * (signal.size + abs(zero)) + abs(offset)
    return Column(
        element=element,
        values=values,
        allowed=max(FLOOR, ROUNDINGS * evidence.rounding * size),
        known=signal.known,
    )
