"""The target's contract: what the source's contract becomes under a mapping."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from policy_port.contract.actions import ActionTerm
from policy_port.contract.history import Group
from policy_port.contract.joint_terms import JointTerm, LastActionTerm
from policy_port.contract.joints import Joint
from policy_port.contract.mapping import JointConversion, RobotMapping, TargetOnly
from policy_port.contract.motion_terms import MotionJointTerm
from policy_port.contract.spec import Contract
from policy_port.contract.term import Bounds
from policy_port.contract.terms import ObservationTerm
from policy_port.errors import MappingError, closest
from policy_port.remap.motion import target_following


def derive_target(source: Contract, mapping: RobotMapping) -> Contract:
    """The contract that the ported policy has on the target's side.

    Raw actions keep their size and take the target's direction: target raw = sign * source raw. The target's action
    scale, offset and default pose carry unit and zero, so both raw actions decode to the same joint target.

    Raises:
        MappingError: When the mapping does not fit the source contract; a swapped direction is said to be one.
    """
    check_fits(source, mapping)
    _refuse_reordering(source, mapping)
    by_target = {target: name for name, target in mapping.pairs}
    joints: dict[str, Joint] = {}
    for name in mapping.target_joint_names:
        if name in by_target:
            joints[name] = _convert_joint(source.joints[by_target[name]], mapping.conversion(by_target[name]))
        else:
            joints[name] = _held_joint(mapping.only_in_target[name])
    terms = [
        _convert_term(source, mapping, term)
        for term in source.observation.terms
        if not is_constant(mapping, term.label)
    ]
    terms += mapping.extra_terms
    actions = tuple(_convert_action(source, mapping, term) for term in source.action.terms)
    changed: dict[str, Any] = {
        **dict(source),
        "quaternion_order": mapping.quaternion_order or source.quaternion_order,
        "joints": joints,
        "action": source.action.model_copy(
            update={"terms": actions, "raw_clip": _convert_raw_clip(source, mapping, actions)}
        ),
        "motion": None if source.motion is None else target_following(source.motion, mapping),
        "sources": {**source.sources, "mapping": f"{mapping.source or 'source'} -> {mapping.target or 'target'}"},
    }
    stacked = {
        "history": mapping.history or source.observation.history,
        "groups": _groups(source, mapping, terms),
        "clip": source.observation.clip,
    }
    ordered = tuple(_ordered(terms, mapping.target_term_order))
    try:
        changed["observation"] = type(source.observation)(terms=ordered, **stacked)
        return type(source)(**changed)
    except ValidationError as cause:
        problems = "; ".join(item["msg"].removeprefix("Value error, ") for item in cause.errors(include_url=False))
        raise MappingError(f"the mapping makes no valid contract of '{source.name}': {problems}") from None


def _refuse_reordering(source: Contract, mapping: RobotMapping) -> None:
    """A quaternion in an external term passes through as it is, so another order would be said and not done."""
    outside = [term.label for term in source.observation.terms if term.term == "external"]
    stated = source.quaternion_order if source.quaternion_order != "none" else None
    if outside and stated and mapping.quaternion_order not in (None, stated):
        raise MappingError(
            f"the mapping turns quaternion_order {stated} into {mapping.quaternion_order}, but the external terms "
            f"{', '.join(outside)} pass through as they are. Let the target's task give them in {stated}, and leave "
            "quaternion_order out of the mapping"
        )


def _groups(source: Contract, mapping: RobotMapping, terms: list[ObservationTerm]) -> dict[str, Group]:
    """The groups that the target's terms name, as the mapping lays them out where it does."""
    groups = source.observation.groups
    for name in mapping.groups:
        if name not in groups:
            raise MappingError(
                f"groups names '{name}', which contract '{source.name}' does not have{closest(name, groups) or '.'} "
                f"Its observation.groups: {', '.join(groups) or 'none'}"
            )
    named = {term.group for term in terms}
    return {name: mapping.groups.get(name, group) for name, group in groups.items() if name in named}


