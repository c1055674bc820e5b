"""The cameras of a robot file, through LeRobot, with the age of each frame."""

from __future__ import annotations

import contextlib
import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.camera.stills import Frame
from policy_port.contract.image import kept
from policy_port.errors import RobotError
from policy_port.robots.arm.robot_file import CameraBounds, RobotFile
from policy_port.robots.arm.sight import Sight
from policy_port.robots.arm.stops import ArmStopError

CLOSE_TIME = 1.0
"""How long a camera's thread may take to end [s]."""
NEXT_TIME = 1.0
"""How long the next frames are waited for where the arm's time waits too [s]."""
ROOM = 0.6
"""Share of the oldest picture's age up to which the time between two leaves room for one that is a little late."""
_STALLED: list[Any] = []
"""Cameras whose thread still reads; kept so that nothing releases them."""


class ArmCameras:
    """Cameras that have to deliver while the arm moves."""

    def __init__(self, robot: RobotFile, *, waits: bool = False) -> None:
        """Describe them; `open` opens them.

        Args:
            robot: The arm.
            waits: Whether the arm's time stands still while somebody waits, as on a virtual clock: the latest frame
                may show where the arm was long ago then, and `frame` can wait for a new one.
        """
        self._bounds, self._waits = robot.cameras, waits
        self._stale = robot.timing.stale_frame
        self._cameras: dict[str, Any] = {}
        self._sights: dict[str, Sight] = {}
        self.names = tuple(robot.cameras)
        """Names, in the order of `ages`."""

    def open(self) -> None:
        """Open all cameras and wait for their first frames.

        Raises:
            RobotError: When one does not open, or delivers another size.
        """
        for name, bounds in self._bounds.items():
            self._sights[name] = Sight(name, bounds.still)
            try:
                self._cameras[name] = _open(bounds)
            except Exception as cause:
                self.close()
                raise RobotError(f"camera '{name}' ({bounds.source}): {' '.join(str(cause).split())}") from None
            size = self._cameras[name].latest_frame.shape[:2]
            if size != (bounds.height, bounds.width):
                self.close()
                raise RobotError(
                    f"camera '{name}' delivers {size[1]}x{size[0]}, the robot file says {bounds.width}x{bounds.height}"
                )

    def ages(self) -> NDArray[np.float64]:
        """Age of each camera's latest frame [s]; infinite where there is none."""
        now = time.perf_counter()
        stamps = [camera.latest_timestamp for camera in self._cameras.values()]
        return np.array([math.inf if stamp is None else now - stamp for stamp in stamps])

    def check(self) -> None:
        """Raise ArmStopError when a frame is too old."""
        if not self._cameras:
            return
        ages = self.ages()
        worst = int(ages.argmax())
        if ages[worst] > self._stale:
            raise ArmStopError(
                f"the last frame of camera '{self.names[worst]}' is {ages[worst]:.2f} s old; the bound is "
                f"{self._stale:g}{self._hint(self.names[worst])}",
                may_move=True,
            )

    def frame(self, name: str, *, fresh: bool = False) -> NDArray[np.uint8]:
        """The latest frame, cropped: RGB, shape (height, width, 3).

        Args:
            name: The camera.
            fresh: Wait for one that was taken after the question, where the arm's time waits too.

        Raises:
            ArmStopError: When it is older than the robot file allows, the camera is gone or hangs, or shows nothing.
        """
        camera = self._cameras[name]
        if fresh and self._waits:
            _wait(camera)
        # Before the frame: one that comes in between is looked at next time.
        stamp = camera.latest_timestamp
        try:
            image = camera.read_latest(max_age_ms=1000.0 * self._stale)
        except (TimeoutError, RuntimeError) as cause:
            said = f"camera '{name}': {' '.join(str(cause).split())}{self._hint(name)}"
            raise ArmStopError(said, may_move=True) from None
        self._sights[name].look(image, 0.0 if stamp is None else stamp)
        return image[kept(self._bounds[name].crop)]

    def take(self, name: str, count: int, patience: float) -> tuple[list[Frame], float]:
        """Take frames one after the other, while nothing moves; all of them after the question.

        Args:
            name: The camera.
            count: How many.
            patience: How long one may take [s].

        Returns:
            The frames, cropped as `frame` does it, and when the last was taken [s], on their clock.

        Raises:
            RobotError: When none comes.
        """
        camera, frames = self._cameras[name], []
        due = time.perf_counter() + patience
        before, on_its_way = camera.latest_timestamp, True
        while len(frames) < count:
            stamp, image = camera.latest_timestamp, camera.latest_frame
            if stamp is not None and stamp != before:
                if not on_its_way:
                    frames.append(Frame(image[kept(self._bounds[name].crop)].copy(), stamp))
                before, on_its_way = stamp, False
                due = time.perf_counter() + patience
            elif time.perf_counter() > due:
                raise RobotError(f"camera '{name}' has given no frame for {patience:g} s; plug it in again")
            else:
                time.sleep(0.002)
        return frames, time.perf_counter()

    def _hint(self, name: str) -> str:
        """Why frames of a camera get too old, where its rate leaves them no room."""
        period = 1.0 / self._bounds[name].fps
        if period <= ROOM * self._stale:
            return ""
        return f"; at its fps the next one comes after {period:.2f} s: raise that, or timing.stale_frame"

    def close(self) -> None:
        """Close all cameras. Twice is harmless."""
        cameras, self._cameras = self._cameras, {}
        for camera in cameras.values():
            with contextlib.suppress(Exception):
                _close(camera)


def _wait(camera: Any) -> None:
    """Wait for two frames, as the first may have been on its way already; who hangs is told by its age."""
    end = time.perf_counter() + NEXT_TIME
    for _ in range(2):
        before = camera.latest_timestamp
        while camera.latest_timestamp == before and time.perf_counter() < end:
            time.sleep(0.001)


def _close(camera: Any) -> None:
    thread, stop = camera.thread, camera.stop_event
    if thread is not None and stop is not None:
        stop.set()
        thread.join(CLOSE_TIME)
        if thread.is_alive():
            # OpenCV crashes the whole process when a capture is released during a read, which LeRobot would do.
            _STALLED.append(camera)
            return
    camera.disconnect()


def _open(bounds: CameraBounds) -> Any:
    from lerobot.cameras.opencv import OpenCVCamera, OpenCVCameraConfig

    # A stream has the size and rate that it has: asking it for others fails.
    stream = isinstance(bounds.source, str) and "://" in bounds.source
    size = {} if stream else {"fps": round(bounds.fps), "width": bounds.width, "height": bounds.height}
    # LeRobot's class takes a path, and a path would lose one of a stream's two slashes.
    camera = OpenCVCamera(OpenCVCameraConfig(index_or_path=bounds.source, **size))  # type: ignore[arg-type]
    camera.connect()
    return camera
