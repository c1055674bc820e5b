"""What a remap must compute, written a second time: slowly, by name, one number after the other.

This is the yardstick of the parity check, so it shares nothing with the code under test: it reads the two contracts
and the mapping and nothing of `policy_port.remap`, knows no index arrays, and lays out the observation itself.
Every number has a name, (term, joint or element, age in steps), and goes the physical way: observed value -> raw
value in the target's unit -> raw value in the source's unit -> value that the network sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.contract.actions import ActionTerm, JointPositionAction
from policy_port.contract.base_terms import BaseTerm, MeasuredTerm
from policy_port.contract.command_terms import NamedTerm
from policy_port.contract.joint_terms import JointTerm, LastActionTerm
from policy_port.contract.mapping import RobotMapping
from policy_port.contract.motion_terms import MotionTerm
from policy_port.contract.sensed_terms import SensedTerm
from policy_port.contract.spec import Contract
from policy_port.contract.task_terms import ConstantTerm, ExternalTerm, GaitPhaseTerm, GoalTerm
from policy_port.contract.terms import ObservationTerm

Values = NDArray[Any]
"""One number per row, shape (batch,)."""
Key = tuple[str, str, int]
"""Term label, joint name or element, age in steps."""

KINDS = (
    *("base_lin_vel", "base_ang_vel", "projected_gravity", "velocity_command", "command"),
    *("joint_pos", "joint_pos_rel", "joint_vel", "joint_target", "joint_effort", "last_action"),
    *("gait_phase", "gait_clock", "goal", "constant", "external"),
    *("base_euler", "base_quat", "link_height", "link_pos", "heading", "heading_error", "contact", "height_scan"),
    *("motion_joint_pos", "motion_joint_vel", "motion_anchor_ori_b", "motion_anchor_pos_b", "motion_phase"),
)
"""The terms whose physics is written here."""


class ByNameReference:
    """The two conversions around a network: target observation to source observation, raw action back.

    Arithmetic is done in the precision of the given array: float64 is the reference, float32 is what a careful
    programmer without this program would have computed.
    """

    def __init__(self, source: Contract, target: Contract, mapping: RobotMapping | None) -> None:
        """Pair two contracts.

        Args:
            source: Contract that the weights were trained with.
            target: Contract of the port.
            mapping: What joins the two; None when the port is the source, number by number.

        Raises:
            NotImplementedError: When a contract observes a term that this file says nothing of.
        """
        for term in (*source.observation.terms, *target.observation.terms):
            if term.term not in KINDS:
                raise NotImplementedError(
                    f"observation term '{term.label}': what a remap must make of {term.term} is not written in "
                    "proof/reference.py, so no port of it can be proved"
                )
        self._source = source
        self._target = target
        self._mapping = mapping

    def observation(self, obs: NDArray[Any]) -> NDArray[Any]:
        """Observation that the source's network sees when the target shows `obs`.

        Args:
            obs: Target observations, shape (batch, target.observation_size).

        Returns:
            Source observations, shape (batch, source.observation_size), same precision.
        """
        target_keys = layout(self._target)
        seen: dict[Key, Values] = {}
        for column, key in enumerate(target_keys):
            seen[key] = obs[:, column]
        values: list[Values] = []
        for key in layout(self._source):
            value = seen[key] if self._mapping is None else self._source_value(self._mapping, key, seen)
            clip = self._source.observation.clip
            values.append(np.broadcast_to(_clipped(value, clip), (len(obs),)))
        return np.stack(values, axis=1).astype(obs.dtype)

    def action(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Raw target action that moves the target's joints where the source's raw action moves its own.

        A raw clip that the target's contract still has is left to the target's controller; one that it no longer has
        is applied here.

        Args:
            raw: Raw outputs of the source's network, shape (batch, source.action_size).

        Returns:
            Raw target actions, shape (batch, target.action_size), same precision.
        """
        given: dict[str, Values] = {}
        for column, joint in enumerate(self._source.action_joint_names):
            given[joint] = raw[:, column]
            if self._target.action.raw_clip is None:
                given[joint] = _clipped(given[joint], self._source.action.raw_clip)
        values: list[Values] = []
        for joint in self._target.action_joint_names:
            value = given[joint] if self._mapping is None else self._target_action(self._mapping, joint, given)
            values.append(np.broadcast_to(value, (len(raw),)))
        return np.stack(values, axis=1).astype(raw.dtype)

    def _source_value(self, mapping: RobotMapping, key: Key, seen: dict[Key, Values]) -> Values:
        label, element, age = key
        term = _term(self._source, label)
        change = mapping.terms.get(label)
        if change is not None and change.constant is not None:
            number = change.constant
            if isinstance(number, tuple):
                number = number[self._source.term_elements(term).index(element)]
            return _encode(self._source, term, element, np.asarray(number))
        there = _term(self._target, change.rename if change is not None and change.rename else label)
        if not isinstance(term, JointTerm | LastActionTerm):
            _refuse_another_place(term, there)
            raw = _decode(self._target, there, element, seen[there.label, element, age])
            return _encode(self._source, term, element, raw)
        if element in mapping.only_in_source:
            raw = np.asarray(self._standing_still(mapping, term, element))
            return _encode(self._source, term, element, raw)
        joint = dict(mapping.pairs)[element]
        raw = _decode(self._target, there, joint, seen[there.label, joint, age])
        return _encode(self._source, term, element, self._raw_to_source(mapping, term, element, joint, raw))

    def _raw_to_source(
        self, mapping: RobotMapping, term: JointTerm | LastActionTerm, name: str, joint: str, raw: Values
    ) -> Values:
        """The raw value of source joint `name` that the raw value of target joint `joint` stands for."""
        conversion = mapping.conversion(name)
        if term.term == "last_action":
            return raw * conversion.sign
        if term.term in ("joint_vel", "motion_joint_vel"):
            return raw / conversion.slope
        if term.term == "joint_effort":
            # Both are N m; power is the same on both sides, so that what turns faster by a gear pulls the less.
            return raw * conversion.sign * conversion.scale
        if term.term == "joint_pos_rel":
            # Both defaults are taken off, each in its own unit; what they leave is zero when the contracts agree.
            zero = (self._target.joints[joint].default - conversion.offset) / conversion.slope
            return raw / conversion.slope + (zero - self._source.joints[name].default)
        return raw / conversion.slope - conversion.offset / conversion.slope

    def _standing_still(self, mapping: RobotMapping, term: JointTerm | LastActionTerm, name: str) -> float:
        position = mapping.only_in_source[name].position
        match term.term:
            case "joint_vel" | "motion_joint_vel" | "joint_effort":
                return 0.0
            case "joint_pos_rel":
                return position - self._source.joints[name].default
            case "last_action":
                return _holding_action(self._source, name, position)
            case _:
                return position

    def _target_action(self, mapping: RobotMapping, joint: str, given: dict[str, Values]) -> Values:
        if joint in mapping.only_in_target:
            return np.asarray(_holding_action(self._target, joint, mapping.only_in_target[joint].position))
        name = next(source for source, target in mapping.pairs if target == joint)
        conversion = mapping.conversion(name)
        before, after = _action_term(self._source, name), _action_term(self._target, joint)
        scale = _number(after.scale, joint, 0)
        if scale == 0.0:
            return conversion.sign * given[name]
        moved = _number(before.scale, name, 0) * given[name] + _action_offset(self._source, before, name)
        moved = conversion.slope * moved
        if isinstance(before, JointPositionAction):
            moved = moved + conversion.offset
        return (moved - _action_offset(self._target, after, joint)) / scale