def check_fits(source: Contract, mapping: RobotMapping) -> None:
    """Hold a mapping against the source contract.

    Raises:
        MappingError: Naming the joints or terms that differ, and whether the direction looks swapped.
    """
    names, given = source.joint_names, mapping.source_joint_names
    if names != given:
        if names == mapping.target_joint_names:
            raise MappingError(
                f"the mapping's direction is evidently swapped: its target_joint_names are the joints of contract "
                f"'{source.name}' in order, its source_joint_names are not. Swap the two lists, or use the mapping of "
                "the other direction"
            )
        if set(names) == set(given):
            k = next(i for i, (a, b) in enumerate(zip(names, given, strict=True)) if a != b)
            raise MappingError(
                f"source_joint_names has the joints of contract '{source.name}' in another order: entry {k} is "
                f"'{given[k]}' in the mapping, '{names[k]}' in the contract. Write the contract's order"
            )
        if not set(names) & set(given + mapping.target_joint_names):
            raise MappingError(
                f"the mapping is of another robot: none of its joints ({', '.join(given[:3])}, ...) is "
                f"in contract '{source.name}', whose joints are {', '.join(names)}"
            )
        absent = [f"'{name}'{closest(name, given)}" for name in names if name not in given]
        extra = [f"'{name}'{closest(name, names)}" for name in given if name not in names]
        swapped = len(set(names) & set(mapping.target_joint_names)) > len(set(names) & set(given))
        raise MappingError(
            f"source_joint_names is not the joint list of contract '{source.name}'"
            + (f"; it lacks {', '.join(absent)}" if absent else "")
            + (f"; it has {', '.join(extra)}, which the contract lacks" if extra else "")
            + (". More of the joints match target_joint_names: is the direction swapped?" if swapped else "")
        )
    for name, conversion in mapping.joints.items():
        unit = source.joints[name].unit
        if name not in mapping.only_in_source and conversion.source_unit != unit:
            raise MappingError(
                f"joints.{name}: source_unit is {conversion.source_unit}, contract '{source.name}' has the joint in "
                f"{unit}; write source_unit: {unit}"
            )
    labels = [term.label for term in source.observation.terms]
    for label in mapping.terms:
        if label not in labels:
            raise MappingError(
                f"terms names '{label}', which contract '{source.name}' does not observe"
                f"{closest(label, labels) or '.'} Its terms: {', '.join(labels)}"
            )


def check_target_joints(target: Contract, mapping: RobotMapping) -> None:
    """Hold a mapping against the target's joint list alone.

    Raises:
        MappingError: Naming what differs.
    """
    if target.joint_names != mapping.target_joint_names:
        raise MappingError(
            f"target_joint_names is not the joint order of contract '{target.name}': "
            f"{', '.join(mapping.target_joint_names)} against {', '.join(target.joint_names)}"
        )


def is_constant(mapping: RobotMapping, label: str) -> bool:
    """True when the target lacks the source's term `label`."""
    return label in mapping.terms and mapping.terms[label].constant is not None


def target_names(mapping: RobotMapping, names: tuple[str, ...]) -> tuple[str, ...]:
    """Target joints that correspond to the source joints `names`, in the target's order."""
    wanted = {target for name, target in mapping.pairs if name in names}
    return tuple(name for name in mapping.target_joint_names if name in wanted)


def _bounds(bounds: Bounds, slope: float, offset: float) -> Bounds:
    ends = (slope * bounds[0] + offset, slope * bounds[1] + offset)
    return (min(ends), max(ends))


def _convert_joint(joint: Joint, conversion: JointConversion) -> Joint:
    def position(value: float | None) -> float | None:
        return None if value is None else conversion.position(value)

    lower, upper = position(joint.lower), position(joint.upper)
    if conversion.sign < 0:
        lower, upper = upper, lower
    return joint.model_copy(
        update={
            "default": position(joint.default),
            "unit": conversion.target_unit if conversion != JointConversion() else joint.unit,
            "lower": lower,
            "upper": upper,
        }
    )


def _held_joint(held: TargetOnly) -> Joint:
    return Joint(default=held.position, **held.model_dump(exclude={"position"}))


