"""Raw signals of a trace by name, in a contract's units: what observation terms are made of before scale and offset."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np

from policy_port.contract.base_terms import XYZ, BaseLinVelTerm, MeasuredTerm
from policy_port.contract.command_terms import GaitClockTerm
from policy_port.contract.layout import observation_slots
from policy_port.contract.motion_terms import ReferenceTerm
from policy_port.contract.place import Place
from policy_port.contract.sensed_terms import SensedTerm
from policy_port.contract.spec import Contract
from policy_port.contract.task_terms import ConstantTerm, GaitPhaseTerm
from policy_port.contract.terms import ObservationTerm
from policy_port.contract.time_terms import ElapsedTerm
from policy_port.errors import EvidenceError
from policy_port.verdict.command_signals import CommandSignals
from policy_port.verdict.evidence import Evidence, Mask, Values
from policy_port.verdict.motion_signals import MotionSignals
from policy_port.verdict.quaternions import base_quaternion, wxyz
from policy_port.verdict.recorded_arrays import COM
from policy_port.verdict.sensed_signals import SensedSignals
from policy_port.verdict.shaping import action_in_force, shown_late
from policy_port.verdict.time_signals import elapsed

VECTOR_OF = {
    "base_lin_vel": "base_lin_vel",
    "base_ang_vel": "base_ang_vel",
    "velocity_command": "command",
}
"""Recorded array behind each term of three numbers that is taken as it is."""


VECTORS = ("projected_gravity", "base_lin_vel", "base_ang_vel")
"""Signals that are the same under every contract."""

JOINT_ARRAYS = ("joint_pos", "joint_vel", "joint_target")
"""Signals of which a contract says the unit alone."""


class Signal(NamedTuple):
    """One raw number over the whole trace."""

    values: Values
    """In the contract's unit, shape (steps, environments)."""
    size: float
    """Largest magnitude of what it is computed from; rounding is relative to that."""
    known: Mask
    """False where the trace does not reach back far enough to tell."""


