"""Signals of poses, contacts and scans: what terms make of where links are and what a plant senses beside."""

from __future__ import annotations

import math

import numpy as np

from policy_port.contract.base_terms import MeasuredTerm
from policy_port.contract.sensed_terms import (
    EULER,
    BaseEulerTerm,
    BaseQuatTerm,
    ContactTerm,
    HeadingErrorTerm,
    HeadingParts,
    HeightScanTerm,
    LinkHeightTerm,
    LinkPosTerm,
)
from policy_port.contract.term import Term
from policy_port.deploy.program import Value
from policy_port.deploy.source import Source, arctan2, conjugate, floor_mod, rotate, yaw_angle


def sensed(source: Source) -> Value:
    """Every term that is made of poses, contacts or scans, one after the other."""
    contract = source.contract
    terms = [term for term in contract.observation.terms if term.columns(contract).get("sensed", 0)]
    return source.program.concat([_computed(term, source) for term in terms])


def _computed(term: Term, source: Source) -> Value:
    match term:
        case MeasuredTerm():
            return _vector(term, source)
        case BaseEulerTerm():
            return _euler(term, source)
        case BaseQuatTerm():
            return _quat(term, source)
        case LinkHeightTerm():
            return _height(term, source)
        case LinkPosTerm():
            return _position(term, source)
        case HeadingParts():
            return _heading(term, source)
        case ContactTerm():
            return _contact(term, source)
        case HeightScanTerm():
            return _scan(term, source)
        case _:
            raise NotImplementedError(f"deploy/sensed.py does not say what '{term.term}' is made of")


def _pose(source: Source, link: str | None, what: str) -> Value:
    """Position, orientation or velocity of a link; the base's, if None."""
    return source.signal(f"base_{what}" if link is None else f"link_{what}_{link}")


def _vector(term: MeasuredTerm, source: Source) -> Value:
    if term.term == "projected_gravity":
        return rotate(conjugate(_pose(source, term.link, "quat")), np.array([0.0, 0.0, -1.0]))
    return _pose(source, term.link, "lin_vel" if term.term == "base_lin_vel" else "ang_vel")


def _euler(term: BaseEulerTerm, source: Source) -> Value:
    quat = _pose(source, term.link, "quat")
    w, x, y, z = (quat[index] for index in range(4))

    def angle(name: str) -> Value:
        if name == "roll":
            return arctan2((w * x + y * z) * 2.0, (x * x + y * y) * -2.0 + 1.0)
        if name == "pitch":
            return ((w * y - z * x) * 2.0).clip([-1.0], [1.0]).call("Asin")
        return yaw_angle(quat)

    chosen = source.program.concat([angle(name) for name in EULER if name in term.angles])
    order = [name for name in EULER if name in term.angles]
    angles = chosen[[order.index(name) for name in term.angles]]
    return angles if term.interval == "signed" else floor_mod(angles, math.tau)


def _quat(term: BaseQuatTerm, source: Source) -> Value:
    quat = _pose(source, term.link, "quat")
    order = [1, 2, 3, 0] if source.contract.quaternion_order == "xyzw" else [0, 1, 2, 3]
    if term.positive_w:
        quat = source.program.where(quat[0] < 0.0, -quat, quat)
    return quat[order]


def _height(term: LinkHeightTerm, source: Source) -> Value:
    mine = _pose(source, term.link, "pos")[2]
    if not term.above:
        return mine
    lowest = _pose(source, term.above[0], "pos")[2]
    for link in term.above[1:]:
        lowest = source.program.apply("Min", lowest, _pose(source, link, "pos")[2])
    return mine - lowest


def _position(term: LinkPosTerm, source: Source) -> Value:
    mine, chosen = _pose(source, term.link, "pos"), ["xyz".index(axis) for axis in term.axes]
    if term.frame == "world":
        return mine[chosen]
    away, base = mine - source.signal("base_pos"), source.signal("base_quat")
    if term.frame == "base":
        return rotate(conjugate(base), away)[chosen]
    angle = -yaw_angle(base)
    x, y, z = (away[index] for index in range(3))
    cos, sin = angle.call("Cos"), angle.call("Sin")
    return source.program.concat([cos * x - sin * y, sin * x + cos * y, z])[chosen]


def _heading(term: HeadingParts, source: Source) -> Value:
    angle = yaw_angle(_pose(source, term.link, "quat"))
    if isinstance(term, HeadingErrorTerm):
        target = source.command[source.contract.command.names.index("heading")]
        angle = floor_mod(target - angle + math.pi, math.tau) - math.pi
    parts = {"angle": lambda: angle, "cos": lambda: angle.call("Cos"), "sin": lambda: angle.call("Sin")}
    return source.program.concat([parts[name]() for name in term.parts])


def _contact(term: ContactTerm, source: Source) -> Value:
    forces = [source.signal(f"contact_force_{link}") for link in term.links]
    if term.measure == "vector":
        return source.program.concat(forces)
    if term.measure == "vertical":
        found = [force[2] for force in forces]
    else:
        found = [(force * force).times(np.ones((3, 1))).call("Sqrt") for force in forces]
    measured = source.program.concat(found)
    return measured if term.threshold is None else (measured > term.threshold).cast("float64")


def _scan(term: HeightScanTerm, source: Source) -> Value:
    ends = source.signal(term.scan.name)[list(range(2, 3 * term.rays, 3))]
    heights = _pose(source, term.link, "pos")[2] - ends - term.height_offset
    # Where nothing says what a ray shows that hits nothing, it stays NaN, and the step is refused.
    return heights if term.miss is None else source.program.where(ends.call("IsNaN"), term.miss, heights)
