"""The comparisons of a verdict: terms, actions, targets and drives, each with its error and its first bad step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from policy_port.contract.joints import DRIVE_KEYS
from policy_port.contract.layout import observation_slots
from policy_port.contract.spec import Contract
from policy_port.verdict.answers import ACTION_TOLERANCE, action_errors
from policy_port.verdict.evidence import Answers, Evidence, Mask, Values
from policy_port.verdict.rebuild import ROUNDINGS, decode, rebuild, recorded_targets
from policy_port.verdict.sides import check_widths

Status = Literal["equal", "wrong", "unchecked"]

DRIVE_TOLERANCE = 1e-5
"""Relative difference of a gain that a float32 simulator explains."""

RATE_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Bad:
    """One element that differs."""

    element: str
    """Joint name, axis or slot."""
    error: float
    """Largest difference."""
    allowed: float
    """Difference that rounding explains."""
    step: int | None = None
    """First step that differs; None for what does not change from step to step."""
    env: int | None = None
    """Its environment."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One comparison."""

    label: str
    """Term of the observation, or "action", "target", "stiffness", ..., "control_dt"."""
    status: Status
    """Whether it agrees."""
    elements: int
    """Number of elements compared."""
    error: float = 0.0
    """Largest difference."""
    allowed: float = 0.0
    """What rounding explains of it."""
    bad: tuple[Bad, ...] = ()
    """The elements that differ."""
    rows: int = 0
    """Rows compared of the element that is known least; nothing for what does not change from step to step."""
    rows_left_out: int = 0
    """Rows at which that element is not known."""
    required: bool = True
    """Whether a port is not verified without it."""
    note: str = ""
    """Why it could not be compared, or what the comparison can't see."""

    @property
    def first(self) -> Bad | None:
        """The element that differs first."""
        timed = [bad for bad in self.bad if bad.step is not None]
        return min(timed, key=lambda bad: bad.step or 0) if timed else (self.bad[0] if self.bad else None)


def unmade(checks: Iterable[Check]) -> list[Check]:
    """The comparisons that could not be made."""
    return [check for check in checks if check.status == "unchecked"]


def all_equal(checks: Sequence[Check]) -> bool:
    """True when every comparison that a verdict needs was made, and nothing differs."""
    return not any(check.status == "wrong" or (check.status == "unchecked" and check.required) for check in checks)


def tally(checks: Sequence[Check], equal: str) -> str:
    """The comparisons in one sentence, those that could not be made by name.

    Args:
        checks: The comparisons.
        equal: What to say where nothing differs: "equal", or "nothing differs".
    """
    left = unmade(checks)
    wrong, made = sum(check.status == "wrong" for check in checks), len(checks) - len(left)
    words = f"{wrong} of {made} comparisons wrong" if wrong else f"{equal} in {made}"
    if not wrong:
        words += (f" of {len(checks)}" if left else "") + " comparisons"
    if left:
        words += f"; {len(left)} could not be made: " + ", ".join(f"{check.label} ({check.note})" for check in left)
    return words if wrong or all_equal(checks) else f"not verified: {words}"


def contract_checks(contract: Contract, evidence: Evidence) -> list[Check]:
    """Everything that a contract says and a trace can tell, and what the network does, where the evidence holds that.

    Raises:
        EvidenceError: When the trace lacks what a comparison needs.
    """
    checks = observation_checks(contract, evidence)
    if "target" in evidence.arrays:
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
    rebuilt = rebuild(contract, evidence)
    seen = evidence.arrays["observation"]
    slots = observation_slots(contract)
    checks = []
    for term in contract.observation.terms:
        if term.term == "external":
            note = "only the task environment can compute it"
            checks.append(_unchecked(term.label, term.size, note, required=False))
            continue
        mine = [index for index, slot in enumerate(slots) if slot.term == term.label]
        names = [str(slots[index]).removeprefix(f"{term.label}[").replace("]", "", 1) for index in mine]
        expected, known = rebuilt.values[:, :, mine], rebuilt.known[:, :, mine]
        error = np.abs(expected - seen[:, :, mine])
        checks.append(_compare(term.label, names, error, known, rebuilt.allowed[mine]))
    return checks


