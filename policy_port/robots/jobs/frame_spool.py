"""Camera frames of a run, kept on disk: memory stays bounded however long it is, and no target waits for the disk."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policy_port.robots.arm.stops import ArmStopError

WAITING = 32
"""Steps whose frames may wait for the disk; more would be memory that grows."""

Image = NDArray[np.uint8]


class FrameSpool:
    """One file of raw pixels per camera, written by a thread of its own."""

    def __init__(self, folder: Path) -> None:
        """Start keeping frames in `folder`, which must not exist yet."""
        folder.mkdir()
        self.folder = folder
        """Where the files lie."""
        self._waiting: queue.Queue[Mapping[str, Image] | None] = queue.Queue(WAITING)
        self.shapes: dict[str, tuple[int, ...]] = {}
        """Height, width and 3 of each camera that has had a frame."""
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._write, name="frames", daemon=True)
        self._thread.start()

    def put(self, images: Mapping[str, Image]) -> None:
        """Keep the frames of one step: RGB by camera name, the same cameras in every step.

        Raises:
            ArmStopError: When they can't be kept: what was recorded until now is whole, more would have gaps.
        """
        if self._failure is not None:
            raise ArmStopError(f"camera frames can't be kept in {self.folder}: {self._failure}", may_move=True)
        try:
            self._waiting.put_nowait(images)
        except queue.Full:
            raise ArmStopError(
                f"the disk of {self.folder} does not keep up with the cameras: record fewer or smaller frames",
                may_move=True,
            ) from None

    def close(self) -> None:
        """Write what waits. Twice is harmless; a disk that fails leaves the steps before it."""
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    @property
    def steps(self) -> int:
        """Steps whose frames are whole, after `close`."""
        sizes = [self._path(name).stat().st_size // int(np.prod(shape)) for name, shape in self.shapes.items()]
        return min(sizes, default=0)

    def frame(self, camera: str, step: int) -> Image:
        """The frame of one step, after `close`: RGB, shape (height, width, 3)."""
        shape = self.shapes[camera]
        pixels = np.memmap(self._path(camera), np.uint8, "r", offset=step * int(np.prod(shape)), shape=shape)
        return np.array(pixels)

    def discard(self) -> None:
        """Remove the files."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, camera: str) -> Path:
        return self.folder / f"{camera}.rgb"

    def _write(self) -> None:
        while (images := self._waiting.get()) is not None:
            # After a failure the queue is emptied all the same, so that nobody waits for it.
            if self._failure is None:
                try:
                    for name, image in images.items():
                        self._append(name, image)
                except Exception as failure:
                    self._failure = failure

    def _append(self, name: str, image: Image) -> None:
        if image.shape != self.shapes.setdefault(name, image.shape):
            raise ValueError(f"camera '{name}' delivers {image.shape} after {self.shapes[name]}")
        with open(self._path(name), "ab") as file:
            file.write(np.ascontiguousarray(image).data)
