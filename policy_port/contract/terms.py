"""Observation and action terms: what each number of the network's input and output means.

An observation term's value is `scale * clip(raw) + offset`, element by element, with raw in SI units and the joint's
unit, base vectors in the base frame. History comes last: the group stacks the scaled values.

All that a term is stands in its class here; whoever builds, remaps or samples an observation asks it. To add one:

1. Write its class here, derived from `Term`, from `BaseTerm` for a vector of three, or from `PerJointTerm` or
   `JointTerm` where its elements are joints, which a remap then follows by name. `BaseHeight` in
   `tests/contract/test_new_term.py` is the smallest.
2. Add the class to the union `ObservationTerm`.
3. Where its `readings` name a signal that `control/signals.py` does not have, give it columns with `columns` and write
   what fills them, a class with a row in `READERS` of `control/base_terms.py`.
4. Write it a second time in `proof/reference.py`, against which every port is proved, and in `verdict/signals.py` and
   `verdict/rebuild.py`, against which traces are held. They share nothing with this file's readings on purpose, and
   refuse a term that they don't know.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from policy_port.arrays import Array
from policy_port.contract.draws import Draws
from policy_port.contract.joints import SPEED, Joint, JointConversion
from policy_port.contract.parsing import Parsing
from policy_port.contract.place import Frame, Place, Point, point_words
from policy_port.contract.yaml_file import Strict
from policy_port.errors import TaskError


def _in_order(bounds: tuple[float, float]) -> tuple[float, float]:
    """Bounds the wrong way round clip every number to the same one."""
    if bounds[0] > bounds[1]:
        raise ValueError(f"the lower bound {bounds[0]} is above the upper bound {bounds[1]}")
    return bounds


Bounds = Annotated[tuple[float, float], AfterValidator(_in_order)]
UNBOUNDED: Bounds = (-math.inf, math.inf)

Key = Literal["scale", "offset", "clip"]

XYZ = ("x", "y", "z")
VELOCITY_COMMAND = ("lin_vel_x", "lin_vel_y", "ang_vel_z")

NEUTRAL: dict[Key, Any] = {"scale": 1.0, "offset": 0.0, "clip": None}
"""What stands for a number that a term does not have."""


class Reading(NamedTuple):
    """Where an element's raw value comes from: unit * signal + shift."""

    signal: str
    """Name of the signal in `control.signals.Signals`."""
    place: str | int
    """Joint name, or number among the signal's columns; among those of this term, where it has its own."""
    unit: float = 1.0
    """Contract units per unit of the signal."""
    shift: float = 0.0
    """Added to it [contract unit]."""


class _Elementwise(Strict):
    """A term whose numbers are written once for all elements or element by element."""

    def entry(self, key: Key, element: str) -> Any:
        """Scale, offset or clip of one element: 1, 0 and None, if the term has none."""
        value = getattr(self, key, NEUTRAL[key])
        return value[element] if isinstance(value, dict) else value


