"""An arm without torque and one of its cameras: frames, and where the joints were meanwhile."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np

from policy_port.camera.stills import Frame
from policy_port.errors import RobotError, closest
from policy_port.robots.arm.cameras import ArmCameras
from policy_port.robots.arm.robot_file import CameraBounds, RobotFile
from policy_port.robots.arm.session import without_torque

PATIENCE = 3.0
"""How long a frame may take [s]."""
MOVED = 0.01
"""By how much joints may move while frames are taken [rad]."""


@dataclass(frozen=True)
class ArmSeen:
    """What a camera showed of an arm that stood still."""

    frames: tuple[Frame, ...]
    """Whole frames, whatever the robot file crops."""
    joint_pos: dict[str, float]
    """Measured, by name [rad]."""
    taken: float
    """When the last was taken from the camera [s], on the frames' clock."""


def camera_of(robot: RobotFile, camera: str) -> CameraBounds:
    """A camera of a robot file, uncropped.

    Raises:
        RobotError: When it has none of this name.
    """
    if camera not in robot.cameras:
        raise RobotError(
            f"the robot file has no camera '{camera}'{closest(camera, robot.cameras)}; it has "
            f"{', '.join(robot.cameras) or 'none'}. Write into it: cameras: {{{camera}: {{source: 0, width: 640, "
            "height: 480, fps: 30}}"
        )
    return robot.cameras[camera].model_copy(update={"crop": None})


def look_at_arm(robot: RobotFile, camera: str, count: int) -> ArmSeen:
    """Take frames of an arm; torque stays off.

    Raises:
        RobotError: When arm or camera can't be reached, or the arm moves.
    """
    whole = camera_of(robot, camera)
    with (
        without_torque(robot) as arm,
        contextlib.closing(ArmCameras(robot.model_copy(update={"cameras": {camera: whole}}))) as cameras,
    ):
        cameras.open()
        frames, taken = cameras.take(camera, count, PATIENCE)
        before = np.array(arm.angles)
        arm.look()
        after = np.array(arm.angles)
    if np.abs(after - before).max() > MOVED:
        raise RobotError("the arm moved while its picture was taken: lay it down, or hold it still")
    return ArmSeen(tuple(frames), dict(zip(robot.joint_names, after.tolist(), strict=True)), taken)
