"""The comparisons of a verdict: terms, actions, targets and drives, each with its error and its first bad step."""

from __future__ import annotations

import math

import numpy as np

from policy_port.contract.actions import TARGETS
from policy_port.contract.base_terms import MeasuredTerm
from policy_port.contract.joints import DRIVE_KEYS
from policy_port.contract.layout import Slot
from policy_port.contract.spec import Contract
from policy_port.contract.terms import ObservationTerm
from policy_port.mistakes.numbers import apart
from policy_port.mistakes.orders import listed
from policy_port.verdict.answers import ACTION_TOLERANCE, action_errors
from policy_port.verdict.applied import applied
from policy_port.verdict.comparison import Bad, Check
from policy_port.verdict.evidence import Answers, Evidence, Mask, Values
from policy_port.verdict.place_checks import placed
from policy_port.verdict.rebuild import ROUNDINGS, Rebuilt, decode, rebuild_term, recorded_targets, term_slots
from policy_port.verdict.sides import check_widths
from policy_port.verdict.signals import RecordedSignals

DRIVE_TOLERANCE = 1e-5
"""Relative difference of a gain that a float32 simulator explains."""

RATE_TOLERANCE = 1e-6


def contract_checks(contract: Contract, evidence: Evidence) -> list[Check]:
    """Everything that a contract says and a trace can tell, and what the network does, where the evidence holds that.

    Raises:
        EvidenceError: When the trace lacks what a comparison needs.
    """
    checks = observation_checks(contract, evidence)
    needed = [TARGETS[term.drive] for term in contract.action.terms]
    if any(name in evidence.arrays for name in needed):
        checks.append(target_check(contract, evidence))
    else:
        note = "the trace has no targets, so scale, offset and order of the action are not seen"
        checks.append(_unchecked("target", 0, note, required=False))
    checks += drive_checks(contract, evidence)
    if evidence.answers is not None:
        checks.append(action_check(contract, evidence, evidence.answers))
    made = [
        _unchecked(check.label, check.elements, evidence.blind[check.label]) if check.label in evidence.blind else check
        for check in checks
    ]
    there = {check.label for check in made}
    return [*made, *(_unchecked(label, 0, why) for label, why in evidence.blind.items() if label not in there)]


def observation_checks(contract: Contract, evidence: Evidence) -> list[Check]:
    """One check per observation term, history included."""
    check_widths(contract, evidence)
    signals, places = RecordedSignals(contract, evidence), term_slots(contract)
    still, around = _around(contract)
    found = []
    for term in contract.observation.terms:
        mine = places[term.label]
        alone = isinstance(term, MeasuredTerm) and term.link is None
        key = (still, "" if alone else around, term.model_dump_json())
        # A search changes one term at a time; a goal's columns follow from the goals before it.
        check = None if term.term == "goal" else evidence.kept.get((*key, *mine))
        if check is None:
            check = evidence.kept[*key, *mine] = _term_check(contract, evidence, term, mine, signals, key)
        found.append(check)
    return found


def _around(contract: Contract) -> tuple[str, str]:
    """What of a contract, beside its own statement, a term of the base follows from; and any other as well."""
    everywhere = {"joints", "action"}
    still = contract.model_dump_json(exclude={"observation": {"terms"}, **dict.fromkeys(everywhere, True)})
    return still, contract.model_dump_json(include=everywhere)


def _term_check(
    contract: Contract,
    evidence: Evidence,
    term: ObservationTerm,
    slots: dict[int, Slot],
    signals: RecordedSignals,
    key: tuple[str, ...],
) -> Check:
    """One term, held against what the contract makes of the raw state, which follows from `key`; its slots by place."""
    if term.term == "external":
        return _unchecked(term.label, term.size, "only the task environment can compute it", required=False)
    names = [str(slot).removeprefix(f"{term.label}[").replace("]", "", 1) for slot in slots.values()]
    recorded = evidence.arrays["observation"][:, :, list(slots)]

    def compare(made: Rebuilt) -> Check:
        return _compare(term.label, names, np.abs(made.values - recorded), made.known, made.allowed)

    def again(other: Evidence) -> Check:
        return compare(rebuild_term(contract, other, term, slots.values(), RecordedSignals(contract, other)))

    # A term that only stands in another place is the last one of its label; a goal and a clock may follow from theirs.
    last, made = evidence.kept.get((term.label,), ((), None))
    if made is None or last != key or term.term in ("goal", "gait_phase"):
        made = rebuild_term(contract, evidence, term, slots.values(), signals)
        evidence.kept[(term.label,)] = key, made
    check = compare(made)
    if not isinstance(term, MeasuredTerm) or term.link is not None:
        return check
    return placed(contract, evidence, term, check, again)


def action_check(contract: Contract, evidence: Evidence, answers: Answers) -> Check:
    """What the network does against the recorded actions."""
    error, allowed = action_errors(contract, evidence, answers.values)
    known = np.broadcast_to(answers.known[:, :, None], error.shape)
    return _compare("action", list(contract.action_joint_names), error, known, allowed, note=answers.note)


def target_check(contract: Contract, evidence: Evidence) -> Check:
    """The recorded actions, decoded by the contract, against the recorded joint targets."""
    check_widths(contract, evidence)
    key = ("target", contract.model_dump_json(exclude={"observation"}))
    if key not in evidence.kept:
        evidence.kept[key] = _target_check(contract, evidence)
    return evidence.kept[key]


