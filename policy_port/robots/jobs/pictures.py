"""Pictures of an arm's cameras: whether they are what a policy or a task looks at, and what a person sees of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from policy_port.camera.env_file import EnvFile
from policy_port.camera.picture import NetworkPicture, picture_spec
from policy_port.contract import Contract
from policy_port.errors import RobotError, closest
from policy_port.files import write_atomic
from policy_port.robots.arm.cameras import ArmCameras
from policy_port.robots.arm.preflight import refuse
from policy_port.robots.arm.robot_file import RobotFile
from policy_port.robots.jobs.looking import camera_of

VIEWS, PLACEMENT = "views.png", "placement.png"
"""Pictures, made before anything moves, of what the cameras see and where objects belong."""
BAND = 24
"""Rows of the band that a camera's name stands in."""
GAP = 4
"""Columns between two pictures."""
VISIBLE = 256
"""Rows that a picture for a person has at least, about."""


def write_views(folder: Path, views: Sequence[NDArray[np.uint8]], *, axis: int) -> Path:
    """Write pictures as one PNG file in a run's folder, black where they are of different sizes.

    Args:
        folder: The run's.
        views: RGB, each of shape (height, width, 3).
        axis: 0: one below the other; 1: side by side.

    Returns:
        The file.
    """
    size = max(view.shape[1 - axis] for view in views)

    def filled(view: NDArray[np.uint8]) -> NDArray[np.uint8]:
        missing = (0, size - view.shape[1 - axis])
        return np.pad(view, ((0, 0), missing, (0, 0)) if axis == 0 else (missing, (0, 0), (0, 0)))

    done, png = cv2.imencode(
        ".png", cv2.cvtColor(np.concatenate([filled(view) for view in views], axis), cv2.COLOR_RGB2BGR)
    )
    assert done
    write_atomic(folder / VIEWS, png.tobytes())
    return folder / VIEWS


def enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture that a person can see, each pixel a square."""
    times = max(1, VISIBLE // picture.shape[0])
    return picture.repeat(times, axis=0).repeat(times, axis=1)


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


class Pictures:
    """Makes a task's pictures of an arm's frames, as they are made in training and of the background."""

    def __init__(self, wanted: Mapping[str, tuple[int, int]], robot: RobotFile, scene: EnvFile | None = None) -> None:
        """Hold the task's cameras against the robot file's.

        Args:
            wanted: Height and width of the pictures by the task's name of the camera.
            robot: The arm.
            scene: The environment file that the policy was trained with, which says how its camera's frames are
                straightened, cropped and resized; otherwise each pixel is the mean of what it covers of the frame that
                the robot file crops.

        Raises:
            RobotError: When a camera is missing, or is cropped in the robot file too.
            CameraError: When a camera's picture has other proportions, or is smaller.
        """
        self._made: dict[str, NetworkPicture] = {}
        for name, size in wanted.items():
            if name not in robot.cameras:
                raise RobotError(
                    f"the task looks through a camera '{name}', which the robot file does not have"
                    f"{closest(name, robot.cameras)}; it has {', '.join(robot.cameras) or 'none'}. Give this name to "
                    "the camera that stands where the task's does"
                )
            bounds = robot.cameras[name]
            if scene is None or name != scene.camera_name:
                self._made[name] = NetworkPicture(picture_spec(name, size=size, camera_size=bounds.size))
                continue
            if bounds.crop is not None:
                raise RobotError(
                    f"camera '{name}' is cropped in the robot file and by the environment file: leave "
                    f"cameras.{name}.crop out of the robot file; image.crop of the environment file takes its place"
                )
            self._made[name] = made = scene.picture((bounds.height, bounds.width))
            if made.size != size:
                raise RobotError(
                    f"camera '{name}': the policy sees {size[1]}x{size[0]}, the environment file's image.size makes "
                    f"{made.size[1]}x{made.size[0]}; give the file that the policy was trained with"
                )

    def fit(self, name: str, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture in the task's size: RGB, shape (height, width, 3).

        Args:
            name: The camera.
            frame: What it saw, cropped where the robot file says so: RGB, shape (rows, columns, 3).
        """
        return self._made[name](frame)


def whole_frames(scene: EnvFile, robot: RobotFile) -> EnvFile:
    """The environment file, held against the robot file, with the size of the camera's frames.

    Raises:
        RobotError: When the robot file does not have the environment's camera, or crops it.
        CameraError: When its frames are of another size than the environment file says, or it has no camera.
    """
    name = scene.camera_name
    whole = camera_of(robot, name)
    size = whole.height, whole.width
    known = scene
    if known.image is None or known.image.camera_size is None:
        known = scene.with_image(camera_size=size)
    known.frame_view()
    assert known.image is not None
    Pictures({name: known.image.size}, robot, known)
    return known
