"""Proof that somebody has looked: the joint map and calibration of this arm were held against its true pose.

Reading and writing an arm through a wrong sign or zero is consistent in itself; only a person, who sees where the arm
is, can tell. `policy-port robot check --confirm` compares the arm in its check pose and leaves a note beside the
calibration; a run asks for the note.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from policy_port.arrays import Array
from policy_port.errors import RobotError
from policy_port.files import write_atomic
from policy_port.robots.arm.robot_file import MOTORS, RobotFile
from policy_port.robots.arm.servo_scale import narrow_sweeps, servo_scale


def fingerprint(robot: RobotFile, calibration: Mapping[str, Any]) -> str:
    """SHA-256 of all that lies between ticks and radians."""
    ranges = {motor: vars(calibration[motor]) for motor in MOTORS}
    conversions = {source: robot.mapping.conversion(source).model_dump() for source, _ in robot.mapping.pairs}
    document = {"map": robot.mapping.pairs, "conversions": conversions, "degrees": robot.use_degrees, "sweeps": ranges}
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def note_of(calibration_file: Path) -> Path:
    """Where the note lies."""
    return calibration_file.with_suffix(".checked")


def confirm(robot: RobotFile, calibration: Mapping[str, Any], calibration_file: Path, angles: Array) -> None:
    """Compare an arm in its check pose, and leave the note.

    Args:
        robot: The arm.
        calibration: LeRobot's calibration by motor.
        calibration_file: Beside which the note goes.
        angles: Where the arm is, as it is read [rad].

    Raises:
        RobotError: Naming every joint that is elsewhere, and what may be wrong.
    """
    # A joint that answers under another's id may stand in the same place; it was swept differently.
    problems = narrow_sweeps(robot, servo_scale(robot, calibration))
    problems += apart(robot, angles, robot.pose("check"), robot.check_tolerance)
    if problems:
        raise RobotError("signs and zeros were not confirmed in the check pose:\n  " + "\n  ".join(problems))
    write_atomic(note_of(calibration_file), fingerprint(robot, calibration) + "\n")


def unconfirmed(robot: RobotFile, calibration: Mapping[str, Any], calibration_file: Path) -> str | None:
    """Why a run must not start; None when the note is there and says what it should."""
    note = note_of(calibration_file)
    mend = "put the arm into its check pose and run `policy-port robot check --robot FILE --confirm`"
    if not note.is_file():
        return f"{note}: nobody has confirmed signs and zeros of this arm yet: {mend}"
    if note.read_text(encoding="utf-8", errors="replace").strip() != fingerprint(robot, calibration):
        return f"{note}: joint map or calibration were changed since they were confirmed: {mend}"
    return None


def apart(robot: RobotFile, angles: Array, pose: tuple[float, ...], tolerance: float) -> list[str]:
    """Joints that are not where a pose has them, a sentence each.

    Args:
        robot: The arm.
        angles: Where they are read [rad].
        pose: Where they should be [rad].
        tolerance: How far they may be from there [rad].
    """
    found = []
    for name, angle, wanted in zip(robot.joint_names, angles.tolist(), pose, strict=True):
        if abs(angle - wanted) > tolerance:
            if abs(angle + wanted) <= tolerance:
                hint = "its mirror image: is its sign in the joint map right?"
            else:
                hint = f"{angle - wanted:+.2f} rad off: put it there by hand, or mend zero or unit in the joint map"
            found.append(f"{name} is read at {angle:.2f} rad instead of {wanted:.2f}; {hint}")
    return found
