"""The robot file: one arm on one desk, as data. Radians and seconds; LeRobot's numbers stand in the joint map only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from policy_port.contract import RobotMapping, load_mapping
from policy_port.contract.yaml_file import Strict, parse, read_yaml
from policy_port.errors import MissingDependencyError, RobotError, closest
from policy_port.plants.supervised import ArmLimits, JointLimits
from policy_port.resources import assets_dir
from policy_port.robot_models.find import MANISKILL_ROBOTS
from policy_port.robot_models.urdf import parse_xml
from policy_port.robots.emulator.tick_map import SUFFIX

MOTORS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
"""LeRobot's motors of an SO100 or SO101, in the order of their ids on the bus, 1 to 6."""

Vector = tuple[float, float, float]

MOST_WAIT = 3.0
"""Longest time for which an arm under torque may wait for a measurement, a picture or a network [s]."""


def _up_to(greatest: float, why: str, *, least: float = 0.0) -> AfterValidator:
    """A number above `least` and up to `greatest`; the message of a greater one says why."""

    def check(value: float) -> float:
        if not least < value <= greatest:
            raise ValueError(f"{value} is not above {least} and up to {greatest}: {why}")
        return value

    return AfterValidator(check)


Angle = Annotated[float, Field(ge=-2.0 * math.pi, le=2.0 * math.pi)]
"""[rad]; a servo's encoder knows one turn."""
Volt = Annotated[float, _up_to(14.0, "an STS3215 takes 4 to 14 V", least=3.9)]
"""Supply voltage [V]."""


class JointBounds(Strict):
    """What one joint may do, in the contract's sense of direction and zero."""

    lower: Angle
    """Least position that is ever sent [rad]."""
    upper: Angle
    """Greatest position that is ever sent [rad]."""
    speed: Annotated[float, _up_to(5.5, "an STS3215 without load turns at 52 rpm on 7.4 V, which is 5.4 rad/s")]
    """Greatest speed of the targets that are sent [rad/s]."""
    acceleration: Annotated[float, _up_to(200.0, "from standstill to an STS3215's full speed within a control step")]
    """Greatest acceleration of the targets that are sent [rad/s^2]."""
    tracking_error: Annotated[float, _up_to(1.0, "a joint that is blocked would press with all its torque unseen")]
    """How far the joint may stay behind its target before it counts as blocked [rad]."""
    rest: Angle
    """Position in the rest pose [rad]: where the arm lies without torque."""
    check: Angle
    """Position in the check pose [rad], whose mirror image and whose neighbours it is not."""

    @model_validator(mode="after")
    def _in_order(self) -> JointBounds:
        if not self.lower < self.upper:
            raise ValueError(f"lower {self.lower} is not below upper {self.upper}")
        if self.upper - self.lower > 2.0 * math.pi:
            raise ValueError(f"{self.lower} to {self.upper} is more than the one turn that a servo's encoder knows")
        for key in ("rest", "check"):
            if not self.lower <= getattr(self, key) <= self.upper:
                raise ValueError(f"{key} {getattr(self, key)} is not within {self.lower} to {self.upper}")
        return self


class CameraBounds(Strict):
    """A camera that has to deliver while the arm moves."""

    source: int | str
    """Index, device path or address, as OpenCV takes it."""
    width: Annotated[int, Field(ge=16, le=4096)]
    """Pixels."""
    height: Annotated[int, Field(ge=16, le=4096)]
    """Pixels."""
    fps: Annotated[float, _up_to(240.0, "more than a USB camera gives")]
    """Frames per second."""
    crop: tuple[int, int, int, int] | None = None
    """Rows and columns that are kept: top, left, height, width."""
    still: Annotated[float, _up_to(60.0, "a camera that hangs would show the policy the past")] = 1.0
    """How long its pictures may be equal to the last bit [s]; a sensor's noise changes every one."""

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of what is handed on."""
        return (self.height, self.width) if self.crop is None else self.crop[2:]


class Timing(Strict):
    """When something takes too long [s]."""

    control_frequency: Annotated[float, _up_to(200.0, "six servos on one line are read and written in each step")]
    """Most control steps per second [Hz]."""
    stale: Annotated[float, _up_to(MOST_WAIT, "the arm moves on while nobody measures it")]
    """Oldest measurement that a target may rest on."""
    stale_frame: Annotated[float, _up_to(MOST_WAIT, "the policy would act on what was, not on what is")]
    """Oldest picture that a target may rest on."""
    deadline: Annotated[float, _up_to(MOST_WAIT, "the arm moves on while nobody leads it")]
    """How late a target may be sent."""
    tracking: Annotated[float, _up_to(2.0, "a blocked servo overheats")]
    """How long a joint may stay behind its target by more than its tracking_error."""
    heartbeat: Annotated[float, _up_to(5.0, "the arm stays under torque so long after a crash")]
    """Without a sign of life for so long, the watchdog ends the program and switches torque off."""


class Link(Strict):
    """A link's place on its parent."""

    parent: str
    """Link that it is fixed to or turns on."""
    joint: str | None = None
    """Joint between the two; None where they are one piece."""
    xyz: Vector
    """Origin on the parent [m]."""
    rpy: Vector = (0.0, 0.0, 0.0)
    """Orientation on the parent: roll, pitch, yaw about the parent's axes [rad]."""
    axis: Vector = (0.0, 0.0, 1.0)
    """Axis of the joint in the link's frame."""


