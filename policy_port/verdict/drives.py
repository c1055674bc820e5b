"""Changes in which gains, rates or the kind of actuation are not what the source simulator applied."""

from __future__ import annotations

import math

from policy_port.contract.joints import DRIVE_KEYS
from policy_port.contract.spec import Contract
from policy_port.mistakes.changes import Changes
from policy_port.mistakes.edits import with_joint_values, with_keys
from policy_port.mistakes.numbers import apart, ratio, rounding_words
from policy_port.mistakes.orders import known_orders, listed
from policy_port.verdict.applied import applied, drives_are_off
from policy_port.verdict.checks import DRIVE_TOLERANCE
from policy_port.verdict.evidence import Evidence


def drive_changes(contract: Contract, evidence: Evidence, failing: set[str]) -> Changes:
    """What the trace's header states, in place of what the contract does."""
    if (
        failing & {"stiffness", "damping"}
        and contract.actuation.kind == "implicit"
        and drives_are_off(contract, evidence)
    ):
        words = (
            "actuation implicit instead of explicit: the source simulator's own drives are off (stiffness and damping "
            "0), as under an actuator model"
        )
        yield with_keys(contract, actuation={"kind": "explicit"}), words
    for key in DRIVE_KEYS:
        if key in failing:
            told = {n: v for n, v in applied(contract, evidence, key).values.items() if n in contract.joints}
            stated = {name: getattr(contract.joints[name], key) for name in told}
            changes = {name: value for name, value in told.items() if not _close(stated[name], value)}
            words = f"{key}: {_words(contract, evidence, key, told)}"
            yield with_joint_values(contract, key, changes), words
    if "control_dt" in failing:
        yield from _rates(contract, evidence)
    if "actuation" in failing:
        kind = evidence.header["actuation"]
        words = f"actuation {contract.actuation.kind} instead of {kind}"
        yield with_keys(contract, actuation={"kind": kind}), words


def _rates(contract: Contract, evidence: Evidence) -> Changes:
    period, timestep = float(evidence.header["control_dt"]), evidence.header.get("timestep")
    mine, recorded = apart(contract.control_dt, period)
    words = f"control period {mine} s instead of {recorded} s"
    half = contract.control_dt / period
    if not math.isclose(half, 1.0, rel_tol=1e-3):
        words += f": {1.0 / half:.3g} times the control rate" if half > 1 else f": {1.0 / half:.3g} times as often"
    stated = evidence.header.get("decimation")
    if isinstance(timestep, int | float) and isinstance(stated, int):
        both = with_keys(contract, timestep=float(timestep), decimation=stated)
        yield both, f"timestep and decimation: {words}"
    decimation = period / contract.timestep
    if math.isclose(decimation, round(decimation), rel_tol=1e-6) and round(decimation) >= 1:
        yield with_keys(contract, decimation=round(decimation)), f"decimation: {words}"
    yield with_keys(contract, timestep=period / contract.decimation), f"timestep: {words}"


def _words(contract: Contract, evidence: Evidence, key: str, applied: dict[str, float]) -> str:
    """What wrong gains look like: a factor, another order, or single joints."""
    names = [
        name for name in contract.joint_names if name in applied and getattr(contract.joints[name], key) is not None
    ]
    stated = [getattr(contract.joints[name], key) for name in names]
    true = [applied[name] for name in names]
    if all(value == 0.0 for value in stated):
        return "zero on every joint"
    ratios = [a / b for a, b in zip(stated, true, strict=True) if b]
    if ratios and len(ratios) == len(stated) and max(ratios) - min(ratios) <= DRIVE_TOLERANCE * abs(ratios[0]):
        return f"factor {ratio(ratios[0])} on every joint"
    for order, who in known_orders(contract, evidence.joint_names).items():
        if all(name in applied for name in order) and all(
            _close(a, applied[name]) for a, name in zip(stated, order, strict=False)
        ):
            return f"gains in another order, that of {who}"
    wrong = [(name, a, b) for name, a, b in zip(names, stated, true, strict=True) if not _close(a, b)]
    if len(wrong) > 1 and sorted(stated) == sorted(true):
        if len(wrong) == 2:
            return f"{wrong[0][0]} and {wrong[1][0]} exchanged"
        return f"gains in another order: {', '.join(name for name, _, _ in wrong[:4])} differ"
    told = [f"{name} {' instead of '.join(apart(a, b))}" for name, a, b in wrong]
    return listed(told) + rounding_words([a for _, a, _ in wrong], [b for _, _, b in wrong])


def _close(a: float | None, b: float) -> bool:
    return a is not None and math.isclose(a, b, rel_tol=DRIVE_TOLERANCE, abs_tol=1e-12)
