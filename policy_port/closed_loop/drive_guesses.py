"""Guesses in which the action means another target, or the robot is driven with other gains or at another rate."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from policy_port.closed_loop.symmetry import alike
from policy_port.contract.actions import ActionTerm
from policy_port.contract.joints import DRIVE_KEYS
from policy_port.contract.spec import Contract
from policy_port.mistakes.changes import Changes
from policy_port.mistakes.edits import (
    stated_values,
    value_of,
    with_action,
    with_joint_values,
    with_keys,
)
from policy_port.mistakes.orders import Names

ACTION_SCALES = (0.25, 0.5, 1.0)
FACTORS = (0.5, 2.0, 0.25, 4.0, math.pi / 180.0)
GAIN_FACTORS = (0.5, 2.0, 0.1, 10.0)


def drive_guesses(contract: Contract) -> Changes:
    """Another scale, offset, reference or clip of the action; other gains, defaults, rate or actuation."""
    for place, term in enumerate(contract.action.terms):
        yield from _actions(contract, place, term)
    if contract.action.raw_clip is not None:
        yield with_action(contract, None, raw_clip=None), f"raw_clip {list(contract.action.raw_clip)} too many"
    for bound in (1.0, 100.0):
        yield with_action(contract, None, raw_clip=[-bound, bound]), f"raw_clip to [{-bound:g}, {bound:g}] missing"
    if contract.action.filter is not None:
        yield with_action(contract, None, filter=None), f"a filter of {contract.action.filter.of} too many"
    if contract.action.delay:
        yield with_action(contract, None, delay=None), "a delay of the action too many"
    for key in DRIVE_KEYS:
        stated = {name: getattr(joint, key) for name, joint in contract.joints.items()}
        for factor in GAIN_FACTORS:
            scaled = {name: value * factor for name, value in stated.items() if value is not None}
            if scaled:
                yield with_joint_values(contract, key, scaled), f"{key}: {factor:g} times that on every joint"
    yield from _unlike(contract)
    yield from _flipped_defaults(contract)
    kind = {"implicit": "explicit", "explicit": "implicit"}.get(contract.actuation.kind)
    if kind is not None:
        yield with_keys(contract, actuation={"kind": kind}), f"actuation {contract.actuation.kind} instead of {kind}"
    yield from _rates(contract)


def _actions(contract: Contract, place: int, term: ActionTerm) -> Changes:
    names = contract.action_joints(term)
    for factor in FACTORS:
        scale = stated_values({name: value_of(term.scale, name) * factor for name in names})
        yield with_action(contract, place, scale=scale), f"action: scale {factor:.3g} times that"
    for scale in ACTION_SCALES:
        yield with_action(contract, place, scale=scale), f"action: scale {scale:g}"
    if isinstance(term.scale, dict):
        common = Counter(term.scale.values()).most_common(1)[0][0]
        yield with_action(contract, place, scale=common), f"action: one scale, {common:g}, for every joint"
    if term.clip is not None:
        yield with_action(contract, place, clip=None), "action: clip of the targets too many"
    if term.term == "joint_position":
        if term.offset != "default":
            yield with_action(contract, place, offset="default"), "action: the default pose is not added as offset"
        if term.offset == "default" or term.offset:
            yield with_action(contract, place, offset=0.0), "action: offset added though the source does not"
    else:
        changes: dict[str, Any] = {"term": "joint_position", "reference": None, "offset": "default"}
        yield with_action(contract, place, **changes), "action: targets are absolute"
    for reference in ("joint_target", "joint_pos"):
        changes = {"term": "joint_position_delta", "reference": reference, "offset": None}
        yield with_action(contract, place, **changes), f"action: targets are relative to {reference}"


def _unlike(contract: Contract) -> Changes:
    """One joint whose number is not that of its like on the other sides."""
    for joints in alike(contract.joint_names).values():
        for key in ("default", *DRIVE_KEYS):
            stated = {name: getattr(contract.joints[name], key) for name in joints}
            for name, other in [] if None in stated.values() else _odd(stated):
                words = f"{key} of {name} {stated[name]:g} instead of {other:g}, as its like has"
                yield with_joint_values(contract, key, {name: other}), words
    for place, term in enumerate(contract.action.terms):
        if isinstance(term.scale, dict):
            for joints in alike(contract.action_joints(term)).values():
                for name, other in _odd({name: term.scale[name] for name in joints}):
                    scale = term.scale | {name: other}
                    words = f"action: scale of {name} is not that of its like"
                    yield with_action(contract, place, scale=stated_values(scale)), words


def _odd(stated: dict[str, float]) -> list[tuple[str, float]]:
    """Each joint that differs from one of its like in size, and what that one has, with its own sign or the other's."""
    found = []
    for name, value in stated.items():
        others = {other for mate, other in stated.items() if mate != name and abs(other) != abs(value)}
        for other in sorted(others | {-other for other in others if min(stated.values()) < 0.0}):
            found.append((name, other))
    return found


def _flipped_defaults(contract: Contract) -> Changes:
    groups: list[Names] = [(name,) for name in contract.joint_names] + list(alike(contract.joint_names).values())
    for joints in groups:
        flipped = {name: -contract.joints[name].default for name in joints if contract.joints[name].default}
        if flipped:
            yield with_joint_values(contract, "default", flipped), f"sign of the default of {', '.join(flipped)}"


def _rates(contract: Contract) -> Changes:
    said, timestep, decimation = "control rate: the source has", contract.timestep, contract.decimation
    yield with_keys(contract, decimation=decimation * 2), f"{said} half the rate"
    yield with_keys(contract, timestep=timestep * 2.0), f"{said} half the rate, by the timestep"
    yield with_keys(contract, timestep=timestep / 2.0), f"{said} twice the rate, by the timestep"
    if decimation % 2 == 0:
        yield with_keys(contract, decimation=decimation // 2), f"{said} twice the rate"
