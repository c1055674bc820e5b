"""Videos of a replay: the first seconds of environment 0 at about 25 pictures per second."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.control.controller import Controller
from policy_port.control.ghost import DrawsGhosts
from policy_port.control.loop import Rows
from policy_port.control.plant import Plant
from policy_port.errors import MissingDependencyError
from policy_port.replay.ghost import Reference

PICTURES_PER_SECOND = 25.0
HEIGHT, WIDTH = 480, 640
LONGEST = 20.0
"""Length at which a video ends [s]: a picture takes longer than the steps between two of them."""


class Video:
    """An mp4 that pictures are appended to, one per control step; it keeps as many as a video needs."""

    def __init__(
        self,
        path: Path,
        control_dt: float,
        *,
        longest: float = LONGEST,
        speed: float = 1.0,
        reference: Reference | None = None,
    ) -> None:
        """Open the file.

        Args:
            path: The mp4 to write.
            control_dt: Control period [s].
            longest: How much of what happens is shown [s].
            speed: How many times as fast as it happened.
            reference: The motion that the robot follows, drawn beside it where the plant can.

        Raises:
            MissingDependencyError: When there is no ffmpeg.
        """
        import imageio.v2 as imageio

        self.stride = max(1, round(speed / (PICTURES_PER_SECOND * control_dt)))
        """Control steps per picture."""
        self._step, self._reference = 0, reference
        self._last = round(longest / control_dt)
        rate = speed / (control_dt * self.stride)
        try:
            self._writer = imageio.get_writer(path, format="FFMPEG", fps=rate, quality=7, macro_block_size=2)  # type: ignore[arg-type]
        except (ImportError, OSError, ValueError) as cause:
            raise MissingDependencyError(f"--video needs ffmpeg: pip install 'imageio[ffmpeg]' ({cause})") from cause

    def append(self, picture: NDArray[np.uint8]) -> None:
        """Take the picture of the next control step."""
        if self._wanted():
            self._writer.append_data(picture)
        self._step += 1

    def __call__(self, plant: Plant, controller: Controller, target: Array, started: Rows) -> None:
        """Draw environment 0 of a plant; see `Observer`."""
        if self._wanted():
            if self._reference is not None and isinstance(plant, DrawsGhosts):
                picture = plant.render_with(self._reference.now(controller), HEIGHT, WIDTH)
            else:
                picture = plant.render(HEIGHT, WIDTH)
            self._writer.append_data(picture)
        self._step += 1

    def _wanted(self) -> bool:
        return self._step < self._last and self._step % self.stride == 0

    def __enter__(self) -> Video:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._writer.close()