def _refuse_another_place(term: ObservationTerm, there: ObservationTerm) -> None:
    """One point's velocity is no multiple of another's, and other axes mix the three numbers."""
    keys: tuple[str, ...] = ("point", "frame", "link") if isinstance(term, MeasuredTerm) else ()
    if isinstance(term, SensedTerm):
        keys = tuple(sorted(type(term).model_fields.keys() - {"term", "name", "history", "scale", "offset", "clip"}))
    for key in keys:
        here, other = ("link" if (place := getattr(t, key, None)) is None else place for t in (term, there))
        if here != other:
            raise NotImplementedError(
                f"observation term '{term.label}': the target's {key} is {other}, the source's {here}; no number of "
                "the one follows from a number of the other, so no port of it can be proved"
            )


def layout(contract: Contract) -> list[Key]:
    """Key of every number of the flat observation, in order."""
    history = contract.observation.history
    keys: list[Key] = []
    if history is not None and history.layout == "time_major":
        for age in _ages(contract, contract.observation.terms[0].history):
            for term in contract.observation.terms:
                keys += [(term.label, element, age) for element in contract.term_elements(term)]
        return keys
    for term in contract.observation.terms:
        for age in _ages(contract, term.history):
            keys += [(term.label, element, age) for element in contract.term_elements(term)]
    return keys


def _ages(contract: Contract, length: int) -> Sequence[int]:
    history = contract.observation.history
    if history is not None and history.order == "newest_first":
        return list(range(length))
    return list(reversed(range(length)))


def _term(contract: Contract, label: str) -> ObservationTerm:
    return next(term for term in contract.observation.terms if term.label == label)


def _action_term(contract: Contract, joint: str) -> ActionTerm:
    return next(term for term in contract.action.terms if joint in contract.action_joints(term))


def _number(value: Any, joint: str, position: int) -> Any:
    """The entry of a number, a tuple or a table that belongs to one element."""
    if isinstance(value, dict):
        return value[joint]
    return value[position] if isinstance(value, tuple) else value


def _clipped(value: Values, bounds: tuple[float, float] | None) -> Values:
    return value if bounds is None else np.clip(value, bounds[0], bounds[1])


def factors(contract: Contract, term: ObservationTerm, element: str) -> tuple[float, float]:
    """Scale and offset of one element; 1 and 0 for terms that are observed as they are."""
    if isinstance(term, ConstantTerm | GaitPhaseTerm | ExternalTerm):
        return 1.0, 0.0
    if isinstance(term, GoalTerm | LastActionTerm | MotionTerm):
        return term.scale, 0.0
    position = contract.term_elements(term).index(element)
    return _number(term.scale, element, position), _number(term.offset, element, position)


def _decode(contract: Contract, term: ObservationTerm, element: str, value: Values) -> Values:
    scale, offset = factors(contract, term, element)
    if scale == 0.0:
        return np.zeros_like(value)
    return (value - offset) / scale


def _encode(contract: Contract, term: ObservationTerm, element: str, raw: Values) -> Values:
    scale, offset = factors(contract, term, element)
    clip: Any = None
    if isinstance(term, BaseTerm | NamedTerm | JointTerm | LastActionTerm | MotionTerm | SensedTerm):
        clip = term.clip[element] if isinstance(term.clip, dict) else term.clip
    return scale * _clipped(raw, clip) + offset


def _action_offset(contract: Contract, term: ActionTerm, joint: str) -> float:
    return contract.joints[joint].default if term.offset == "default" else _number(term.offset, joint, 0)


def _holding_action(contract: Contract, joint: str, position: float) -> float:
    """Raw action under which the joint stays at `position`."""
    term = _action_term(contract, joint)
    aim = position if isinstance(term, JointPositionAction) else 0.0
    return (aim - _action_offset(contract, term, joint)) / _number(term.scale, joint, 0)
