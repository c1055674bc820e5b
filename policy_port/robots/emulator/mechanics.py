"""What a servo drives: the meeting point of electronics and mechanics, and a simple mechanics of single joints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from policy_port.robots.emulator.registers import TICKS_PER_TURN

TIME_CONSTANT = 0.07
"""With which a joint follows its set point [s]: recordings of a real SO100 show 0.07 to 0.17."""
BACKLASH = 3.0
"""Play of the gears at the output shaft [ticks]: a quarter of a degree."""
LOAD_PER_TICK = 0.012
"""Share of the stall torque that the controller gives per tick of error, at `Drive.stiffness` 1."""
DROOP_RATE = 25.0
"""Speed at which a joint without torque falls [ticks/s] per tick that gravity bends it with torque."""
RADIANS_PER_TICK = math.tau / TICKS_PER_TURN


@dataclass
class Drive:
    """What a servo's electronics want of its joint at this moment."""

    set_point: float | None = None
    """Shaft position to go to [ticks], or None while no torque is applied."""
    stiffness: float = 1.0
    """Position gain, relative to the one that LeRobot sets."""
    integrates: bool = False
    """Whether the controller's integral term takes steady errors out."""
    dead_zone: float = 1.0
    """Errors that the controller tolerates [ticks]."""
    torque_limit: float = 1.0
    """Share of the stall torque that may be used."""
    top_speed: float = 3400.0
    """Speed of the unloaded motor [ticks/s]."""
    stuck: bool = False
    """The joint is blocked."""


@dataclass
class Shaft:
    """What becomes of it."""

    position: float = 0.0
    """Position of the output shaft as its sensor has it [ticks], counting on over turns; the sensor's zero is 0."""
    misread: float = 0.0
    """How far that is from where the shaft truly is [ticks]."""
    velocity: float = 0.0
    """[ticks/s]."""
    load: float = 0.0
    """Torque of the motor as a share of the stall torque, -1..1."""


class Mechanics(Protocol):
    """The arm that the servos move."""

    step_time: float
    """Time that one call of `step` covers [s]."""
    shafts: tuple[Shaft, ...]
    """The shafts in the servos' order, updated in place."""

    def step(self, drives: Sequence[Drive]) -> None:
        """Let `step_time` pass."""
        ...

    def push(self, index: int, ticks: float) -> None:
        """Displace a joint from outside."""
        ...

    def close(self) -> None:
        """Free what the mechanics hold."""
        ...


@dataclass(frozen=True, kw_only=True)
class JointMechanics:
    """One joint by itself: a pendulum that hangs on gears with play."""

    start: float
    """Shaft position at the start [ticks]."""
    lower: float = -math.inf
    """Mechanical stop [ticks]."""
    upper: float = math.inf
    """Mechanical stop [ticks]."""
    gravity: float = 0.0
    """How far gravity bends the joint when it is level, at `Drive.stiffness` 1 [ticks]."""
    hang: float = 0.0
    """Shaft position to which the joint falls [ticks]."""


class LaggingJoints:
    """Joints that follow their set points with first-order lag, each for itself.

    Gravity makes them sag under torque and droop without; gears have play; stops are hard.
    """

    step_time = 0.004

    def __init__(self, joints: Sequence[JointMechanics]) -> None:
        self._joints = tuple(joints)
        self.shafts = tuple(Shaft(position=joint.start) for joint in joints)
        self._motors = [joint.start for joint in joints]
        # Exact for a set point that stands still, so that the step time does not show.
        self._rate = (1.0 - math.exp(-self.step_time / TIME_CONSTANT)) / self.step_time

    def step(self, drives: Sequence[Drive]) -> None:
        """Let `step_time` pass."""
        for index, drive in enumerate(drives):
            self._move(index, drive)

    def push(self, index: int, ticks: float) -> None:
        """Displace a joint from outside, as far as its stops let it."""
        joint, shaft = self._joints[index], self.shafts[index]
        moved = min(max(shaft.position + ticks, joint.lower), joint.upper) - shaft.position
        shaft.position += moved
        self._motors[index] += moved

    def close(self) -> None:
        """Nothing is held."""

    def _move(self, index: int, drive: Drive) -> None:
        joint, shaft = self._joints[index], self.shafts[index]
        before = shaft.position
        # Positive where gravity pulls the joint towards larger positions.
        pull = joint.gravity * math.sin((joint.hang - before) * RADIANS_PER_TICK)
        weight = pull * LOAD_PER_TICK
        if drive.set_point is None or abs(weight) > drive.torque_limit:
            shaft.load = 0.0
            speed = DROOP_RATE * pull
        else:
            error = drive.set_point - before
            wanted = error * drive.stiffness * LOAD_PER_TICK
            shaft.load = min(max(wanted, -drive.torque_limit), drive.torque_limit)
            if not drive.integrates:
                error += pull / drive.stiffness
            top = drive.top_speed * min(1.0, drive.torque_limit)
            idle = abs(error) <= drive.dead_zone
            speed = 0.0 if idle else min(max(error * self._rate, -top), top)
        motor = self._motors[index] = self._motors[index] + (0.0 if drive.stuck else speed * self.step_time)
        after = min(max(before, motor - BACKLASH / 2), motor + BACKLASH / 2)
        stopped = min(max(after, joint.lower), joint.upper)
        if stopped != after:
            # A motor that pushes against a stop does not wind up the gears.
            self._motors[index] = stopped
        shaft.position = stopped
        shaft.velocity = (stopped - before) / self.step_time
