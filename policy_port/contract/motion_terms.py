"""Observation terms of a reference motion."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from policy_port.arrays import Array
from policy_port.contract.draws import Draws
from policy_port.contract.joint_terms import PerJointTerm
from policy_port.contract.joints import SPEED, Joint, JointConversion
from policy_port.contract.parsing import Parsing
from policy_port.contract.term import Bounds, Key, Reading, Term

Ahead = Annotated[int, Field(ge=-1000, le=1000)]
VELOCITY = " velocity"
"""What an element of a motion_command ends in that is no position."""
_ELEMENT = re.compile(rf"(?P<key>(?P<joint>.*?)(?:{VELOCITY})?)(?: [+-]\d+)?")


class ReferenceTerm(Term):
    """What is read of so many frames after the present one: of one, or of several one after the other."""

    keeps_time = True
    ahead: Ahead | Annotated[tuple[Ahead, ...], Field(min_length=1)] = 0
    """Frames after the present one; of a list all numbers of the first, then all of the next."""

    @property
    def offsets(self) -> tuple[int, ...]:
        """Frames after the present one, one after the other."""
        return self.ahead if isinstance(self.ahead, tuple) else (self.ahead,)

    def later(self, frames: int) -> ReferenceTerm:
        """The same term, so many frames later."""
        later = tuple(ahead + frames for ahead in self.offsets)
        return self.model_copy(update={"ahead": later if isinstance(self.ahead, tuple) else later[0]})

    @model_validator(mode="after")
    def _frames_are_named_once(self) -> ReferenceTerm:
        if len(set(self.offsets)) < len(self.offsets):
            raise ValueError(f"ahead names a frame twice: {list(self.offsets)}")
        return self


class MotionJointTerm(PerJointTerm, ReferenceTerm):
    """Numbers of the reference motion per joint: "knee", "knee velocity", and "knee +2" where it reads several."""

    quantities: ClassVar[tuple[str, ...]] = ("",)
    """What a frame holds of each joint, one after the other: its position or velocity, or both."""
    joints: tuple[str, ...] | None = None
    """Names of the joints read, in this order; all joints of the contract, if not given."""
    scale: float | dict[str, float] = 1.0
    """Factor, one for all or one per joint name; of a motion_command also one per "NAME velocity"."""
    offset: float | dict[str, float] = 0.0
    """Added after scaling, likewise."""
    clip: Bounds | dict[str, Bounds] | None = None
    """Bounds of the raw value, applied before scale, likewise."""

    def keys(self, contract: Parsing) -> tuple[str, ...]:
        """What tables of scales name: the elements of one frame."""
        names = contract.joint_names if self.joints is None else self.joints
        return tuple(name + quantity for quantity in self.quantities for name in names)

    def elements(self, contract: Parsing) -> tuple[str, ...]:
        """The joints of each frame, the frame beside them where there are several."""
        ends = [f" {ahead:+d}" if isinstance(self.ahead, tuple) else "" for ahead in self.offsets]
        return tuple(key + end for end in ends for key in self.keys(contract))

    def key(self, element: str) -> str:
        """What tables call an element of any frame."""
        return _part(element, "key")

    def entry(self, key: Key, element: str) -> Any:
        """A frame's numbers are those of every frame."""
        return super().entry(key, self.key(element))

    def joint(self, element: str) -> str:
        """The name without what is read of it."""
        return _part(element, "joint")

    @abstractmethod
    def part(self, element: str) -> MotionJointPosTerm | MotionJointVelTerm:
        """Position or velocity, as a term of its own."""

    def columns(self, contract: Parsing) -> dict[str, int]:
        """One of its own per number."""
        return {self.term: len(self.elements(contract))}

    def readings(self, contract: Parsing) -> tuple[Reading, ...]:
        """Its own columns in the joints' units."""
        names = self.elements(contract)
        return tuple(Reading(self.term, index, contract.per_si(self.joint(name))) for index, name in enumerate(names))

    def still(self, contract: Parsing, joint: str, position: float) -> float:
        """What a joint shows that does not move; `joint` is the element."""
        return self.part(joint).moving(contract.joints[self.joint(joint)], position, 0.0)

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Each joint as it moves."""
        return np.stack(
            [
                self.part(each).moving(
                    contract.joints[self.joint(each)], draws.positions[self.joint(each)], draws.smooth()
                )
                for each in self.elements(contract)
            ],
            axis=-1,
        )


class MotionJointPosTerm(MotionJointTerm):
    """Joint position of the reference motion [unit]."""

    term: Literal["motion_joint_pos"]

    def part(self, element: str) -> MotionJointPosTerm:
        """This one."""
        return self

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

    def part(self, element: str) -> MotionJointVelTerm:
        """This one."""
        return self

    def converted(self, conversion: JointConversion) -> tuple[float, float]:
        """A rate has no zero of its own."""
        return conversion.slope, 0.0

    def moving(self, joint: Joint, position: Any, smooth: Any) -> Any:
        """Up to what drives of the unit reach."""
        return SPEED[joint.unit] * smooth


class MotionCommandTerm(MotionJointTerm):
    """Joint positions [unit], then joint velocities [unit/s], of the reference motion: the two above as one term."""

    quantities = ("", VELOCITY)
    term: Literal["motion_command"]

    def part(self, element: str) -> MotionJointPosTerm | MotionJointVelTerm:
        """Position or velocity, as a term of its own."""
        if self.key(element).endswith(VELOCITY):
            return MotionJointVelTerm(term="motion_joint_vel")
        return MotionJointPosTerm(term="motion_joint_pos")

    def converted(self, conversion: JointConversion) -> tuple[float, float]:
        """Not the same of all its numbers: ask their `part`."""
        raise NotImplementedError(self.term)


def _part(element: str, name: str) -> str:
    found = _ELEMENT.fullmatch(element)
    assert found is not None
    return found[name]


class MotionTerm(ReferenceTerm):
    """Numbers of the reference motion that are no joint's."""

    size: ClassVar[int]
    scale: float = 1.0
    """Factor."""
    clip: Bounds | None = None
    """Bounds of the raw value, applied before scale."""

    def columns(self, contract: Parsing) -> dict[str, int]:
        """Its own."""
        return {self.term: self.size * len(self.offsets)}

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Each frame by itself."""
        return np.concatenate([self.drawn(draws) for _ in self.offsets], axis=-1)

    @abstractmethod
    def drawn(self, draws: Draws) -> Array:
        """Raw values of one frame as they might be in training, shape (length, batch, size)."""


class MotionAnchorOriTerm(MotionTerm):
    """The reference's anchor as the robot's anchor sees it: first two columns of the rotation, row by row."""

    size = 6
    term: Literal["motion_anchor_ori_b"]

    def drawn(self, draws: Draws) -> Array:
        """A rotation by up to half a radian about each axis."""
        return draws.rotation(0.5)[..., :2].reshape(*draws.shape, 6)


class MotionAnchorPosTerm(MotionTerm):
    """Origin of the reference's anchor in the frame of the robot's anchor [m]."""

    size = 3
    term: Literal["motion_anchor_pos_b"]

    def drawn(self, draws: Draws) -> Array:
        """Up to half a metre off."""
        return 0.5 * draws.vector()


class MotionPhaseTerm(MotionTerm):
    """How much of the clip has been played, from 0 at its first frame to 1 at its last."""

    size = 1
    term: Literal["motion_phase"]

    def drawn(self, draws: Draws) -> Array:
        """Some moment of it."""
        return (0.5 * (draws.smooth() + 1.0))[..., None]