class Term(_Elementwise):
    """An observation term. What it declares as `scale`, `offset` and `clip` is applied to its raw values."""

    holds_quaternion: ClassVar[bool] = False
    """True for elements that are a quaternion, whose order the contract must state then."""
    keeps_time: ClassVar[bool] = False
    """True for what follows from the time since reset."""

    name: str | None = None
    """Name of the term in the observation; the kind, if not given. Names are unique."""
    history: Annotated[int, Field(ge=1, le=1000)] = 1
    """Number of stacked steps, the present one included."""
    term: str
    """The kind: each class has its own."""

    @property
    def label(self) -> str:
        """Name under which reports, mappings and traces know the term."""
        return self.name or self.term

    @property
    def where(self) -> str:
        """Where on the robot it is measured, in words; empty where nothing is stated."""
        return ""

    def elements(self, contract: Parsing) -> tuple[str, ...]:
        """Name of each element of one step: indices, where the class does not say joint names or axes."""
        return tuple(map(str, range(len(self.readings(contract)))))

    def columns(self, contract: Parsing) -> dict[str, int]:
        """Columns that the term has to itself, by the signal's name; it shares all other signals."""
        return {}

    def readings(self, contract: Parsing) -> tuple[Reading, ...]:
        """Where each element is read from: the term's own columns, where the class does not say otherwise.

        Raises:
            ContractError: When a joint is in a unit that has no fixed ratio to SI.
            TaskError: When only a task environment can compute the term.
        """
        return tuple(Reading(name, index) for name, size in self.columns(contract).items() for index in range(size))

    @abstractmethod
    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Raw values as they might be in training, shape (length, batch, elements)."""


class BaseTerm(Term):
    """A vector of the floating base or of the command; three numbers, read from the signal of the term's name."""

    axes: ClassVar[tuple[str, str, str]] = XYZ
    reach: ClassVar[float] = 1.0
    """Largest usual number."""

    scale: float | tuple[float, float, float] = 1.0
    """Factor, one for all or one per element."""
    offset: float | tuple[float, float, float] = 0.0
    """Added after scaling."""
    clip: Bounds | None = None
    """Bounds of the raw value, applied before scale."""

    def entry(self, key: Key, element: str) -> Any:
        """Scale, offset or clip of one axis."""
        value = super().entry(key, element)
        return value[self.axes.index(element)] if isinstance(value, tuple) and key != "clip" else value

    def elements(self, contract: Parsing) -> tuple[str, ...]:
        """The axes."""
        return self.axes

    def readings(self, contract: Parsing) -> tuple[Reading, ...]:
        """The axes of the signal."""
        return tuple(Reading(self.term, axis) for axis in range(3))

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Up to `reach`."""
        return self.reach * draws.vector()


class MeasuredTerm(BaseTerm):
    """A vector that is measured on the base, in the base frame where nothing else is stated."""

    frame: Frame | None = None
    """Whose axes it is given in: link, {site: NAME} or {sensor: NAME}; the base frame, if not given."""

    @property
    def where(self) -> str:
        """The frame."""
        return "" if self.frame is None else f"in {self.frame}"

    @property
    def axes_of(self) -> Place | None:
        """The place in whose axes it is given; None for the base link's."""
        return self.frame if isinstance(self.frame, Place) else None

    @property
    def places(self) -> tuple[Place | Literal["com"], ...]:
        """What of the robot one has to find to compute it."""
        return () if self.axes_of is None else (self.axes_of,)

    @property
    def moved(self) -> bool:
        """Whether it is another vector than the signal of the term's name, and needs columns of its own."""
        return self.axes_of is not None

    def columns(self, contract: Parsing) -> dict[str, int]:
        """Three of its own, where it is moved."""
        return {"moved": 3} if self.moved else {}

    def readings(self, contract: Parsing) -> tuple[Reading, ...]:
        """Its own columns, or the signal of the term's name."""
        return Term.readings(self, contract) if self.moved else super().readings(contract)


class BaseLinVelTerm(MeasuredTerm):
    """Linear velocity of a point of the base [m/s]: v + w x r of the link's velocity v and its angular velocity w.

    Simulators mean different points by "the base's velocity": Isaac Lab's `mdp.base_lin_vel` is the centre of mass's,
    mjlab's that of the IMU's velocimeter.
    """

    reach = 2.0
    term: Literal["base_lin_vel"]
    point: Point | None = None
    """Whose velocity: link (the link's origin), com (centre of mass of the base link), {site: NAME}, {sensor: NAME} (a
    velocimeter, which also measures in its site's axes), or [x, y, z] from the link's origin in the link's axes [m];
    link, if not given."""

    @property
    def where(self) -> str:
        """Point and frame."""
        point = "" if self.point is None else point_words(self.point)
        return " ".join(words for words in (point, super().where) if words)

    @property
    def axes_of(self) -> Place | None:
        """The frame's; of a sensor that is the point, its own, unless a frame says otherwise."""
        sensor = self.point if isinstance(self.point, Place) and self.point.sensor is not None else None
        return sensor if self.frame is None else super().axes_of

    @property
    def places(self) -> tuple[Place | Literal["com"], ...]:
        """Also the point, where it has a name."""
        point = () if self.point is None or self.point == "link" or isinstance(self.point, tuple) else (self.point,)
        return tuple(dict.fromkeys((*point, *super().places)))

    @property
    def moved(self) -> bool:
        """Also where the point is not the link's origin."""
        return super().moved or self.point not in (None, "link")


class BaseAngVelTerm(MeasuredTerm):
    """Angular velocity of the base [rad/s]."""

    reach = 3.0
    term: Literal["base_ang_vel"]


