"""Emulated cameras for the camera's figures: a hidden arm, its scene and light, and what can be wrong with a camera."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from policy_port.camera.render import Twin
from policy_port.camera.view import View

Picture = NDArray[np.uint8]
SIZE = (480, 640)
PRINTED = (
    (0.95, 0.95, 0.95),
    (0.9, 0.45, 0.1),
    (0.9, 0.75, 0.1),
    (0.2, 0.35, 0.7),
    (0.6, 0.6, 0.62),
    (0.7, 0.15, 0.15),
)
"""Colours of filament; the robot file's arm is white."""


def furnish(seed: int) -> Callable[[Any, Any], None]:
    """A function that puts a table and things of many colours around an arm, for `Twin(add=...)`."""

    def add(spec: Any, root: Any) -> None:
        import mujoco

        rng = np.random.default_rng(seed)
        tint = rng.uniform(0.25, 0.6) * rng.uniform(0.75, 1.0, 3)
        for geom in spec.worldbody.geoms:
            if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
                geom.material, geom.rgba = "", [*tint, 1.0]
        printed = PRINTED[rng.integers(len(PRINTED))]
        for geom in spec.geoms:
            if geom.type == mujoco.mjtGeom.mjGEOM_MESH and geom.rgba[0] > 0.5:
                geom.rgba = [*printed, 1.0]
        for _ in range(rng.integers(4, 10)):
            around, away = rng.uniform(-2.8, -0.3), rng.uniform(0.3, 0.6)
            size = rng.uniform(0.01, 0.06, 3)
            spec.worldbody.add_geom(
                type=mujoco.mjtGeom.mjGEOM_BOX,
                size=size,
                pos=[away * math.cos(around), away * math.sin(around), size[2]],
                rgba=[*rng.uniform(0.05, 0.8, 3), 1.0],
                contype=0,
                conaffinity=0,
            )

    return add


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """What a camera's sensor and its driver make of a scene."""

    gain: float = 1.0
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blur: float = 0.0
    noise: float = 4.0
    quality: int = 80
    swapped: bool = False
    mirrored: bool = False
    turned: bool = False

    def frame(self, drawn: Picture, rng: np.random.Generator) -> Picture:
        """One frame, RGB."""
        image = drawn.astype(np.float32)
        if self.blur:
            image = cv2.GaussianBlur(image, (0, 0), self.blur)
        image = image * self.gain * np.array(self.balance) + rng.normal(0.0, self.noise, image.shape)
        taken = np.clip(image, 0, 255).astype(np.uint8)[..., :: -1 if self.swapped else 1]
        taken = taken[:: -1 if self.turned else 1, :: -1 if self.mirrored or self.turned else 1]
        _, data = cv2.imencode(".jpg", np.ascontiguousarray(taken), [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def some_view(rng: np.random.Generator) -> View:
    """A camera on the table beside an arm that reaches along -y, as people mount them."""
    around, up, away = rng.uniform(-2.4, -0.7), rng.uniform(0.2, 0.45), rng.uniform(0.5, 0.75)
    position = np.array([away * math.cos(around), away * math.sin(around) - 0.1, up])
    return View.looking_at(
        position, (rng.uniform(-0.05, 0.05), -0.15, 0.08), size=SIZE,
        fov=rng.uniform(0.75, 1.0), roll=rng.normal(0.0, 0.03),
    )  # fmt: skip


def some_pose(rng: np.random.Generator) -> dict[str, float]:
    """A pose of an SO100 as in its tasks."""
    lows, highs = (-0.7, 0.1, -0.4, 0.4, 0.5, -0.5), (0.7, 1.0, 0.7, 1.4, 2.2, 0.8)
    names = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
    return dict(zip(names, rng.uniform(lows, highs).tolist(), strict=True))


class Stage:
    """One hidden set-up: what its camera shows, and what is believed of it."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.truth = some_view(self.rng)
        self.twin = Twin("so100", add=furnish(seed))
        # As well as `camera solve` finds it, on joints whose zeros are as well known as calibration leaves them.
        self.view = self.truth.moved(self.rng.normal(0.0, 0.0025, 3), self.rng.normal(0.0, 0.002, 3))
        self._zeros = self.rng.normal(0.0, 0.008, 6)

    def believed(self, pose: Mapping[str, float]) -> dict[str, float]:
        """Joint positions as they are measured."""
        return {name: value + zero for (name, value), zero in zip(pose.items(), self._zeros, strict=True)}

    def frames(
        self, pose: Mapping[str, float], sensor: Sensor, view: View | None = None, count: int = 4
    ) -> list[Picture]:
        """Frames of the true arm."""
        drawn = self.twin.rgb(view or self.truth, pose)
        return [sensor.frame(drawn, self.rng) for _ in range(count)]

    def light(self, *, by: float = 0.3) -> Sensor:
        """A sensor in light that differs by up to 30 %, its white balance by up to 5 %."""
        balance = self.rng.uniform(0.95, 1.05, 3)
        return Sensor(
            gain=self.rng.uniform(1.0 - by, 1.0 + by), balance=tuple(balance.tolist()), noise=self.rng.uniform(1.0, 5.0)
        )

    def close(self) -> None:
        """Free the graphics."""
        self.twin.close()


def wrong(stage: Stage, kind: str, pose: Mapping[str, float]) -> list[Picture]:
    """Frames of a set-up in which one thing is wrong."""
    good = stage.light()
    if kind == "moved":
        shift = stage.rng.normal(size=3)
        return stage.frames(pose, good, stage.truth.moved(0.03 * shift / np.linalg.norm(shift)))
    if kind == "fov":
        by = math.radians(5.0) * stage.rng.choice([-1.0, 1.0])
        return stage.frames(pose, good, replace(stage.truth, fov=stage.truth.fov + by))
    if kind == "another":
        return stage.frames(pose, good, some_view(stage.rng))
    if kind == "frozen":
        return stage.frames(pose, good, count=1) * 4
    changes: dict[str, dict[str, Any]] = {
        "turned_over": {"turned": True},
        "mirrored": {"mirrored": True},
        "red_blue": {"swapped": True},
        "gain": {"gain": 2.0 * good.gain},
        "focus": {"blur": 3.0},
    }
    return stage.frames(pose, replace(good, **changes[kind]))


KINDS = ("moved", "turned_over", "mirrored", "red_blue", "fov", "gain", "another", "focus", "frozen")
