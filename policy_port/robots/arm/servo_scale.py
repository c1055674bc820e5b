"""Radians and servo ticks: the one place where LeRobot's degrees and percent exist."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from policy_port.arrays import Array
from policy_port.robots.arm.robot_file import MOTORS, RobotFile

TURN = 4095
"""Ticks that LeRobot counts in 360 degrees; the servo has 4096, and LeRobot's numbers are what was calibrated."""


class Sweep(Protocol):
    """LeRobot's calibration of one motor, as far as its numbers depend on it."""

    range_min: int
    range_max: int
    drive_mode: int


@dataclass(frozen=True)
class ServoScale:
    """Ticks, LeRobot's number and the contract's angle of every motor, in the order of `MOTORS`; all are affine."""

    per_tick: Array
    """LeRobot's number per tick, shape (motors,)."""
    first: Array
    """LeRobot's number at tick 0, shape (motors,)."""
    slope: Array
    """LeRobot's number per radian, signed, shape (motors,)."""
    offset: Array
    """LeRobot's number at 0 rad, shape (motors,)."""
    lower: Array
    """Least tick that may be sent, shape (motors,)."""
    upper: Array
    """Greatest tick that may be sent, shape (motors,)."""

    def numbers(self, ticks: Array) -> Array:
        """LeRobot's numbers (degrees or percent) of readings; unlike LeRobot's own they are not cut at 0 and 100."""
        return self.per_tick * ticks + self.first

    def angles(self, ticks: Array) -> Array:
        """Angles of readings [rad]."""
        return (self.numbers(ticks) - self.offset) / self.slope

    def ticks(self, angles: Array) -> Array:
        """Exact ticks of angles [rad], not rounded and not limited."""
        return (self.slope * angles + self.offset - self.first) / self.per_tick

    def goals(self, angles: Array) -> Array:
        """Whole ticks to send for angles [rad]: the nearest, where LeRobot would cut off, and within the bounds."""
        return np.minimum(np.maximum(np.rint(self.ticks(angles)), self.lower), self.upper)

    @property
    def limits(self) -> tuple[Array, Array]:
        """Angles that can be sent, lower and upper [rad]: the robot file's, and within the calibrated sweep."""
        ends = self.angles(self.lower), self.angles(self.upper)
        return np.minimum(*ends), np.maximum(*ends)


def servo_scale(robot: RobotFile, calibration: Mapping[str, Sweep]) -> ServoScale:
    """The scale of an arm.

    Args:
        robot: Joint map and bounds.
        calibration: LeRobot's calibration by motor name.
    """
    rows = []
    for motor, name in zip(MOTORS, robot.joint_names, strict=True):
        per_tick, first = _lerobot(motor, calibration[motor], in_degrees=robot.use_degrees)
        conversion, bounds = robot.mapping.conversion(name), robot.joints[name]
        ends = sorted(
            (conversion.slope * angle + conversion.offset - first) / per_tick for angle in (bounds.lower, bounds.upper)
        )
        # A servo clamps at its sweep, silently: what is sent never relies on that.
        lower = max(math.ceil(ends[0] - 1e-6), calibration[motor].range_min)
        upper = min(math.floor(ends[1] + 1e-6), calibration[motor].range_max)
        rows.append((per_tick, first, conversion.slope, conversion.offset, lower, upper))
    return ServoScale(*(np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)))


def narrow_sweeps(robot: RobotFile, scale: ServoScale) -> list[str]:
    """Joints whose calibrated sweep does not reach as far as the robot file says, a sentence each."""
    found = []
    tick = np.abs(scale.per_tick / scale.slope)
    lower, upper = scale.limits
    for index, name in enumerate(robot.joint_names):
        bounds = robot.joints[name]
        if lower[index] > bounds.lower + 2 * tick[index] or upper[index] < bounds.upper - 2 * tick[index]:
            found.append(
                f"{name}: the calibrated sweep is {lower[index]:.3f} to {upper[index]:.3f} rad, the limits are "
                f"{bounds.lower:g} to {bounds.upper:g}: calibrate again, or narrow the limits. Where two motors' ids "
                "were exchanged, it is another joint's sweep: move this joint by hand and see with `policy-port robot "
                "check` which one changes"
            )
    return found


def _lerobot(motor: str, sweep: Sweep, *, in_degrees: bool) -> tuple[float, float]:
    """LeRobot's number per tick, and at tick 0."""
    width = sweep.range_max - sweep.range_min
    if motor != "gripper" and in_degrees:
        # drive_mode is without effect in degrees.
        return 360.0 / TURN, -(sweep.range_min + sweep.range_max) / 2.0 * 360.0 / TURN
    least, most = (0.0, 100.0) if motor == "gripper" else (-100.0, 100.0)
    if sweep.drive_mode:
        least, most = most, least
    per_tick = (most - least) / width
    return per_tick, least - per_tick * sweep.range_min
