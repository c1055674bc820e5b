"""The shipped arm for runs on a virtual clock, whose bounds hold there as shipped."""

from __future__ import annotations

from typing import Any

from policy_port.robots.arm.emulated import PATIENCE
from policy_port.robots.arm.robot_file import RobotFile, load_robot_file


def unhurried(*, timing: dict[str, float] | None = None, **changes: Any) -> RobotFile:
    """The robot file with changes, patient only where time is real, and with a quick way to the start."""
    robot = load_robot_file("so100")
    bounds = robot.timing.model_copy(update=PATIENCE | (timing or {}))
    return robot.model_copy(update={"timing": bounds, "approach_speed": 1.1} | changes)
