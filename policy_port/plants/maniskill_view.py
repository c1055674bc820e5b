"""Pictures of a robot from SAPIEN: a scene of its own, so that physics never needs a graphics driver."""

from __future__ import annotations

import numpy as np
import sapien
from numpy.typing import NDArray
from sapien import physx

from policy_port.errors import MissingDependencyError
from policy_port.plants import maniskill_build as build
from policy_port.plants.sapien_drawing import drawing_device
from policy_port.plants.setup import PlantSetup

BACKWARDS = np.array([0.624, -0.743, 0.25]) / np.linalg.norm([0.624, -0.743, 0.25])
"""Direction from the robot to the camera: the one from which the MuJoCo plant looks."""


GRID = 20
"""Metres from the middle to the edge of the lines on the ground, which are a metre apart."""


class TrackingView:
    """Colour images of a robot at given positions, the camera following its base."""

    def __init__(self, robot: build.SapienRobot, setup: PlantSetup, *, height: int, width: int) -> None:
        """Open a renderer for images of `height` x `width` pixels.

        Raises:
            MissingDependencyError: When there is no Vulkan device that SAPIEN accepts.
        """
        self.shape = (height, width)
        try:
            self._scene = sapien.Scene(
                [physx.PhysxCpuSystem(), sapien.render.RenderSystem(sapien.Device(drawing_device()))]
            )
        except RuntimeError as cause:
            raise MissingDependencyError(
                f"SAPIEN found no Vulkan device to draw with ({cause}); `policy-port doctor` says what would mend it"
            ) from cause
        self._scene.set_ambient_light([0.45, 0.45, 0.47])
        self._scene.add_directional_light([0.4, 0.35, -1.0], [1.1, 1.08, 1.02], shadow=True)
        self._draw_ground()
        urdf = robot.urdf
        shown = urdf if urdf.root.find("link/visual") is not None else urdf.with_visuals()
        self._robot = build.load(self._scene, robot, setup, shown=shown)
        self._robot.set_qpos(np.zeros(self._robot.dof, dtype=np.float32))
        origins = np.array([link.entity_pose.p for link in self._robot.links], dtype=np.float64)
        self._distance = 2.4 * max(0.25, 1.1 * float(np.linalg.norm(origins - origins[0], axis=1).max()))
        self._lift = 0.0 if setup.floating else 0.14 * self._distance
        # Shader and format are SAPIEN's globals, and ManiSkill's environments leave theirs behind.
        sapien.render.set_camera_shader_dir("default")
        sapien.render.set_picture_format("Color", "r32g32b32a32sfloat")
        self._camera = self._scene.add_camera("view", width, height, fovy=0.8, near=0.01, far=100.0)

    def image(self, base: sapien.Pose, joint_pos: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The robot with its base at `base` and its joints at `joint_pos` [rad or m], SAPIEN's order."""
        self._robot.set_root_pose(base)
        self._robot.set_qpos(joint_pos)
        target = np.asarray(base.p, dtype=np.float64)
        target[2] += self._lift
        self._camera.set_entity_pose(_look_at(target + self._distance * BACKWARDS, target))
        self._scene.update_render()
        self._camera.take_picture()
        picture = self._camera.get_picture("Color")[..., :3]
        return (np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8)

    def _draw_ground(self) -> None:
        self._scene.add_ground(0.0, render_material=_matt([0.50, 0.56, 0.62, 1.0]), render_half_size=[100.0, 100.0])
        lines, white = self._scene.create_actor_builder(), _matt([0.85, 0.88, 0.90, 1.0])
        for place in range(-GRID, GRID + 1):
            for half_size, position in (
                ((GRID, 0.008, 0.001), [0.0, float(place), 0.0]),
                ((0.008, GRID, 0.001), [float(place), 0.0, 0.0]),
            ):
                lines.add_box_visual(sapien.Pose(position), half_size, white)
        lines.build_kinematic(name="grid")


def _look_at(eye: NDArray[np.float64], target: NDArray[np.float64]) -> sapien.Pose:
    """SAPIEN's cameras look along x, with y to the left and z up."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    left = np.cross([0.0, 0.0, 1.0], forward)
    left /= np.linalg.norm(left)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2], matrix[:3, 3] = forward, left, np.cross(forward, left), eye
    return sapien.Pose(matrix)


def _matt(colour: list[float]) -> sapien.render.RenderMaterial:
    material = sapien.render.RenderMaterial()
    material.base_color, material.roughness, material.specular = colour, 0.9, 0.05
    return material