def _target_check(contract: Contract, evidence: Evidence) -> Check:
    made = decode(contract, evidence)
    lacking = [
        f"the trace has no {TARGETS[term.drive]}: not seen is what drives {listed(contract.action_joints(term))}"
        for term in contract.action.terms
        if TARGETS[term.drive] not in evidence.arrays
    ]
    return _compare(
        "target",
        list(contract.action_joint_names),
        np.abs(made.values - recorded_targets(contract, evidence)),
        made.known,
        made.allowed,
        note="; ".join(lacking),
    )


def drive_checks(contract: Contract, evidence: Evidence) -> list[Check]:
    """Gains, rates and actuation, as far as the trace's header tells what the source simulator applied."""
    checks = [check for key in DRIVE_KEYS if (check := _drive_check(contract, evidence, key)) is not None]
    period = evidence.header.get("control_dt")
    if isinstance(period, int | float) and not isinstance(period, bool):
        gap = abs(period - contract.control_dt)
        recorded, mine = apart(period, contract.control_dt)
        bad = [Bad(element=f"{recorded} s recorded, {mine} s in the contract", error=gap, allowed=0.0)]
        allowed = RATE_TOLERANCE * abs(period)
        checks.append(_of("control_dt", bad if gap > allowed else [], 1, error=gap, allowed=allowed))
    kind = evidence.header.get("actuation")
    if kind in ("implicit", "explicit", "model"):
        bad = [Bad(element=f"{kind} recorded, {contract.actuation.kind} in the contract", error=math.nan, allowed=0.0)]
        checks.append(_of("actuation", bad if kind != contract.actuation.kind else [], 1))
    return checks


def _drive_check(contract: Contract, evidence: Evidence, key: str) -> Check | None:
    """One key of the drives; None where the header does not state it."""
    told = applied(contract, evidence, key)
    if not told.values:
        count = len(told.left_out)
        return _unchecked(key, count, told.note, required=False) if told.note else None
    stated = {name: getattr(joint, key) for name, joint in contract.joints.items()}
    both = {name: value for name, value in stated.items() if value is not None and name in told.values}
    if not both:
        why = "the trace states it, the contract does not"
        if not set(told.values) & set(stated):
            why = f"the trace states it for joints that the contract does not have: {listed(list(told.values))}"
        return _unchecked(key, len(told.values), why, required=False)
    gaps = {name: abs(value - told.values[name]) for name, value in both.items()}
    allowed = {name: max(FLAT, DRIVE_TOLERANCE * max(abs(both[name]), abs(told.values[name]))) for name in both}
    bad = [Bad(element=n, error=gap, allowed=allowed[n]) for n, gap in gaps.items() if gap > allowed[n]]
    worst = max(gaps, key=lambda name: gaps[name] / allowed[name])
    return _of(key, bad, len(both), error=gaps[worst], allowed=allowed[worst], note=told.note)


FLAT = 1e-12
"""Gains below this are zero."""


def _unchecked(label: str, elements: int, note: str, *, required: bool = True) -> Check:
    return Check(label=label, status="unchecked", elements=elements, note=note, required=required)


def _of(
    label: str, bad: list[Bad], elements: int, *, error: float = 0.0, allowed: float = 0.0, note: str = ""
) -> Check:
    """What does not change from step to step; `error` and `allowed` are those of the element that comes closest."""
    worst = max(bad, key=lambda item: item.error, default=None)
    return Check(
        label=label,
        status="wrong" if bad else "equal",
        elements=elements,
        error=worst.error if worst else error,
        allowed=worst.allowed if worst else allowed,
        bad=tuple(bad),
        note=note,
    )


def _compare(label: str, names: list[str], error: Values, known: Mask, allowed: Values, note: str = "") -> Check:
    """Hold columns against what is allowed; shapes (steps, environments, elements), and (elements,) for `allowed`.

    An element that no row tells leaves the whole comparison unmade, unless another one differs.
    """
    error = np.where(known, error, 0.0)
    largest = error.max(axis=(0, 1))
    bad = []
    for column in np.flatnonzero(largest > allowed):
        wrong = error[:, :, column] > allowed[column]
        step = int(wrong.any(axis=1).argmax())
        bad.append(
            Bad(
                element=names[column],
                error=float(largest[column]),
                allowed=float(allowed[column]),
                step=step,
                env=int(wrong[step].argmax()),
            )
        )
    rows = known.sum(axis=(0, 1))
    if not bad and not rows.all():
        never = [name for name, count in zip(names, rows, strict=True) if not count]
        which = "" if len(never) == len(names) else f" of {', '.join(never[:4])}" + (", ..." if len(never) > 4 else "")
        return _unchecked(label, len(names), f"no row of the trace tells{which}" + (f": {note}" if note else ""))
    column = int((largest if bad else largest / allowed).argmax())
    return Check(
        label=label,
        status="wrong" if bad else "equal",
        elements=len(names),
        error=float(largest[column]),
        allowed=float(allowed[column]),
        bad=tuple(bad),
        rows=int(rows.min()),
        rows_left_out=error.shape[0] * error.shape[1] - int(rows.min()),
        note=note,
    )


ROUNDING_RULE = (
    f"observations and targets: {ROUNDINGS:g} float32 roundings of the largest number that goes into an element; "
    f"actions: {ACTION_TOLERANCE:g} of the joint's largest action; gains: {DRIVE_TOLERANCE:g} of the gain"
)
"""The tolerances in words."""
