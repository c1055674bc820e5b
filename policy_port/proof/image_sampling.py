"""Images to prove a port with, and how they go wrong; apart, so that reading a port does without torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Pixels
from policy_port.contract.image import ImageInput

GRID = 4
"""Smooth images are drawn on a grid of this many points a side and spread over all pixels."""


def draw_images(
    images: Sequence[ImageInput], group: str, steps: int, batch: int, rng: np.random.Generator
) -> tuple[Pixels, ...]:
    """Draw what cameras might show beside one group of observations, shape (steps, batch, *image) each.

    Normal observations go with noise, tails with pixels that are black or white, clip edges with pixels at and beside
    both ends, and everything else with smooth images.
    """
    drawn = []
    for image in images:
        shape = (steps, batch, image.height, image.width, image.channels)
        match group:
            case "normal":
                values = rng.integers(0, 256, shape).astype(np.float64)
            case "tails":
                values = 255.0 * rng.integers(0, 2, shape)
                values[:, : min(2, batch)] = 255.0 * np.arange(min(2, batch))[:, None, None, None]
            case "clip_edges":
                values = rng.choice([0.0, 1.0, 254.0, 255.0], shape)
            case _:
                values = _smooth(shape, rng)
        drawn.append(_as_input(image, values))
    return tuple(drawn)


def reverse_channels(image: ImageInput, pixels: Pixels) -> Pixels:
    """Exchange red and blue, shape (steps, batch, *image)."""
    return np.ascontiguousarray(np.flip(pixels, axis=4 if image.layout == "nhwc" else 2))


def flip_rows(image: ImageInput, pixels: Pixels) -> Pixels:
    """Turn an image upside down."""
    return np.ascontiguousarray(np.flip(pixels, axis=2 if image.layout == "nhwc" else 3))


def _smooth(shape: tuple[int, int, int, int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    steps, batch, height, width, channels = shape
    coarse = rng.uniform(0.0, 255.0, (steps, batch, GRID, GRID, channels))
    fine = np.einsum("hy,sbyxc->sbhxc", _spread(height), coarse)
    return np.rint(np.einsum("wx,sbhxc->sbhwc", _spread(width), fine))


def _spread(size: int) -> NDArray[np.float64]:
    """Linear interpolation from the grid to `size` pixels, shape (size, GRID)."""
    places = np.linspace(0.0, GRID - 1.0, size)
    return np.stack([np.interp(places, np.arange(GRID), row) for row in np.eye(GRID)], axis=1)


def _as_input(image: ImageInput, values: NDArray[Any]) -> Pixels:
    """Values from 0 to 255 in the type, range and layout that the network reads."""
    if image.dtype == "float32":
        values = values / (255.0 * image.scale)
    if image.layout == "nchw":
        values = np.moveaxis(values, 4, 2)
    return np.ascontiguousarray(values, dtype=image.dtype)