class ProjectedGravityTerm(MeasuredTerm):
    """Unit vector of gravity."""

    term: Literal["projected_gravity"]

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Roll and pitch of up to 0.6 rad."""
        roll, pitch = 0.6 * draws.smooth(), 0.6 * draws.smooth()
        return np.stack([np.sin(pitch), -np.sin(roll) * np.cos(pitch), -np.cos(roll) * np.cos(pitch)], axis=-1)


class VelocityCommandTerm(BaseTerm):
    """The commanded velocity: lin_vel_x [m/s], lin_vel_y [m/s], ang_vel_z [rad/s]."""

    axes = VELOCITY_COMMAND
    term: Literal["velocity_command"]

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Within the trained ranges; +-1 where they are not stated."""
        return draws.held([getattr(contract.command, axis) or (-1.0, 1.0) for axis in self.axes])


class PerJointTerm(Term):
    """A term whose elements are joints, which a remap follows by name."""

    @abstractmethod
    def converted(self, conversion: JointConversion) -> tuple[float, float]:
        """Slope and shift of the target's raw value: slope * the source's + shift."""

    @abstractmethod
    def still(self, contract: Parsing, joint: str, position: float) -> float:
        """Raw value of a joint that stands still at `position` [unit]."""


class JointTerm(PerJointTerm):
    """One number per joint, in the contract's joint order or that of `joints`, read from the signal of that name."""

    joints: tuple[str, ...] | None = None
    """Names of the joints observed, in this order; all joints of the contract, if not given."""
    scale: float | dict[str, float] = 1.0
    """Factor, one for all or one per joint name."""
    offset: float | dict[str, float] = 0.0
    """Added after scaling, one for all or one per joint name."""
    clip: Bounds | dict[str, Bounds] | None = None
    """Bounds of the raw value, applied before scale."""

    def elements(self, contract: Parsing) -> tuple[str, ...]:
        """Joint names."""
        return contract.joint_names if self.joints is None else self.joints

    def readings(self, contract: Parsing) -> tuple[Reading, ...]:
        """The joints' numbers in their units."""
        return tuple(Reading(self.term, name, contract.per_si(name)) for name in self.elements(contract))

    def converted(self, conversion: JointConversion) -> tuple[float, float]:
        """A difference or a rate has the joint's direction and unit, and no zero of its own."""
        return conversion.slope, 0.0

    def still(self, contract: Parsing, joint: str, position: float) -> float:
        """What a joint shows that does not move."""
        return self.moving(contract.joints[joint], position, 0.0)

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Each joint as it moves."""
        names = self.elements(contract)
        return np.stack([self.moving(contract.joints[n], draws.positions[n], draws.smooth()) for n in names], axis=-1)

    @abstractmethod
    def moving(self, joint: Joint, position: Any, smooth: Any) -> Any:
        """Raw value of a joint at `position` [unit] that moves as `smooth` says, from -1 to 1; numbers or arrays."""


class JointPosTerm(JointTerm):
    """Joint position [unit]."""

    term: Literal["joint_pos"]

    def converted(self, conversion: JointConversion) -> tuple[float, float]:
        """A position carries the zero of the joint."""
        return conversion.slope, conversion.offset

    def moving(self, joint: Joint, position: Any, smooth: Any) -> Any:
        """The position itself."""
        return position


class JointPosRelTerm(JointTerm):
    """Joint position minus default [unit]."""

    term: Literal["joint_pos_rel"]

    def readings(self, contract: Parsing) -> tuple[Reading, ...]:
        """The positions, less the default pose."""
        names = self.elements(contract)
        return tuple(Reading("joint_pos", n, contract.per_si(n), -contract.joints[n].default) for n in names)

    def moving(self, joint: Joint, position: Any, smooth: Any) -> Any:
        """How far from the default it is."""
        return position - joint.default


class JointVelTerm(JointTerm):
    """Joint velocity [unit/s]."""

    term: Literal["joint_vel"]

    def moving(self, joint: Joint, position: Any, smooth: Any) -> Any:
        """Up to what drives of the unit reach."""
        return SPEED[joint.unit] * smooth


class JointTargetTerm(JointPosTerm):
    """The position target that the previous action set [unit]; the start position at reset."""

    term: Literal["joint_target"]

    def moving(self, joint: Joint, position: Any, smooth: Any) -> Any:
        """A tenth of the joint's range off the position."""
        low, high = joint.sweep
        return position + 0.1 * (high - low) * smooth