class RecordedSignals:
    """The raw signals behind a contract's observation terms; each is computed once."""

    def __init__(self, contract: Contract, evidence: Evidence) -> None:
        self._contract = contract
        self._evidence = evidence
        self._kept: dict[tuple[str, str], Signal] = {}
        self._actions: dict[bool, tuple[tuple[Values, Mask], tuple[Values, Mask]]] = {}
        self._motion: MotionSignals | None = None
        self._told = CommandSignals(contract, evidence)
        self._sensing = SensedSignals(contract, evidence)

    def of(self, term: ObservationTerm, element: str) -> Signal:
        """The raw signal of one element of a term of the contract, as the evidence says that the term saw it.

        Raises:
            EvidenceError: When the trace lacks what it is made of.
        """
        recorded, read = self._recorded(term, element), self._evidence.as_read.get((term.label, element))
        if term.late.steps and read is None:
            values, known = shown_late(self._evidence, term.late, recorded.values, recorded.known)
            return Signal(values, recorded.size, known)
        return recorded if read is None else Signal(read.values, max(recorded.size, _peak(read.values)), read.known)

    def _recorded(self, term: ObservationTerm, element: str) -> Signal:
        if isinstance(term, SensedTerm) or (isinstance(term, MeasuredTerm) and term.link is not None):
            return Signal(*self._sensing.of(term, element))
        if isinstance(term, MeasuredTerm) and term.moved:
            return self._measured(term, element)
        if term.term == "gait_phase":
            return self._gait(term, element)
        if isinstance(term, GaitClockTerm):
            values, known = self._told.wave(term, element)
            return Signal(values, max(1.0, self._told.turns(term)), known)
        if isinstance(term, ReferenceTerm):
            values, known = self._following().of(term, element)
            return Signal(values, max(1.0, _peak(values)), known)
        if isinstance(term, ElapsedTerm):
            values = elapsed(term, self._evidence, self._contract.control_dt)
            return Signal(values, max(1.0, _peak(values)), np.ones(self._evidence.shape, dtype=np.bool_))
        if term.term == "goal":
            first = sum(
                other.size
                for other in self._contract.observation.terms[: self._contract.observation.terms.index(term)]
                if other.term == "goal"
            )
            return self.raw("goal", str(first + int(element)))
        if isinstance(term, ConstantTerm):
            shape = self._evidence.shape
            return Signal(np.zeros(shape), 0.0, np.ones(shape, dtype=np.bool_))
        filtered = term.term == "last_action" and term.of == "filtered"
        return self.raw("filtered_action" if filtered else term.term, element)

    def raw(self, kind: str, element: str) -> Signal:
        """A signal by kind and element: a joint name, an axis, an index, or the joint of an action."""
        # The default pose is a term's zero, and no part of the signal.
        key = ("joint_pos" if kind == "joint_pos_rel" else kind, element)
        if key not in self._kept:
            self._kept[key] = self._computed(*key)
        return self._kept[key]

    def _computed(self, kind: str, element: str) -> Signal:
        """The signal; what no candidate of a search makes another is computed once for all of them."""
        if kind in VECTORS:
            key: tuple[Any, ...] = (kind, element)
        elif kind in JOINT_ARRAYS:
            key = (kind, element, self._contract.per_si(element))
        elif kind == "last_action":
            key = (kind, self._contract.action_joint_names.index(element), self._contract.raw_bounds)
        else:
            return self._compute(kind, element)
        kept = self._evidence.kept
        if key not in kept:
            kept[key] = self._compute(kind, element)
        return kept[key]

    def _compute(self, kind: str, element: str) -> Signal:
        evidence, where = self._evidence, f"'{kind}' of contract '{self._contract.name}'"
        everywhere = np.ones(evidence.shape, dtype=np.bool_)
        match kind:
            case "joint_pos" | "joint_vel":
                values = self._joint(kind, element, where)
                return Signal(values, _peak(values), everywhere)
            case "joint_effort":
                column = evidence.joint_column(element, wanted_by=where)
                effort = evidence.array("joint_effort", wanted_by=where)[:, :, column]
                return Signal(effort, _peak(effort), everywhere)
            case "joint_target":
                return self._joint_target(element, where)
            case "last_action" | "filtered_action":
                column = self._contract.action_joint_names.index(element)
                (raw, told), (before, known) = self._last_action(kind == "filtered_action")
                told = known & evidence.earlier(told, 1)[0]
                values = np.where(known, before[:, :, column], 0.0)
                return Signal(values, _peak(raw[:, :, column]), told | evidence.whole)
            case "velocity_command" | "command":
                values, known = self._told.element(element, where)
                return Signal(values, self._told.size(element), known)
            case "projected_gravity":
                return Signal(projected_gravity(evidence, where)[:, :, XYZ.index(element)], 1.0, everywhere)
            case "goal":
                goal = evidence.array("goal", wanted_by=where)
                if int(element) >= goal.shape[2]:
                    raise EvidenceError(
                        f"{evidence.path}: goal has {goal.shape[2]} columns, {where} needs number {element}"
                    )
                values = goal[:, :, int(element)]
                return Signal(values, _peak(values), everywhere)
            case _ if kind not in VECTOR_OF:
                raise NotImplementedError(f"verdict/signals.py does not say what {where} is made of")
            case _:
                vector = evidence.array(VECTOR_OF[kind], wanted_by=where)
                # A simulator turns base vectors out of the world: each element carries the whole vector's rounding.
                size = float(np.linalg.norm(vector, axis=2).max())
                return Signal(vector[:, :, XYZ.index(element)], size, everywhere)

    def _last_action(self, filtered: bool) -> tuple[tuple[Values, Mask], tuple[Values, Mask]]:
        """Every raw action with where it is known, and the one before with whether there is one."""
        if filtered not in self._actions:
            raw = clipped_action(self._contract, self._evidence), np.ones(self._evidence.shape, dtype=np.bool_)
            made = action_in_force(self._contract, self._evidence, raw[0]) if filtered else raw
            self._actions[filtered] = made, self._evidence.earlier(made[0], 1)
        return self._actions[filtered]

    def _measured(self, term: MeasuredTerm, element: str) -> Signal:
        """A vector of the base at another point, or in other axes; known nowhere where the trace does not hold it."""
        evidence, where = self._evidence, f"'{term.label}' of contract '{self._contract.name}'"
        vector = base_vector(evidence, term.term, where)
        size = float(np.linalg.norm(vector, axis=2).max())
        known = np.ones(evidence.shape, dtype=np.bool_)
        point = term.point if isinstance(term, BaseLinVelTerm) else None
        if point is not None and point != "link":
            offset = np.array(point) if isinstance(point, tuple) else recorded_place(evidence, point, "pos")
            if offset is None:
                known, offset = ~known, np.zeros(3)
            swing = np.cross(base_vector(evidence, "base_ang_vel", where), offset)
            size += float(np.linalg.norm(swing, axis=2).max())
            vector = vector + swing
        quat = None if term.axes_of is None else recorded_place(evidence, term.axes_of, "quat")
        if quat is not None:
            vector = turned_into(evidence, vector, quat)
        return Signal(vector[:, :, XYZ.index(element)], size, known)

    def _following(self) -> MotionSignals:
        if self._motion is None:
            self._motion = MotionSignals(self._contract, self._evidence)
        return self._motion

    def _joint(self, array: str, name: str, where: str) -> Values:
        column = self._evidence.joint_column(name, wanted_by=where)
        return self._evidence.array(array, wanted_by=where)[:, :, column] * self._contract.per_si(name)

    def _joint_target(self, name: str, where: str) -> Signal:
        target, start = self._joint("target", name, where), self._joint("joint_pos", name, where)
        before, known = self._evidence.earlier(target, 1)
        return Signal(np.where(known, before, start), _peak(target), known | self._evidence.whole)

    def _gait(self, term: GaitPhaseTerm, element: str) -> Signal:
        evidence = self._evidence
        time = evidence.age * self._contract.control_dt
        if evidence.time is not None:
            time = np.where(evidence.counted, time, evidence.time)
        turns: Values = np.asarray(time, dtype=np.float64) / term.period
        if evidence.time is None and not evidence.counted.all():
            turns = np.where(evidence.counted, turns, turns + self._first_turn(term))
        angle = math.tau * (turns + term.offsets[int(element[3:])])
        values = np.sin(angle) if element.startswith("sin") else np.cos(angle)
        return Signal(values, max(1.0, _peak(angle)), np.ones(evidence.shape, dtype=np.bool_))

    def _first_turn(self, term: GaitPhaseTerm) -> Values:
        """How far a gait clock had turned at the first row of each episode: no clock of the trace tells, the row does.

        All later rows, and all other offsets, still have to follow from it.
        """
        slots = [(slot.term, slot.element, slot.age) for slot in observation_slots(self._contract)]
        newest = min(self._contract.observation.stack(term).ages)
        sine, cosine = (
            self._evidence.arrays["observation"][:, :, slots.index((term.label, wave, newest))]
            for wave in ("sin0", "cos0")
        )
        turns = np.arctan2(sine, cosine) / math.tau - term.offsets[0] + newest * self._contract.control_dt / term.period
        return np.take_along_axis(turns, self._evidence.since, axis=0)