def action_check(contract: Contract, evidence: Evidence, answers: Answers) -> Check:
    """What the network does against the recorded actions."""
    error, allowed = action_errors(contract, evidence, answers.values)
    known = np.broadcast_to(answers.known[:, :, None], error.shape)
    return _compare("action", list(contract.action_joint_names), error, known, allowed, note=answers.note)


def target_check(contract: Contract, evidence: Evidence) -> Check:
    """The recorded actions, decoded by the contract, against the recorded joint targets."""
    check_widths(contract, evidence)
    columns = decode(contract, evidence)
    recorded = np.stack(recorded_targets(contract, evidence), axis=2)
    return _compare(
        "target",
        list(contract.action_joint_names),
        np.abs(np.stack([column.values for column in columns], axis=2) - recorded),
        np.stack([column.known for column in columns], axis=2),
        np.array([column.allowed for column in columns]),
    )


def drive_checks(contract: Contract, evidence: Evidence) -> list[Check]:
    """Gains, rates and actuation, as far as the trace's header tells what the source simulator applied."""
    checks = []
    for key in DRIVE_KEYS:
        applied = applied_drives(evidence, key)
        stated = {name: getattr(joint, key) for name, joint in contract.joints.items()}
        both = [name for name in stated if stated[name] is not None and name in applied]
        if both:
            bad = [
                Bad(element=name, error=abs(stated[name] - applied[name]), allowed=DRIVE_TOLERANCE * abs(applied[name]))
                for name in both
                if not math.isclose(stated[name], applied[name], rel_tol=DRIVE_TOLERANCE, abs_tol=FLAT)
            ]
            checks.append(_of(key, bad, len(both)))
        elif applied:
            checks.append(_unchecked(key, len(applied), "the trace states it, the contract does not", required=False))
    period = evidence.header.get("control_dt")
    if isinstance(period, int | float) and not isinstance(period, bool):
        gap = abs(period - contract.control_dt)
        bad = [Bad(element=f"{period:g} s recorded", error=gap, allowed=RATE_TOLERANCE * period)]
        checks.append(_of("control_dt", bad if gap > RATE_TOLERANCE * period else [], 1))
    kind = evidence.header.get("actuation")
    if kind in ("implicit", "explicit", "model"):
        bad = [Bad(element=f"{kind} recorded, {contract.actuation.kind} in the contract", error=math.nan, allowed=0.0)]
        checks.append(_of("actuation", bad if kind != contract.actuation.kind else [], 1))
    return checks


FLAT = 1e-12
"""Gains below this are zero."""


def applied_drives(evidence: Evidence, key: str) -> dict[str, float]:
    """A gain by joint name as the header states it: by name, or a list in the order of joint_names; or nothing."""
    stated: Any = evidence.header.get(key)
    if isinstance(stated, list) and len(stated) == len(evidence.joint_names):
        stated = dict(zip(evidence.joint_names, stated, strict=True))
    if not isinstance(stated, dict):
        return {}
    return {name: float(value) for name, value in stated.items() if isinstance(value, int | float)}


def _unchecked(label: str, elements: int, note: str, *, required: bool = True) -> Check:
    return Check(label=label, status="unchecked", elements=elements, note=note, required=required)


def _of(label: str, bad: list[Bad], elements: int) -> Check:
    worst = max(bad, key=lambda item: item.error, default=None)
    return Check(
        label=label,
        status="wrong" if bad else "equal",
        elements=elements,
        error=worst.error if worst else 0.0,
        allowed=worst.allowed if worst else 0.0,
        bad=tuple(bad),
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
