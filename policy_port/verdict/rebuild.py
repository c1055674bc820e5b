"""What a contract says the network saw and the joints were told, recomputed from a trace's raw state.

Nothing here is the control loop's code: it is a second way to the same numbers, whole traces at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from policy_port.contract.base_terms import BaseTerm
from policy_port.contract.command_terms import NamedTerm
from policy_port.contract.joint_terms import JointTerm
from policy_port.contract.layout import observation_slots
from policy_port.contract.sensed_terms import SensedTerm
from policy_port.contract.spec import Contract
from policy_port.contract.task_terms import ConstantTerm
from policy_port.contract.term import Term
from policy_port.contract.terms import ObservationTerm
from policy_port.verdict.evidence import Evidence, Mask, Values
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
    columns = [
        ((label, column.element), column)
        for label, mine in present_columns(contract, evidence).items()
        for column in mine
    ]
    place = {key: index for index, (key, _) in enumerate(columns)}
    now = np.stack([column.values for _, column in columns], axis=2)
    told = np.stack([column.known for _, column in columns], axis=2)
    slots = observation_slots(contract)
    source = np.array([place[slot.term, slot.element] for slot in slots])
    ages = np.array([slot.age for slot in slots])
    history = contract.observation.history
    padding = 0.0 if contract.observation.clip is None else float(np.clip(0.0, *contract.observation.clip))
    values, known = now[:, :, source], told[:, :, source]
    allowed = np.array([column.allowed for _, column in columns])[source]
    for age in np.unique(ages[ages > 0]):
        mine = np.flatnonzero(ages == age)
        (before, reached), (seen, _) = evidence.earlier(now, age), evidence.earlier(told, age)
        if history is None or history.fill == "zero":
            before = np.where(reached[:, :, None], before, padding)
        # What fills a history is the episode's first row, known or not; `earlier` stops there.
        filled = told if history is None or history.fill == "zero" else seen
        seen = np.where(reached[:, :, None], seen, evidence.whole[:, :, None] & filled)
        values[:, :, mine], known[:, :, mine] = before[:, :, source[mine]], seen[:, :, source[mine]]
    return Rebuilt(values=values, allowed=allowed, known=known & evidence.usable[:, :, None])


def decode(contract: Contract, evidence: Evidence) -> list[Column]:
    """The joint position targets that the contract makes of the recorded actions [SI], action order.

    Raises:
        EvidenceError: When the trace lacks the targets, or what they are made of.
    """
    action = clipped_action(contract, evidence)
    signals = RecordedSignals(contract, evidence)
    columns: list[Column] = []
    for term in contract.action.terms:
        for name in contract.action_joints(term):
            unit = contract.per_si(name)
            scale, clip = per_element(term.scale, name), per_element(term.clip, name)
            offset = contract.joints[name].default if term.offset == "default" else per_element(term.offset, name)
            values = scale * action[:, :, len(columns)] + offset
            size = abs(scale) * float(np.abs(action[:, :, len(columns)]).max()) + abs(offset)
            known = evidence.usable
            if term.term == "joint_position_delta":
                start = signals.raw(term.reference, name)
                values, size, known = values + start.values, size + start.size, known & start.known
            if clip is not None:
                values = np.clip(values, *clip)
            allowed = max(FLOOR, ROUNDINGS * evidence.rounding * size / unit)
            columns.append(Column(element=name, values=values / unit, allowed=allowed, known=known))
    return columns


def recorded_targets(contract: Contract, evidence: Evidence) -> list[Values]:
    """The recorded targets of the action's joints [SI], action order, each of shape (steps, environments).

    Raises:
        EvidenceError: When the trace lacks the targets or a joint.
    """
    where = f"the action of contract '{contract.name}'"
    target = evidence.array("target", wanted_by=where)
    return [target[:, :, evidence.joint_column(name, wanted_by=where)] for name in contract.action_joint_names]


def factors(contract: Contract, term: Term, element: str) -> tuple[float, float, float]:
    """Scale, zero and offset of an element: the network sees scale * (raw - zero) + offset, clips aside."""
    position = contract.term_elements(term).index(element)
    match term:
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
            return getattr(term, "scale", 1.0), 0.0, 0.0


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
    clip = per_element(getattr(term, "clip", None), element)
    raw = signal.values - zero
    if clip is not None:
        raw = np.clip(raw, *clip)
    values = scale * raw + offset
    if contract.observation.clip is not None:
        values = np.clip(values, *contract.observation.clip)
    size = abs(scale) * (signal.size + abs(zero)) + abs(offset)
    return Column(
        element=element,
        values=values,
        allowed=max(FLOOR, ROUNDINGS * evidence.rounding * size),
        known=signal.known,
    )
