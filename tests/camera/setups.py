"""An arm in front of an emulated camera, drawn once for all tests of a run."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.camera.render import Drawn, Twin
from policy_port.camera.stills import Frame
from policy_port.camera.view import View

VIEW = View.looking_at((0.35, -0.55, 0.35), (0.0, -0.15, 0.08), fov=0.9, size=(240, 320))
POSE = {
    "shoulder_pan": 0.2,
    "shoulder_lift": 0.5,
    "elbow_flex": 0.3,
    "wrist_flex": 1.0,
    "wrist_roll": 1.2,
    "gripper": 0.2,
}


@functools.cache
def twin() -> Twin:
    """The arm on a brown table with something blue on it."""

    def add(spec: Any, root: Any) -> None:
        import mujoco

        for geom in spec.worldbody.geoms:
            if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
                geom.material, geom.rgba = "", [0.5, 0.35, 0.25, 1.0]
        for place in (-0.25, 0.3):
            spec.worldbody.add_geom(
                type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.06, 0.06, 0.03], pos=[place, -0.2, 0.03],
                rgba=[0.1, 0.2, 0.6, 1.0], contype=0, conaffinity=0,
            )  # fmt: skip

    return Twin("so100", add=add)


@functools.cache
def drawn(view: View = VIEW, hidden: bool = False) -> Drawn:
    """The scene from a view, the arm far below the table where it is hidden."""
    return twin().render(view, POSE)


def frames(
    image: NDArray[np.uint8], *, gain: float = 1.0, noise: float = 3.0, seed: int = 0, count: int = 4
) -> list[Frame]:
    """What a sensor makes of a picture, four times."""
    rng = np.random.default_rng(seed)
    taken = [gain * image + rng.normal(0.0, noise, image.shape) for _ in range(count)]
    return [Frame(np.clip(item, 0, 255).astype(np.uint8), index / 30) for index, item in enumerate(taken)]
