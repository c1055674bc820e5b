"""What lies between an emulated scene and an emulated camera's picture: the lens, the light, the sensor's gain."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from policy_port.camera.view import View
from policy_port.errors import EmulatorError, closest

if TYPE_CHECKING:
    from policy_port.robots.emulator.faults import FaultList

Picture = NDArray[np.uint8]
RANGES = {"blur": (0.0, 50.0), "light": (0.0, 10.0), "warmth": (-0.9, 0.9), "gain": (0.0, 20.0)}
"""Least and greatest number of each part of a `Lens`."""
_PART = re.compile(r"\s*(?P<name>\w+)\s*=\s*(?P<number>[^\s,]+)\s*")


@dataclass(frozen=True, kw_only=True)
class Lens:
    """How a camera's picture differs from the scene; distortion is the `View`'s."""

    blur: float = 0.0
    """Standard deviation of a point that is out of focus [pixels]."""
    light: float = 1.0
    """Brightness of the scene, 1 as it is drawn."""
    warmth: float = 0.0
    """Share by which red is brighter, and blue darker, than the white balance should have it."""
    gain: float = 1.0
    """Brightness that the sensor adds; what goes beyond white is lost."""

    def __post_init__(self) -> None:
        for name, (least, greatest) in RANGES.items():
            # A range that NaN is not in.
            if not least <= getattr(self, name) <= greatest:
                given = getattr(self, name)
                raise EmulatorError(f"lens: {name} {given:g} is out of range; it is {least:g} to {greatest:g}")

    def see(self, scene: Picture) -> Picture:
        """The picture of a scene: RGB, shape (height, width, 3)."""
        picture = scene
        if self.blur > 0.0:
            import cv2

            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), self.blur), np.uint8)
        colours = self.light * self.gain * np.array([1.0 + self.warmth, 1.0, 1.0 - self.warmth])
        if (colours == 1.0).all():
            return picture
        return np.clip(picture * colours + 0.5, 0.0, 255.0).astype(np.uint8)


USUAL = Lens()
"""A lens that changes nothing."""


def parse_lens(text: str) -> Lens:
    """Read a lens such as "blur=1.5,light=0.8".

    Raises:
        EmulatorError: When it can't be understood.
    """
    found: dict[str, float] = {}
    names = [part.name for part in fields(Lens)]
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise EmulatorError(f"lens '{text}': can't be read; write NAME=NUMBER, such as blur=1.5,light=0.8")
        name = match["name"]
        if name not in names:
            hint = closest(name, names) or "."
            raise EmulatorError(f"lens '{text}': has no '{name}'{hint} There are: {', '.join(names)}")
        if name in found:
            raise EmulatorError(f"lens '{text}': {name} stands there twice; write it once")
        try:
            found[name] = float(match["number"])
        except ValueError:
            raise EmulatorError(f"lens '{text}': {name} '{match['number']}' is no number") from None
    return Lens(**found)


@dataclass(frozen=True, kw_only=True)
class SceneObject:
    """Something on the table."""

    name: str
    kind: Literal["box", "ball"] = "box"
    size: float = 0.0125
    """Half of a box's edge, or a ball's radius [m]; that of ManiSkill's cube for the SO100."""
    colour: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Red, green, blue, 0 to 1."""
    position: tuple[float, float, float] | None = None
    """Its middle in the frame of the arm's base [m]; None while it is not there."""
    rotation: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    """Quaternion wxyz to the base's frame."""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What the cameras of a robot file's emulated arm see."""

    views: Mapping[str, View] = field(default_factory=dict)
    """Where cameras truly stand, by name; one that is not named shows the arm from somewhere."""
    lens: Lens = USUAL
    """Light, focus and gain of all of them."""
    things: tuple[SceneObject, ...] = ()
    """What is on the table."""


def struck_lens(lens: Lens, faults: FaultList, camera: str) -> Lens:
    """A lens with the faults that are there."""
    blur, gain = faults.find("blur-camera", camera), faults.find("gain-camera", camera)
    return replace(lens, blur=max(lens.blur, blur or 0.0), gain=min(20.0, lens.gain * (1.0 if gain is None else gain)))


def struck_view(view: View, faults: FaultList, camera: str) -> View:
    """A view with the faults that are there."""
    left, wider = faults.find("move-camera", camera), faults.find("zoom-camera", camera)
    moved = view.moved((left or 0.0) * view.matrix[:, 1])
    return replace(moved, fov=float(np.clip(view.fov + np.radians(wider or 0.0), 0.05, 2.9)))


def struck_picture(picture: Picture, faults: FaultList, camera: str) -> Picture:
    """A picture with the faults that are there."""
    if faults.find("turn-camera", camera) is not None:
        picture = picture[::-1, ::-1]
    if faults.find("mirror-camera", camera) is not None:
        picture = picture[:, ::-1]
    if faults.find("swap-camera", camera) is not None:
        picture = picture[..., ::-1]
    return picture


class Bend:
    """A view's distortion, put into what is drawn with a straight lens."""

    def __init__(self, view: View) -> None:
        """Prepare maps for a view; `straight` is what is to be drawn then, wider than the picture."""
        self.straight, self._maps = view, None
        if not any(view.distortion):
            return
        import cv2

        rows, columns = view.size
        pixels = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 1, 2)
        rays: Any = cv2.undistortPoints(pixels.astype(np.float64), view.intrinsics(), np.array(view.distortion))
        seen = rays.reshape(rows, columns, 2) * view.focal
        ahead = np.concatenate([rays[:, 0], np.ones((len(rays), 1))], axis=1)
        turned, shift = view.extrinsics()
        again, _ = view.project((ahead - shift) @ turned)
        # A lens that shows one pixel in two places has no inverse, and OpenCV returns something all the same.
        if not np.abs(again - pixels[:, 0]).max() < 1.0 or np.abs(seen).max() > 4.0 * max(view.size):
            raise EmulatorError(
                f"distortion {list(view.distortion)} bends the picture so far that it can't be drawn: OpenCV's k1, k2, "
                "p1, p2[, k3] of a usual camera are between -0.5 and 0.5"
            )
        wide, high = (2 * int(np.ceil(np.abs(seen[..., axis]).max())) + 4 for axis in (0, 1))
        fov = 2.0 * float(np.arctan(0.5 * high / view.focal))
        self.straight = replace(view, size=(high, wide), fov=fov, principal=(0.0, 0.0), distortion=())
        column, row = seen[..., 0] + 0.5 * (wide - 1), seen[..., 1] + 0.5 * (high - 1)
        self._maps = column.astype(np.float32), row.astype(np.float32)

    def __call__(self, drawn: Picture) -> Picture:
        """The picture that a camera with this lens takes, given what `straight` shows."""
        if self._maps is None:
            return drawn
        import cv2

        return np.asarray(cv2.remap(drawn, *self._maps, cv2.INTER_LINEAR), np.uint8)


def by_name(things: Mapping[str, SceneObject], name: str) -> SceneObject:
    """An object of the scene.

    Raises:
        EmulatorError: When there is none of this name.
    """
    if name not in things:
        raise EmulatorError(
            f"nothing on the emulated table is called '{name}'{closest(name, things) or '.'} "
            f"There is: {', '.join(things) or 'nothing'}"
        )
    return things[name]
