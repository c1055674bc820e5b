"""From contracts and a mapping to the two affine maps around the network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from policy_port.contract.layout import Slot, observation_slots
from policy_port.contract.mapping import RobotMapping
from policy_port.contract.spec import Contract
from policy_port.contract.terms import (
    ActionTerm,
    BaseTerm,
    Bounds,
    JointPositionAction,
    JointTerm,
    LastActionTerm,
    ObservationTerm,
)
from policy_port.errors import MappingError
from policy_port.remap.affine import CONSTANT, AffineMap
from policy_port.remap.target import POSITIONS, derive_target, is_constant, per_joint

Row = tuple[int, float, float]


@dataclass(frozen=True, kw_only=True)
class Remap:
    """What stands around the source's network so that it reads and writes the target's parsing."""

    source: Contract
    """Contract that the weights were trained with."""
    target: Contract
    """Contract of the ported policy."""
    mapping: RobotMapping | None
    """The mapping between the two; None for an export without a remap."""
    observation: AffineMap
    """Target observation to source observation."""
    observation_clip: Bounds | None
    """Bounds of the source observation, applied after the map; None where the target's own clip does it."""
    action: AffineMap
    """Source raw action to target raw action."""
    action_clip: Bounds | None
    """Bounds of the source's raw action, applied before the map; None where the target's own clip does it."""


def identity_remap(contract: Contract) -> Remap:
    """The remap of an export that changes nothing."""
    return Remap(
        source=contract,
        target=contract,
        mapping=None,
        observation=AffineMap.identity([str(slot) for slot in observation_slots(contract)]),
        observation_clip=None,
        action=AffineMap.identity(contract.action_joint_names),
        action_clip=None,
    )


def build_remap(source: Contract, mapping: RobotMapping) -> Remap:
    """Build the remap from the parsing of `source` to the target's.

    Raises:
        MappingError: When the mapping does not fit the source contract.
    """
    target = derive_target(source, mapping)
    action = _action_map(source, target, mapping)
    observation = _observation_map(source, target, mapping)
    observation_clip = action_clip = None
    clip = source.observation.clip
    if clip is not None and not _commutes(observation, clip):
        observation_clip = clip
        target = target.model_copy(update={"observation": target.observation.model_copy(update={"clip": None})})
    raw_clip = source.action.raw_clip
    if raw_clip is not None and not _commutes(action, raw_clip):
        action_clip = raw_clip
        target = target.model_copy(update={"action": target.action.model_copy(update={"raw_clip": None})})
    return Remap(
        source=source,
        target=target,
        mapping=mapping,
        observation=observation,
        observation_clip=observation_clip,
        action=action,
        action_clip=action_clip,
    )


def _commutes(remap: AffineMap, bounds: Bounds) -> bool:
    """True when clipping before the map is clipping after it."""
    reads = remap.index != CONSTANT
    plain = (np.abs(remap.scale[reads]) == 1.0).all() and (remap.offset[reads] == 0.0).all()
    constants = remap.offset[~reads]
    inside = ((constants >= bounds[0]) & (constants <= bounds[1])).all()
    return bool(plain and inside and (bounds[0] == -bounds[1] or (remap.scale[reads] > 0.0).all()))


def _observation_map(source: Contract, target: Contract, mapping: RobotMapping) -> AffineMap:
    target_slots = observation_slots(target)
    position = {slot: i for i, slot in enumerate(target_slots)}
    source_terms = {term.label: term for term in source.observation.terms}
    target_terms = {term.label: term for term in target.observation.terms}
    renamed = dict(mapping.pairs)
    rows: list[Row] = []
    source_slots = observation_slots(source)
    for slot in source_slots:
        term = source_terms[slot.term]
        if is_constant(mapping, slot.term):
            rows.append((CONSTANT, 0.0, _constant(source, mapping, term, slot)))
            continue
        change = mapping.terms.get(slot.term)
        # The label a renamed term has on the target's side; an unnamed term is known by its kind.
        label = change.rename if change and change.rename else slot.term
        after = target_terms[label]
        if isinstance(term, JointTerm | LastActionTerm):
            if slot.element in mapping.only_in_source:
                rows.append((CONSTANT, 0.0, _standing_still(source, mapping, term, slot.element)))
                continue
            there = renamed[slot.element]
            rows.append(
                (position[Slot(label, there, slot.age)], *_joint_row(mapping, term, after, slot.element, there))
            )
        else:
            rows.append((position[slot._replace(term=label)], *_plain_row(source, term, after, slot.element)))
    return AffineMap.of_rows([str(s) for s in target_slots], [str(s) for s in source_slots], rows)