class LastActionTerm(PerJointTerm):
    """The network's previous raw output after `action.raw_clip`, zero at reset; action order."""

    term: Literal["last_action"]
    scale: float = 1.0
    """Factor."""
    clip: Bounds | None = None
    """Bounds of the raw action, applied before scale."""

    def elements(self, contract: Parsing) -> tuple[str, ...]:
        """The action's joints."""
        return contract.action_joint_names

    def readings(self, contract: Parsing) -> tuple[Reading, ...]:
        """The action, number by number."""
        return tuple(Reading("last_action", index) for index in range(contract.action_size))

    def converted(self, conversion: JointConversion) -> tuple[float, float]:
        """Raw actions keep their size and take the target's direction."""
        return conversion.sign, 0.0

    def still(self, contract: Parsing, joint: str, position: float) -> float:
        """The raw action that keeps the joint there."""
        return contract.holding_action(joint, position)

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Noise within the raw clip."""
        noise = draws.noise(contract.action_size)
        return noise if contract.action.raw_clip is None else np.clip(noise, *contract.action.raw_clip)


class GaitPhaseTerm(Term):
    """A gait clock: all sines, then all cosines, of 2 pi (t / period + offset), per offset."""

    keeps_time = True
    term: Literal["gait_phase"]
    period: Annotated[float, Field(gt=0.0)]
    """Period of the gait [s]; t counts from reset."""
    offsets: tuple[float, ...] = (0.0,)
    """Phase offset of each clock, as a fraction of the period."""

    def elements(self, contract: Parsing) -> tuple[str, ...]:
        """sin0, sin1, ..., cos0, cos1, ..."""
        return tuple(f"{wave}{i}" for wave in ("sin", "cos") for i in range(len(self.offsets)))

    def columns(self, contract: Parsing) -> dict[str, int]:
        """A sine and a cosine per clock."""
        return {"gait_sin": len(self.offsets), "gait_cos": len(self.offsets)}

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """The clocks from some moment on."""
        time = draws.time(self.period)
        phases = [2.0 * math.pi * (time / self.period + offset) for offset in self.offsets]
        return np.stack([np.sin(p) for p in phases] + [np.cos(p) for p in phases], axis=-1)


class GoalTerm(Term):
    """What the task commands beside a velocity: a point, a pose, a joint configuration."""

    term: Literal["goal"]
    size: Annotated[int, Field(ge=1, le=4096)]
    """Number of elements."""
    frame: str
    """Frame and unit in words, for example "base link, m"."""
    scale: float = 1.0
    """Factor."""
    low: tuple[float, ...] | None = None
    """Smallest raw value in training, per element."""
    high: tuple[float, ...] | None = None
    """Largest raw value in training, per element."""

    @model_validator(mode="after")
    def _ranges_fit(self) -> GoalTerm:
        for key, values in (("low", self.low), ("high", self.high)):
            if values is not None and len(values) != self.size:
                raise ValueError(f"{key} has {len(values)} entries, size says {self.size}")
        for low, high in zip(self.low or (), self.high or (), strict=False):
            if low > high:
                raise ValueError(f"low {low} is above high {high}")
        return self

    def columns(self, contract: Parsing) -> dict[str, int]:
        """Goals stand one after the other."""
        return {"goal": self.size}

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Between `low` and `high`; +-1 where they are not stated."""
        low, high = self.low or (-1.0,) * self.size, self.high or (1.0,) * self.size
        return draws.held(list(zip(low, high, strict=True)))


class ConstantTerm(Term):
    """Numbers that never change."""

    term: Literal["constant"]
    value: tuple[float, ...]
    """The numbers, as the network sees them."""

    def readings(self, contract: Parsing) -> tuple[Reading, ...]:
        """The numbers, on top of a signal that is always zero."""
        return tuple(Reading("zero", 0, shift=value) for value in self.value)

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """The numbers, for ever."""
        return np.broadcast_to(self.value, (*draws.shape, len(self.value)))


