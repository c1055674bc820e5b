"""Guesses in which an observation term is another one, has another scale or sign, or stands in another place."""

from __future__ import annotations

import itertools
import math
from typing import Any

from policy_port.closed_loop.symmetry import alike
from policy_port.contract.base_terms import BaseLinVelTerm, BaseTerm
from policy_port.contract.joint_terms import JointTerm, LastActionTerm
from policy_port.contract.spec import Contract
from policy_port.contract.task_terms import GaitPhaseTerm, GoalTerm
from policy_port.contract.terms import ObservationTerm
from policy_port.mistakes.changes import (
    JOINTS,
    VECTORS,
    Changes,
    clock,
    kinds_of_width,
    term_order_changes,
)
from policy_port.mistakes.edits import (
    plain,
    stated_values,
    unlike_others,
    validated,
    value_of,
    with_action,
    with_new_term,
    with_observation,
    with_term,
    with_term_order,
)
from policy_port.mistakes.histories import history_changes

SCALES: dict[str, tuple[Any, ...]] = {
    "base_lin_vel": (1.0, 2.0),
    "base_ang_vel": (1.0, 0.25, 0.2),
    "velocity_command": (1.0, [2.0, 2.0, 0.25], [2.0, 2.0, 1.0]),
    "joint_vel": (1.0, 0.05, 0.1),
}
"""What trainers scale by; every other term has 1."""

FACTORS = (-1.0, 0.5, 2.0, math.pi / 180.0, 180.0 / math.pi)
"""What a scale is often off by: sign, halves and doubles, degrees."""

RECIPES: dict[str, dict[str, Any]] = {
    "legged_gym": {
        "base_lin_vel": 2.0,
        "base_ang_vel": 0.25,
        "velocity_command": [2.0, 2.0, 0.25],
        "joint_vel": 0.05,
    },
    "legged_gym, command unscaled": {"base_lin_vel": 2.0, "base_ang_vel": 0.25, "joint_vel": 0.05},
    "unitree_rl_lab": {"base_ang_vel": 0.2, "joint_vel": 0.05},
    "Isaac Lab, which scales nothing": {},
}
"""Scales that belong together; a term that is not named has 1."""

ORDERS: tuple[tuple[str, ...], ...] = (
    ("base_lin_vel", "base_ang_vel", "projected_gravity", "velocity_command"),
    ("base_lin_vel", "base_ang_vel", "velocity_command", "projected_gravity"),
    ("velocity_command", "base_lin_vel", "base_ang_vel", "projected_gravity"),
)
"""Orders in which trainers concatenate; joint positions, joint velocities, last action and clock follow."""

FOLLOWING = ("joint_pos", "joint_pos_rel", "joint_vel", "joint_target", "last_action", "gait_phase")