def _convert_term(source: Contract, mapping: RobotMapping, term: ObservationTerm) -> ObservationTerm:
    change = mapping.terms.get(term.label)
    update: dict[str, Any] = {}
    if change and change.rename:
        update["name"] = change.rename
    if isinstance(term, JointTerm | MotionJointTerm):
        update |= _by_joint(source, mapping, term)
    elif isinstance(term, LastActionTerm):
        update |= _convert_last_action(source, mapping, term)
    if change and change.scale is not None:
        if "scale" not in type(term).model_fields:
            raise MappingError(f"terms.{term.label}: a {term.term} term has no scale to change")
        update["scale"] = change.scale
        if term.clip_after_scale and "clip" not in update:
            bounds = {term.raw_clip(element) for element in source.term_elements(term)}
            if len(bounds) > 1:
                raise MappingError(
                    f"terms.{term.label}: its clip is after scale and bounds each element's raw value otherwise, which "
                    "one scale of the target can't; leave out the scale"
                )
            update |= {"clip": bounds.pop(), "clip_after_scale": False}
    return term.model_copy(update=update)


def _by_joint(source: Contract, mapping: RobotMapping, term: JointTerm | MotionJointTerm) -> dict[str, Any]:
    """Joints, scale, offset and clip of a term on the target's side."""
    keys = term.keys(source) if isinstance(term, MotionJointTerm) else term.elements(source)
    there = dict(mapping.pairs)
    pairs = [(key, term.of_joint(key, there[term.joint(key)])) for key in keys if term.joint(key) in there]
    update: dict[str, Any] = {}
    if term.joints is not None:
        update["joints"] = target_names(mapping, term.joints)
    after = term.model_copy(update=update)
    names = mapping.target_joint_names if after.joints is None else after.joints
    parts = term.quantities if isinstance(term, MotionJointTerm) else ("",)

    def table(known: dict[str, Any], held: Any) -> dict[str, Any]:
        """In the target's joint order; joints that only the target has get `held`, which nothing reads."""
        return {name + part: known.get(name + part, held) for part in parts for name in names}

    for key, held in (("scale", 1.0), ("offset", 0.0)):
        value = getattr(term, key)
        if isinstance(value, dict):
            update[key] = table({t: value[s] for s, t in pairs}, held)
    if term.clip is not None:
        bounds = {
            t: _bounds(term.raw_clip(s), *term.part(s).converted(mapping.conversion(term.joint(s)))) for s, t in pairs
        }
        alike = len(set(bounds.values())) == 1 and not isinstance(term.clip, dict)
        widest = (min(low for low, _ in bounds.values()), max(high for _, high in bounds.values()))
        update |= {"clip": next(iter(bounds.values())) if alike else table(bounds, widest), "clip_after_scale": False}
    return update


def _convert_last_action(source: Contract, mapping: RobotMapping, term: LastActionTerm) -> dict[str, Any]:
    """Tables of the last action under the target's names; bounds of a joint that turns the other way are turned."""
    seen, order = source.action_joint_names, mapping.target_joint_names
    pairs = [(s, t) for s, t in mapping.pairs if s in seen]
    held = set(order) if any(action.joints is None for action in source.action.terms) else set()
    names = [name for name in order if name in held | {t for _, t in pairs}]
    update: dict[str, Any] = {}
    if isinstance(term.scale, dict):
        scales = {t: term.scale[s] for s, t in pairs}
        update["scale"] = {name: scales.get(name, 1.0) for name in names}
    if term.clip is not None and (isinstance(term.clip, dict) or not _keeps_bounds(mapping, term.clip)):
        bounds = {t: _bounds(term.raw_clip(s), *term.converted(mapping.conversion(s))) for s, t in pairs}
        widest = (min(low for low, _ in bounds.values()), max(high for _, high in bounds.values()))
        update |= {"clip": {name: bounds.get(name, widest) for name in names}, "clip_after_scale": False}
    return update


