"""What surrounds a robot in MuJoCo: the ground under it, light and sky to see it by, bones where meshes are missing."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from policy_port.errors import MissingDependencyError
from policy_port.plants.mujoco_renderer import Renderer, by_software

GHOST = (0.95, 0.55, 0.15, 0.4)
"""Colour of a reference beside the robot."""
WIDER = 1.3
"""How much farther away the camera is that has two robots to show."""
SHADOWS = 4096, 2048
"""Pixels of a side of MuJoCo's map of shadows, and of ours: it takes two thirds of the time of a picture drawn without
a GPU, and pictures hardly differ."""
VISIBLE_GROUPS = 3
"""MuJoCo draws geom groups 0, 1 and 2 unless told otherwise."""


def add_scenery(spec: mujoco.MjSpec, root: mujoco.MjsBody, *, friction: float) -> None:
    """Add what the file lacks: ground, sky, light, and something to see of a robot whose meshes are not there."""
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 1920, 1080
    if spec.visual.quality.shadowsize == SHADOWS[0]:
        spec.visual.quality.shadowsize = SHADOWS[1]
    if not any(texture.type == mujoco.mjtTexture.mjTEXTURE_SKYBOX for texture in spec.textures):
        spec.add_texture(
            name="policy_port sky",
            type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
            builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
            rgb1=[0.62, 0.74, 0.86],
            rgb2=[0.95, 0.97, 1.0],
            width=256,
            height=1536,
        )
    if not spec.lights:
        root.add_light(
            name="policy_port sun",
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM,
            pos=[-1.2, -1.05, 3],
            dir=[0.4, 0.35, -1.0],
            diffuse=[0.7, 0.7, 0.68],
            castshadow=True,
        )
        spec.visual.headlight.ambient = [0.35, 0.35, 0.37]
        spec.visual.headlight.diffuse = [0.35, 0.35, 0.35]
        spec.visual.headlight.specular = [0.1, 0.1, 0.1]
    ensure_ground(spec, friction)
    _draw_bones(root)


def ensure_ground(spec: mujoco.MjSpec, friction: float) -> None:
    """Add flat ground where the file has none."""
    if not any(_carries(geom, spec) for geom in spec.geoms):
        _add_ground(spec, friction)


def _carries(geom: mujoco.MjsGeom, spec: mujoco.MjSpec) -> bool:
    """Whether a shape is ground: a plane or height field that is not only there to be seen."""
    if geom.type not in (mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_HFIELD):
        return False
    paired = geom.name and any(geom.name in (pair.geomname1, pair.geomname2) for pair in spec.pairs)
    return bool(geom.contype or geom.conaffinity or paired)


def _add_ground(spec: mujoco.MjSpec, friction: float) -> None:
    spec.add_texture(
        name="policy_port checker",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        mark=mujoco.mjtMark.mjMARK_EDGE,
        rgb1=[0.80, 0.82, 0.84],
        rgb2=[0.70, 0.73, 0.76],
        markrgb=[0.9, 0.9, 0.9],
        width=300,
        height=300,
    )
    material = spec.add_material(name="policy_port ground", texuniform=True, texrepeat=[2, 2], reflectance=0.0)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "policy_port checker"
    spec.worldbody.add_geom(
        name="policy_port ground",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[0, 0, 0.05],
        material="policy_port ground",
        friction=[friction, 0.005, 0.0001],
        contype=1,
        conaffinity=1,
        condim=3,
    )


def _draw_bones(root: mujoco.MjsBody) -> None:
    """Draw lines between joints where most links have no shape; they neither weigh nor touch anything."""
    bodies = [root, *root.find_all("body")]
    moving = [body for body in bodies if len(body.joints)]
    if sum(1 for body in moving if len(body.geoms)) > 0.6 * len(moving):
        return
    for body in bodies[1:]:
        if np.linalg.norm(body.pos) > 0.01:
            body.parent.add_geom(
                type=mujoco.mjtGeom.mjGEOM_CAPSULE,
                fromto=[0, 0, 0, *body.pos],
                size=[0.012, 0, 0],
                rgba=[0.25, 0.35, 0.5, 1],
                contype=0,
                conaffinity=0,
                mass=0.0,
                group=1,
            )


class TrackingView:
    """Colour images of a robot, the camera following its base; a renderer is opened at the first one."""

    def __init__(self, model: mujoco.MjModel, base_body: int, *, drawer: str = "MuJoCo") -> None:
        """Prepare pictures of the robot whose base link is `base_body`; messages call the renderer `drawer`."""
        self._model = model
        self._base = base_body
        self._drawer = drawer
        self._renderer: Renderer | None = None
        self._camera = mujoco.MjvCamera()
        self._camera.azimuth, self._camera.elevation = 130.0, -14.0
        self._lift = 0.0
        self._option = mujoco.MjvOption()
        mine = model.body_rootid[model.geom_bodyid] == base_body
        seen = mine & (model.geom_group < VISIBLE_GROUPS) & (model.geom_contype == 0) & (model.geom_conaffinity == 0)
        for group in range(VISIBLE_GROUPS, mujoco.mjNGROUP):
            self._option.geomgroup[group] = not seen.any()

    def image(
        self, data: mujoco.MjData, height: int, width: int, *, ghost: mujoco.MjData | None = None, aside: Any = 0.0
    ) -> NDArray[np.uint8]:
        """The scene as it is in `data`, whose kinematics must be up to date, shape (height, width, 3).

        Args:
            data: The robot.
            height: Rows of the picture.
            width: Columns of the picture.
            ghost: A second pose of the robot, drawn translucent.
            aside: How far aside that one stands [m].

        Raises:
            MissingDependencyError: When the machine can't draw off screen.
        """
        renderer = self._renderer
        if renderer is None or (renderer.height, renderer.width) != (height, width):
            self.close()
            renderer = self._renderer = self._open(data, height, width)
        mujoco.mj_camlight(self._model, data)
        self._camera.lookat[:] = data.xpos[self._base]
        self._camera.lookat[2] += self._lift
        distance = self._camera.distance
        if ghost is not None:
            self._camera.lookat[:] += 0.5 * np.asarray(aside)
            self._camera.distance = WIDER * distance
        renderer.update_scene(data, camera=self._camera, scene_option=self._option)
        self._camera.distance = distance
        if ghost is not None:
            self._add(ghost, renderer.scene)
        return renderer.render()

    def _add(self, ghost: mujoco.MjData, scene: mujoco.MjvScene) -> None:
        first, moving = scene.ngeom, int(mujoco.mjtCatBit.mjCAT_DYNAMIC)
        mujoco.mjv_addGeoms(self._model, ghost, self._option, mujoco.MjvPerturb(), moving, scene)
        for geom in scene.geoms[first : scene.ngeom]:
            geom.matid, geom.transparent = -1, 1
            geom.rgba[:] = GHOST

    def close(self) -> None:
        """Free the graphics context. Calling it twice is harmless."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _open(self, data: mujoco.MjData, height: int, width: int) -> Renderer:
        model = self._model
        mine = model.body_rootid == self._base
        reach = float(np.linalg.norm(data.xpos[mine] - data.xpos[self._base], axis=1).max())
        size = max(0.25, 1.3 * reach)
        # Shadows reach as far as the extent says and are drawn as finely as it is small; software drivers sprinkle
        # the ground with black dots where they end, so that must be out of sight.
        model.stat.extent, model.vis.map.shadowclip = 2.0 * size, 6.0
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
        model.vis.global_.offheight = max(model.vis.global_.offheight, height)
        self._camera.distance = 2.4 * size
        self._lift = 0.0 if model.body_dofnum[self._base] else 0.35 * size
        try:
            if by_software():
                model.vis.quality.offsamples = 0
            return Renderer(model, height, width)
        except Exception as cause:
            raise MissingDependencyError(
                f"{self._drawer} can't draw off screen here ({cause}). Set MUJOCO_GL=egl; on Debian and Ubuntu it "
                "needs libegl1 and libgl1-mesa-dri"
            ) from cause
