"""Servo ticks and joint angles of the robot description, related by two pieces of data: calibration and mapping."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from policy_port.contract.mapping import RobotMapping, load_mapping
from policy_port.errors import EmulatorError, closest
from policy_port.robots.emulator.calibration import Calibration, ServoCalibration

DEFAULT_MAPPING = "so100_maniskill_to_lerobot"
SUFFIX = ".pos"
"""LeRobot's ending of the names of joint positions."""


@dataclass(frozen=True)
class TickScale:
    """angle [rad] = slope * ticks + zero, ticks being those that the servo reads."""

    joint: str
    """Name of the joint in the robot description."""
    slope: float
    zero: float

    def angle(self, ticks: float) -> float:
        """Angle of the robot description's joint [rad]."""
        return self.slope * ticks + self.zero

    def ticks(self, angle: float) -> float:
        """What the servo reads at an angle [rad]."""
        return (angle - self.zero) / self.slope


def tick_scales(calibration: Calibration, mapping: RobotMapping | Path | str = DEFAULT_MAPPING) -> dict[str, TickScale]:
    """Scale of each servo, by its name.

    Args:
        calibration: The calibration that LeRobot's numbers refer to.
        mapping: From the robot description's joints to LeRobot's, in degrees or percent.

    Raises:
        MappingError: When the mapping can't be read.
        EmulatorError: When it lacks a servo or gives it in a unit that LeRobot does not have.
    """
    mapping = mapping if isinstance(mapping, RobotMapping) else load_mapping(mapping)
    joints = {target.removesuffix(SUFFIX): source for source, target in mapping.pairs}
    scales = {}
    for name, servo in calibration.items():
        if name not in joints:
            raise EmulatorError(
                f"the mapping does not say where servo '{name}' is{closest(name, joints) or '.'} "
                f"Its servos are: {', '.join(joints)}"
            )
        conversion = mapping.conversion(joints[name])
        if conversion.target_unit not in ("deg", "percent"):
            raise EmulatorError(
                f"the mapping gives servo '{name}' in {conversion.target_unit}; LeRobot has deg and percent"
            )
        per_tick, first = _lerobot_numbers(servo, in_degrees=conversion.target_unit == "deg")
        scales[name] = TickScale(
            joints[name], per_tick / conversion.slope, (first - conversion.offset) / conversion.slope
        )
    return scales


def _lerobot_numbers(servo: ServoCalibration, *, in_degrees: bool) -> tuple[float, float]:
    """Slope and value at tick 0 of what LeRobot makes of a reading."""
    if in_degrees:
        # LeRobot's turn has 4095 ticks, its zero is the middle of the sweep, and drive_mode is without effect.
        per_tick = 360.0 / 4095.0
        return per_tick, -per_tick * (servo.range_min + servo.range_max) / 2.0
    per_tick = 100.0 / (servo.range_max - servo.range_min)
    first = -per_tick * servo.range_min
    return (-per_tick, 100.0 - first) if servo.drive_mode else (per_tick, first)
