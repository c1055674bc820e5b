"""Where the arm is in a picture: by the background's difference, by colour, or by a person's outline."""

from __future__ import annotations

import re
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from policy_port.camera.silhouette import Mask
from policy_port.errors import CameraError

SPECK = 0.01
"""A piece, or a hole, of less than this share of the whole mask is none."""
DIFFERENCE = 5.0
"""How many of the pictures' own noise a pixel differs by from the background, where the arm is."""
NOISE = (4.0, 12.0)
"""Least and greatest noise of a pixel that is reckoned with, of 255."""
SHADOW = 0.35
"""The darkest shadow: share of the background's light that is left."""
CHANGED = 0.6
"""A picture of which so much differs from its background is of another scene."""
TOLERANCE = 40.0
"""How far a pixel of the arm is from its colour at most, in Lab's units where a person's eye just tells 2.3 apart."""


def cleaned(mask: Mask) -> Mask:
    """A mask without specks and small holes; large holes, between the arm's links, stay."""
    # A hole is a speck of what is no mask.
    mask = mask & ~_small(mask, float(mask.sum()))
    return mask | _small(~mask, float(mask.sum()))


def _small(mask: Mask, whole: float) -> Mask:
    _, label, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < SPECK * whole
    small[0] = False
    return small[np.asarray(label, dtype=np.intp)]


def by_background(picture: NDArray[np.uint8], background: NDArray[np.uint8]) -> Mask:
    """Where a picture differs from its background, shadows left out.

    Args:
        picture: RGB, shape (rows, columns, 3).
        background: The same camera's picture without the arm.

    Raises:
        CameraError: When they differ almost everywhere.
    """
    seen, empty = picture.astype(np.float32), background.astype(np.float32)
    # The light may have changed as a whole: where most of the picture is, nothing did.
    gain = np.median(seen / np.maximum(empty, 1.0), axis=(0, 1))
    empty = empty * gain
    noise = float(np.clip(1.5 * np.median(np.abs(seen - empty)), *NOISE))
    differs = np.abs(seen - empty).max(axis=2) > DIFFERENCE * noise
    # A shadow takes the same share of red, green and blue.
    left = (seen * empty).sum(axis=2) / np.maximum((empty * empty).sum(axis=2), 1.0)
    grey = np.abs(seen - left[..., None] * empty).max(axis=2) < 2.0 * noise
    smooth = np.abs(cv2.Laplacian(left, cv2.CV_32F)) < 0.25
    shadow = grey & smooth & (left > SHADOW) & (left < 1.0)
    mask = differs & ~shadow
    if mask.mean() > CHANGED:
        raise CameraError(
            f"differs from the background in {100.0 * mask.mean():.0f} % of its pixels: the camera, the light or the "
            "scene is another; photograph the background again with the camera as it stands"
        )
    grown = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return cleaned(cv2.morphologyEx(grown, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8)) > 0)


def by_colour(picture: NDArray[np.uint8], colours: Sequence[tuple[int, int, int]]) -> Mask:
    """Where a picture (rows, columns, 3) has one of the arm's colours, all RGB."""
    seen = cv2.cvtColor(picture.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    wanted = cv2.cvtColor(np.array([colours], np.float32) / 255.0, cv2.COLOR_RGB2LAB)[0]
    near = np.linalg.norm(seen[:, :, None] - wanted, axis=3).min(axis=2) < TOLERANCE
    opened = cv2.morphologyEx(near.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return cleaned(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0)


def by_outline(outlines: Sequence[Sequence[tuple[float, float]]], size: tuple[int, int]) -> Mask:
    """What a person outlined: polygons of pixels (column, row) in a picture of `size` (rows, columns)."""
    mask = np.zeros(size, np.uint8)
    for polygon in outlines:
        cv2.fillPoly(mask, [np.rint(np.asarray(polygon)).astype(np.int32)], 1)
    return mask > 0


def read_colour(text: str) -> tuple[int, int, int]:
    """RGB of a text such as #f2a341.

    Raises:
        CameraError: When it is none.
    """
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise CameraError(f"colour {text!r}: write it as #RRGGBB, such as #f2a341 for orange")
    red, green, blue = (int(text[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue
