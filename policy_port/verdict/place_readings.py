"""Explanations in which a base vector is that of another point, or in other axes, than the contract says."""

from __future__ import annotations

from typing import Any

import numpy as np

from policy_port.contract.base_terms import BaseLinVelTerm, MeasuredTerm
from policy_port.contract.place import Place, point_words
from policy_port.contract.spec import Contract
from policy_port.errors import EvidenceError
from policy_port.mistakes.edits import snapped, with_term
from policy_port.verdict.evidence import Evidence, Mask, Read, Values
from policy_port.verdict.explanations import Explanation, Explanations
from policy_port.verdict.fits import SLACK
from policy_port.verdict.place_checks import elsewhere_words, point_of_velocity
from policy_port.verdict.places import FARTHEST, TOLD, Fit, cross_matrix, fit_point, shown_vector
from policy_port.verdict.rebuild import FLOOR, ROUNDINGS
from policy_port.verdict.recorded_arrays import COM, ORIENTATIONS, POSITIONS
from policy_port.verdict.signals import base_vector

NAMED, OFFSET = 1.0, 1.2
"""What a place counts that the trace holds, and a point that fits: the name goes before its numbers."""


def place_readings(contract: Contract, evidence: Evidence, failing: set[str]) -> Explanations:
    """Another point of a velocity, by what the trace holds or by what fits; other axes of any base vector."""
    for term in contract.observation.terms:
        if term.label not in failing or not isinstance(term, MeasuredTerm) or term.link is not None:
            continue
        try:
            if isinstance(term, BaseLinVelTerm):
                yield from _recorded_points(contract, evidence, term)
                yield from _fitted_point(contract, evidence, term)
            yield from _recorded_frames(contract, evidence, term)
            yield from _turned(contract, evidence, term)
        except EvidenceError:
            continue


def _recorded_points(contract: Contract, evidence: Evidence, term: BaseLinVelTerm) -> Explanations:
    """The link's origin, and every place that the trace says the position of."""
    points: list[Any] = ["link", *(["com"] if COM in evidence.arrays else [])]
    points += [_named(name, prefix) for name in evidence.arrays for prefix in POSITIONS if name.startswith(prefix)]
    before = "the link's origin" if term.point in (None, "link") else point_words(term.point).removeprefix("at ")
    for point in points:
        if point in (term.point, "link" if term.point is None else term.point):
            continue
        other = with_term(contract, term.label, point=point)
        if other is None:
            continue
        told = next(each for each in other.observation.terms if each.label == term.label)
        words = {"link": "the link's origin", "com": "the centre of mass"}.get(str(point)) or told.where
        yield Explanation(
            contract=other,
            evidence=evidence,
            words=f"{term.label}: the velocity of {words.removeprefix('at ')}, not of {before}",
            weight=NAMED,
        )


def _named(name: str, prefix: str) -> dict[str, str]:
    return {prefix.partition("_")[0]: name.removeprefix(prefix)}


def _fitted_point(contract: Contract, evidence: Evidence, term: BaseLinVelTerm) -> Explanations:
    """The point that fits, as an offset; where each environment has its own, a centre of mass that was drawn."""
    shown = shown_vector(contract, evidence, term)
    fit = None if shown is None else fit_point(contract, evidence, term, shown.values, shown.rows)
    if fit is None or not fit.explains or float(np.abs(fit.offset).max()) > FARTHEST:
        return
    if float(fit.unseen.max()) > TOLD:
        return
    elsewhere = point_of_velocity(evidence)
    if elsewhere is not None:
        yield _elsewhere(contract, evidence, term, fit, elsewhere)
        return
    before = "the link's origin" if term.point in (None, "link") else point_words(term.point).removeprefix("at ")
    point, said = fit.common, f"{term.label}: the velocity of the point {fit.words} from the link's origin"
    if point is None:
        yield Explanation(
            contract=_or_same(with_term(contract, term.label, point="com"), contract),
            evidence=evidence,
            words=f"{said}, another in each environment, not of {before}: consistent with a centre of mass that "
            "training draws; say point: com",
            remedy=f"record {COM} as well (in Isaac Lab body_com_pos_b of the root body), which shows that it is",
        )
        return
    written = [snapped(float(value), max(float(doubt), 1e-7)) for value, doubt in zip(point, fit.doubt, strict=True)]
    yield Explanation(
        contract=_or_same(with_term(contract, term.label, point=written), contract),
        evidence=evidence,
        words=f"{said}, residual {fit.left:.1g} m/s, not of {before}: {_guess(evidence)}",
        remedy=f"or name it, and record where it is ({COM}, or site_pos_NAME or sensor_pos_NAME), so that it is shown",
        weight=OFFSET,
    )


def _elsewhere(contract: Contract, evidence: Evidence, term: BaseLinVelTerm, fit: Fit, point: Values) -> Explanation:
    """A trace whose base_lin_vel is that of another point itself, as its base_pos shows: no edit mends that."""
    where = f"'{term.label}'"
    own = base_vector(evidence, "base_lin_vel", where)
    values = own + np.cross(base_vector(evidence, "base_ang_vel", where), fit.offset[None])
    known = np.ones(evidence.shape, dtype=np.bool_)
    reads = {(term.label, axis): Read(values[:, :, k], known) for k, axis in enumerate(contract.term_elements(term))}
    return Explanation(
        contract=contract,
        evidence=evidence.seen_as(reads),
        words=f"{term.label}: the velocity of the point {fit.words} from the one that base_lin_vel was recorded at, "
        f"which is {elsewhere_words(point)}",
        remedy="record base_lin_vel of the link's origin (in Isaac Lab root_link_lin_vel_b, not root_lin_vel_b)",
        weight=NAMED,
    )


