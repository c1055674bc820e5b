"""From contracts and a mapping to the two affine maps around the network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from policy_port.contract.joint_terms import PerJointTerm
from policy_port.contract.layout import Slot, observation_slots
from policy_port.contract.mapping import RobotMapping
from policy_port.contract.spec import Contract
from policy_port.contract.term import Bounds, Term
from policy_port.errors import MappingError
from policy_port.remap.affine import CONSTANT, AffineMap
from policy_port.remap.target import derive_target, is_constant

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
    # Bounds of its own for each joint go over to the target, which turns them with the joint.
    if raw_clip is not None and not isinstance(raw_clip, dict) and not _commutes(action, raw_clip):
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
    there = dict(mapping.pairs)
    rows: list[Row] = []
    source_slots = observation_slots(source)
    for slot in source_slots:
        term, element = source_terms[slot.term], slot.element
        if is_constant(mapping, slot.term):
            rows.append((CONSTANT, 0.0, _encode(term, _constant(source, mapping, term, element), element)))
            continue
        joint = term.joint(element) if isinstance(term, PerJointTerm) else ""
        if isinstance(term, PerJointTerm) and joint in mapping.only_in_source:
            still = term.still(source, element, mapping.only_in_source[joint].position)
            rows.append((CONSTANT, 0.0, _encode(term, still, element)))
            continue
        change = mapping.terms.get(slot.term)
        # The label a renamed term has on the target's side; an unnamed term is known by its kind.
        after = target_terms[change.rename if change and change.rename else slot.term]
        slope, shift, seen = 1.0, 0.0, element
        if isinstance(term, PerJointTerm):
            slope, shift = term.part(element).converted(mapping.conversion(joint))
            seen = term.of_joint(element, there[joint])
        # raw source = (raw target - shift) / slope
        scale = term.entry("scale", element)
        factor, offset = _rescale(
            scale / slope,
            term.entry("offset", element) - scale * shift / slope,
            after.entry("scale", seen),
            after.entry("offset", seen),
        )
        there_now = Slot(after.label, seen, slot.age)
        if there_now not in position:
            raise MappingError(
                f"the policy sees '{slot.term}' of {slot.age} steps ago, and the target's '{after.label}' has the ages "
                f"{', '.join(map(str, sorted(target.observation.stack(after).ages)))}; give the mapping's groups the "
                "steps that the source has"
            )
        rows.append((position[there_now], factor, offset))
    return AffineMap.of_rows([str(s) for s in target_slots], [str(s) for s in source_slots], rows)


def _rescale(scale: float, offset: float, scale_after: float, offset_after: float) -> tuple[float, float]:
    """Factor and offset from the target's scaled value to the source's, for the same raw value."""
    if scale == 0.0:
        return 0.0, offset
    factor = scale / scale_after
    return factor, offset - factor * offset_after + 0.0


def _constant(source: Contract, mapping: RobotMapping, term: Term, element: str) -> float:
    given, elements = mapping.terms[term.label].constant, source.term_elements(term)
    assert given is not None
    if not isinstance(given, tuple):
        return given
    if len(given) != len(elements):
        raise MappingError(
            f"terms.{term.label}.constant has {len(given)} numbers, the term has {len(elements)}: {', '.join(elements)}"
        )
    return given[elements.index(element)]


def _encode(term: Term, raw: float, element: str) -> float:
    """The value that the network sees for a raw value: scale * clip(raw) + offset."""
    low, high = term.raw_clip(element)
    return term.entry("scale", element) * min(max(raw, low), high) + term.entry("offset", element)


def _action_map(source: Contract, target: Contract, mapping: RobotMapping) -> AffineMap:
    there = {t: s for s, t in mapping.pairs}
    names = source.action_joint_names
    rows: list[Row] = []
    for name in target.action_joint_names:
        if name in mapping.only_in_target:
            position = mapping.only_in_target[name].position
            rows.append((CONSTANT, 0.0, target.holding_action(name, position)))
        else:
            rows.append((names.index(there[name]), float(mapping.conversion(there[name]).sign), 0.0))
    return AffineMap.of_rows(names, target.action_joint_names, rows)
