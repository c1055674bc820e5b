"""What a camera showed when all was right: how bright, how sharp and of which colours its picture was."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import Field

from policy_port.arrays import Array
from policy_port.camera.view import View, view_fields
from policy_port.contract.yaml_file import Strict, parse, read_yaml
from policy_port.errors import CameraError
from policy_port.files import write_atomic

QUANTILES = (10, 20, 30, 40, 50, 60, 70, 80, 90)
"""Of a picture's brightness, of which its gain is told [percent]."""
BLOCKS = 12, 16
"""Rows and columns of parts whose colours are compared."""
BRIGHT, WHITE = 200, 250
"""Brightness from which a doubled one would be cut off, and at which it is."""
SPREAD, BALANCES, ARM, SURE = 0.01, 0.03, 0.02, 4.0
"""How far the colour of a part, of all of them and of the arm differ from time to time, red from blue as a share of the
sum; and by how much likelier an exchange has to be."""


class Reference(Strict):
    """view.check.yaml: what a camera showed when all was right."""

    check_version: Annotated[int, Field(ge=1, le=1)] = 1
    """Version of this format."""
    view: str
    """SHA-256 of the view."""
    size: tuple[int, int]
    """Rows and columns of its frames."""
    overlay: float
    """Share of the twin's edges that were where the view says."""
    place: tuple[float, float, float, float]
    """Where the arm was: right, down [pixels of 240 rows], scale, turn [rad]."""
    brightness: tuple[float, ...]
    """Quantiles of the frame's brightness."""
    balance: tuple[float, float]
    """Red and blue by green."""
    edge: float
    """Width of edges [pixels of 480 rows]."""
    colours: tuple[tuple[float, float] | None, ...]
    """How far red and blue are from grey in each part of the frame; null where the arm was."""
    arm: tuple[float, float]
    """The same of the arm: printed parts have any colour."""


def fingerprint(view: View) -> str:
    """SHA-256 of a view, its numbers to the micrometre."""
    rounded = {key: np.round(np.asarray(value, np.float64), 6).tolist() for key, value in view_fields(view).items()}
    return hashlib.sha256(repr(sorted(rounded.items())).encode()).hexdigest()


def load_reference(path: Path) -> Reference:
    """Read view.check.yaml.

    Raises:
        CameraError: With file, line and key, where it is malformed.
    """
    return parse(Reference, read_yaml(path, CameraError), CameraError)


def write_reference(path: Path, stored: Reference) -> None:
    """Write view.check.yaml, whole or not at all."""
    text = yaml.safe_dump(stored.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=110)
    write_atomic(path, text)


def beside(path: Path) -> Path:
    """Where what is stored of a view's or an environment's file lies: `view.check.yaml` beside `view.yaml`."""
    return path.with_name(f"{path.stem}.check.yaml")


def brightness(image: NDArray[np.uint8]) -> Array:
    """Quantiles of a picture's brightness, shape (9,)."""
    return np.percentile(np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float64), QUANTILES)


def balance(image: NDArray[np.uint8]) -> tuple[float, float]:
    """Red and blue by green, of what is neither black nor cut off."""
    pixels = image.reshape(-1, 3)[::7].astype(np.float64)
    pixels = pixels[(pixels.min(axis=1) > 10) & (pixels.max(axis=1) < WHITE)]
    if len(pixels) < 100:
        return 1.0, 1.0
    red, green, blue = pixels.mean(axis=0)
    return float(red / green), float(blue / green)


def chroma(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> Array:
    """How far red and blue are from grey in each part of a picture, shape (parts, 2); NaN where the arm is."""
    image = cv2.resize(picture, BLOCKS[::-1], interpolation=cv2.INTER_AREA).astype(np.float64)
    covered = cv2.resize(mask.astype(np.float32), BLOCKS[::-1], interpolation=cv2.INTER_AREA) > 0.1
    found = _from_grey(image)
    found[covered | (image.max(axis=-1) > WHITE)] = np.nan
    return found.reshape(-1, 2)


def arm_chroma(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> tuple[float, float]:
    """How far red and blue of the arm are from grey: the mean of what is neither black nor cut off."""
    pixels = image[cv2.erode(mask.astype(np.uint8), np.ones((5, 5))) > 0].astype(np.float64)
    pixels = pixels[(pixels.max(axis=1) > 40) & (pixels.max(axis=1) < WHITE)]
    red, blue = _from_grey(pixels).mean(axis=0) if len(pixels) > 50 else (0.0, 0.0)
    return round(float(red), 4), round(float(blue), 4)


def _from_grey(image: Array) -> Array:
    return (image[..., [0, 2]] - image[..., [1]]) / (image.sum(axis=-1, keepdims=True) + 15.0)


def colourful(stored: Reference) -> bool:
    """Whether there are colours by which red and blue exchanged would be told."""
    now = np.array([item or (np.nan, np.nan) for item in stored.colours], np.float64)
    return apart(now, red_blue(stored.arm), stored, -1.0) > 2.0 * SURE


def apart(now: Array, arm: float, stored: Reference, sign: float) -> float:
    """How unlikely colours are, red and blue exchanged where `sign` is -1; the white balance may have moved."""
    before = np.array([item or (np.nan, np.nan) for item in stored.colours], np.float64)
    change = red_blue(now) - sign * red_blue(before)
    change = change[~np.isnan(change)]
    of_arm = arm - sign * red_blue(stored.arm)
    moved = float(np.median(change)) if len(change) >= 10 else 0.0
    of_parts = (
        min(len(change), 40) * float(np.minimum(np.abs(change - moved), 0.1).mean()) / SPREAD if len(change) else 0.0
    )
    return of_parts + (moved / BALANCES) ** 2 + abs(of_arm - moved) / ARM


def red_blue(colours: Any) -> Any:
    """By how much colours are redder than blue; exchanged, its sign turns."""
    return np.asarray(colours, np.float64)[..., 0] - np.asarray(colours, np.float64)[..., 1]
