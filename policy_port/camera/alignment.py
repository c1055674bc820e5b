"""A simulated camera moved by hand until its picture lies on the real one: the numbers, and the two pictures in one."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from policy_port.camera.view import View

Picture = NDArray[np.uint8]
MODES = ("overlay", "edges", "difference", "real", "simulated")
"""What the page shows."""
FIELDS: dict[str, tuple[float, float, float]] = {
    "x": (-1.5, 1.5, 0.01),
    "y": (-1.5, 1.5, 0.01),
    "z": (-0.5, 2.0, 0.01),
    "target_x": (-1.0, 1.0, 0.01),
    "target_y": (-1.0, 1.0, 0.01),
    "target_z": (-0.5, 1.0, 0.01),
    "roll": (-math.pi, math.pi, math.radians(1.0)),
    "fov": (math.radians(5.0), math.radians(140.0), math.radians(0.5)),
}
"""Least, greatest, and the step of a key: position and target [m] in the base frame, roll and vertical fov [rad]."""
CLOSEST = 0.01
"""Least distance from camera to target [m]."""
EDGE = (60, 255, 90)
"""Colour of the simulated arm's edges."""


@dataclasses.dataclass
class Alignment:
    """A camera by position, target, roll and fov, as a person moves it."""

    numbers: dict[str, float]
    """The `FIELDS`."""
    start: View
    """Where it began; what a person does not move (principal point, distortion, size) stays as it is there."""
    mode: str = MODES[0]
    mix: float = 0.5
    """Share of the simulated picture in the overlay."""

    @classmethod
    def of(cls, view: View, target: NDArray[np.float64] | None = None) -> Alignment:
        """Begin at a view; without a target, at the point where it meets the table, or else 0.3 m ahead."""
        position = np.asarray(view.position, dtype=np.float64)
        if target is None:
            ahead = forward(view)
            down = -position[2] / ahead[2] if ahead[2] < -0.1 and position[2] > 0.0 else 0.3
            target = position + min(down, 1.5) * ahead
        numbers = dict(zip(FIELDS, (*position.tolist(), *np.asarray(target).tolist(), 0.0, view.fov), strict=True))
        level = View.looking_at(position, np.asarray(target), 0.0, fov=view.fov, size=view.size)
        numbers["roll"] = _roll_between(level, view)
        return cls(numbers, view)

    @property
    def target(self) -> NDArray[np.float64]:
        """The point that it looks at [m], shape (3,)."""
        return np.array([self.numbers[f"target_{axis}"] for axis in "xyz"])

    @property
    def view(self) -> View:
        """The camera as it stands now."""
        position, numbers = np.array([self.numbers[axis] for axis in "xyz"]), self.numbers
        looks = View.looking_at(position, self.target, numbers["roll"], fov=numbers["fov"], size=self.start.size)
        return dataclasses.replace(looks, principal=self.start.principal, distortion=self.start.distortion)

    def do(self, wish: dict[str, Any]) -> bool:
        """Do what a page asks for, where it is about the camera or the picture; whether it was.

        What is not a finite number, leaves its range, or puts the target into the camera changes nothing.
        """
        what, value = wish["do"], _number(wish.get("value"))
        field = wish.get("field")
        if what in ("set", "nudge", "move") and isinstance(field, str) and field in FIELDS and value is not None:
            step = FIELDS[field][2]
            changed = {field: value if what == "set" else self.numbers[field] + step * value}
            if what == "move" and field in "xyz":
                # The camera as a whole: its target goes along.
                changed[f"target_{field}"] = self.numbers[f"target_{field}"] + step * value
            self._change(changed)
        elif what == "mode" and wish.get("value") in MODES:
            self.mode = wish["value"]
        elif what == "mix" and value is not None:
            self.mix = min(max(value, 0.0), 1.0)
        elif what == "undo":
            self.numbers = Alignment.of(self.start).numbers
        else:
            return False
        return True

    def state(self) -> dict[str, Any]:
        """What the page needs to know."""
        limits = {name: list(limits) for name, limits in FIELDS.items()}
        return {"numbers": self.numbers, "limits": limits, "mode": self.mode, "modes": MODES, "mix": self.mix}

    def _change(self, changed: dict[str, float]) -> None:
        for name, value in changed.items():
            least, greatest, _ = FIELDS[name]
            if not least <= value <= greatest:
                return
        numbers = self.numbers | changed
        ray = [numbers[f"target_{axis}"] - numbers[axis] for axis in "xyz"]
        if math.hypot(*ray) >= CLOSEST:
            self.numbers = numbers


def compose(real: Picture, simulated: Picture, mask: NDArray[np.bool_], mode: str, mix: float = 0.5) -> Picture:
    """Two pictures in one.

    Args:
        real: RGB, shape (height, width, 3).
        simulated: RGB, the same shape.
        mask: Where the simulated robot is, shape (height, width).
        mode: One of `MODES`.
        mix: Share of the simulated robot in the overlay.
    """
    if mode == "real":
        return real
    if mode == "simulated":
        return simulated
    if mode == "overlay":
        return np.where(mask[..., None], cv2.addWeighted(real, 1.0 - mix, simulated, mix, 0.0), real).astype(np.uint8)
    if mode == "difference":
        return np.where(mask[..., None], cv2.absdiff(real, simulated), real // 4).astype(np.uint8)
    grey = cv2.cvtColor(cv2.cvtColor(real, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    lines = cv2.Canny(simulated, 60, 140) > 0
    lines &= cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    outline = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    picture = np.asarray(grey, dtype=np.uint8)
    picture[lines | outline] = EDGE
    return picture


def forward(view: View) -> NDArray[np.float64]:
    """Direction in which a camera looks, in the base frame, shape (3,)."""
    return _axes(view)[:, 0]


def _roll_between(level: View, view: View) -> float:
    """By how much a view is turned about its own axis against one that looks the same way [rad]."""
    turned = _axes(level).T @ _axes(view)
    return math.atan2(turned[2, 1], turned[1, 1])


def _axes(view: View) -> NDArray[np.float64]:
    """The camera's axes forward, left, up in the base frame, as columns, shape (3, 3)."""
    w, x, y, z = view.rotation
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _number(value: Any) -> float | None:
    # A range that NaN is not in.
    number = isinstance(value, int | float) and not isinstance(value, bool) and -1e9 < value < 1e9
    return float(value) if number else None