def _table(mapping: RobotMapping, subset: tuple[str, ...] | None, known: dict[str, Any], held: Any) -> dict[str, Any]:
    """A table in the target's joint order; joints that only the target has get `held`, which nothing reads."""
    if subset is not None:
        return {name: known[name] for name in mapping.target_joint_names if name in known}
    return {name: known.get(name, held) for name in mapping.target_joint_names}


def _convert_action(source: Contract, mapping: RobotMapping, term: ActionTerm) -> ActionTerm:
    names = source.action_joints(term)
    pairs = [(t, s, mapping.conversion(s)) for s, t in mapping.pairs if s in names]
    held = {name: joint.position for name, joint in mapping.only_in_target.items()} if term.joints is None else {}
    named = term.joints is not None
    limp = any(mapping.only_in_target[name].stiffness == 0.0 for name in held)
    if held and (limp or term.drive != "position" or term.adds_to == "motion"):
        # A joint that neither the target nor its drive would hold at a position is left out of the action.
        named, held = True, {}
    if term.drive == "effort":
        _refuse_percent(mapping, names)
    update: dict[str, Any] = {"joints": target_names(mapping, names)} if named else {}

    def each(known: dict[str, Any], other: Any) -> Any:
        if len(set(known.values())) == 1:
            return next(iter(known.values()))
        return _table(mapping, update.get("joints"), known, other)

    update["scale"] = each({t: abs(term.slope(rule)) * term.entry("scale", s) for t, s, rule in pairs}, 1.0)
    moved = {t: rule.offset if term.is_absolute else 0.0 for t, s, rule in pairs}
    if term.offset not in ("default", "motion"):
        offset = {t: term.slope(rule) * term.entry("offset", s) + moved[t] for t, s, rule in pairs}
        update["offset"] = each({**offset, **(held if term.is_absolute else {})}, 0.0)
    if term.clip is not None:
        # The target itself is a position, whatever it starts from.
        zero = {t: rule.offset if term.drive == "position" else 0.0 for t, s, rule in pairs}
        bounds = {t: _bounds(term.entry("clip", s), term.slope(rule), zero[t]) for t, s, rule in pairs}
        still = {name: (position - 1e-6, position + 1e-6) for name, position in held.items()}
        update["clip"] = each({**bounds, **still}, None)
    return term.model_copy(update=update)


def _convert_raw_clip(
    source: Contract, mapping: RobotMapping, terms: tuple[ActionTerm, ...]
) -> Bounds | dict[str, Bounds] | None:
    """Raw actions take the target's direction, and so do bounds of their own; a held joint's zero is within any."""
    clip = source.action.raw_clip
    if not isinstance(clip, dict):
        return clip
    known = {t: _bounds(clip[s], float(mapping.conversion(s).sign), 0.0) for s, t in mapping.pairs if s in clip}
    driven = [name for term in terms for name in (term.joints or mapping.target_joint_names)]
    return {name: known.get(name, (-1.0, 1.0)) for name in driven}


def _refuse_percent(mapping: RobotMapping, names: tuple[str, ...]) -> None:
    for name in names:
        rule = mapping.conversion(name)
        if name not in mapping.only_in_source and "percent" in (rule.source_unit, rule.target_unit):
            raise MappingError(
                f"joint '{name}' is driven by effort, and percent of a sweep has no torque; give both sides radians or "
                "degrees"
            )


def _keeps_bounds(mapping: RobotMapping, bounds: Bounds) -> bool:
    return bounds[0] == -bounds[1] or all(mapping.conversion(name).sign > 0 for name, _ in mapping.pairs)


def _ordered(terms: list[ObservationTerm], order: tuple[str, ...] | None) -> list[ObservationTerm]:
    if order is None:
        return terms
    by_label = {term.label: term for term in terms}
    if sorted(order) != sorted(by_label):
        wrong = sorted(set(order) ^ set(by_label)) or sorted(order)
        raise MappingError(
            f"target_term_order must name every term of the target once; it differs at {', '.join(wrong)}. "
            f"The target's terms: {', '.join(by_label)}"
        )
    return [by_label[label] for label in order]