def _guess(evidence: Evidence) -> str:
    """Whose point it may be, by the simulator that the trace is of."""
    simulator = str(evidence.header.get("simulator", "")).lower()
    if "mjlab" in simulator:
        return "consistent with an IMU's velocimeter, as mjlab's is; say point: {sensor: NAME}"
    if "isaac" in simulator:
        return "consistent with a centre of mass, as Isaac Lab's is; say point: com"
    return "consistent with a centre of mass; say point: com, or point: {sensor: NAME} where it is an IMU's"


def _or_same(changed: Contract | None, contract: Contract) -> Contract:
    return contract if changed is None else changed


def _recorded_frames(contract: Contract, evidence: Evidence, term: MeasuredTerm) -> Explanations:
    """Every place whose axes the trace holds, and the link's own."""
    frames: list[Any] = ["link"]
    frames += [_named(name, prefix) for name in evidence.arrays for prefix in ORIENTATIONS if name.startswith(prefix)]
    for frame in frames:
        other = with_term(contract, term.label, frame=frame)
        if other is None or other == contract:
            continue
        now = Place(**frame) if isinstance(frame, dict) else "the base link"
        before = term.axes_of or "the base link"
        if now != before:
            words = f"{term.label}: in the axes of {now}, not of {before}"
            yield Explanation(contract=other, evidence=evidence, words=words, weight=NAMED)


def _turned(contract: Contract, evidence: Evidence, term: MeasuredTerm) -> Explanations:
    """A vector in axes that stand still against the link's, wherever these are."""
    shown = shown_vector(contract, evidence, term)
    if shown is None or int(shown.rows.sum()) < 12:
        return
    where = f"'{term.label}'"
    own, fit = base_vector(evidence, term.term, where), None
    if isinstance(term, BaseLinVelTerm):
        found = _turned_and_moved(contract, evidence, term, shown.values, shown.rows)
        if found is None:
            return
        turn, fit = found
        own = own + np.cross(base_vector(evidence, "base_ang_vel", where), fit.offset[None])
    else:
        near = _rotation(own[shown.rows], shown.values[shown.rows])
        if near is None:
            return
        turn = near
    allowed = max(FLOOR, SLACK * ROUNDINGS * evidence.rounding * float(np.linalg.norm(own, axis=2).max()))
    values = own @ turn.T
    if float(np.abs(values - shown.values)[shown.rows].max()) > allowed or float(np.abs(turn - np.eye(3)).max()) < 1e-4:
        return
    known = np.ones(evidence.shape, dtype=np.bool_)
    reads = {(term.label, axis): Read(values[:, :, k], known) for k, axis in enumerate(contract.term_elements(term))}
    point = f" of the point {fit.words} from its origin" if fit is not None and fit.offset.any() else ""
    others = [evidence.seen_as(reads)]
    if term.term == "base_ang_vel":
        # The velocity of another point is made of it too.
        others.append(evidence.with_arrays({"base_ang_vel": values}))
    for other in others:
        yield Explanation(
            contract=contract,
            evidence=other,
            words=f"{term.label}: in other axes than the base link's{point}, {_turn_words(turn.T)}, a sensor's perhaps",
            remedy=(
                "write frame: {site: NAME} with the site or sensor of the robot file whose axes these are, and record "
                "site_quat_NAME"
            ),
        )


def _turned_and_moved(
    contract: Contract, evidence: Evidence, term: BaseLinVelTerm, shown: Values, rows: Mask
) -> tuple[Values, Fit] | None:
    """The axes and the point of a velocity together: B v + C w by least squares, B made a rotation."""
    where = f"'{term.label}'"
    velocity, turning = (base_vector(evidence, name, where) for name in ("base_lin_vel", "base_ang_vel"))
    table = np.concatenate([velocity, turning], axis=2)[rows]
    weights = np.linalg.lstsq(table, shown[rows], rcond=1e-9)[0]
    turn, fit = _nearest(weights[:3].T.astype(np.float64)), None
    # Each in turn: what is left of one blurs the other.
    for _ in range(3):
        fit = fit_point(contract, evidence, term, shown @ turn, rows)
        near = None if fit is None else _rotation((velocity + np.cross(turning, fit.offset[None]))[rows], shown[rows])
        if fit is None or near is None or float(np.abs(fit.offset).max()) > FARTHEST:
            return None
        turn = near
    return (turn, fit) if fit is not None and fit.explains else None


def _rotation(own: Values, shown: Values) -> Values | None:
    """The rotation that turns vectors into what was shown; None where they leave it open."""
    size = np.linalg.svd(shown.T @ own, compute_uv=False)
    if size[1] < 1e-6 * max(float(size[0]), 1e-300):
        return None
    return _nearest(shown.T @ own)


def _nearest(matrix: Values) -> Values:
    """The rotation that is closest to a matrix."""
    left, _, right = np.linalg.svd(matrix)
    return left @ np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))]) @ right


def _turn_words(turn: Values) -> str:
    """How a place's axes, the columns, are turned against the link's."""
    angle = float(np.degrees(np.arccos(np.clip(0.5 * (np.trace(turn) - 1.0), -1.0, 1.0))))
    values, vectors = np.linalg.eig(turn)
    axis = np.real(vectors[:, int(np.argmin(np.abs(values - 1.0)))])
    # The sense of the axis follows from the rotation itself, but for half a turn, which has none.
    sense = float(np.trace(cross_matrix(axis) @ turn))
    axis = -axis if sense > 1e-6 or (abs(sense) <= 1e-6 and axis[np.abs(axis).argmax()] < 0) else axis
    return f"turned by {angle:.4g} degrees about ({', '.join(f'{value + 0.0:.3g}' for value in np.round(axis, 3))})"
