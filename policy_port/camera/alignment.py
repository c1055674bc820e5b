"""A simulated camera moved by hand until its picture lies on the real one: the numbers, and the two pictures in one."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from policy_port.camera.env_file import EnvFile, LookAt, looked_at
from policy_port.camera.view import Vector, View, ViewFile, view_fields

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
LEVEL = 1e-3
"""Roll up to which a camera counts as level [rad]."""
DIGITS = 9
"""Digits after the point of what is written [m, rad]: a person reads it."""
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
    began: dict[str, float] = dataclasses.field(init=False)
    """The `FIELDS` at the start."""
    mode: str = MODES[0]
    mix: float = 0.5
    """Share of the simulated picture in the overlay."""

    def __post_init__(self) -> None:
        self.began = dict(self.numbers)

    @classmethod
    def of(cls, env: EnvFile) -> Alignment:
        """Begin where an environment file has its camera.

        Raises:
            CameraError: When it has none, or does not say of what size its frames are.
        """
        view = env.frame_view()
        target = _base_frame(env, env.camera.target, view) if isinstance(env.camera, LookAt) else looked_at(view)
        numbers = *view.position, *target, view.roll_to(target), view.fov
        return cls(dict(zip(FIELDS, numbers, strict=True)), view)

    @property
    def view(self) -> View:
        """The camera of the whole frames as it stands now, in the robot's base frame."""
        numbers, start = self.numbers, self.start
        position, target = ([numbers[f"{what}{axis}"] for axis in "xyz"] for what in ("", "target_"))
        lens = {"size": start.size, "principal": start.principal, "distortion": start.distortion}
        return View.looking_at(position, target, roll=numbers["roll"], fov=numbers["fov"], **lens)

    def aligned(self, env: EnvFile, given: EnvFile | None = None) -> EnvFile:
        """An environment file with the camera as it stands now, in the form in which the file had it.

        A camera that looks at a point stays one as long as it is level; else it becomes a view.

        Args:
            env: The environment file, which says of what size the camera's frames are.
            given: The same file, which may not; what is changed, if not None.

        Raises:
            CameraError: When the simulation can't draw what the network would see.
        """
        view, (x, y, z) = self.view, (self.numbers[f"target_{axis}"] for axis in "xyz")
        file = ViewFile.model_validate(view_fields(view) | {"source": {"found_by": "camera align"}})
        seen = env.with_view(file).drawn_view()
        given = env if given is None else given
        if not isinstance(env.camera, LookAt) or abs(self.numbers["roll"]) > LEVEL:
            return given.with_view(file)
        seen = seen.in_frame(*env.stand)
        point = replace(view, position=(x, y, z)).in_frame(*env.stand)
        return given.with_look_at(_rounded(seen.position), _rounded(point.position), round(seen.fov, DIGITS))

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
            self.numbers = dict(self.began)
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


def _base_frame(env: EnvFile, point: Vector, view: View) -> Vector:
    return replace(view, position=point).from_frame(*env.stand).position


def _rounded(place: Vector) -> Vector:
    x, y, z = (round(value, DIGITS) for value in place)
    return x, y, z


def _number(value: Any) -> float | None:
    # A range that NaN is not in.
    number = isinstance(value, int | float) and not isinstance(value, bool) and -1e9 < value < 1e9
    return float(value) if number else None
