"""What a network sees under a contract, as a model of LEAPP: from the robot's state to the observation.

It goes the way of the control loop: signals, clip, scale and offset, the clip of the whole, delay, history.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from policy_port.contract import Contract
from policy_port.contract.base_terms import VELOCITY_COMMAND, XYZ, BaseLinVelTerm, MeasuredTerm
from policy_port.contract.command_terms import GaitClockTerm, StandingPhase, StandingValue
from policy_port.contract.sensed_terms import BaseQuatTerm
from policy_port.contract.task_terms import ExternalTerm, GaitPhaseTerm, GoalTerm
from policy_port.contract.term import UNBOUNDED, Term
from policy_port.contract.time_terms import ElapsedTerm
from policy_port.descriptors.leapp_graph import Model
from policy_port.errors import ContractError

MODEL = "observation"
WHAT = "a bundle of LEAPP"
EXACT = 1e-9
"""A phase nearer than this below a whole cycle is at its start [cycles]."""

QUATERNION = ("robot_root_quat_w", 4, "state/body/rotation", ("qx", "qy", "qz", "qw"), "state:robot:root_quat_w")
_BASE = {
    "base_ang_vel": ("robot_root_ang_vel_b", "state/body/angular_velocity", "state:robot:root_ang_vel_b"),
    "link": ("robot_root_link_lin_vel_b", "state/body/linear_velocity", "state:robot:root_link_lin_vel_b"),
    "com": ("robot_root_lin_vel_b", "state/body/linear_velocity", "state:robot:root_lin_vel_b"),
}
_JOINTS = {
    "joint_pos": ("robot_joint_pos", "state/joint/position", "state:robot:joint_pos"),
    "joint_vel": ("robot_joint_vel", "state/joint/velocity", "state:robot:joint_vel"),
    "joint_effort": ("robot_applied_torque", "state/joint/applied_torque", "state:robot:applied_torque"),
}
KNOWN = (
    *("base_lin_vel of the base link's origin or centre of mass", "base_ang_vel", "projected_gravity", "base_quat"),
    *("velocity_command and command of lin_vel_x, lin_vel_y, ang_vel_z", "joint_pos", "joint_pos_rel", "joint_vel"),
    *("joint_effort", "joint_target", "last_action", "gait_phase", "gait_clock of a fixed period", "elapsed"),
    *("goal", "constant"),
)


def joint_input(model: Model, contract: Contract, signal: str) -> str:
    """The input of all joints' positions, velocities or torques, in the contract's order."""
    name, kind, connection = _JOINTS[signal]
    names = list(contract.joint_names)
    return model.read(name, len(names), kind=kind, element_names=[names], isaaclab_connection=connection)


def observation_model(contract: Contract) -> Model:
    """The model.

    Raises:
        ContractError: Naming what a model of LEAPP is not given, or what is not written into it.
    """
    model = Model(MODEL)
    signals = _Signals(model, contract)
    terms = contract.observation.terms
    nothing = float(np.clip(0.0, *(contract.observation.clip or UNBOUNDED)))
    pasts: dict[str, Callable[[int], str]] = {}
    for term in terms:
        oldest = max(contract.observation.stack(term).ages)
        late = _delayed(model, contract, term, signals.shown(term), nothing)
        fill = contract.observation.stack(term).fill
        pasts[term.label] = _steps(
            model, f"{term.label}_history", late, contract.term_size(term), oldest, fill, nothing
        )
    parts = [
        pasts[term.label](age)
        for run in contract.observation.laid_out()
        for age in contract.observation.stack(run[0]).ages
        for term in run
    ]
    model.write("obs", model.joined(parts), contract.observation_size)
    return model


def _delayed(model: Model, contract: Contract, term: Term, value: str, nothing: float) -> str:
    late, width = term.late, contract.term_size(term)
    return _steps(model, f"{term.label}_delay", value, width, late.steps, late.fill, nothing)(late.steps)


def _steps(
    model: Model, name: str, value: str, width: int, oldest: int, fill: str, nothing: float
) -> Callable[[int], str]:
    """A value as it was some steps ago, up to the oldest."""
    if oldest == 0:
        return lambda age: value
    before = value if fill == "first" else model.constant([nothing] * width) if nothing else None
    whole = model.past(name, value, width, oldest, before)
    return lambda age: model.aged(whole, age, width)


class _Signals:
    """The terms' numbers of one step, made of the model's inputs."""

    def __init__(self, model: Model, contract: Contract) -> None:
        self.model, self.contract = model, contract

    def shown(self, term: Term) -> str:
        """A term as the network sees it, before delay and history."""
        model, contract = self.model, self.contract
        if term.term == "constant":
            value = model.constant([float(number) for number in term.value])  # type: ignore[attr-defined]
        else:
            raw = self._own(term) or self._gathered(term)
            elements = term.elements(contract)
            raw = model.bounded(raw, [term.raw_clip(element) for element in elements])
            numbers = [[float(term.entry(key, element)) for element in elements] for key in ("scale", "offset")]
            value = model.scaled(raw, *numbers)
        clip = contract.observation.clip
        return value if clip is None else model.bounded(value, [clip] * contract.term_size(term))

    def refused(self, term: Term, why: str = "") -> ContractError:
        what = f"observation term '{term.label}' ({term.term}{f' {term.where}' if term.where else ''})"
        return ContractError(
            f"contract '{self.contract.name}': {what} is not written into {WHAT}{why}; what is, is {', '.join(KNOWN)}"
        )

    def _own(self, term: Term) -> str | None:
        """Raw values of terms that have columns to themselves, or of the base; None for those that share signals."""
        match term:
            case MeasuredTerm():
                return self._measured(term)
            case BaseQuatTerm() if term.link is None:
                return self._quat(term)
            case GoalTerm():
                said = {"isaaclab_connection": f"command:{term.label}"}
                return self.model.read(term.label, term.size, **said)
            case GaitPhaseTerm():
                return self._phases(term)
            case ElapsedTerm():
                return self._elapsed(term)
            case GaitClockTerm():
                return self._clock(term)
        return None

    def _gathered(self, term: Term) -> str:
        """Raw values of terms that share signals: unit * signal + shift."""
        if isinstance(term, ExternalTerm):
            raise self.refused(term)
        readings = term.readings(self.contract)
        signal = readings[0].signal
        found = self._signal(signal)
        if found is None:
            raise self.refused(term)
        value, width = found
        places = [self._place(reading.place) for reading in readings]
        if signal in ("velocity_command", "command_in_force") and max(places) >= len(VELOCITY_COMMAND):
            names = self.contract.command.names[len(VELOCITY_COMMAND) :]
            raise self.refused(term, f", whose runners are told no {', '.join(names)}")
        value = self.model.chosen(value, places, width)
        return self.model.scaled(value, [reading.unit for reading in readings], [reading.shift for reading in readings])

    def _place(self, place: str | int) -> int:
        return self.contract.joint_names.index(place) if isinstance(place, str) else place

    def _signal(self, name: str) -> tuple[str, int] | None:
        """A shared signal and its width."""
        joints, actions = len(self.contract.joints), self.contract.action_size
        match name:
            case "joint_pos" | "joint_vel" | "joint_effort":
                return joint_input(self.model, self.contract, name), joints
            case "joint_target":
                return self._target(), joints
            case "last_action" | "filtered_action":
                return self.model.read(f"{name}_in", actions), actions
            case "velocity_command" | "command_in_force":
                return self._command(name == "command_in_force"), len(VELOCITY_COMMAND)
        return None

    def _vector(self, name: str, size: int, kind: str, elements: Sequence[str], connection: str) -> str:
        said = {"kind": kind, "element_names": [list(elements)], "isaaclab_connection": connection}
        return self.model.read(name, size, **said)

    def _measured(self, term: MeasuredTerm) -> str:
        """A vector of the base link."""
        point = term.point or "link" if isinstance(term, BaseLinVelTerm) else term.term
        elsewhere = term.link is not None or term.frame not in (None, "link")
        if elsewhere or self.contract.base.frame is not None or not isinstance(point, str):
            where = f", whose inputs are the base link's, not those of {self.contract.base.frame}"
            raise self.refused(term, where if self.contract.base.frame is not None else "")
        if term.term == "projected_gravity":
            return self._gravity()
        name, kind, connection = _BASE[point]
        return self._vector(name, 3, kind, XYZ, connection)

    def _gravity(self) -> str:
        """The unit vector down in the base link's axes: the rotation matrix's last row, negated."""
        model = self.model
        x, y, z, w = (model.chosen(self._vector(*QUATERNION), [place], 4) for place in range(4))
        two = model.constant([2.0])

        def twice(op: str, one: tuple[str, str], other: tuple[str, str]) -> str:
            return model.do("Mul", two, model.do(op, model.do("Mul", *one), model.do("Mul", *other)))

        first, second = twice("Sub", (w, y), (x, z)), model.do("Neg", twice("Add", (w, x), (y, z)))
        return model.joined([first, second, model.do("Sub", twice("Add", (x, x), (y, y)), [1.0])])

    def _quat(self, term: BaseQuatTerm) -> str:
        order = [("x", "y", "z", "w").index(name) for name in term.elements(self.contract)]
        quat = self._vector(*QUATERNION)
        if term.positive_w:
            negative = self.model.do("Less", self.model.chosen(quat, [3], 4), [0.0])
            quat = self.model.do("Where", negative, self.model.do("Neg", quat), quat)
        return self.model.chosen(quat, order, 4)

    def _target(self) -> str:
        """The targets of the step before; where joints stand in the first, and 0 where targets are no positions."""
        model, drives = self.model, self.contract.drives
        positions = [float(drives[name] == "position") for name in self.contract.joint_names]
        start = model.scaled(joint_input(model, self.contract, "joint_pos"), positions)
        return model.at_first(start, model.read("joint_target_in", len(positions)))

    def _command(self, shaped: bool) -> str:
        """What the policy is told, behind dead zone and slew limit."""
        model, command = self.model, self.contract.command
        names = ("base_velocity", 3, "command/body/velocity", VELOCITY_COMMAND, "command:base_velocity")
        told = self._vector(*names)
        if not shaped:
            return told
        if "command_in" in model.fed:
            return "command_out"
        elements = [command.element(name) for name in VELOCITY_COMMAND]
        rest = model.constant([element.default for element in elements])
        zone = [element.dead_zone or 0.0 for element in elements]
        near = model.do("Less", model.do("Abs", model.do("Sub", told, rest)), zone)
        wanted = model.do("Where", near, rest, told)
        if any(element.slew for element in elements):
            dt = self.contract.control_dt
            most = [math.inf if element.slew is None else element.slew * dt for element in elements]
            before = model.at_first(rest, model.state("command", 3))
            step = model.bounded(model.do("Sub", wanted, before), [(-number, number) for number in most])
            wanted = model.do("Add", before, step)
            model.carry("command", wanted, 3)
            return "command_out"
        return wanted

    # Time.

    def _time(self, start: float = 0.0, length: float = 1.0) -> str:
        """(time since reset + start) / length, shape (1, 1), float64."""
        model = self.model
        count = model.do("Cast", model.count, to=11)
        time = model.do("Mul", count, model.constant([self.contract.control_dt], np.float64))
        time = model.do("Add", time, model.constant([start], np.float64))
        return model.do("Div", time, model.constant([length], np.float64))

    def _float(self, value: str) -> str:
        return self.model.do("Cast", value, to=1)

    def _wrapped(self, phase: str, exact: float = 0.0) -> str:
        added = self.model.do("Add", phase, self.model.constant([exact], np.float64)) if exact else phase
        return self.model.do("Sub", phase, self.model.do("Floor", added))

    def _phases(self, term: GaitPhaseTerm) -> str:
        model = self.model
        phase = model.do("Add", self._time(length=term.period), model.constant(list(term.offsets), np.float64))
        angle = model.scaled(self._float(self._wrapped(phase)), [math.tau])
        return model.joined([model.do("Sin", angle), model.do("Cos", angle)])

    def _elapsed(self, term: ElapsedTerm) -> str:
        share = self._time(term.start, term.length)
        share = self._wrapped(share) if term.end == "repeat" else share
        return self.model.do("Min", self._float(share), [1.0]) if term.end == "hold" else self._float(share)

    def _clock(self, term: GaitClockTerm) -> str:
        """A clock of a fixed period, wave by wave."""
        model, width = self.model, len(term.waves)
        if term.period is None or isinstance(term.stance, str) or any(wave.plus for wave in term.waves):
            raise self.refused(term, ", whose runners are told no element of the command but the velocity's")
        if isinstance(term.standing, StandingPhase) or not set(term.norm_of) <= set(VELOCITY_COMMAND):
            raise self.refused(term, f" with standing: {term.standing}")
        offsets = [wave.offset + term.start / term.period for wave in term.waves]
        standing = self._stands(term) if term.below is not None else None
        if term.standing == "freeze" and standing is not None:
            kept = model.state(f"{term.label}_phase", width, "float64")
            rate = model.constant([self.contract.control_dt / term.period], np.float64)
            moved = model.do("Add", kept, model.do("Where", standing, model.constant([0.0], np.float64), rate))
            phase = self._wrapped(model.at_first(model.constant(offsets, np.float64), moved))
            model.carry(f"{term.label}_phase", phase, width, "float64")
        else:
            phase = model.do("Add", self._time(length=term.period), model.constant(offsets, np.float64))
        shown = self._float(self._wrapped(phase, EXACT))
        if term.stance != 0.5:
            share = term.stance
            early = model.do("Less", shown, [share])
            later = model.scaled(shown, [0.5 / (1.0 - share)], [0.5 - 0.5 * share / (1.0 - share)])
            shown = model.do("Where", early, model.scaled(shown, [0.5 / share]), later)
        waves = {"phase": shown, **{op.lower(): model.do(op, model.scaled(shown, [math.tau])) for op in ("Sin", "Cos")}}
        groups = itertools.groupby(enumerate(term.waves), key=lambda pair: pair[1].wave)
        parts = [model.chosen(waves[kind], [place for place, _ in group], width) for kind, group in groups]
        value = model.joined(parts)
        if standing is not None and term.standing != "freeze":
            still = term.standing.value if isinstance(term.standing, StandingValue) else 0.0
            value = model.do("Where", standing, [still] * width, value)
        return value

    def _stands(self, term: GaitClockTerm) -> str:
        """Whether the robot is told to stand, shape (1, 1)."""
        model = self.model
        told = self._command(self.contract.command.shaped)
        chosen = model.chosen(told, [VELOCITY_COMMAND.index(name) for name in term.norm_of], 3)
        return model.do("Less", model.do("ReduceL2", chosen, axes=[1], keepdims=1), [float(term.below or 0.0)])
