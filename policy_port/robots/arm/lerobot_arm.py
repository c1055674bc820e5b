"""An SO100 or SO101 under LeRobot: radians outside, LeRobot's numbers nowhere but in its scale.

The bare arm is measured; only `Supervisor` sends it anything, and only `policy_port.robots.arm.session` makes one.
"""

from __future__ import annotations

import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.arrays import Array
from policy_port.control.plant import PlantState
from policy_port.errors import EmulatorError, MissingDependencyError, RobotError
from policy_port.robots.arm.kinematics import LinkPositions
from policy_port.robots.arm.reading import Reading
from policy_port.robots.arm.robot_file import MOTORS, RobotFile
from policy_port.robots.arm.servo_scale import servo_scale
from policy_port.robots.arm.stops import LineError
from policy_port.robots.emulator.calibration import read_calibration
from policy_port.robots.emulator.clock import REAL, Clock

try:
    from lerobot.robots.so_follower import SOFollower, SOFollowerRobotConfig
    from lerobot.utils.constants import HF_LEROBOT_CALIBRATION, ROBOTS

    from policy_port.robots.arm.servo_line import ServoLine
except ModuleNotFoundError as _cause:
    if (_cause.name or "").startswith("policy_port"):
        raise
    raise MissingDependencyError(
        f"the real arm needs the Python package {_cause.name}, which is not installed: pip install 'policy-port[real]'"
    ) from None

AT_LEISURE = 6
"""How often an arm that nothing drives is asked for a reading: a machine that is busy is late."""
JUMP = math.radians(5.0)
"""Beyond what a joint can turn between two readings: such a reading is confirmed by another one [rad]."""
CONFIRMATIONS = 2
"""Most readings that confirm an odd one."""
TOP_SPEED = 5.5
"""Of a servo without load [rad/s]."""


class LeRobotArm:
    """The arm of a robot file."""

    def __init__(self, robot: RobotFile, control_dt: float, clock: Clock = REAL) -> None:
        """Find the calibration; the port is opened by `open`.

        Args:
            robot: The arm.
            control_dt: Control period [s]; on an arm it is the time step as well.
            clock: The time by which it is driven and read.

        Raises:
            RobotError: When no port is named, or the calibration is missing or can't be read.
        """
        port = port_of(robot)
        self.robot, self.clock = robot, clock
        self.name = f"{robot.name} under lerobot {version('lerobot')}"
        """Robot, driver and version."""
        self._follower = _follower(robot, port)
        self.calibration: dict[str, Any] = dict(self._follower.calibration)
        """LeRobot's calibration by motor."""
        self.calibration_file: Path = self._follower.calibration_fpath
        """Where it was read from."""
        self.scale = servo_scale(robot, self.calibration)
        """Ticks and radians."""
        self.line = ServoLine(self._follower, clock)
        """The servos."""
        self.reading: Reading | None = None
        """The last measurement."""
        self.joint_names = robot.joint_names
        self.timestep = control_dt
        self._velocity: Array = np.zeros(len(MOTORS))
        self._links = None if robot.kinematics is None else LinkPositions(robot.kinematics)

    @property
    def angles(self) -> Array:
        """Joint positions of the last measurement [rad], shape (joints,)."""
        assert self.reading is not None
        return self.scale.angles(self.reading.ticks)

    def open(self) -> None:
        """Open the port, find all servos and measure.

        Raises:
            RobotError: When the arm can't be reached.
        """
        self.line.open()
        self.look()

    def look(self) -> Reading:
        """Measure an arm that nothing drives: what is silent is asked more often.

        Raises:
            LineError: When servos can't be reached.
        """
        self.reading = self.line.read(AT_LEISURE)
        return self.reading

    def measure(self) -> Reading:
        """Measure; what no arm can do is believed when two readings in a row say so.

        Raises:
            LineError: When servos can't be reached or readings contradict each other.
        """
        before, reading = self.reading, self.line.read()
        if before is not None and self._is_odd(before, reading):
            for _ in range(CONFIRMATIONS):
                doubted, reading = reading, self.line.read()
                if self._agree(doubted, reading):
                    break
            else:
                raise LineError("readings contradict each other: the line or a sensor is broken")
        if before is not None and reading.time > before.time:
            moved = self.scale.angles(reading.ticks) - self.scale.angles(before.ticks)
            self._velocity = moved / (reading.time - before.time)
        self.reading = reading
        return reading

    def read(self, state: PlantState) -> None:
        """Measure into `state`; velocities are estimated from the last two positions."""
        self.measure()
        state.joint_pos[0] = self.angles
        state.joint_vel[0] = self._velocity

    def link_position(self, link: str) -> Array:
        """Position of a link [m], shape (1, 3), by forward kinematics of the measured joints."""
        if self._links is None:
            raise RobotError(f"the robot file of '{self.robot.name}' has no kinematics, so no link can be found")
        return self._links.position(link, dict(zip(self.joint_names, self.angles.tolist(), strict=True)))[None]

    def close(self) -> None:
        """Close the port, whatever the servos do."""
        self.line.close()

    def _is_odd(self, before: Reading, reading: Reading) -> bool:
        return bool(
            self._jumps(before, reading)
            or (reading.torque != before.torque).any()
            or (self.line.goals is not None and (reading.goal != self.line.goals).any())
            or (reading.status != before.status).any()
            or (reading.settings != before.settings).any()
            or np.abs(reading.temperature - before.temperature).max() > 5.0
        )

    def _agree(self, one: Reading, other: Reading) -> bool:
        same = all((getattr(one, key) == getattr(other, key)).all() for key in ("torque", "goal", "status", "settings"))
        return same and not self._jumps(one, other)

    def _jumps(self, one: Reading, other: Reading) -> bool:
        moved = np.abs(self.scale.angles(one.ticks) - self.scale.angles(other.ticks)).max()
        return bool(moved > JUMP + TOP_SPEED * abs(other.time - one.time))