class ExternalTerm(Term):
    """Numbers that only a task environment computes; they pass through a remap untouched.

    `name` is required and names the quantity, for example "obj_pose".
    """

    term: Literal["external"]
    size: Annotated[int, Field(ge=1, le=1_000_000)]
    """Number of elements."""

    @model_validator(mode="after")
    def _is_named(self) -> ExternalTerm:
        if self.name is None:
            raise ValueError("an external term needs a `name`, such as obj_pose")
        return self

    def elements(self, contract: Parsing) -> tuple[str, ...]:
        """Indices."""
        return tuple(map(str, range(self.size)))

    def readings(self, contract: Parsing) -> tuple[Reading, ...]:
        """None: the error names the term."""
        raise TaskError(
            f"observation term '{self.label}' of contract '{contract.name}' can only be computed by the task "
            "environment that the policy was trained in; play it with --env, not with --plant"
        )

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Noise."""
        return draws.noise(self.size)


ObservationTerm = Annotated[
    BaseLinVelTerm
    | BaseAngVelTerm
    | ProjectedGravityTerm
    | VelocityCommandTerm
    | JointPosTerm
    | JointPosRelTerm
    | JointVelTerm
    | JointTargetTerm
    | LastActionTerm
    | GaitPhaseTerm
    | GoalTerm
    | ConstantTerm
    | ExternalTerm,
    Field(discriminator="term"),
]
"""Every observation term there is, told apart by `term`."""


class History(Strict):
    """How stacked steps are laid out. Isaac Lab: term_major, oldest_first, first. Nothing here has a default."""

    layout: Literal["term_major", "time_major"]
    """term_major: all steps of one term, then the next term. time_major: all terms of one step, then the next step."""
    order: Literal["oldest_first", "newest_first"]
    """Order of the steps."""
    fill: Literal["first", "zero"]
    """What stands for the steps before reset: the first observation, or zero."""


class Observation(Strict):
    """The network's input."""

    terms: tuple[ObservationTerm, ...] = Field(min_length=1)
    """Terms in the order in which they are concatenated."""
    history: History | None = None
    """Required when a term has history above 1."""
    clip: Bounds | None = None
    """Bounds of the whole observation, applied after scale."""


class JointAction(_Elementwise):
    """An action term: a joint position target made of one number of the network per joint."""

    @abstractmethod
    def hold(self, contract: Parsing, joint: str, position: float) -> float:
        """Raw action that keeps a joint at `position` [unit]."""

    def zero(self, contract: Parsing, joint: str) -> float:
        """What raw action zero means [unit]: a position, or a delta."""
        offset = self.entry("offset", joint)
        return contract.joints[joint].default if offset == "default" else offset


class JointPositionAction(JointAction):
    """Joint position target = offset + scale * raw, then clip; one number per joint."""

    term: Literal["joint_position"]
    joints: tuple[str, ...] | None = None
    """Names of the joints, in this order; all joints of the contract, if not given."""
    scale: float | dict[str, float]
    """Factor from raw action to position [unit]."""
    offset: Literal["default"] | float | dict[str, float]
    """Position at raw action zero [unit]: the default joint position, or numbers."""
    clip: Bounds | dict[str, Bounds] | None = None
    """Bounds of the target [unit]."""

    def hold(self, contract: Parsing, joint: str, position: float) -> float:
        """The raw action that says the position."""
        return (position - self.zero(contract, joint)) / self.entry("scale", joint)


class JointPositionDeltaAction(JointAction):
    """Joint position target = reference + offset + scale * raw; one number per joint.

    ManiSkill's normalised delta controllers are this with raw_clip (-1, 1), scale (upper - lower) / 2 and offset
    (upper + lower) / 2.
    """

    term: Literal["joint_position_delta"]
    reference: Literal["joint_pos", "joint_target"]
    """What the delta is added to: the measured position, or the previous target (the start position at reset)."""
    joints: tuple[str, ...] | None = None
    """Names of the joints, in this order; all joints of the contract, if not given."""
    scale: float | dict[str, float]
    """Factor from raw action to position [unit]."""
    offset: float | dict[str, float] = 0.0
    """Delta at raw action zero [unit]."""
    clip: Bounds | dict[str, Bounds] | None = None
    """Bounds of the target [unit]. ManiSkill's controllers have none."""

    def hold(self, contract: Parsing, joint: str, position: float) -> float:
        """The raw action that adds nothing."""
        return -self.zero(contract, joint) / self.entry("scale", joint) + 0.0


ActionTerm = Annotated[JointPositionAction | JointPositionDeltaAction, Field(discriminator="term")]


class Action(Strict):
    """The network's output."""

    terms: tuple[ActionTerm, ...] = Field(min_length=1)
    """Terms in the order in which the output is cut."""
    raw_clip: Bounds | None = None
    """Bounds of the raw action, applied before anything else; last_action is what comes out of it."""