def clipped_action(contract: Contract, evidence: Evidence) -> Values:
    """Recorded raw actions after the contract's raw_clip.

    Raises:
        EvidenceError: When the trace has another number of actions.
    """
    check_action_width(contract, evidence)
    return np.clip(evidence.arrays["action"], *contract.raw_bounds)


def check_action_width(contract: Contract, evidence: Evidence) -> None:
    """Hold the number of recorded actions against a contract's.

    Raises:
        EvidenceError: Naming both, and the contract's joints.
    """
    size = evidence.arrays["action"].shape[2]
    if size != contract.action_size:
        raise EvidenceError(
            f"{evidence.path}: action has {size} columns, contract '{contract.name}' has {contract.action_size}: "
            f"{', '.join(contract.action_joint_names)}"
        )


def base_vector(evidence: Evidence, name: str, where: str) -> Values:
    """One of the base's vectors as a trace holds it, in the base link's axes, shape (steps, environments, 3)."""
    if name == "projected_gravity":
        return projected_gravity(evidence, where)
    return evidence.array(name, wanted_by=where)


def recorded_place(evidence: Evidence, place: Place | Literal["com"], what: Literal["pos", "quat"]) -> Values | None:
    """Where the trace says that a place is on the base, position [m] or axes; None where it does not.

    A simulator may put the robot's name before that of a site, and a slash between them.
    """
    if not isinstance(place, Place):
        return evidence.arrays.get(COM) if what == "pos" else None
    kind, name = ("site", place.site) if place.site is not None else ("sensor", place.sensor)
    begin = f"{kind}_{what}_"
    if begin + str(name) in evidence.arrays:
        return evidence.arrays[begin + str(name)]
    last = str(name).rpartition("/")[2]
    found = [
        key for key in evidence.arrays if key.startswith(begin) and key.removeprefix(begin).rpartition("/")[2] == last
    ]
    return evidence.arrays[found[0]] if len(found) == 1 else None


def turned_into(evidence: Evidence, vector: Values, quat: Values, *, back: bool = False) -> Values:
    """A vector in the base link's axes, given in those of a place, whose quaternion is in base_quat's order.

    Args:
        evidence: The trace, which says the order.
        vector: Shape (steps, environments, 3).
        quat: From the place's axes to the link's, shape (steps, environments, 4).
        back: The other way round: from the place's axes to the link's.
    """
    there = wxyz(evidence, quat)
    return _turn(there if back else np.concatenate([there[..., :1], -there[..., 1:]], axis=2), vector)


def projected_gravity(evidence: Evidence, where: str) -> Values:
    """The world's (0, 0, -1) in the base frame, shape (steps, environments, 3)."""
    return into_base(evidence, np.broadcast_to([0.0, 0.0, -1.0], (*evidence.shape, 3)), where)


def into_base(evidence: Evidence, vector: Values, where: str) -> Values:
    """Turn world vectors into the base frame."""
    quat = base_quaternion(evidence, where)
    return _turn(np.concatenate([quat[..., :1], -quat[..., 1:]], axis=2), vector)


def into_world(evidence: Evidence, vector: Values, where: str) -> Values:
    """Turn base vectors into the world."""
    return _turn(base_quaternion(evidence, where), vector)


def _turn(quat: Values, vector: Values) -> Values:
    w, xyz = quat[..., :1], quat[..., 1:]
    across = 2.0 * np.cross(xyz, vector)
    return vector + w * across + np.cross(xyz, across)


def _peak(values: Values) -> float:
    return float(np.abs(values).max(initial=0.0))
