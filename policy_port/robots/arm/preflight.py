"""What has to be right before anything moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from policy_port.contract import Contract, RobotMapping
from policy_port.contract.measurable import measured
from policy_port.errors import RobotError, TaskError, closest
from policy_port.robots.arm.confirmation import apart, unconfirmed
from policy_port.robots.arm.robot_file import MOTORS, RobotFile
from policy_port.robots.arm.servo_scale import narrow_sweeps
from policy_port.robots.arm.stops import LineError

if TYPE_CHECKING:
    # A simulation under an arm's limits holds contracts against its robot file where there is no LeRobot.
    from policy_port.robots.arm.lerobot_arm import LeRobotArm

ROUNDING = 1e-4
"""Contracts and robot files write limits with a few decimals [rad]."""


def check_contract(contract: Contract, robot: RobotFile, port_mapping: RobotMapping | None) -> None:
    """Hold a contract against a robot file, without an arm.

    Args:
        contract: What the policy assumes, in radians.
        robot: The arm.
        port_mapping: The mapping to LeRobot that the policy was ported with; None for a port in radians.

    Raises:
        TaskError: When the policy needs what an arm can't measure.
        RobotError: Listing all that does not fit.
    """
    for finding in measured(contract, ("encoders",), own=("computer", "task")):
        if finding.way is None:
            raise TaskError(
                f"observation term '{finding.term.label}' of contract '{contract.name}' can't be measured on "
                f"{robot.name}: {finding.reason}; it measures joint positions, and estimates velocities from them"
            )
    for term in contract.action.terms:
        if term.drive != "position" or term.adds_to == "motion":
            does = "adds to a reference motion" if term.adds_to == "motion" else f"drives by {term.drive}"
            raise TaskError(
                f"action term '{term.term}' of contract '{contract.name}' {does}, and the servos of {robot.name} take "
                "positions; such a policy is played in a simulator"
            )
    check_joints(contract, robot, port_mapping)


def check_joints(contract: Contract, robot: RobotFile, port_mapping: RobotMapping | None) -> None:
    """Hold the joints of a contract against those of a robot file; see `check_contract`.

    Raises:
        RobotError: Listing all that does not fit.
    """
    problems = []
    motors = dict(robot.mapping.pairs).values()
    if set(contract.joints) <= set(motors):
        units = ", ".join(dict.fromkeys(joint.unit for joint in contract.joints.values()))
        raise RobotError(
            f"the arm was not moved: contract '{contract.name}' is in LeRobot's numbers ({units}, joints "
            f"{', '.join(contract.joints)}), the arm is driven in rad. Add --through and the mapping between the two: "
            "what the robot file names as joint_map, such as --through so100_maniskill_to_lerobot"
        )
    if 1.0 / contract.control_dt > robot.timing.control_frequency * (1.0 + 1e-6):
        problems.append(
            f"the policy runs at {1.0 / contract.control_dt:g} Hz, timing.control_frequency is "
            f"{robot.timing.control_frequency:g}"
        )
    if inner := contract.action.inner:
        problems.append(
            f"contract '{contract.name}' states {', '.join(f'action.{key}' for key in inner)}, and an arm is told its "
            "targets once in each control step"
        )
    for name, joint in contract.joints.items():
        bounds = robot.joints.get(name)
        if bounds is None:
            problems.append(
                f"contract '{contract.name}' names joint '{name}'{closest(name, robot.joints)}; the arm's are "
                f"{', '.join(robot.joints)}. A port in LeRobot's degrees needs --through and its mapping"
            )
            continue
        if joint.unit != "rad":
            problems.append(
                f"'{name}' is in {joint.unit} in contract '{contract.name}'; the arm is driven in rad. Name the "
                f"joints as LeRobot does ({', '.join(motors)}), export again, and add --through and the mapping"
            )
            continue
        lower, upper = joint.lower, joint.upper
        if lower is None or upper is None:
            problems.append(f"contract '{contract.name}' states no limits for '{name}': add lower and upper")
        elif lower < bounds.lower - ROUNDING or upper > bounds.upper + ROUNDING:
            problems.append(
                f"'{name}' goes from {lower:g} to {upper:g} rad in contract '{contract.name}', but only from "
                f"{bounds.lower:g} to {bounds.upper:g} in the robot file"
            )
        if not bounds.lower - ROUNDING <= joint.default <= bounds.upper + ROUNDING:
            problems.append(f"the default pose of '{name}', {joint.default:g} rad, is outside the robot file's limits")
    if port_mapping is not None:
        problems += _other_map(port_mapping, robot)
    refuse(problems)


def check_arm(arm: LeRobotArm) -> None:
    """Hold an open arm without torque against its robot file.

    Raises:
        RobotError: Listing all that is not right.
    """
    robot = arm.robot
    # A servo in distress does not tell its calibration.
    refuse(_distress(arm))
    try:
        held = arm.line.calibration()
    except LineError:
        # It may have come into distress since; then that is what there is to say.
        arm.reading = arm.line.read()
        refuse(_distress(arm))
        raise
    refuse(
        [
            f"{motor}: {key} is {there} in the servo and {here} in {arm.calibration_file}: the calibration is another "
            "arm's, or an old one; calibrate with lerobot-calibrate"
            for motor, key, here, there in differences(arm.calibration, held)
        ]
    )
    problems = narrow_sweeps(robot, arm.scale)
    note = unconfirmed(robot, arm.calibration, arm.calibration_file)
    if note is not None:
        problems.append(note)
    lost = apart(robot, arm.angles, robot.pose("rest"), robot.rest_tolerance)
    if lost:
        problems += ["the arm is not in its rest pose; it has no torque, so put it there by hand:", *lost]
    refuse(problems)


def differences(file: Mapping[str, Any], servos: Mapping[str, Any]) -> list[tuple[str, str, int, int]]:
    """Motor, key, and the two numbers, wherever a calibration file and what the servos hold are not the same."""
    keys = ("homing_offset", "range_min", "range_max")
    pairs = [(motor, key, getattr(file[motor], key), getattr(servos[motor], key)) for motor in MOTORS for key in keys]
    return [pair for pair in pairs if pair[2] != pair[3]]


def _distress(arm: LeRobotArm) -> list[str]:
    """What the last measurement says against moving, by servo."""
    robot, reading = arm.robot, arm.reading
    assert reading is not None
    problems = reading.faults()
    low, high = robot.voltage
    for motor, volts, heat, torque in zip(MOTORS, reading.voltage, reading.temperature, reading.torque, strict=True):
        if not low <= volts <= high:
            problems.append(f"{motor} has {volts:.1f} V; the bounds are {low:g} to {high:g}")
        if not 0 < heat <= robot.max_temperature:
            problems.append(f"{motor} is at {heat:.0f} C; the bound is {robot.max_temperature:g}")
        if torque:
            problems.append(
                f"{motor} has torque already: another program drives the arm, or has left it. End it, hold the arm, "
                "and run `policy-port robot release --robot FILE`"
            )
    return problems


def _other_map(mapping: RobotMapping, robot: RobotFile) -> list[str]:
    found = []
    ours = dict(robot.mapping.pairs)
    for source, target in mapping.pairs:
        one, other = mapping.conversion(source), robot.mapping.conversion(source) if source in ours else None
        if other is None or target != ours[source]:
            found.append(f"the port's mapping leads '{source}' to '{target}', the robot file to {ours.get(source)}")
        elif abs(one.slope - other.slope) > 1e-9 * abs(one.slope) or abs(one.offset - other.offset) > 1e-9:
            found.append(
                f"'{source}': the port was made with slope {one.slope:g} and offset {one.offset:g}, the robot file's "
                f"joint map has {other.slope:g} and {other.offset:g}"
            )
    return found


def refuse(problems: list[str]) -> None:
    """Raise RobotError with all `problems`, where there are any."""
    if problems:
        raise RobotError("the arm was not moved:\n  " + "\n  ".join(problems))
