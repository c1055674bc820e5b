"""Action terms: what each number of the network's output means."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import Field

from policy_port.contract.parsing import Parsing
from policy_port.contract.shaping import ActionDelay, ActionFilter, Steps, action_delay
from policy_port.contract.term import UNBOUNDED, Bounds, Elementwise
from policy_port.contract.yaml_file import Strict


class JointAction(Elementwise):
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
    def reshapes_raw(self) -> bool:
        """True where what takes effect is not the clipped raw action of the step."""
        return bool(self.late.steps) or (self.filter is not None and self.filter.of == "raw")

    def raw_bounds(self, joint: str) -> Bounds:
        """Bounds of the raw action of one joint."""
        clip = self.raw_clip[joint] if isinstance(self.raw_clip, dict) else self.raw_clip
        return clip or UNBOUNDED
