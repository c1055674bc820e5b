"""Observation terms with a number per joint, which a remap follows by name."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

import numpy as np

from policy_port.arrays import Array
from policy_port.contract.draws import Draws
from policy_port.contract.joints import SPEED, Joint, JointConversion
from policy_port.contract.parsing import Parsing
from policy_port.contract.term import Bounds, Reading, Term


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
    scale: float | dict[str, float] = 1.0
    """Factor, one for all or one per joint name."""
    clip: Bounds | dict[str, Bounds] | None = None
    """Bounds of the raw action, applied before scale, one for all or one per joint name."""

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
