"""Action terms: what each number of the network's output means."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from policy_port.contract.joints import Joint, JointConversion
from policy_port.contract.parsing import Parsing
from policy_port.contract.shaping import ActionDelay, ActionFilter, Steps, action_delay
from policy_port.contract.term import UNBOUNDED, Bounds, Elementwise
from policy_port.contract.yaml_file import Strict

Drive = Literal["position", "velocity", "effort"]
"""What a joint's target is: a position, a velocity, or the torque or force itself. A joint has one drive."""


TARGETS: dict[Drive, str] = {
    "position": "target",
    "velocity": "joint_velocity_target",
    "effort": "joint_effort_target",
}
"""The array of a trace that holds the targets of each drive."""


class JointAction(Elementwise):
    """An action term: a target made of one number of the network per joint."""

    drive: ClassVar[Drive] = "position"
    """What the targets are."""
    term: str
    """The kind: each class has its own."""

    @property
    def adds_to(self) -> Literal["none", "joint_pos", "joint_target", "motion"]:
        """What the numbers are added to: the measured position, the previous target or the clip's present position."""
        return "none"

    @property
    def is_absolute(self) -> bool:
        """Whether raw action zero is a position, which has the joint's zero."""
        return False

    @abstractmethod
    def hold(self, contract: Parsing, joint: str, position: float) -> float:
        """Raw action that keeps a joint at `position` [unit]."""

    def zero(self, contract: Parsing, joint: str) -> float:
        """What raw action zero means [unit of the target]: a target, or what is added."""
        offset = self.entry("offset", joint)
        return contract.joints[joint].default if offset == "default" else 0.0 if offset == "motion" else offset

    def per_si(self, contract: Parsing, joint: str) -> float:
        """Units of the joint's target per SI unit."""
        return contract.per_si(joint)

    def slope(self, conversion: JointConversion) -> float:
        """Target of the target's joint per target of the source's."""
        return conversion.slope


class JointPositionAction(JointAction):
    """Joint position target = offset + scale * raw, then clip; one number per joint."""

    term: Literal["joint_position"]
    joints: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the joints, in this order; all joints of the contract, if not given."""
    scale: float | dict[str, float]
    """Factor from raw action to position [unit]."""
    offset: Literal["default", "motion"] | float | dict[str, float]
    """Position at raw action zero [unit]: the default joint position, where the reference motion has the joint at
    that moment, or numbers."""
    clip: Bounds | dict[str, Bounds] | None = None
    """Bounds of the target [unit]."""

    @property
    def adds_to(self) -> Literal["none", "motion"]:
        """The clip's present position, where that is the offset."""
        return "motion" if self.offset == "motion" else "none"

    @property
    def is_absolute(self) -> bool:
        """Unless it is a residual on a motion."""
        return self.offset != "motion"

    def hold(self, contract: Parsing, joint: str, position: float) -> float:
        """The raw action that says the position; on a motion, the one that adds nothing."""
        return (position - self.zero(contract, joint)) / self.entry("scale", joint) if self.is_absolute else 0.0


class _AddsNothing(JointAction):
    """An action under which a joint is kept by adding nothing, or by a target of zero."""

    def hold(self, contract: Parsing, joint: str, position: float) -> float:
        """The raw action whose target is zero."""
        return -self.zero(contract, joint) / self.entry("scale", joint) + 0.0


class JointPositionDeltaAction(_AddsNothing):
    """Joint position target = reference + offset + scale * raw; one number per joint.

    ManiSkill's normalised delta controllers are this with raw_clip (-1, 1), scale (upper - lower) / 2 and offset
    (upper + lower) / 2.
    """

    term: Literal["joint_position_delta"]
    reference: Literal["joint_pos", "joint_target"]
    """What the delta is added to: the measured position, or the previous target (the start position at reset)."""
    joints: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the joints, in this order; all joints of the contract, if not given."""
    scale: float | dict[str, float]
    """Factor from raw action to position [unit]."""
    offset: float | dict[str, float] = 0.0
    """Delta at raw action zero [unit]."""
    clip: Bounds | dict[str, Bounds] | None = None
    """Bounds of the target [unit]. ManiSkill's controllers have none."""

    @property
    def adds_to(self) -> Literal["joint_pos", "joint_target"]:
        """The reference."""
        return self.reference


