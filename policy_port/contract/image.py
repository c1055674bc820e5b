"""One camera image that a network reads: its size, memory and range, and how a camera's image becomes it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from policy_port.contract.term import PlainName
from policy_port.contract.yaml_file import Strict

Side = Annotated[int, Field(ge=1, le=16384)]


Crop = tuple[int, int, int, int]
"""Rows and columns of a camera's image that are kept: top, left, height, width."""


def kept(crop: Crop | None) -> tuple[slice, slice]:
    """Rows and columns that a crop keeps, as slices of an image; all, if None."""
    if crop is None:
        return slice(None), slice(None)
    top, left, height, width = crop
    return slice(top, top + height), slice(left, left + width)


class SeenFrom(Strict):
    """Where the camera of a training stood, and how it looked."""

    position: tuple[float, float, float]
    """In the frame of the robot's base link [m]."""
    rotation: tuple[float, float, float, float]
    """wxyz, from the camera's axes (x forward, y left, z up) to the base's."""
    fov: Annotated[float, Field(gt=0.0, lt=3.2)]
    """From the upper edge of the picture that the network sees to the lower [rad]."""


class ImageInput(Strict):
    """One camera image that the network reads."""

    name: PlainName
    """Camera name."""
    height: Side
    """Rows the network sees."""
    width: Side
    """Columns the network sees."""
    channels: Annotated[int, Field(ge=1, le=64)]
    """Channels per pixel."""
    layout: Literal["nhwc", "nchw"]
    """Memory layout of the batch."""
    dtype: Literal["uint8", "float32"]
    """Type of the network's input."""
    scale: float
    """Factor that the network applies to each pixel, for example 1/255."""
    camera_size: tuple[Side, Side] | None = None
    """Rows and columns of the camera's image, where they are not those that the network sees."""
    crop: Crop | None = None
    """Rows and columns of the camera's image that are kept before resizing: top, left, height, width."""
    resize: Literal["linear", "area", "nearest"] | None = None
    """How what is kept becomes the size that the network sees: OpenCV's INTER_LINEAR, INTER_AREA or INTER_NEAREST."""
    cameras: tuple[str, ...] = ()
    """Cameras whose images stand one behind the other on the channels; the one called `name`, if not given."""
    seen_from: SeenFrom | None = None
    """Where the camera stood in the training, which an arm's is held against; nobody knows, if not given."""

    @property
    def frame_size(self) -> tuple[int, int]:
        """Rows and columns of the camera's image."""
        return self.camera_size or (self.height, self.width)

    @property
    def kept(self) -> tuple[slice, slice]:
        """Rows and columns of the camera's image that are kept before resizing."""
        return kept(self.crop)

    @model_validator(mode="after")
    def _sizes_lead_to_the_network(self) -> ImageInput:
        rows, columns = self.frame_size
        if self.camera_size is None and (self.crop is not None or self.resize is not None):
            raise ValueError(
                f"image '{self.name}' is cropped or resized, so camera_size, the rows and columns of the camera's "
                "image, must be stated"
            )
        top, left, height, width = self.crop or (0, 0, rows, columns)
        if min(top, left) < 0 or min(height, width) < 1 or top + height > rows or left + width > columns:
            raise ValueError(
                f"image '{self.name}': crop {top}, {left}, {height}, {width} (top, left, height, width) reaches beyond "
                f"the camera's {rows} x {columns}"
            )
        if self.resize is None and (height, width) != (self.height, self.width):
            raise ValueError(
                f"image '{self.name}': {height} x {width} of the camera are kept and the network sees {self.height} x "
                f"{self.width}; resize must say how: linear, area or nearest"
            )
        return self

    @model_validator(mode="after")
    def _cameras_share_the_channels(self) -> ImageInput:
        if len(set(self.cameras)) < len(self.cameras):
            raise ValueError(f"image '{self.name}' lists a camera twice: {', '.join(self.cameras)}; name each once")
        if self.cameras and self.channels % len(self.cameras):
            raise ValueError(
                f"image '{self.name}' has {self.channels} channels, which {len(self.cameras)} cameras can't share"
            )
        return self
