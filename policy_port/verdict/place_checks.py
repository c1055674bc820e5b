"""What a comparison of a base vector is worth: whether the trace shows at which point, and in whose axes, it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from policy_port.contract.base_terms import XYZ, BaseLinVelTerm, MeasuredTerm
from policy_port.contract.spec import Contract
from policy_port.verdict.comparison import Check
from policy_port.verdict.evidence import Evidence, Values
from policy_port.verdict.places import TOLD, Fit, assumed_axes, cross_matrix, fit_point, fitted, missing, shown_vector
from policy_port.verdict.signals import into_world

APART = 0.02
"""How far from base_pos the point of base_lin_vel has to be [m] before it is called another one, at `USUAL` period:
the rule of the trapezoid left 0.01 m of a walking robot's steps at most."""

USUAL = 0.02
"""Control period that this was seen at [s]; what is left grows with its square."""

SURE = 6.0
"""How many of its standard deviations that distance has to be."""

BETTER, CLOSE = 0.85, 0.3
"""Share of the difference between the velocity and the change of position that may be left with the other point, and
share of the velocity itself: positions that don't move as the velocity says at all show no point."""

WITHIN = 0.5
"""How far from base_pos such a point may be [m]: beyond, it is none of the base's."""


def placed(
    contract: Contract, evidence: Evidence, term: MeasuredTerm, check: Check, compare: Callable[[Evidence], Check]
) -> Check:
    """The comparison of a base vector, unmade where the trace does not show at which point it is.

    Args:
        contract: The contract.
        evidence: The trace.
        term: The term.
        check: Its comparison.
        compare: Makes it again with other evidence.
    """
    if any((term.label, element) in evidence.as_read for element in contract.term_elements(term)):
        return check
    lacking = missing(evidence, term)
    if lacking and isinstance(term, BaseLinVelTerm):
        found = fitted(contract, evidence, term)
        if found is None:
            return replace(check, note=f"the trace has no {', '.join(lacking)}")
        again = compare(found[0])
        if again.status == "wrong":
            return replace(again, note=f"the trace has no {', '.join(lacking)}; no point explains it")
        return replace(check, status="unchecked", note=_unrecorded(term, lacking, found[1], evidence))
    if check.status != "equal":
        return check
    if isinstance(term, BaseLinVelTerm) and contract.base.frame is None:
        elsewhere = recorded_elsewhere(evidence)
        if elsewhere:
            return replace(check, status="unchecked", note=elsewhere)
    return replace(check, note=assumed_axes(evidence, term) or check.note)


def _unrecorded(term: BaseLinVelTerm, lacking: tuple[str, ...], fit: Fit, evidence: Evidence) -> str:
    """What the trace shows of a point that it does not hold."""
    name = ", ".join(lacking)
    if float(fit.unseen.max()) > TOLD:
        return f"the trace has no {name}, and the base turns too little for it to show the point; record {name}"
    if bool((np.abs(fit.offset) <= 10.0 * np.maximum(fit.doubt, 1e-7)).all()):
        moved = recorded_elsewhere(evidence)
        return (
            f"the trace has no {name}, and the observation is the recorded base_lin_vel itself, which is "
            f"{moved or 'the velocity of the origin of the link'}; record {name}, and base_lin_vel of the link's "
            "origin (in Isaac Lab root_link_lin_vel_b, not root_lin_vel_b)"
        )
    where = "another in each environment" if fit.common is None else f"residual {fit.left:.1g} m/s"
    point = f"or write point: [{fit.words[1:-1]}]" if fit.common is not None else "which shows it"
    what = "a centre of mass" if term.point == "com" else str(term.point)
    return (
        f"the trace has no {name}, and the observation is the velocity of the point {fit.words} from the link's "
        f"origin, {where}, which may be {what}; record {name}, {point}"
    )


def recorded_elsewhere(evidence: Evidence) -> str:
    """That base_lin_vel is of another point than base_pos, as their motion shows; nothing where it is not."""
    found = point_of_velocity(evidence)
    if found is None:
        return ""
    return f"{elsewhere_words(found)}; record the link origin's (in Isaac Lab root_link_lin_vel_b, not root_lin_vel_b)"


def elsewhere_words(point: Values) -> str:
    """Where base_lin_vel was recorded, if not at base_pos."""
    told = ", ".join(f"{value:.2g}" for value in np.round(point, 3) + 0.0)
    return f"recorded at another point than base_pos, about ({told}) m from it, as a centre of mass is"


def point_of_velocity(evidence: Evidence) -> Values | None:
    """The point, from base_pos in the link's axes, whose velocity is recorded; None where it is base_pos itself."""
    period = evidence.header.get("control_dt")
    if not isinstance(period, int | float) or not period > 0:
        return None
    if not {"base_pos", "base_quat", "base_lin_vel", "base_ang_vel"} <= evidence.arrays.keys():
        return None
    position, velocity = evidence.arrays["base_pos"], evidence.arrays["base_lin_vel"]
    cross = cross_matrix(evidence.arrays["base_ang_vel"])
    turned = np.stack([into_world(evidence, cross[..., k], "base_lin_vel") for k in range(3)], axis=-1)
    world = into_world(evidence, velocity, "base_lin_vel")
    rows = (evidence.since[1:] == evidence.since[:-1]) & evidence.usable[1:] & evidence.usable[:-1]
    gap = 0.5 * (world[1:] + world[:-1]) - (position[1:] - position[:-1]) / period
    table, y = (0.5 * (turned[1:] + turned[:-1]))[rows].reshape(-1, 3), gap[rows].reshape(-1)
    if len(y) < 60:
        return None
    inverse = np.linalg.pinv(table.T @ table, rcond=1e-6)
    point = inverse @ (table.T @ y)
    left = y - table @ point
    spread = np.sqrt(float(left.var()) * np.diag(inverse)) + 1e-12
    far = APART * max(1.0, (period / USUAL) ** 2) < float(np.linalg.norm(point)) < WITHIN
    sure = bool((np.abs(point) > SURE * spread).any())
    fits = float(left.std()) < min(BETTER * float(y.std()), CLOSE * float(world.std()))
    return point if far and sure and fits else None


def point_notes(contract: Contract, evidence: Evidence) -> list[str]:
    """Terms of whose point the trace shows nothing, as the base hardly turns, or only about one axis."""
    found = []
    for term in contract.observation.terms:
        if not isinstance(term, BaseLinVelTerm) or "base_ang_vel" not in evidence.arrays:
            continue
        shown = shown_vector(contract, evidence, term)
        if shown is None or contract.base.frame is not None:
            continue
        fit = fit_point(contract, evidence, term, shown.values, shown.rows)
        if fit is None or not (fit.unseen > TOLD).any():
            continue
        turning = evidence.arrays["base_ang_vel"]
        axes = ", ".join(axis for axis, unseen in zip(XYZ, fit.unseen, strict=True) if unseen > TOLD)
        found.append(
            f"the base turns by {float(np.abs(turning).max()):.2g} rad/s at most in this trace, which does not show "
            f"along {axes} whose velocity {term.label} is: the link's origin, a centre of mass or a sensor. Record a "
            "run that turns"
        )
    return found