def port_of(robot: RobotFile) -> str:
    """Path of the serial port.

    Raises:
        RobotError: When the robot file names none.
    """
    if robot.port is None:
        raise RobotError(
            "the robot file names no port; copy it and set `port:` to what lerobot-find-port says, or rehearse with "
            "--emulated"
        )
    return robot.port


def _follower(robot: RobotFile, port: str) -> SOFollower:
    """LeRobot's arm, whose constructor reads the calibration file.

    Raises:
        RobotError: When that is no calibration of this arm, naming the motor and what is wrong with it.
    """
    folder = robot.calibration_dir or HF_LEROBOT_CALIBRATION / ROBOTS / SOFollower.name
    file = folder / f"{robot.id}.json"
    # First with a reader that takes a number for nothing but a number, and says which one is none.
    _check_calibration(file)
    config = SOFollowerRobotConfig(
        port=port, id=robot.id, calibration_dir=robot.calibration_dir, use_degrees=robot.use_degrees
    )
    try:
        return SOFollower(config)
    except Exception as cause:
        # LeRobot hands on whatever its own reader stumbles over.
        said = " ".join(str(cause).split()) or type(cause).__name__
        raise RobotError(_no_calibration(file, f"LeRobot can't read it ({said[:200]})")) from None


def _check_calibration(file: Path) -> None:
    if not file.is_file():
        raise RobotError(_no_calibration(file, "there is no such file"))
    try:
        held = read_calibration(file)
    except EmulatorError as cause:
        raise RobotError(_no_calibration(file, str(cause).removeprefix(f"{file}: "))) from None
    problems = [f"it has no {motor}" for motor in MOTORS if motor not in held]
    problems += [f"it has '{name}', which is no motor of this arm" for name in held if name not in MOTORS]
    for number, motor in enumerate(MOTORS, 1):
        servo = held.get(motor)
        if servo is not None and (servo.id != number or servo.drive_mode not in (0, 1)):
            problems.append(
                f"{motor} has id {servo.id} and drive_mode {servo.drive_mode}; with LeRobot it has id {number}, and "
                "drive_mode 0 or 1"
            )
    if problems:
        raise RobotError(_no_calibration(file, "; ".join(problems)))


def _no_calibration(file: Path, problem: str) -> str:
    older = file.parent.parent / "so100_follower" / file.name
    hint = f" LeRobot before 0.5 kept it in {older}: copy it." if older.is_file() and not file.is_file() else ""
    return (
        f"{file}: holds no calibration of all six motors as LeRobot 0.4 and later write it: {problem}.{hint} Calibrate "
        f"the arm: lerobot-calibrate --robot.type=so100_follower --robot.port=PORT --robot.id={file.stem}"
    )
