"""Observation and action terms: what each number of the network's input and output means.

An observation term's value is `scale * clip(raw) + offset`, element by element, with raw in SI units and the joint's
unit, base vectors in the base frame. History comes last: the group stacks the scaled values.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from policy_port.contract.yaml_file import Strict

Bounds = tuple[float, float]

XYZ = ("x", "y", "z")
VELOCITY_COMMAND = ("lin_vel_x", "lin_vel_y", "ang_vel_z")


class _Term(Strict):
    name: str | None = None
    """Name of the term in the observation; the kind, if not given. Names are unique."""
    history: Annotated[int, Field(ge=1, le=1000)] = 1
    """Number of stacked steps, the present one included."""

    @property
    def label(self) -> str:
        """Name under which reports, mappings and traces know the term."""
        return self.name or str(self.term)  # type: ignore[attr-defined]


class BaseTerm(_Term):
    """A vector of the floating base or of the command; three numbers."""

    term: Literal["base_lin_vel", "base_ang_vel", "projected_gravity", "velocity_command"]
    """base_lin_vel [m/s] and base_ang_vel [rad/s] in the base frame; projected_gravity is the unit vector of gravity
    in the base frame; velocity_command is (lin_vel_x [m/s], lin_vel_y [m/s], ang_vel_z [rad/s])."""
    scale: float | tuple[float, float, float] = 1.0
    """Factor, one for all or one per element."""
    offset: float | tuple[float, float, float] = 0.0
    """Added after scaling."""
    clip: Bounds | None = None
    """Bounds of the raw value, applied before scale."""


class JointTerm(_Term):
    """One number per joint, in the contract's joint order or that of `joints`."""

    term: Literal["joint_pos", "joint_pos_rel", "joint_vel", "joint_target"]
    """joint_pos [unit]; joint_pos_rel = joint_pos - default [unit]; joint_vel [unit/s]; joint_target [unit] is the
    position target that the previous action set (the start position at reset)."""
    joints: tuple[str, ...] | None = None
    """Names of the joints observed, in this order; all joints of the contract, if not given."""
    scale: float | dict[str, float] = 1.0
    """Factor, one for all or one per joint name."""
    offset: float | dict[str, float] = 0.0
    """Added after scaling, one for all or one per joint name."""
    clip: Bounds | dict[str, Bounds] | None = None
    """Bounds of the raw value, applied before scale."""


class LastActionTerm(_Term):
    """The network's previous raw output after `action.raw_clip`, zero at reset; action order."""

    term: Literal["last_action"]
    """The kind."""
    scale: float = 1.0
    """Factor."""
    clip: Bounds | None = None
    """Bounds of the raw action, applied before scale."""


class GaitPhaseTerm(_Term):
    """A gait clock: all sines, then all cosines, of 2 pi (t / period + offset), per offset."""

    term: Literal["gait_phase"]
    """The kind."""
    period: Annotated[float, Field(gt=0.0)]
    """Period of the gait [s]; t counts from reset."""
    offsets: tuple[float, ...] = (0.0,)
    """Phase offset of each clock, as a fraction of the period."""


class GoalTerm(_Term):
    """What the task commands beside a velocity: a point, a pose, a joint configuration."""

    term: Literal["goal"]
    """The kind."""
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
        return self


class ConstantTerm(_Term):
    """Numbers that never change."""

    term: Literal["constant"]
    """The kind."""
    value: tuple[float, ...]
    """The numbers, as the network sees them."""


class ExternalTerm(_Term):
    """Numbers that only a task environment computes; they pass through a remap untouched."""

    term: Literal["external"]
    """The kind; `name` is required and names the quantity, for example "obj_pose"."""
    size: Annotated[int, Field(ge=1, le=10_000_000)]
    """Number of elements."""

    @model_validator(mode="after")
    def _is_named(self) -> ExternalTerm:
        if self.name is None:
            raise ValueError("an external term needs a `name`, such as obj_pose")
        return self


ObservationTerm = Annotated[
    BaseTerm | JointTerm | LastActionTerm | GaitPhaseTerm | GoalTerm | ConstantTerm | ExternalTerm,
    Field(discriminator="term"),
]


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


class JointPositionAction(Strict):
    """Joint position target = offset + scale * raw, then clip; one number per joint."""

    term: Literal["joint_position"]
    """The kind."""
    joints: tuple[str, ...] | None = None
    """Names of the joints, in this order; all joints of the contract, if not given."""
    scale: float | dict[str, float]
    """Factor from raw action to position [unit]."""
    offset: Literal["default"] | float | dict[str, float]
    """Position at raw action zero [unit]: the default joint position, or numbers."""
    clip: Bounds | dict[str, Bounds] | None = None
    """Bounds of the target [unit]."""


class JointPositionDeltaAction(Strict):
    """Joint position target = reference + offset + scale * raw; one number per joint.

    ManiSkill's normalised delta controllers are this with raw_clip (-1, 1), scale (upper - lower) / 2 and offset
    (upper + lower) / 2.
    """

    term: Literal["joint_position_delta"]
    """The kind."""
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


ActionTerm = Annotated[JointPositionAction | JointPositionDeltaAction, Field(discriminator="term")]


class Action(Strict):
    """The network's output."""

    terms: tuple[ActionTerm, ...] = Field(min_length=1)
    """Terms in the order in which the output is cut."""
    raw_clip: Bounds | None = None
    """Bounds of the raw action, applied before anything else; last_action is what comes out of it."""
