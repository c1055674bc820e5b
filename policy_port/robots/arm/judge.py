"""What a measurement says about whether an arm may go on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array, Integers
from policy_port.plants.behind import Behind, blocked
from policy_port.robots.arm.reading import SETTINGS, Reading
from policy_port.robots.arm.robot_file import MOTORS, RobotFile
from policy_port.robots.arm.stops import ArmStopError

PATIENCE = 3
"""Readings in a row: a goal gets lost now and then, and a starting motor pulls the supply down for a moment."""


def foreign(motor: str, register: str, now: str, before: str) -> ArmStopError:
    """Somebody else has written to a servo."""
    return ArmStopError(
        f"{register} of {motor} is {now}, it was {before} when the run began, and this program did not change it: "
        "another program writes to this port. End it",
        may_move=False,
    )


class Judge:
    """Looks at each measurement of an arm under torque."""

    def __init__(self, robot: RobotFile, joint_names: Sequence[str]) -> None:
        self._robot = robot
        self._names = tuple(joint_names)
        self._allowed = np.array([robot.joints[name].tracking_error for name in joint_names])
        self._goals: Array = np.zeros(len(self._names))
        self._had: Array = self._goals
        self._lost: Integers = np.zeros(len(self._names), dtype=np.int64)
        self._unpowered = 0
        self.leading = False
        """The arm is being led to rest: a motor that is too warm for more is still good for that."""
        self._behind = Behind(self._allowed, robot.timing.tracking)
        self._settings: Array | None = None

    def start(self, goals: Array, reading: Reading | None = None) -> None:
        """Torque is on, these are the goals [ticks], and the servos' settings are to stay as they were read."""
        self._settings = None if reading is None else reading.settings
        self._goals = self._had = goals
        self._lost[:] = 0
        self._behind.forget()

    def sent(self, goals: Array) -> None:
        """These goals [ticks] were sent."""
        self._goals = goals

    def look(self, reading: Reading, angles: Array, target: Array) -> NDArray[np.bool_]:
        """Judge a measurement.

        Args:
            reading: The servos.
            angles: Their joints' positions [rad].
            target: Targets that are in force [rad].

        Returns:
            The joints whose last target got lost on the way, shape (joints,).

        Raises:
            ArmStopError: When the arm must not go on.
        """
        off = [motor for motor, torque in zip(MOTORS, reading.torque, strict=True) if torque != 1]
        if off:
            what = "all servos: the supply has broken down" if len(off) == len(MOTORS) else ", ".join(off)
            raise ArmStopError(f"torque was found off on {what}", may_move=False)
        faults = reading.faults()
        if faults:
            strained = all(fault.endswith(": overload") for fault in faults)
            raise ArmStopError(f"servos report {'; '.join(faults)}", may_move=False, of_motion=strained)
        self._look_at_settings(reading)
        lost = self._look_at_goals(reading)
        self._look_at_power(reading)
        self._look_at_tracking(reading.time, angles, target)
        return lost

    def _look_at_settings(self, reading: Reading) -> None:
        if self._settings is None or (reading.settings == self._settings).all():
            return
        motor, which = np.argwhere(reading.settings != self._settings)[0]
        now, before = reading.settings[motor, which], self._settings[motor, which]
        raise foreign(MOTORS[int(motor)], list(SETTINGS)[int(which)], f"{now:.0f}", f"{before:.0f}")

    def _look_at_goals(self, reading: Reading) -> NDArray[np.bool_]:
        wrong = reading.goal != self._goals
        strange = wrong & (reading.goal != self._had)
        if strange.any():
            raise ArmStopError(
                f"{MOTORS[int(strange.argmax())]} has a goal that nobody sent: does another program use this port?",
                may_move=False,
            )
        self._had = reading.goal
        self._lost = np.where(wrong, self._lost + 1, 0)
        if self._lost.max() >= PATIENCE:
            raise ArmStopError(f"{MOTORS[int(self._lost.argmax())]} does not take its targets", may_move=False)
        return wrong

    def _look_at_power(self, reading: Reading) -> None:
        hot = int(reading.temperature.argmax())
        if reading.temperature[hot] > self._robot.max_temperature and not self.leading:
            raise ArmStopError(
                f"{MOTORS[hot]} is at {reading.temperature[hot]:.0f} C; the bound is {self._robot.max_temperature:g}",
                may_move=True,
            )
        low, high = self._robot.voltage
        outside = (reading.voltage < low) | (reading.voltage > high)
        self._unpowered = self._unpowered + 1 if outside.any() else 0
        if self._unpowered >= PATIENCE:
            worst = int(outside.argmax())
            raise ArmStopError(
                f"{MOTORS[worst]} has {reading.voltage[worst]:.1f} V; the bounds are {low:g} to {high:g}",
                may_move=False,
            )

    def _look_at_tracking(self, now: float, angles: Array, target: Array) -> None:
        (late,) = self._behind.look(now, angles, target)
        if late.any():
            worst = int(np.where(late, np.abs(target - angles), 0.0).argmax())
            said = blocked(self._names[worst], float(target[worst] - angles[worst]), float(self._allowed[worst]))
            raise ArmStopError(said, may_move=True, of_motion=True)