class Kinematics(Strict):
    """Where links are, from the robot description."""

    source: str
    """Where the numbers came from."""
    root: str
    """Link whose frame positions are given in."""
    links: dict[str, Link]
    """Links by name; a parent stands before its children."""

    @model_validator(mode="after")
    def _parents_come_first(self) -> Kinematics:
        known = {self.root}
        for name, link in self.links.items():
            if link.parent not in known:
                raise ValueError(f"link '{name}' stands on '{link.parent}', which is not above it")
            known.add(name)
        return self


class RobotFile(Strict):
    """One arm: how it is reached, what its joints are called, and what it may do."""

    robot_version: Literal[1]
    """Version of this format."""
    name: Literal["so100", "so101"]
    """Kind of arm."""
    port: str | None
    """Serial port; None where it is not decided."""
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=100)]
    """Name of the arm in LeRobot, under which the calibration is kept."""
    calibration_dir: Path | None = None
    """Folder of the calibration, relative to the robot file; LeRobot's own, if not given."""
    use_degrees: bool
    """LeRobot's option: body joints in degrees, or -100..100 of their sweep."""
    joint_map: str | RobotMapping
    """Mapping from the contract's joints to LeRobot's: a file beside this one, a shipped one by name, or inline."""
    joints: dict[str, JointBounds]
    """Bounds by the contract's joint name."""
    approach_speed: Annotated[float, _up_to(1.5, "nobody expects the ways that the policy does not choose")]
    """Speed of the ways that the policy does not choose [rad/s]."""
    rest_tolerance: Annotated[float, _up_to(0.5, "the arm falls so far when torque goes off")]
    """How far the arm may be from its rest pose when a run starts [rad]."""
    check_tolerance: Annotated[float, _up_to(0.35, "a joint with the wrong sign would pass for the right one")]
    """How far the arm may be from its check pose when the joint map is confirmed [rad]."""
    first_target: Annotated[float, _up_to(1.0, "the policy expects another pose")]
    """How far the policy's first target may be from where the arm is [rad]."""
    voltage: tuple[Volt, Volt]
    """Least and greatest supply voltage [V]."""
    max_temperature: Annotated[float, _up_to(70.0, "the servos' own protection acts there", least=30.0)]
    """Greatest temperature of a motor [C]."""
    timing: Timing
    """When something takes too long."""
    cameras: dict[str, CameraBounds] = {}
    """Cameras by name."""
    kinematics: Kinematics | None = None
    """Where links are; None where tasks that need it can't be judged."""
    description: Path | None = None
    """The arm's URDF or MJCF file, relative to the robot file, by which it is drawn; None where it ships by name."""

    @model_validator(mode="after")
    def _voltage_in_order(self) -> RobotFile:
        if not self.voltage[0] < self.voltage[1]:
            raise ValueError(f"voltage: the least, {self.voltage[0]}, is not below the greatest, {self.voltage[1]}")
        return self

    @property
    def mapping(self) -> RobotMapping:
        """The joint map."""
        assert isinstance(self.joint_map, RobotMapping)
        return self.joint_map

    @property
    def described(self) -> Path | str:
        """The robot description, by its file or its name.

        Raises:
            RobotError: When there is none.
        """
        if self.description is None and self.name not in MANISKILL_ROBOTS:
            raise RobotError(
                f"the robot description of an {self.name} ships with nothing here, and the arm can't be drawn "
                "and moves in no simulation without it. Write description: FILE into the robot file: a URDF or MJCF "
                "file with the joints "
                f"{', '.join(self.joint_names)}, and its meshes where that file has them"
            )
        return self.description or self.name

    @property
    def limits(self) -> ArmLimits:
        """What of it a simulation can keep."""
        bounds = {name: joint.model_dump(include=set(JointLimits.model_fields)) for name, joint in self.joints.items()}
        return ArmLimits.model_validate(
            {"arm": self.name, "joints": bounds, "tracking": self.timing.tracking, "first_target": self.first_target}
        )

    @property
    def joint_names(self) -> tuple[str, ...]:
        """The contract's name of each motor's joint, in the order of `MOTORS`."""
        joints = {target.removesuffix(SUFFIX): source for source, target in self.mapping.pairs}
        return tuple(joints[motor] for motor in MOTORS)

    def pose(self, key: Literal["rest", "check"]) -> tuple[float, ...]:
        """The rest or check pose [rad], in the order of `joint_names`."""
        return tuple(getattr(self.joints[name], key) for name in self.joint_names)


