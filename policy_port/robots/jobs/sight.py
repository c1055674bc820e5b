"""The robot file's cameras as a contract's policy looks through them, without a simulator that knows better."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from policy_port.contract import Contract
from policy_port.errors import closest
from policy_port.robots.arm.cameras import ArmCameras
from policy_port.robots.arm.preflight import refuse
from policy_port.robots.arm.robot_file import RobotFile
from policy_port.robots.jobs.pictures import enlarged, write_views

BAND = 24
"""Rows of the band that a camera's name stands in."""
GAP = 4
"""Columns between two pictures."""


def check_sight(contract: Contract, robot: RobotFile) -> None:
    """Hold the images of a contract against the cameras of a robot file.

    Raises:
        RobotError: Listing the cameras that are missing, or deliver another picture than the contract says.
    """
    problems = []
    for image in contract.images:
        cameras = image.cameras or (image.name,)
        channels = image.channels // len(cameras)
        for name in cameras:
            if name not in robot.cameras:
                problems.append(
                    f"contract '{contract.name}' looks through camera '{name}', the robot file has "
                    f"{', '.join(robot.cameras) or 'none'}{closest(name, robot.cameras) or '.'} Under cameras, give "
                    "this name to the one that stands where the one of the training stood"
                )
                continue
            if channels != 3:
                problems.append(f"camera '{name}': the contract reads {channels} channels of it; it gives 3, as RGB")
            has, (rows, columns) = robot.cameras[name].size, image.frame_size
            if has != (rows, columns):
                problems.append(
                    f"camera '{name}': its picture is {has[1]}x{has[0]} in the robot file, the contract says "
                    f"{columns}x{rows} (width x height). Set its width and height, or crop it, in the robot file; or "
                    f"let the contract resize it: camera_size: [{has[0]}, {has[1]}], resize: area. Nothing is resized "
                    "silently"
                )
    refuse(problems)


def show_views(names: tuple[str, ...], cameras: ArmCameras, folder: Path) -> str:
    """Write one picture of what cameras see, each under its name.

    No number tells a camera that stands elsewhere, is turned over, was exchanged with another or has red and blue
    exchanged; an eye does.

    Returns:
        What to tell the person in front of the arm; "" where there is no camera.
    """
    if not names:
        return ""
    pictures = [_named(name, cameras.frame(name)) for name in names]
    file = write_views(folder, pictures, axis=1)
    return (
        f"{file} shows what the policy sees through {', '.join(names)}. Where a picture is not as in the training "
        "(another camera, another place, turned over, red and blue exchanged), end here. "
    )


def _named(name: str, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    frame = enlarged(frame)
    band = np.zeros((BAND, frame.shape[1], 3), np.uint8)
    cv2.putText(band, name, (4, BAND - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return np.pad(np.concatenate([band, frame]), ((0, 0), (0, GAP), (0, 0)))
