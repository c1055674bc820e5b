"""The twin: an arm as a camera with a given view sees it, drawn by MuJoCo off screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from policy_port.camera.links import Arm
from policy_port.camera.view import View
from policy_port.errors import MissingDependencyError
from policy_port.plants.mujoco_renderer import Renderer, by_software
from policy_port.plants.mujoco_scene import add_scenery

CAMERA = "policy_port view"
HIDDEN = 5
"""The geom group that nobody draws."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A picture of the twin."""

    rgb: NDArray[np.uint8]
    """Shape (rows, columns, 3)."""
    mask: NDArray[np.bool_]
    """Where the robot is, shape (rows, columns)."""


class Twin:
    """Draws an arm from any view. Its lens is straight: whoever wants distortion bends the picture.

    A context of graphics belongs to the thread that draws first.
    """

    def __init__(self, robot: Arm | Path | str, *, add: Any = None) -> None:
        """Prepare an arm with ground and light.

        Args:
            robot: The arm, or its file or name.
            add: A function that adds to the scene, called with the MjSpec and the robot's root MjsBody, before it is
                compiled; what it hangs on the world is no part of the robot's mask.
        """
        self.arm = robot if isinstance(robot, Arm) else Arm.load(robot)
        spec = self.arm.spec.copy()
        root = spec.body(self.arm.model.body(self.arm.base).name)
        for geom, shown in zip(spec.geoms, self.arm.shown, strict=True):
            if self.arm.model.body_rootid[self.arm.model.geom(geom.id).bodyid[0]] == self.arm.base and not shown:
                geom.group = HIDDEN
        add_scenery(spec, root, friction=1.0)
        if add is not None:
            add(spec, root)
        spec.worldbody.add_camera(name=CAMERA)
        self.model = spec.compile()
        self._groups = self.model.geom_group.copy()
        self.model.vis.map.znear, self.model.vis.map.zfar = 0.005, 50.0
        # Software drivers sprinkle the ground with black dots where shadows end: that must be out of sight.
        self.model.stat.extent, self.model.vis.map.shadowclip = 1.0, 6.0
        self.data = mujoco.MjData(self.model)
        self._base = int(self.model.body(root.name).id)
        self._camera = int(self.model.camera(CAMERA).id)
        self._renderer: Renderer | None = None

    def render(self, view: View, joint_pos: Mapping[str, float]) -> Drawn:
        """Draw the arm.

        Args:
            view: From where; its distortion is left out.
            joint_pos: By name [rad or m], all of the arm's joints.

        Raises:
            MissingDependencyError: When the machine can't draw off screen.
        """
        renderer = self._pointed(view, joint_pos)
        rgb = renderer.render()
        renderer.enable_segmentation_rendering()
        try:
            seen = renderer.render()
        finally:
            renderer.disable_segmentation_rendering()
        geom = np.where(seen[..., 1] == int(mujoco.mjtObj.mjOBJ_GEOM), seen[..., 0], -1)
        mine = self.model.body_rootid[self.model.geom_bodyid] == self._base
        return Drawn(rgb=rgb, mask=(geom >= 0) & mine[geom])

    def rgb(self, view: View, joint_pos: Mapping[str, float], *, bare: bool = False) -> NDArray[np.uint8]:
        """The picture alone, in half the time; see `render`. `bare` leaves the arm out."""
        return self._pointed(view, joint_pos, bare=bare).render()

    def close(self) -> None:
        """Free the graphics context. Calling it twice is harmless."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _pointed(self, view: View, joint_pos: Mapping[str, float], *, bare: bool = False) -> Renderer:
        model, camera = self.model, self._camera
        mine = model.body_rootid[model.geom_bodyid] == self._base
        model.geom_group[:] = np.where(mine & bare, HIDDEN, self._groups)
        rows, columns = view.size
        placed = view.in_frame(model.body_pos[self._base], model.body_quat[self._base])
        model.cam_pos[camera], model.cam_quat[camera] = placed.position, placed.mujoco_quat
        model.cam_fovy[camera] = np.degrees(view.fov)
        # Sizes are in units of a pixel: MuJoCo's frustum knows only their proportions.
        model.cam_sensorsize[camera] = columns, rows
        # MuJoCo counts from the principal point to the middle.
        model.cam_intrinsic[camera] = view.focal, view.focal, -view.principal[0], -view.principal[1]
        self.arm.pose(self.data, joint_pos)
        renderer = self._opened(rows, columns)
        renderer.update_scene(self.data, camera=camera)
        return renderer

    def _opened(self, rows: int, columns: int) -> Renderer:
        if self._renderer is not None and (self._renderer.height, self._renderer.width) == (rows, columns):
            return self._renderer
        self.close()
        self.model.vis.global_.offwidth = max(self.model.vis.global_.offwidth, columns)
        self.model.vis.global_.offheight = max(self.model.vis.global_.offheight, rows)
        try:
            if by_software():
                self.model.vis.quality.offsamples = 0
            self._renderer = Renderer(self.model, rows, columns)
        except Exception as cause:
            raise MissingDependencyError(
                f"MuJoCo can't draw off screen here ({cause}). Set MUJOCO_GL=egl; on Debian and Ubuntu it needs "
                "libegl1 and libgl1-mesa-dri"
            ) from cause
        return self._renderer
