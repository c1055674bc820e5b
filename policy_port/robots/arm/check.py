"""What an arm without torque shows of itself, joint by joint."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from policy_port.arrays import Array
from policy_port.robots.arm.lerobot_arm import LeRobotArm
from policy_port.robots.arm.robot_file import MOTORS, RobotFile

HEADER: tuple[str, ...] = ("joint", "motor", "ticks", "LeRobot", "rad", "deg", "lower", "upper", "rest", "check")


def joint_table(arm: LeRobotArm) -> str:
    """A row per joint: raw ticks, LeRobot's number, the contract's angle, limits, and the two named poses."""
    assert arm.reading is not None
    ticks = arm.reading.ticks
    units = ["%" if motor == "gripper" or not arm.robot.use_degrees else "deg" for motor in MOTORS]
    rows = [HEADER]
    for index, (name, motor) in enumerate(zip(arm.joint_names, MOTORS, strict=True)):
        bounds, angle = arm.robot.joints[name], arm.angles[index]
        rows.append(
            (
                name,
                motor,
                f"{ticks[index]:.0f}",
                f"{arm.scale.numbers(ticks)[index]:.1f} {units[index]}",
                f"{angle:.3f}",
                f"{np.degrees(angle):.1f}",
                *(f"{value:g}" for value in (bounds.lower, bounds.upper, bounds.rest, bounds.check)),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = []
    for row in rows:
        names = [text.ljust(width) for text, width in zip(row[:2], widths[:2], strict=True)]
        lines.append("  ".join([*names, *(text.rjust(width) for text, width in zip(row[2:], widths[2:], strict=True))]))
    return "\n".join(lines)


def servo_lines(arm: LeRobotArm) -> list[str]:
    """Torque, voltage, temperature, and what the servos report."""
    reading = arm.reading
    assert reading is not None
    on = [motor for motor, torque in zip(MOTORS, reading.torque, strict=True) if torque]
    volts, heat = reading.voltage, reading.temperature
    return [
        f"torque: {'on: ' + ', '.join(on) if on else 'off on all servos'}",
        f"voltage: {volts.min():.1f} to {volts.max():.1f} V; temperature: {heat.min():.0f} to {heat.max():.0f} C",
        *(f"fault: {fault}" for fault in reading.faults()),
    ]


def draw_poses(robot: RobotFile, poses: dict[str, Array], path: Path) -> str | None:
    """Draw the robot description in poses, side by side.

    Args:
        robot: The arm.
        poses: Angles [rad] in the order of the robot file's `joint_names`, by title.
        path: PNG to write.

    Returns:
        Why there is no picture, or None.
    """
    from policy_port.errors import PolicyPortError
    from policy_port.plants.registry import make_plant
    from policy_port.replay.pose_picture import write_pictures
    from policy_port.robots.emulator.simulated import so100_setup

    try:
        plant = make_plant("mujoco", robot.described, so100_setup(dict.fromkeys(robot.joint_names, 0.0)))
    except PolicyPortError as cause:
        return str(cause)
    try:
        order = [robot.joint_names.index(name) for name in plant.joint_names]
        images = {}
        for title, angles in poses.items():
            plant.reset(np.asarray(angles)[order][None])
            images[title] = plant.render(480, 480)
    except Exception as cause:
        return f"the arm can't be drawn here: {cause}"
    finally:
        plant.close()
    write_pictures(images, path)
    return None
