"""Explanations in which the contract is right, and what the network saw is of another moment than the trace's row."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from policy_port.contract.actions import TARGETS
from policy_port.contract.joint_terms import LastActionTerm
from policy_port.contract.spec import Contract
from policy_port.contract.terms import ObservationTerm
from policy_port.errors import EvidenceError
from policy_port.mistakes.edits import edits_between, weight, with_term
from policy_port.mistakes.orders import listed
from policy_port.verdict.delays import Delay, delay_of, delayed, late_lines, step_words
from policy_port.verdict.evidence import Evidence, Mask
from policy_port.verdict.explanations import READING_WEIGHT, ROUGH, Explanation, Explanations
from policy_port.verdict.lines import line_changes

MEASURED = ("joint_pos", "joint_vel")
GYRO = "base_ang_vel"
STATE = (*MEASURED, "base_quat", "base_lin_vel", GYRO)
"""What a simulator reads at one moment."""

NEAR = (1, -1, 2, -2, 3, -3)
"""Steps that targets, and what they are made of, are looked for before and after their row."""

TIMELESS = ("constant", "elapsed", "external", "gait_phase")
"""Terms of which no delay is looked for: a gait clock that is late is one with another offset."""

TOLD = tuple(TARGETS.values())
"""What the joints were told."""


def moment_readings(contract: Contract, evidence: Evidence, failing: set[str]) -> Explanations:
    """Terms that were shown late or early, each by its own number of steps, and arrays of another moment."""
    found: dict[str, Delay] = {}
    for term in contract.observation.terms:
        if term.label in failing and term.term not in TIMELESS:
            try:
                delay = delay_of(contract, evidence, term)
            except EvidenceError:
                continue
            if delay is None:
                yield from _late_and_wrong(contract, evidence, term)
            else:
                found[term.label] = delay
    yield from _together(contract, evidence, found)
    for label, delay in found.items():
        yield from _alone(contract, evidence, label, delay)
    steps = {delay.constant for delay in found.values() if delay.constant is not None}
    yield from _arrays(contract, evidence, {*steps, *NEAR} if "target" in failing else steps)


def _stated_late(contract: Contract, label: str, steps: int | None) -> list[Contract]:
    """The contracts that say of a term that it is shown so many steps later than they do; none where they can't."""
    late = _term(contract, label)
    if steps is None or late.late.steps + steps < 0:
        return []
    if isinstance(late, LastActionTerm) and late.ago + steps >= 1:
        ago = late.ago + steps
        ways: list[dict[str, Any]] = [{"ago": None if ago == 1 else ago}]
    else:
        total = late.late.steps + steps
        other = "zero" if late.late.fill == "first" else "first"
        ways = [{"delay": total or None}] + [{"delay": {"steps": total, "fill": other}}] * bool(total)
    return [changed for way in ways if (changed := with_term(contract, label, **way)) is not None]


def _remedy(subject: str) -> str:
    return (
        f"the recorded state and {subject} are of different moments: record what the policy was shown before the "
        "step, or state that the term is late, where it is on the robot as well"
    )


def _together(contract: Contract, evidence: Evidence, found: dict[str, Delay]) -> Explanations:
    """Several terms that are late by the same number of steps, as one explanation."""
    for steps in dict.fromkeys(delay.constant for delay in found.values()):
        labels = [label for label, delay in found.items() if delay.constant == steps]
        if steps is not None and len(labels) > 1:
            said = contract
            for label in labels:
                said = next(iter(_stated_late(said, label, steps)), said)
            if said is not contract:
                # A little more than the edits: many terms that are late alike are one recorder's doing.
                price = 0.5 + weight(edits_between(contract, said))
                words = f"{listed(labels, 8)}: {found[labels[0]].words}"
                yield Explanation(contract=said, evidence=evidence, words=words, weight=price)
            yield Explanation(
                contract=contract,
                evidence=reduce(
                    lambda e, label: delayed(contract, e, _term(contract, label), found[label]), labels, evidence
                ),
                words=f"{listed(labels, 8)}: {found[labels[0]].words}",
                remedy=_remedy("the observation"),
            )


def _alone(contract: Contract, evidence: Evidence, label: str, delay: Delay) -> Explanations:
    other = delayed(contract, evidence, _term(contract, label), delay)
    words, remedy = f"{label}: {delay.words}", _remedy(label)
    for said in _stated_late(contract, label, delay.constant):
        yield Explanation(contract=said, evidence=evidence, words=words)
    yield Explanation(contract=contract, evidence=other, words=words, remedy=remedy)
    if delay.more:
        left = f"{delay.words}, which leaves up to {delay.left:.2g}"
        yield Explanation(
            contract=contract,
            evidence=evidence.unable(label, f"it was shown {left}"),
            words=f"{label}: {left}",
            remedy=remedy,
            weight=ROUGH,
        )


def _late_and_wrong(contract: Contract, evidence: Evidence, term: ObservationTerm) -> Explanations:
    """A term that is late and has another scale, offset or default pose besides."""
    delay = late_lines(contract, evidence, term)
    if delay is None:
        return
    for said in _stated_late(contract, term.label, delay.constant)[:1]:
        for changed, words in line_changes(said, evidence, {term.label}):
            if changed is not None:
                words = f"{term.label}: {delay.words}; {words}"
                yield Explanation(contract=changed, evidence=evidence, words=words)
    other = delayed(contract, evidence, term, delay)
    for changed, words in line_changes(contract, other, {term.label}):
        if changed is not None:
            yield Explanation(
                contract=changed,
                evidence=other,
                words=f"{term.label}: {delay.words}; {words}",
                remedy=_remedy(term.label),
                weight=READING_WEIGHT + weight(edits_between(contract, changed)),
            )


def _arrays(contract: Contract, evidence: Evidence, steps: set[int]) -> Explanations:
    """A whole array, or the whole state, some steps earlier or later: what targets are made of as well."""
    # The gyro is in the velocity of another point as well.
    groups = (("target", TOLD), ("the measured state", STATE), ("joint state", MEASURED), (GYRO, (GYRO,)))
    for words, names in groups:
        there = tuple(name for name in names if name in evidence.arrays)
        for step in sorted(steps, key=lambda step: (abs(step), -step)):
            try:
                moved, usable = _moved(contract, evidence, there, step)
            except EvidenceError:
                continue
            # A target is what comes out, the others are what goes in.
            late = (step > 0) != (names == TOLD)
            yield Explanation(
                contract=contract,
                evidence=evidence.with_arrays(moved, usable),
                words=f"{words}: {step_words(step)} {'late' if late else 'early'}",
                remedy=_remedy(listed(there, 8)),
            )


def _moved(
    contract: Contract, evidence: Evidence, names: tuple[str, ...], steps: int
) -> tuple[dict[str, np.ndarray], Mask]:
    arrays = {}
    observation = contract.observation
    depth = 1 + max(max(observation.stack(term).ages) + term.late.steps for term in observation.terms)
    usable = np.ones(evidence.shape, dtype=np.bool_)
    for name in names:
        arrays[name], known = evidence.earlier(evidence.array(name, wanted_by="a delay"), steps)
        # What a row remembers is not known either: its history, its previous action and target.
        back = depth + (name in ("action", *TOLD))
        for step in range(back):
            usable &= evidence.earlier(known, step)[0]
    return arrays, usable


def _term(contract: Contract, label: str) -> ObservationTerm:
    return next(term for term in contract.observation.terms if term.label == label)
