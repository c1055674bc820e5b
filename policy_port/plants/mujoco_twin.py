"""A robot to look at: the geometry of its file, posed by what any simulator measures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import trimesh
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.errors import RobotError
from policy_port.plants.mujoco_model import build_robot
from policy_port.plants.mujoco_scene import VISIBLE_GROUPS
from policy_port.plants.setup import PlantSetup
from policy_port.robot_models.coupling import follow
from policy_port.robot_models.find import USD_SUFFIXES, find_robot

FLAT = (mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_HFIELD)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A triangle mesh on a link."""

    link: int
    """Index of the link among `Twin.links`."""
    vertices: NDArray[np.float32]
    """Corners in the link's frame [m], shape (n, 3)."""
    faces: NDArray[np.uint32]
    """Corners of each triangle, shape (m, 3)."""
    colour: tuple[int, int, int]
    """Red, green, blue, 0 to 255."""


class Twin:
    """MuJoCo's kinematics of a robot file, for plants of every simulator."""

    def __init__(self, robot: str | Path, setup: PlantSetup, *, meshes: bool = True) -> None:
        """Read the robot file.

        Args:
            robot: A URDF or MJCF file, or the name of a robot that comes with ManiSkill.
            setup: What the plant was set up with.
            meshes: False leaves every mesh out; where most links then have no shape, bones are drawn between joints.

        Raises:
            RobotError: When the file can't be read.
        """
        path = find_robot(robot)
        if path.suffix.lower() in USD_SUFFIXES:
            raise RobotError(f"{path}: is shown by MuJoCo, which reads URDF and MJCF; give --view such a --robot")
        self._robot = build_robot(path, setup, meshes=meshes)
        self._setup = setup
        self.model: mujoco.MjModel = self._robot.model
        """The compiled model."""
        self.data = mujoco.MjData(self.model)
        """The robot as it was placed last."""
        self._places = {joint.name: i for joint, i in zip(self._robot.joints, self._robot.qpos_index, strict=True)}
        mine = np.flatnonzero(self.model.body_rootid == self._robot.base_body)
        self._bodies = mine
        self.links = tuple(self.model.body(i).name or f"body {i}" for i in mine)
        """The robot's links, the base first."""

    def shapes(self) -> list[Shape]:
        """What is to be seen, as `TrackingView` shows it."""
        model = self.model
        mine = [i for i in range(model.ngeom) if model.geom_bodyid[i] in self._bodies]
        only_seen = [i for i in mine if model.geom_group[i] < VISIBLE_GROUPS and not _touches(model, i)]
        shown = [i for i in mine if model.geom_group[i] < VISIBLE_GROUPS or not only_seen]
        found = []
        for geom in shown:
            mesh = _mesh(model, geom)
            if mesh is None:
                continue
            turn = np.zeros(9)
            mujoco.mju_quat2Mat(turn, model.geom_quat[geom])
            vertices = mesh[0] @ turn.reshape(3, 3).T + model.geom_pos[geom]
            colour = model.mat_rgba[model.geom_matid[geom]] if model.geom_matid[geom] >= 0 else model.geom_rgba[geom]
            found.append(
                Shape(
                    link=int(np.flatnonzero(self._bodies == model.geom_bodyid[geom])[0]),
                    vertices=vertices.astype(np.float32),
                    faces=np.asarray(mesh[1], dtype=np.uint32),
                    colour=(int(255 * colour[0]), int(255 * colour[1]), int(255 * colour[2])),
                )
            )
        return found

    def place(self, base_pos: Array, base_quat: Array, joints: dict[str, float]) -> tuple[Array, Array]:
        """Pose the robot.

        Args:
            base_pos: Where the contract's base frame is [m], shape (3,).
            base_quat: Its orientation, wxyz.
            joints: Joint positions by name [rad or m]; others stay where the file has them.

        Returns:
            Positions (links, 3) and orientations wxyz (links, 4) of the links in the world.
        """
        data = self.data
        mujoco.mj_resetData(self.model, data)
        for name, position in joints.items():
            if name in self._places:
                data.qpos[self._places[name]] = position
        if self._robot.followers:
            places = {self.model.joint(i).name: self.model.jnt_qposadr[i] for i in range(self.model.njnt)}
            known = {name: float(data.qpos[place]) for name, place in places.items()}
            follow(self._robot.followers, known)
            for name in self._robot.followers:
                data.qpos[places[name]] = known[name]
        if self._setup.floating:
            start = int(self.model.jnt_qposadr[self.model.body_jntadr[self._robot.base_body]])
            data.qpos[start : start + 7] = [0, 0, 0, 1, 0, 0, 0]
            mujoco.mj_kinematics(self.model, data)
            data.qpos[start : start + 3], data.qpos[start + 3 : start + 7] = self._base(base_pos, base_quat)
        mujoco.mj_kinematics(self.model, data)
        return data.xpos[self._bodies].copy(), data.xquat[self._bodies].copy()

    def _base(self, frame_pos: Array, frame_quat: Array) -> tuple[Array, Array]:
        """Pose of the base link whose measured frame is at a pose, while it itself is at the origin."""
        name, data = self._setup.frame, self.data
        if name is None:
            return frame_pos, frame_quat
        site = mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_SITE, name)
        quat, moved = np.zeros(4), np.zeros(3)
        if site >= 0:
            place = data.site_xpos[site]
            mujoco.mju_mat2Quat(quat, data.site_xmat[site])
        else:
            body = self.model.body(name).id
            place, quat = data.xpos[body], data.xquat[body].copy()
        back, turned = np.zeros(4), np.zeros(4)
        mujoco.mju_negQuat(back, quat)
        mujoco.mju_mulQuat(turned, np.asarray(frame_quat, np.float64), back)
        mujoco.mju_rotVecQuat(moved, place, turned)
        return frame_pos - moved, turned


def _touches(model: mujoco.MjModel, geom: int) -> bool:
    return bool(model.geom_contype[geom] or model.geom_conaffinity[geom])


def _mesh(model: mujoco.MjModel, geom: int) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Vertices and faces of a shape in its own frame; None for ground."""
    kind, size = mujoco.mjtGeom(model.geom_type[geom]), model.geom_size[geom]
    made: Any
    match kind:
        case mujoco.mjtGeom.mjGEOM_MESH:
            index = int(model.geom_dataid[geom])
            first, count = int(model.mesh_vertadr[index]), int(model.mesh_vertnum[index])
            face, faces = int(model.mesh_faceadr[index]), int(model.mesh_facenum[index])
            return model.mesh_vert[first : first + count], model.mesh_face[face : face + faces]
        case mujoco.mjtGeom.mjGEOM_SPHERE:
            made = trimesh.creation.icosphere(subdivisions=2, radius=size[0])
        case mujoco.mjtGeom.mjGEOM_ELLIPSOID:
            made = trimesh.creation.icosphere(subdivisions=2, radius=1.0)
            made.apply_scale(size)
        case mujoco.mjtGeom.mjGEOM_CAPSULE:
            made = trimesh.creation.capsule(height=2 * size[1], radius=size[0], count=(12, 12))
        case mujoco.mjtGeom.mjGEOM_CYLINDER:
            made = trimesh.creation.cylinder(radius=size[0], height=2 * size[1], sections=20)
        case mujoco.mjtGeom.mjGEOM_BOX:
            made = trimesh.creation.box(extents=2 * size)
        case _:
            return None
    return np.asarray(made.vertices), np.asarray(made.faces)
