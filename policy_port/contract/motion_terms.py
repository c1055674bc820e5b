"""Observation terms of a reference motion."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from policy_port.arrays import Array
from policy_port.contract.draws import Draws
from policy_port.contract.joint_terms import JointTerm
from policy_port.contract.joints import SPEED, Joint, JointConversion
from policy_port.contract.parsing import Parsing
from policy_port.contract.term import Bounds, Reading, Term


class MotionJointTerm(JointTerm):
    """A number of the reference motion per joint, so many frames ahead of the present one."""

    keeps_time = True
    ahead: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Frames after the present one."""

    def columns(self, contract: Parsing) -> dict[str, int]:
        """One of its own per joint."""
        return {self.term: len(self.elements(contract))}

    def readings(self, contract: Parsing) -> tuple[Reading, ...]:
        """Its own columns in the joints' units."""
        names = self.elements(contract)
        return tuple(Reading(self.term, index, contract.per_si(name)) for index, name in enumerate(names))


class MotionJointPosTerm(MotionJointTerm):
    """Joint position of the reference motion [unit]."""

    term: Literal["motion_joint_pos"]

    def converted(self, conversion: JointConversion) -> tuple[float, float]:
        """A position carries the zero of the joint."""
        return conversion.slope, conversion.offset

    def moving(self, joint: Joint, position: Any, smooth: Any) -> Any:
        """A tenth of the joint's range off the position."""
        low, high = joint.sweep
        return position + 0.1 * (high - low) * smooth


class MotionJointVelTerm(MotionJointTerm):
    """Joint velocity of the reference motion [unit/s]."""

    term: Literal["motion_joint_vel"]

    def moving(self, joint: Joint, position: Any, smooth: Any) -> Any:
        """Up to what drives of the unit reach."""
        return SPEED[joint.unit] * smooth


class MotionTerm(Term):
    """Numbers of the reference motion that are no joint's, so many frames ahead of the present one."""

    keeps_time = True
    size: ClassVar[int]
    scale: float = 1.0
    """Factor."""
    clip: Bounds | None = None
    """Bounds of the raw value, applied before scale."""
    ahead: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Frames after the present one."""

    def columns(self, contract: Parsing) -> dict[str, int]:
        """Its own."""
        return {self.term: self.size}


class MotionAnchorOriTerm(MotionTerm):
    """The reference's anchor as the robot's anchor sees it: first two columns of the rotation, row by row."""

    size = 6
    term: Literal["motion_anchor_ori_b"]

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """A rotation by up to half a radian about each axis."""
        return draws.rotation(0.5)[..., :2].reshape(*draws.shape, 6)


class MotionAnchorPosTerm(MotionTerm):
    """Origin of the reference's anchor in the frame of the robot's anchor [m]."""

    size = 3
    term: Literal["motion_anchor_pos_b"]

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Up to half a metre off."""
        return 0.5 * draws.vector()


class MotionPhaseTerm(MotionTerm):
    """How much of the clip has been played, from 0 at its first frame to 1 at its last."""

    size = 1
    term: Literal["motion_phase"]

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Some moment of it."""
        return (0.5 * (draws.smooth() + 1.0))[..., None]
