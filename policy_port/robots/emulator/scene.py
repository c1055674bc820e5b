"""An emulated arm on its table, as a camera that somebody has mounted sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import mujoco
import numpy as np

from policy_port.camera.render import Twin
from policy_port.motion.rotations import multiply, rotate
from policy_port.robots.emulator.camera import Picture, Pictures
from policy_port.robots.emulator.faults import FaultList
from policy_port.robots.emulator.lens import Bend, SceneObject, struck_lens, struck_view
from policy_port.robots.emulator.options import CameraSpec

TEXTURE = 512
"""Pixels of the table's texture along one side."""
GONE = (0.0, 0.0, -20.0)
"""Where objects are that are not there: far below the table [m]."""
TABLE = (176, 150, 118)
"""RGB."""


def open_scene(
    spec: CameraSpec,
    robot: Path | str,
    angles: Callable[[], Mapping[str, float]],
    things: Callable[[], Mapping[str, SceneObject]],
    faults: FaultList,
) -> Pictures:
    """A camera's pictures, from its own view.

    Args:
        spec: The camera, which has a view.
        robot: The robot description, a file or a name.
        angles: Tells where every joint of the description is [rad].
        things: Tells what is on the table.
        faults: The arm's.
    """
    assert spec.view is not None
    given = spec.view.resized((spec.height, spec.width))
    twin = Twin(robot, add=lambda model, _root: _furnish(model, things()))
    bend, bent = Bend(given), given

    def draw(height: int, width: int) -> Picture:
        nonlocal bend, bent
        view = struck_view(given, faults, spec.name)
        if view != bent:
            bend, bent = Bend(view), view
        _place(twin, things())
        bare = faults.find("bare-camera", spec.name) is not None
        return struck_lens(spec.lens, faults, spec.name).see(bend(twin.rgb(bend.straight, angles(), bare=bare)))

    return Pictures(draw, twin.close)


def table() -> Picture:
    """The table's texture: grain, and darker and lighter boards, shape (`TEXTURE`, `TEXTURE`, 3).

    It is one table, whatever the seed of faults and episodes: a background that was photographed once stays right.
    """
    random = np.random.default_rng(0)
    grain = random.normal(0.0, 1.0, (TEXTURE, TEXTURE))
    boards = np.cumsum(random.normal(0.0, 0.6, TEXTURE))
    shade = 7.0 * grain + 16.0 * np.sin(boards)[:, None]
    return np.clip(np.array(TABLE) + shade[..., None], 0.0, 255.0).astype(np.uint8)


def _furnish(model: mujoco.MjSpec, things: Mapping[str, SceneObject]) -> None:
    """A table with a texture, things on it, and no shadows, which would cost most of the frames."""
    kind = mujoco.mjtTexture.mjTEXTURE_2D
    texture = model.add_texture(name="emulated table", type=kind, width=TEXTURE, height=TEXTURE, nchannel=3)
    texture.data = table().tobytes()
    material = model.add_material(name="emulated table", texuniform=True, texrepeat=[1.5, 1.5])
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "emulated table"
    for geom in model.geoms:
        if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
            geom.material = "emulated table"
    for light in model.lights:
        light.castshadow = False
    for thing in things.values():
        body = model.worldbody.add_body(name=f"emulated {thing.name}", mocap=True, pos=GONE)
        kind = mujoco.mjtGeom.mjGEOM_BOX if thing.kind == "box" else mujoco.mjtGeom.mjGEOM_SPHERE
        body.add_geom(type=kind, size=[thing.size] * 3, rgba=[*thing.colour, 1.0], contype=0, conaffinity=0)


def _place(twin: Twin, things: Mapping[str, SceneObject]) -> None:
    model, data = twin.model, twin.data
    base = model.body(twin.arm.model.body(twin.arm.base).name)
    origin, turned = np.array(base.pos), np.array(base.quat)
    for thing in things.values():
        number = int(model.body(f"emulated {thing.name}").mocapid[0])
        if thing.position is None:
            data.mocap_pos[number] = GONE
        else:
            data.mocap_pos[number] = origin + rotate(turned, np.array(thing.position))
            data.mocap_quat[number] = multiply(turned, np.array(thing.rotation))