PERIODS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Periods of gait clocks [s]."""


def term_guesses(contract: Contract) -> Changes:
    """Another scale, sign, kind, place, clip, clock or history."""
    yield from history_changes(contract)
    yield from _recipes(contract)
    for term in contract.observation.terms:
        yield from _scales(term, contract)
        yield from _kinds(term, contract)
        yield from _points(term, contract)
    yield from _signs(contract)
    yield from _places(contract)
    if contract.observation.clip is not None:
        yield with_observation(contract, clip=None), f"clip to {list(contract.observation.clip)} too many"


def _recipes(contract: Contract) -> Changes:
    for who, scales in RECIPES.items():
        data = plain(contract)
        for term in data["observation"]["terms"]:
            if term["term"] in (*VECTORS, *JOINTS):
                term["scale"] = scales.get(term["term"], 1.0)
        yield validated(data), f"observation scales: those of {who}"


def _scales(term: ObservationTerm, contract: Contract) -> Changes:
    if not isinstance(term, BaseTerm | JointTerm | LastActionTerm | GoalTerm):
        return
    for scale in SCALES.get(term.term, (1.0,)):
        yield with_term(contract, term.label, scale=scale), f"{term.label}: scale {scale}"
    for factor in FACTORS:
        scale = _times(term.scale, factor)
        yield with_term(contract, term.label, scale=scale), f"{term.label}: scale {factor:.3g} times that"
    if isinstance(term, BaseTerm):
        stated = term.scale if isinstance(term.scale, tuple) else (term.scale,) * 3
        for axis in range(3):
            words = contract.term_elements(term)[axis]
            flipped = [-value if place == axis else value for place, value in enumerate(stated)]
            yield with_term(contract, term.label, scale=flipped), f"{term.label}: sign of {words}"
        if term.term == "velocity_command":
            for factor in FACTORS[1:]:
                turned = [*stated[:2], stated[2] * factor]
                yield with_term(contract, term.label, scale=turned), f"{term.label}: turn rate times {factor:.3g}"
    if isinstance(term, JointTerm) and isinstance(term.scale, dict):
        common = max(set(term.scale.values()), key=list(term.scale.values()).count)
        yield with_term(contract, term.label, scale=common), f"{term.label}: one scale, {common:g}, for every joint"
    for key in ("offset", "clip"):
        if getattr(term, key, None):
            yield with_term(contract, term.label, **{key: None}), f"{term.label}: {key} too many"


def _kinds(term: ObservationTerm, contract: Contract) -> Changes:
    """Another kind of term of the same width, or nothing at all where it stands."""
    width = contract.term_size(term)
    kept = getattr(term, "scale", 1.0)
    for kind, _ in kinds_of_width(contract, width):
        if kind == term.term:
            continue
        named = unlike_others(contract, term.label, kind)
        if {kind, term.term} == {"joint_pos", "joint_pos_rel"}:
            said = "default pose not subtracted" if kind == "joint_pos_rel" else "default pose subtracted too many"
            yield with_term(contract, term.label, term=kind, name=named.get("name")), f"{term.label}: {said}"
            continue
        for scale in (*SCALES.get(kind, (1.0,)), kept):
            if not isinstance(scale, dict):
                new = {"term": kind, **named, "scale": list(scale) if isinstance(scale, tuple) else scale}
                yield with_new_term(contract, term.label, new), f"{term.label}: it is {kind}"
    if term.term not in ("constant", "goal", "external"):
        zeros = {"term": "constant", "name": term.label, "value": [0.0] * width}
        yield with_new_term(contract, term.label, zeros), f"{term.label}: zeroed in the source"
    if width == 2 and term.term in ("gait_phase", "constant"):
        yield from _clocks(term, contract)


def _points(term: ObservationTerm, contract: Contract) -> Changes:
    """The velocity of the link's origin or of its centre of mass; the robot file says where that is, or can't."""
    if not isinstance(term, BaseLinVelTerm):
        return
    for point, words in (("link", "the link's origin"), ("com", "the centre of mass")):
        if point != (term.point or "link"):
            yield with_term(contract, term.label, point=point), f"{term.label}: the velocity of {words}"


def _clocks(term: ObservationTerm, contract: Contract) -> Changes:
    offset = term.offsets[0] if isinstance(term, GaitPhaseTerm) else 0.0
    stated = (term.period,) if isinstance(term, GaitPhaseTerm) else ()
    for period, shift in itertools.product(dict.fromkeys((*stated, *PERIODS)), (0.0, 0.5, 0.25, 0.75)):
        words = f"{term.label}: gait clock of {period:g} s, {shift:g} turns on"
        yield clock(contract, term, period, [(offset + shift) % 1.0]), words


def _signs(contract: Contract) -> Changes:
    """The sign of one joint, or of all of a kind, in what is read, in what is driven, or in both."""
    groups = [(name,) for name in contract.joint_names] + list(alike(contract.joint_names).values())
    for joints in groups:
        read: Contract | None = contract
        for term in contract.observation.terms:
            if isinstance(term, JointTerm) and read is not None and term.term != "joint_target":
                names = contract.observation_joints(term)
                read = with_term(read, term.label, scale=_flipped(term.scale, names, joints))
        said = ", ".join(joints)
        yield read, f"sign of {said} flipped in the observation"
        for start, where in ((contract, "in the action"), (read, "in observation and action")):
            driven = start
            for place, term in enumerate(contract.action.terms):
                scale = _flipped(term.scale, contract.action_joints(term), joints)
                driven = None if driven is None else with_action(driven, place, scale=scale)
            yield driven, f"sign of {said} flipped {where}"


def _places(contract: Contract) -> Changes:
    kinds = [term.term for term in contract.observation.terms]
    for order in ORDERS:
        rank = {kind: place for place, kind in enumerate((*order, *FOLLOWING))}
        places = sorted(range(len(kinds)), key=lambda place: rank.get(kinds[place], len(rank)))
        yield with_term_order(contract, places), f"terms in another order: {', '.join(kinds[p] for p in places)}"
    yield from term_order_changes(contract)


def _times(scale: Any, factor: float) -> Any:
    if isinstance(scale, dict):
        return {name: value * factor for name, value in scale.items()}
    return [value * factor for value in scale] if isinstance(scale, tuple) else scale * factor


def _flipped(scale: float | dict[str, float], names: tuple[str, ...], joints: tuple[str, ...]) -> Any:
    """A scale with another sign for some joints."""
    return stated_values({name: value_of(scale, name) * (-1.0 if name in joints else 1.0) for name in names})
