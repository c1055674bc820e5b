"""What a trace's actions and terms become behind the delays and filters that a contract states: by their definitions.

Nothing here is the control loop's code. A recording that does not begin at a reset tells nothing at first: how long,
follows from how much of the past still counts.
"""

from __future__ import annotations

import numpy as np

from policy_port.contract.shaping import FirstOrder, MovingAverage, ObservationDelay
from policy_port.contract.spec import Contract
from policy_port.verdict.evidence import Evidence, Mask, Values

FORGOTTEN = 1e-6
"""Share of what a filter held before the recording that the roundings allowed cover."""


def shown_late(evidence: Evidence, late: ObservationDelay, values: Values, known: Mask) -> tuple[Values, Mask]:
    """A term's numbers as a delay shows them, with the episode's first ones before, and where the trace tells.

    Args:
        evidence: Whose episodes they are of.
        late: The delay.
        values: Numbers of each row, shape (steps, environments).
        known: Where they are known, same shape.
    """
    before, reached = evidence.earlier(values, late.steps)
    told, _ = evidence.earlier(known, late.steps)
    # What fills a delay is the episode's first row, at which `earlier` stops, or nothing at all.
    filled = told if late.fill == "first" else np.ones_like(told)
    return before, np.where(reached, told, evidence.whole & filled)


def unreached(evidence: Evidence, late: ObservationDelay) -> Mask:
    """Rows in which a delay that is filled with zero shows nothing yet."""
    nothing = np.zeros(evidence.shape, dtype=np.bool_)
    return nothing if late.fill == "first" else ~evidence.earlier(nothing, late.steps)[1]


def action_in_force(contract: Contract, evidence: Evidence, clipped: Values) -> tuple[Values, Mask]:
    """Raw actions behind the contract's delay and filter of raw, and where the trace tells, for all joints at once.

    Args:
        contract: The contract.
        evidence: The trace.
        clipped: Recorded actions behind raw_clip, shape (steps, environments, actions).
    """
    action, values = contract.action, clipped
    known: Mask = np.ones(evidence.shape, dtype=np.bool_)
    steps = action.late.steps or 0
    if steps:
        values, reached = evidence.earlier(values, steps)
        if action.late.fill == "zero":
            values = np.where(reached[:, :, None], values, 0.0)
        known = reached | evidence.whole
    stated = action.filter
    if stated is None or stated.of != "raw":
        return values, known
    held = np.zeros_like(values)
    if stated.held == "first":
        held = np.take_along_axis(values, evidence.since[:, :, None], axis=0)
    match stated:
        case MovingAverage():
            made, since = mean_of(evidence, stated.steps, values, held), stated.steps - 1
        case FirstOrder():
            weight = stated.weight(contract.control_dt)
            made = low_passed(evidence, weight, values, held)
            since = 0 if weight == 1.0 else int(np.ceil(np.log(FORGOTTEN) / np.log1p(-weight)))
    return made, evidence.whole | (evidence.age >= since + steps)


def low_passed(evidence: Evidence, weight: float, values: Values, held: Values) -> Values:
    """Weight * new + (1 - weight) * what came out before, from each episode's start on.

    Args:
        evidence: Whose episodes they are of.
        weight: Weight of the new.
        values: What goes in, shape (steps, environments, numbers).
        held: What was held at the start of each row's episode, same shape.
    """
    made = np.empty_like(values)
    for step in range(len(values)):
        begins = evidence.started[step][:, None]
        before = np.where(begins, held[step], made[step - 1])
        made[step] = weight * values[step] + (1.0 - weight) * before
    return made


def mean_of(evidence: Evidence, steps: int, values: Values, held: Values) -> Values:
    """The mean of the last rows, with what was held where the episode does not reach back; shapes as `low_passed`."""
    total = np.zeros_like(values)
    for back in range(steps):
        before, reached = evidence.earlier(values, back)
        total += np.where(reached[:, :, None], before, held)
    return total / steps


def target_behind_filter(
    contract: Contract, evidence: Evidence, made: tuple[Values, Mask], recorded: Values
) -> tuple[Values, Mask]:
    """Targets behind the contract's filter of targets, and where the trace tells.

    What a first-order filter last put out is the recorded target of the row before, so each row tells by itself.

    Args:
        contract: The contract.
        evidence: The trace.
        made: The targets that go into the filter [unit of each], shape (steps, environments, actions), and where they
            are known.
        recorded: The recorded targets [unit of each], same shape.
    """
    stated, (values, known) = contract.action.filter, made
    if stated is None or stated.of != "target":
        return values, known
    held = np.take_along_axis(_held_targets(contract, evidence, values), evidence.since[:, :, None], axis=0)
    match stated:
        case FirstOrder():
            before, reached = evidence.earlier(recorded, 1)
            weight = stated.weight(contract.control_dt)
            out = weight * values + (1.0 - weight) * np.where(reached[:, :, None], before, held)
            return out, known & (reached | evidence.whole)[:, :, None]
        case MovingAverage():
            out = mean_of(evidence, stated.steps, values, held)
            told = known & (evidence.whole | (evidence.age >= stated.steps - 1))[:, :, None]
            for back in range(stated.steps):
                told = told & evidence.earlier(known, back)[0]
            return out, told


def _held_targets(contract: Contract, evidence: Evidence, made: Values) -> Values:
    """What the filter of each joint's target holds if an episode starts at a row."""
    stated, held = contract.action.filter, np.zeros_like(made)
    assert stated is not None
    if stated.held == "first":
        return made
    where = f"the action of contract '{contract.name}'"
    for place, name in enumerate(contract.action_joint_names):
        if contract.drives[name] != "position":
            continue
        if stated.held == "default":
            held[:, :, place] = contract.joints[name].default
        else:
            column = evidence.joint_column(name, wanted_by=where)
            held[:, :, place] = evidence.array("joint_pos", wanted_by=where)[:, :, column] * contract.per_si(name)
    return held