def _rescale(scale: float, offset: float, scale_after: float, offset_after: float) -> tuple[float, float]:
    """Factor and offset from the target's scaled value to the source's, for the same raw value."""
    if scale == 0.0:
        return 0.0, offset
    factor = scale / scale_after
    return factor, offset - factor * offset_after + 0.0


def _plain_row(source: Contract, term: ObservationTerm, after: ObservationTerm, element: str) -> tuple[float, float]:
    index = source.term_elements(term).index(element)

    def numbers(term: ObservationTerm) -> tuple[float, float]:
        if isinstance(term, BaseTerm):
            scale = term.scale[index] if isinstance(term.scale, tuple) else term.scale
            return scale, term.offset[index] if isinstance(term.offset, tuple) else term.offset
        return (term.scale, 0.0) if term.term == "goal" else (1.0, 0.0)

    return _rescale(*numbers(term), *numbers(after))


def _joint_row(
    mapping: RobotMapping, term: ObservationTerm, after: ObservationTerm, name: str, there: str
) -> tuple[float, float]:
    conversion = mapping.conversion(name)
    if isinstance(term, LastActionTerm) and isinstance(after, LastActionTerm):
        return conversion.sign * term.scale / after.scale, 0.0
    assert isinstance(term, JointTerm)
    assert isinstance(after, JointTerm)
    # raw source = (raw target - zero) / slope
    zero = conversion.offset if term.term in POSITIONS else 0.0
    scale, offset = per_joint(term.scale, name), per_joint(term.offset, name)
    factor, shift = _rescale(
        scale / conversion.slope,
        offset - scale * zero / conversion.slope,
        per_joint(after.scale, there),
        per_joint(after.offset, there),
    )
    return factor, shift


def _constant(source: Contract, mapping: RobotMapping, term: ObservationTerm, slot: Slot) -> float:
    index = source.term_elements(term).index(slot.element)
    given = mapping.terms[term.label].constant
    assert given is not None
    if isinstance(given, tuple) and len(given) != source.term_size(term):
        raise MappingError(
            f"terms.{term.label}.constant has {len(given)} numbers, the term has {source.term_size(term)}: "
            f"{', '.join(source.term_elements(term))}"
        )
    raw = given[index] if isinstance(given, tuple) else given
    return _encode(term, raw, slot.element, index)


def _encode(term: ObservationTerm, raw: float, element: str, index: int) -> float:
    """The value that the network sees for a raw value: scale * clip(raw) + offset."""
    clip = getattr(term, "clip", None)
    scale, offset = getattr(term, "scale", 1.0), getattr(term, "offset", 0.0)
    if isinstance(clip, dict):
        clip = clip[element]
    if clip is not None:
        raw = min(max(raw, clip[0]), clip[1])
    scale, offset = (
        value[element] if isinstance(value, dict) else value[index] if isinstance(value, tuple) else value
        for value in (scale, offset)
    )
    return scale * raw + offset


def _standing_still(source: Contract, mapping: RobotMapping, term: ObservationTerm, name: str) -> float:
    """What the policy sees of a joint that the target lacks: it stands at the stated position."""
    position = mapping.only_in_source[name].position
    if isinstance(term, LastActionTerm):
        return _encode(term, _holding_action(source, name, position), name, 0)
    raw = {
        "joint_pos": position,
        "joint_target": position,
        "joint_pos_rel": position - source.joints[name].default,
        "joint_vel": 0.0,
    }[term.term]
    return _encode(term, raw, name, 0)


def _holding_action(contract: Contract, name: str, position: float) -> float:
    """The raw action that keeps a joint where it is."""
    term: ActionTerm = next(term for term in contract.action.terms if name in contract.action_joints(term))
    scale = per_joint(term.scale, name)
    if not isinstance(term, JointPositionAction):
        return -per_joint(term.offset, name) / scale + 0.0
    offset = contract.joints[name].default if term.offset == "default" else per_joint(term.offset, name)
    return (position - offset) / scale


def _action_map(source: Contract, target: Contract, mapping: RobotMapping) -> AffineMap:
    there = {t: s for s, t in mapping.pairs}
    names = source.action_joint_names
    rows: list[Row] = []
    for name in target.action_joint_names:
        if name in mapping.only_in_target:
            position = mapping.only_in_target[name].position
            rows.append((CONSTANT, 0.0, _holding_action(target, name, position)))
        else:
            rows.append((names.index(there[name]), float(mapping.conversion(there[name]).sign), 0.0))
    return AffineMap.of_rows(names, target.action_joint_names, rows)
