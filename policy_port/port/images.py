"""Camera frames on their way into a network: one place for each camera, bound once, converted without allocating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Pixels
from policy_port.contract.image import ImageInput
from policy_port.errors import MissingDependencyError, PortError, TaskError

Frames = NDArray[np.uint8]


class FrameError(TaskError):
    """A camera's frame is not what the contract says, or is missing."""


class CameraInput:
    """Where the frames of one camera go in.

    Frames are what cameras give: bytes from 0 to 255, red first, rows from the top, shape (height, width, channels).
    The layout, type and range that the network wants are made from them here. Red and blue exchanged look the same to
    this program: make sure that the camera gives RGB.
    """

    def __init__(self, image: ImageInput, name: str, pixels: Pixels) -> None:
        """Fill a part of a bound buffer with frames.

        Args:
            image: What the contract says of the image.
            name: Name of the camera.
            pixels: The camera's part of the network's input, shape (num_envs, height, width, channels of a frame),
                of the contract's dtype.
        """
        self.name = name
        """Name of the camera."""
        self.num_envs = len(pixels)
        """Number of environments."""
        self.frame_shape = (*image.frame_size, pixels.shape[-1])
        """Height, width and channels of a frame, before the contract's crop and resize."""
        self.fresh = False
        """True when a frame was shown since the network has last looked."""
        self._pixels = pixels
        self._kept = slice(None), *image.kept
        self._resize = None if image.resize is None else Resize(image.resize, pixels.shape)
        # The network multiplies what it reads by the scale, and then expects 0 to 1.
        self._divisor = None if image.dtype == "uint8" else np.float32(255.0 * image.scale)

    def show(self, frames: Frames) -> None:
        """Take the frames that the next `act` looks at; they are copied.

        Args:
            frames: RGB, uint8, 0 to 255, shape (height, width, channels) for one environment, or (num_envs, height,
                width, channels).

        Raises:
            FrameError: When a frame has another shape or type, saying what was given and what is needed.
        """
        if frames.shape == self.frame_shape and self.num_envs == 1:
            kept = frames[None][self._kept]
        elif frames.shape == (self.num_envs, *self.frame_shape):
            kept = frames[self._kept]
        else:
            raise FrameError(self._misshapen(frames))
        if frames.dtype != np.uint8:
            raise FrameError(
                f"camera '{self.name}': the frame is {frames.dtype}; give uint8 from 0 to 255, as the camera does: "
                "the contract's type and scale are made here"
            )
        if self._resize is not None:
            kept = self._resize(kept)
        if self._divisor is None:
            np.copyto(self._pixels, kept)
        else:
            np.divide(kept, self._divisor, out=self._pixels, dtype=np.float32)
        self.fresh = True

    def _misshapen(self, frames: Pixels) -> str:
        height, width, channels = self.frame_shape
        given = frames.shape if frames.ndim == 3 else frames.shape[1:]
        rows = f" for each of {self.num_envs} environments" if self.num_envs > 1 else ""
        says = f"camera '{self.name}': the frame has shape {frames.shape}, the contract says"
        says += f" {height} x {width} with {channels} channels{rows}"
        if given == (channels, height, width):
            return f"{says}; give it height first, channels last, as cameras do: the network's layout is made here"
        if given == (width, height, channels):
            return f"{says}; it is turned on its side"
        return f"{says}. Open the camera with that size; nothing is resized silently"


class Resize:
    """OpenCV's resizing of bytes, which ManiSkill and LeRobot use too, into one buffer."""

    def __init__(self, how: str, shape: tuple[int, ...]) -> None:
        """Make the buffer.

        Args:
            how: "linear", "area" or "nearest".
            shape: (num_envs, height, width, channels) of the result.

        Raises:
            MissingDependencyError: When OpenCV is not installed.
        """
        try:
            import cv2
        except ImportError:
            raise MissingDependencyError(
                "the contract resizes images, which needs OpenCV: pip install 'policy-port[sim]' or opencv-python"
            ) from None
        self._one = cv2.resize
        self._how = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA, "nearest": cv2.INTER_NEAREST}[how]
        self._size = shape[2], shape[1]
        self._result = np.zeros(shape, np.uint8)

    def __call__(self, frames: Frames) -> Frames:
        """Resize each frame; the next call overwrites the result."""
        for frame, into in zip(frames, self._result, strict=True):
            resized = self._one(frame, self._size, interpolation=self._how)
            # OpenCV drops the axis of a single channel.
            np.copyto(into, resized.reshape(into.shape))
        return self._result


CameraInputs = Mapping[str, CameraInput]
"""Where frames go in, by camera name."""


def camera_inputs(images: Sequence[ImageInput], num_envs: int) -> tuple[dict[str, CameraInput], dict[str, Pixels]]:
    """Make the inputs of a contract's images.

    Returns:
        By camera name, where frames go in; by image name, the buffers to bind. Both in the contract's order.
    """
    buffers: dict[str, Pixels] = {image.name: np.zeros(_shape(image, num_envs), image.dtype) for image in images}
    inputs = {}
    for image in images:
        pixels = buffers[image.name] if image.layout == "nhwc" else np.moveaxis(buffers[image.name], 1, -1)
        cameras = image.cameras or (image.name,)
        for name, part in zip(cameras, np.split(pixels, len(cameras), axis=-1), strict=True):
            inputs[name] = CameraInput(image, name, part)
    return inputs, buffers


def check_graph(
    path: object, images: Sequence[ImageInput], num_envs: int, found: Mapping[str, tuple[list[Any], str]]
) -> None:
    """Hold the images of a graph against the contract's.

    Args:
        path: The file, for the message.
        images: The contract's images.
        num_envs: Number of environments.
        found: Shape and type of each of the graph's image inputs by name; an open batch is a string or None.

    Raises:
        PortError: Naming both sides.
    """
    wanted = {image.name: image for image in images}
    if list(wanted) != list(found):
        raise PortError(
            f"{path}: reads the images {', '.join(found) or 'none'}, its contract has {', '.join(wanted) or 'none'}; "
            "export it again with `policy-port export`"
        )
    for name, (shape, kind) in found.items():
        image = wanted[name]
        fits = shape[1:] == list(_shape(image, num_envs))[1:] and shape[0] in (num_envs, None, "batch")
        if not fits or kind != {"uint8": "tensor(uint8)", "float32": "tensor(float)"}[image.dtype]:
            raise PortError(
                f"{path}: image {name} has shape {shape} and type {kind}, its contract says {image.height} x "
                f"{image.width} x {image.channels}, {image.layout}, {image.dtype}; export it again"
            )


def _shape(image: ImageInput, num_envs: int) -> tuple[int, int, int, int]:
    if image.layout == "nhwc":
        return num_envs, image.height, image.width, image.channels
    return num_envs, image.channels, image.height, image.width
