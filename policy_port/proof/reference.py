"""What a remap must compute, written a second time: slowly, by name, one number after the other.

This is the yardstick of the parity check, so it shares nothing with the code under test: it reads the two contracts
and the mapping and nothing of `policy_port.remap`, knows no index arrays, and lays out the observation itself.
Every number has a name, (term, joint or element, age in steps), and goes the physical way: observed value -> raw
value in the target's unit -> raw value in the source's unit -> value that the network sees.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.contract.actions import ActionTerm
from policy_port.contract.base_terms import MeasuredTerm
from policy_port.contract.history import Steps
from policy_port.contract.joint_terms import JointTerm, LastActionTerm
from policy_port.contract.mapping import RobotMapping
from policy_port.contract.motion_terms import MotionJointTerm, MotionTerm
from policy_port.contract.sensed_terms import SensedTerm
from policy_port.contract.spec import Contract
from policy_port.contract.task_terms import ConstantTerm, ExternalTerm, GaitPhaseTerm, GoalTerm
from policy_port.contract.terms import ObservationTerm
from policy_port.contract.time_terms import ElapsedTerm

Values = NDArray[Any]
"""One number per row, shape (batch,)."""
Key = tuple[str, str, int]
"""Term label, joint name or element, age in steps."""

KINDS = (
    *("base_lin_vel", "base_ang_vel", "projected_gravity", "velocity_command", "command"),
    *("joint_pos", "joint_pos_rel", "joint_vel", "joint_target", "joint_effort", "last_action"),
    *("gait_phase", "gait_clock", "elapsed", "goal", "constant", "external"),
    *("base_euler", "base_quat", "link_height", "link_pos", "heading", "heading_error", "contact", "height_scan"),
    *("motion_joint_pos", "motion_joint_vel", "motion_command"),
    *("motion_anchor_ori_b", "motion_anchor_pos_b", "motion_phase"),
)
"""The terms whose physics is written here."""
_FRAME = re.compile(r" [+-]\d+$")
_NAMED = re.compile(r"(?: velocity)?(?: [+-]\d+)?$")


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
                given[joint] = _clipped(given[joint], self._source.action.raw_bounds(joint))
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
        if not isinstance(term, JointTerm | MotionJointTerm | LastActionTerm):
            _refuse_another_place(term, there)
            raw = _decode(self._target, there, element, seen[there.label, element, age])
            return _encode(self._source, term, element, raw)
        # "knee", and of a reference motion also "knee velocity" and "knee +2".
        name, what = _NAMED.sub("", element) if isinstance(term, MotionJointTerm) else element, term.term
        if what == "motion_command":
            what = "motion_joint_vel" if " velocity" in element[len(name) :] else "motion_joint_pos"
        if name in mapping.only_in_source:
            raw = np.asarray(self._standing_still(mapping, what, name))
            return _encode(self._source, term, element, raw)
        joint = dict(mapping.pairs)[name]
        twin = joint + element[len(name) :]
        raw = _decode(self._target, there, twin, seen[there.label, twin, age])
        return _encode(self._source, term, element, self._raw_to_source(mapping, what, name, joint, raw))

    def _raw_to_source(self, mapping: RobotMapping, what: str, name: str, joint: str, raw: Values) -> Values:
        """The raw value of source joint `name` that the raw value of target joint `joint` stands for."""
        conversion = mapping.conversion(name)
        if what == "last_action":
            return raw * conversion.sign
        if what in ("joint_vel", "motion_joint_vel"):
            return raw / conversion.slope
        if what == "joint_effort":
            # Both are N m; power is the same on both sides, so that what turns faster by a gear pulls the less.
            return raw * conversion.sign * conversion.scale
        if what == "joint_pos_rel":
            # Both defaults are taken off, each in its own unit; what they leave is zero when the contracts agree.
            zero = (self._target.joints[joint].default - conversion.offset) / conversion.slope
            return raw / conversion.slope + (zero - self._source.joints[name].default)
        return raw / conversion.slope - conversion.offset / conversion.slope

    def _standing_still(self, mapping: RobotMapping, what: str, name: str) -> float:
        position = mapping.only_in_source[name].position
        match what:
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
        match before.term:
            case "joint_effort":
                # Torque times angle stays what it is.
                moved = conversion.sign * moved / conversion.scale
            case "joint_position" if before.offset != "motion":
                moved = conversion.slope * moved + conversion.offset
            case _:
                # A delta, a residual or a velocity has no zero.
                moved = conversion.slope * moved
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
    keys: list[Key] = []
    left = list(contract.observation.terms)
    while left:
        first = left.pop(0)
        layout = _layout(contract, first)
        together = [first]
        while layout == "time_major" and left and left[0].group == first.group:
            together.append(left.pop(0))
        for age in ages(contract, first):
            for term in together:
                keys += [(term.label, element, age) for element in contract.term_elements(term)]
    return keys


def _layout(contract: Contract, term: ObservationTerm) -> str | None:
    history = contract.observation.history
    if term.group is not None:
        return contract.observation.groups[term.group].layout
    return None if history is None else history.layout


def ages(contract: Contract, term: ObservationTerm) -> Sequence[int]:
    """Ages of the steps of a term in the order in which they stand [control steps]."""
    history = contract.observation.history
    if term.group is None:
        newest_first = list(range(term.history))
        return newest_first if history is not None and history.order == "newest_first" else newest_first[::-1]
    steps = contract.observation.groups[term.group].steps
    if not isinstance(steps, Steps):
        return steps
    newest_first = [steps.newest + k * steps.stride for k in range(steps.length)]
    return newest_first if steps.order == "newest_first" else newest_first[::-1]


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
    if isinstance(term, GoalTerm | LastActionTerm | MotionTerm | ElapsedTerm):
        return _number(term.scale, element, 0), 0.0
    position = contract.term_elements(term).index(element)
    key = _FRAME.sub("", element) if isinstance(term, MotionJointTerm) else element
    return _number(term.scale, key, position), _number(term.offset, key, position)


def _decode(contract: Contract, term: ObservationTerm, element: str, value: Values) -> Values:
    scale, offset = factors(contract, term, element)
    if scale == 0.0:
        return np.zeros_like(value)
    return (value - offset) / scale


def _encode(contract: Contract, term: ObservationTerm, element: str, raw: Values) -> Values:
    scale, offset = factors(contract, term, element)
    key = _FRAME.sub("", element) if isinstance(term, MotionJointTerm) else element
    clip: Any = getattr(term, "clip", None)
    clip = clip[key] if isinstance(clip, dict) else clip
    if term.clip_after_scale:
        return _clipped(scale * raw + offset, clip)
    return scale * _clipped(raw, clip) + offset


def _action_offset(contract: Contract, term: ActionTerm, joint: str) -> float:
    if term.offset == "motion":
        return 0.0
    return contract.joints[joint].default if term.offset == "default" else _number(term.offset, joint, 0)


def _holding_action(contract: Contract, joint: str, position: float) -> float:
    """Raw action under which the joint stays at `position`; under which nothing is added, or a wheel stands."""
    term = _action_term(contract, joint)
    if term.offset == "motion":
        return 0.0
    aim = position if term.term == "joint_position" else 0.0
    return (aim - _action_offset(contract, term, joint)) / _number(term.scale, joint, 0)