def load_robot_file(path: Path | str) -> RobotFile:
    """Read a robot file, or one that ships with the package by its name ("so100").

    Raises:
        RobotError: With file, line and key, when it is missing, malformed or contradicts itself.
        MappingError: When the joint map is.
    """
    file = find_robot_file(path)
    robot = parse(RobotFile, read_yaml(file, RobotError), RobotError)
    changes: dict[str, object] = {}
    if isinstance(robot.joint_map, str):
        beside = file.parent / robot.joint_map
        changes["joint_map"] = load_mapping(beside if beside.is_file() else robot.joint_map)
    if robot.calibration_dir is not None:
        changes["calibration_dir"] = (file.parent / robot.calibration_dir.expanduser()).resolve()
    if robot.description is not None:
        changes["description"] = described = (file.parent / robot.description.expanduser()).absolute()
        if not described.is_file():
            raise RobotError(f"{file}: description: {described} is no file; give the arm's URDF or MJCF file")
        _check_joints(described, robot.model_copy(update=changes).joint_names, file)
    robot = robot.model_copy(update=changes)
    _check(robot, file)
    return robot


def find_robot_file(path: Path | str) -> Path:
    """Path of a robot file given as a file or by the name of a shipped one.

    Raises:
        RobotError: When neither exists, naming the shipped ones.
    """
    given = Path(path)
    shipped = {file.stem: file for file in sorted((assets_dir() / "robots").glob("*.yaml"))}
    # A folder of an arm's description may well have the arm's name.
    if given.exists() and not (given.is_dir() and str(path) in shipped):
        return given
    if given.name.removesuffix(".yaml") in shipped and given.parent == Path("."):
        return shipped[given.name.removesuffix(".yaml")]
    raise RobotError(
        f"{path}: no such file, and no shipped robot file has that name{closest(given.stem, shipped) or '.'} "
        f"Shipped: {', '.join(shipped)}. Start from a copy: cp {shipped['so100']} my_arm.yaml"
    )


def _check_joints(described: Path, names: Sequence[str], file: Path) -> None:
    """Refuse the description of an arm with other joints."""
    root = parse_xml(described, "URDF or MJCF file")
    has = [joint.get("name", "") for joint in root.iter("joint") if joint.get("name")]
    lacks = [name for name in names if name not in has]
    if lacks and root.find(".//include") is not None:
        has = _compiled_joints(described)
        lacks = [name for name in names if name not in has]
    if lacks:
        raise RobotError(
            f"{file}: description: {described} has no joint '{lacks[0]}'{closest(lacks[0], has) or '.'} Its joints: "
            f"{', '.join(has) or 'none'}. Give the URDF or MJCF file of this arm, with the joints {', '.join(names)}"
        )


def _compiled_joints(described: Path) -> list[str]:
    """Joints of an MJCF and of what it includes.

    Raises:
        RobotError: When MuJoCo can't parse it, as where an included file is missing.
        MissingDependencyError: When MuJoCo is not installed.
    """
    try:
        from policy_port.plants.mujoco_file import parse_mjcf
    except ModuleNotFoundError as cause:
        raise MissingDependencyError(
            f"{described}: includes other files, which only MuJoCo puts together, and {cause.name} is not installed: "
            "pip install 'policy-port[sim]'"
        ) from None
    return [joint.name for joint in parse_mjcf(described).joints if joint.name]


def _check(robot: RobotFile, file: Path) -> None:
    mapping = robot.mapping
    motors = {target.removesuffix(SUFFIX): source for source, target in mapping.pairs}
    odd = sorted(set(motors) ^ set(MOTORS)) + sorted(mapping.only_in_source) + sorted(mapping.only_in_target)
    if odd:
        raise RobotError(
            f"{file}: joint_map: {odd[0]} is on one side only; LeRobot's are: "
            f"{', '.join(name + SUFFIX for name in MOTORS)}"
        )
    for name in motors.values():
        if name not in robot.joints:
            raise RobotError(f"{file}: joints has no '{name}', which the joint map names{closest(name, robot.joints)}")
    for name in robot.joints:
        if name not in motors.values():
            raise RobotError(f"{file}: joints.{name}: the joint map has no such joint{closest(name, motors.values())}")
    for motor, name in motors.items():
        conversion = mapping.conversion(name)
        wanted = "percent" if motor == "gripper" or not robot.use_degrees else "deg"
        if conversion.source_unit != "rad" or conversion.target_unit != wanted:
            raise RobotError(
                f"{file}: joint_map gives '{name}' in {conversion.source_unit} -> {conversion.target_unit}; with "
                f"use_degrees: {str(robot.use_degrees).lower()} LeRobot's {motor} is in {wanted}, and the contract's "
                "joints are in rad"
            )
    for link in robot.kinematics.links.values() if robot.kinematics else ():
        if link.joint is not None and link.joint not in robot.joints:
            raise RobotError(f"{file}: kinematics names joint '{link.joint}'{closest(link.joint, robot.joints)}")
