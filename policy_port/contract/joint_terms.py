"""Observation terms with a number per joint, which a remap follows by name."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from policy_port.arrays import Array
from policy_port.contract.draws import Draws
from policy_port.contract.joints import SPEED, Joint, JointConversion
from policy_port.contract.parsing import Parsing
from policy_port.contract.sensing import Sensing
from policy_port.contract.shaping import ObservationDelay
from policy_port.contract.term import Bounds, Reading, Term


class PerJointTerm(Term):
    """A term whose elements are joints, which a remap follows by name."""

    def joint(self, element: str) -> str:
        """The joint that an element is of: the element itself, where there is one number per joint."""
        return element

    def of_joint(self, element: str, joint: str) -> str:
        """The same element of another joint."""
        return joint + element[len(self.joint(element)) :]

    def part(self, element: str) -> PerJointTerm:
        """The term that an element's number is converted as: this one, where all its numbers are of one kind."""
        return self

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


class _PositionTerm(JointTerm):
    """A joint's position, measured or asked for."""

    def converted(self, conversion: JointConversion) -> tuple[float, float]:
        """A position carries the zero of the joint."""
        return conversion.slope, conversion.offset


class JointPosTerm(_PositionTerm):
    """Joint position [unit]."""

    term: Literal["joint_pos"]

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


class JointEffortTerm(JointTerm):
    """Torque or force that the drive applied in the last physics step [N m or N, whatever the joint's unit]."""

    term: Literal["joint_effort"]

    def readings(self, contract: Parsing) -> tuple[Reading, ...]:
        """The efforts, in SI."""
        return tuple(Reading(self.term, name) for name in self.elements(contract))

    def senses(self) -> Sensing:
        """The drives' efforts."""
        return Sensing(effort=True)

    def converted(self, conversion: JointConversion) -> tuple[float, float]:
        """A joint that goes twice as far does the same work with half the effort; units are SI on both sides."""
        return conversion.sign / conversion.scale, 0.0

    def moving(self, joint: Joint, position: Any, smooth: Any) -> Any:
        """Up to its limit, or 50 N m."""
        return (joint.effort_limit or 50.0) * smooth


class JointTargetTerm(_PositionTerm):
    """The position target that the previous action set [unit]; the start position at reset."""

    term: Literal["joint_target"]

    def moving(self, joint: Joint, position: Any, smooth: Any) -> Any:
        """A tenth of the joint's range off the position."""
        low, high = joint.sweep
        return position + 0.1 * (high - low) * smooth


class LastActionTerm(PerJointTerm):
    """The network's previous raw output after `action.raw_clip`, zero at reset; action order."""

    term: Literal["last_action"]
    ago: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many control steps ago it was put out; 1 is the previous one."""
    of: Literal["raw", "filtered"] = "raw"
    """raw: as it came out of raw_clip. filtered: as it came out of the action's delay and its filter of raw."""
    scale: float | dict[str, float] = 1.0
    """Factor, one for all or one per joint name."""
    clip: Bounds | dict[str, Bounds] | None = None
    """Bounds of the raw action, applied before scale, one for all or one per joint name."""

    def elements(self, contract: Parsing) -> tuple[str, ...]:
        """The action's joints."""
        return contract.action_joint_names

    @property
    def late(self) -> ObservationDelay:
        """An action of some steps ago is the previous one, shown so much later."""
        late = super().late
        return late.model_copy(update={"steps": late.steps + self.ago - 1})

    def readings(self, contract: Parsing) -> tuple[Reading, ...]:
        """The action, number by number."""
        signal = "last_action" if self.of == "raw" else "filtered_action"
        return tuple(Reading(signal, index) for index in range(contract.action_size))

    def converted(self, conversion: JointConversion) -> tuple[float, float]:
        """Raw actions keep their size and take the target's direction."""
        return conversion.sign, 0.0

    def still(self, contract: Parsing, joint: str, position: float) -> float:
        """The raw action that keeps the joint there."""
        return contract.holding_action(joint, position)

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Noise within the raw clip."""
        return np.clip(draws.noise(contract.action_size), *contract.raw_bounds)
