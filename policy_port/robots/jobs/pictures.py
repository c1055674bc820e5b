"""Pictures of an arm's cameras in the size that a task observes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from policy_port.errors import RobotError, closest
from policy_port.files import write_atomic
from policy_port.robots.arm.robot_file import RobotFile

VIEWS = "views.png"
"""Picture of what the cameras see."""
VISIBLE = 256
"""Rows that a picture for a person has at least, about."""
SQUEEZE = 0.01
"""How far the proportions of a picture may be off; a squeezed cube is another cube."""


def beside(path: Path, sides: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> None:
    """Write pairs of pictures as a PNG file, one pair below the other; each is RGB, shape (height, width, 3)."""
    rows = [enlarged(np.concatenate(pair, axis=1)) for pair in sides]
    width = max(row.shape[1] for row in rows)
    filled = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
    done, png = cv2.imencode(".png", cv2.cvtColor(np.concatenate(filled), cv2.COLOR_RGB2BGR))
    assert done
    write_atomic(path, png.tobytes())


def enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture that a person can see, each pixel a square."""
    times = max(1, VISIBLE // picture.shape[0])
    return picture.repeat(times, axis=0).repeat(times, axis=1)


class Pictures:
    """Scales pictures down to the task's size, each pixel the mean of what it covers."""

    def __init__(self, wanted: Mapping[str, tuple[int, int]], robot: RobotFile) -> None:
        """Hold the task's cameras against the robot file's.

        Args:
            wanted: Height and width of the pictures by the task's name of the camera.
            robot: The arm.

        Raises:
            RobotError: When a camera is missing or its picture has other proportions.
        """
        self._wanted = dict(wanted)
        for name, (height, width) in wanted.items():
            if name not in robot.cameras:
                raise RobotError(
                    f"the task looks through a camera '{name}', which the robot file does not have"
                    f"{closest(name, robot.cameras)}; it has {', '.join(robot.cameras) or 'none'}. Give this name to "
                    "the camera that stands where the task's does"
                )
            bounds = robot.cameras[name]
            has = (bounds.height, bounds.width) if bounds.crop is None else bounds.crop[2:]
            if abs(has[0] * width / (has[1] * height) - 1.0) > SQUEEZE:
                raise RobotError(
                    f"camera '{name}': its picture is {has[1]}x{has[0]}, the task's is {width}x{height}, of other "
                    "proportions; crop it in the robot file (crop: [top, left, height, width])"
                )
            if has[0] < height or has[1] < width:
                raise RobotError(
                    f"camera '{name}': its picture is {has[1]}x{has[0]}, smaller than the task's {width}x{height}"
                )

    def fit(self, name: str, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture in the task's size: RGB, shape (height, width, 3).

        Args:
            name: The camera.
            frame: What it saw, cropped: RGB, shape (rows, columns, 3).
        """
        height, width = self._wanted[name]
        return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
