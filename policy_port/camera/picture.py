"""The one way from a camera's frame to the picture that a network sees: straightened, cropped, resized.

Simulation, background, alignment and the arm all make their pictures here; cropping and resizing are `CameraInput`'s.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from policy_port.contract.image import Crop, ImageInput
from policy_port.errors import CameraError
from policy_port.port.images import CameraInput

if TYPE_CHECKING:
    from policy_port.camera.view import View

OFF_MIDDLE = 1.0
"""How far a crop's middle may be from the frame's [pixels of the frame]: a simulated camera looks straight ahead."""
COLOURS = 3
"""Channels of a picture: red, green, blue."""
SQUEEZE = 0.01
"""How far the proportions of a picture may be off; a squeezed cube is another cube."""
Resizing = Literal["linear", "area", "nearest"]


def middle(camera_size: tuple[int, int], size: tuple[int, int]) -> Crop | None:
    """The largest middle part of a camera's frame that has a picture's proportions; None where that is all of it.

    Args:
        camera_size: Rows and columns of the frame.
        size: Rows and columns of the picture.
    """
    rows, columns = camera_size
    height, width = size
    if rows * width == columns * height:
        return None
    high = min(rows, math.floor(columns * height / width))
    wide = min(columns, math.floor(rows * width / height))
    return (rows - high) // 2, (columns - wide) // 2, high, wide


def picture_spec(
    name: str,
    *,
    size: tuple[int, int],
    camera_size: tuple[int, int],
    crop: Crop | None = None,
    resize: Resizing = "area",
) -> ImageInput:
    """How a camera's frame becomes a picture of a size, in bytes.

    Args:
        name: The camera.
        size: Rows and columns of the picture.
        camera_size: Rows and columns of the camera's frame.
        crop: What is kept of the frame; all, if None. `middle` gives the largest part of the right proportions.
        resize: How what is kept becomes the picture: "area" is the mean of what each pixel covers, as the arm's
            pictures are made; "linear" is ManiSkill's `Sim2RealEnv`.

    Raises:
        CameraError: When the crop reaches beyond the frame, has other proportions, or is smaller than the picture.
    """
    height, width = crop[2:] if crop else camera_size
    what = "its picture" if crop is None else f"the crop {list(crop)}"
    if crop is not None and (
        min(crop[:2]) < 0 or min(crop[2:]) < 1 or crop[0] + height > camera_size[0] or crop[1] + width > camera_size[1]
    ):
        raise CameraError(
            f"camera '{name}': {what} (top, left, height, width) reaches beyond its frames of {camera_size[0]} rows "
            f"and {camera_size[1]} columns; cropped already? Give the camera's own frames"
        )
    if abs(height * size[1] / (width * size[0]) - 1.0) > SQUEEZE:
        good = middle(camera_size, size)
        raise CameraError(
            f"camera '{name}': {what} is {width}x{height}, the network's is {size[1]}x{size[0]}, of other proportions; "
            f"crop it (crop: {list(good) if good else 'none'}, which is top, left, height, width)"
        )
    if height < size[0] or width < size[1]:
        raise CameraError(
            f"camera '{name}': {what} is {width}x{height}, smaller than the network's {size[1]}x{size[0]}"
        )
    same = crop is None and camera_size == size
    return ImageInput(
        name=name,
        height=size[0],
        width=size[1],
        channels=COLOURS,
        layout="nhwc",
        dtype="uint8",
        scale=1.0,
        camera_size=None if same else camera_size,
        crop=crop,
        resize=None if (height, width) == size else resize,
    )


class NetworkPicture:
    """Makes the network's picture of one camera's frames."""

    def __init__(self, spec: ImageInput, view: View | None = None) -> None:
        """Prepare.

        Args:
            spec: Crop and size; see `picture_spec`.
            view: The camera's, where its lens is known: what a simulator can't draw of it, distortion and a principal
                point off the middle, is undone first.

        Raises:
            CameraError: When the view is of frames with other proportions.
        """
        self.spec = spec
        self.size = spec.height, spec.width
        """Rows and columns of the picture."""
        self._pixels = np.zeros((1, *self.size, COLOURS), np.uint8)
        self._into = CameraInput(spec, spec.name, self._pixels)
        self._maps = None if view is None else straightening(view, spec.frame_size)

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture of a frame: RGB, shape (height, width, 3).

        Args:
            frame: RGB, uint8, shape (rows, columns, 3), as the camera gives it: neither cropped nor resized.

        Raises:
            FrameError: When the frame has another size or type.
        """
        self._into.show(self.straight(frame))
        return self._pixels[0].copy()

    def straight(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A frame as a pinhole camera without distortion would show it, of the same size."""
        if self._maps is None or frame.shape[:2] != self.spec.frame_size:
            return frame
        import cv2

        return np.asarray(cv2.remap(frame, *self._maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def picture_view(view: View, kept: tuple[slice, slice], size: tuple[int, int]) -> View:
    """The camera of a cropped and resized picture, its lens undone, as a simulation draws it.

    Args:
        view: Of the whole frames.
        kept: Rows and columns of the crop.
        size: Rows and columns of the picture.
    """
    rows, columns = (range(*part.indices(full)) for part, full in zip(kept, view.size, strict=True))
    height, width = len(rows), len(columns)
    across = 0.5 * view.size[1] - (columns.start + 0.5 * width)
    down = 0.5 * view.size[0] - (rows.start + 0.5 * height)
    factor = size[0] / height
    fov = 2.0 * math.atan(math.tan(0.5 * view.fov) * height / view.size[0])
    right, below = (0.0 if abs(value) < OFF_MIDDLE else value * factor for value in (across, down))
    return replace(view, fov=fov, size=size, principal=(right, below), distortion=())


def straightening(view: View, size: tuple[int, int]) -> tuple[NDArray[np.int16], NDArray[np.uint16]] | None:
    """OpenCV's maps that undo a lens in frames of `size` (rows, columns); None where there is nothing to undo.

    Raises:
        CameraError: When the frames have other proportions than the view's.
    """
    if abs(size[0] * view.size[1] / (size[1] * view.size[0]) - 1.0) > SQUEEZE:
        raise CameraError(
            f"the view was made with frames of {view.size[1]}x{view.size[0]}, the camera gives {size[1]}x{size[0]}, "
            "of other proportions: open the camera as it was for `camera solve`"
        )
    if not any(view.distortion) and not any(view.principal):
        return None
    import cv2

    factor = size[0] / view.size[0]
    lens = np.asarray(view.intrinsics(), np.float64).copy()
    # The middle of the first pixel is at (0, 0), of which a scaled picture has another.
    lens[:2, 2] = (lens[:2, 2] + 0.5) * factor - 0.5
    lens[0, 0], lens[1, 1] = lens[0, 0] * factor, lens[1, 1] * factor
    drawn = lens.copy()
    drawn[:2, 2] = (size[1] - 1) / 2, (size[0] - 1) / 2
    distortion = np.asarray(view.distortion or (0.0,) * 4, np.float64)
    columns_rows = size[1], size[0]
    first, second = cv2.initUndistortRectifyMap(lens, distortion, np.eye(3), drawn, columns_rows, cv2.CV_16SC2)
    return np.asarray(first, np.int16), np.asarray(second, np.uint16)