class JointVelocityAction(_AddsNothing):
    """Joint velocity target = offset + scale * raw, then clip; one number per joint, such as a wheel.

    The drive's torque is damping * (target - velocity), within the effort limit; it has no stiffness.
    """

    drive = "velocity"
    term: Literal["joint_velocity"]
    joints: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the joints, in this order; all joints of the contract, if not given."""
    scale: float | dict[str, float]
    """Factor from raw action to velocity [unit/s]."""
    offset: float | dict[str, float] = 0.0
    """Velocity at raw action zero [unit/s]."""
    clip: Bounds | dict[str, Bounds] | None = None
    """Bounds of the target [unit/s]."""


class JointEffortAction(_AddsNothing):
    """Joint torque or force = offset + scale * raw, then clip; one number per joint.

    What the drive's damping takes away comes off it: effort - damping * velocity, within the effort limit; the drive
    has no stiffness.
    """

    drive = "effort"
    term: Literal["joint_effort"]
    joints: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the joints, in this order; all joints of the contract, if not given."""
    scale: float | dict[str, float]
    """Factor from raw action to torque or force [N m or N]."""
    offset: float | dict[str, float] = 0.0
    """Torque or force at raw action zero [N m or N]."""
    clip: Bounds | dict[str, Bounds] | None = None
    """Bounds of the torque or force [N m or N]."""

    def per_si(self, contract: Parsing, joint: str) -> float:
        """Torques and forces are in SI units whatever the joint's positions are in."""
        contract.per_si(joint)
        return 1.0

    def slope(self, conversion: JointConversion) -> float:
        """The power stays: a joint that turns twice as far has half the torque."""
        return conversion.sign / conversion.scale


ActionTerm = Annotated[
    JointPositionAction | JointPositionDeltaAction | JointVelocityAction | JointEffortAction,
    Field(discriminator="term"),
]


class Action(Strict):
    """The network's output."""

    terms: tuple[ActionTerm, ...] = Field(min_length=1)
    """Terms in the order in which the output is cut."""
    raw_clip: Bounds | dict[str, Bounds] | None = None
    """Bounds of the raw action, one pair or one per joint, applied before anything else; last_action is what comes out
    of it."""
    delay: Steps | ActionDelay = 0
    """How late an action takes effect [control steps], with a raw action of zero before; see `ActionDelay`."""
    filter: ActionFilter | None = None
    """The filter of raw actions or of targets."""
    between: Literal["hold", "interpolate"] = "hold"
    """What joints are told in the physics steps of a control step: the target throughout, or the way to it from the
    last one in equal steps, the last of which is the target."""

    @property
    def late(self) -> ActionDelay:
        """The delay as a whole."""
        return action_delay(self.delay)

    @property
    def inner(self) -> tuple[str, ...]:
        """The keys that tell joints something else in each physics step of a control step."""
        return ("between",) * (self.between != "hold") + ("delay.physics_steps",) * bool(self.late.physics_steps)

    @property
    def remembers(self) -> tuple[str, ...]:
        """The keys by which a target is not that of the step's action alone, or not told at once."""
        return (*("filter",) * (self.filter is not None), *("delay.steps",) * bool(self.late.steps), *self.inner)

    @property
    def reshapes_raw(self) -> bool:
        """True where what takes effect is not the clipped raw action of the step."""
        return bool(self.late.steps) or (self.filter is not None and self.filter.of == "raw")

    def raw_bounds(self, joint: str) -> Bounds:
        """Bounds of the raw action of one joint."""
        clip = self.raw_clip[joint] if isinstance(self.raw_clip, dict) else self.raw_clip
        return clip or UNBOUNDED


LIMP = (
    "whose stiffness is 0: nothing would pull it to a position. A wheel is driven by a term joint_velocity, a bare "
    "motor by joint_effort; else state its stiffness"
)


def gains_against(drive: Drive, joint: Joint) -> str:
    """Why a joint's gains don't do what an action asks, as a clause with what to do; "" where they do."""
    # Without any gain it may follow another joint, which only the robot file knows; a plant looks.
    if drive == "position" and joint.stiffness == 0.0 and joint.damping != 0.0:
        return LIMP
    if drive != "position" and joint.stiffness:
        does = "hold it at a position" if drive == "velocity" else "pull against the torque"
        return (
            f"whose stiffness is {joint.stiffness:g}: that would {does}. Write stiffness: 0, or let a term "
            "joint_position drive it"
        )
    if drive == "velocity" and joint.damping == 0.0:
        return "whose damping is 0: the torque is damping * (target - velocity). State the damping"
    return ""
