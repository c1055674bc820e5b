"""An arm as a cloud of points on its links, posed by joint positions: what a camera pose is fitted with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.errors import RobotError, closest
from policy_port.plants.mujoco_file import HINGE_OR_SLIDE, compile_spec, read_mujoco, root_of
from policy_port.robot_models.coupling import Followers, follow
from policy_port.robot_models.find import find_robot

VISIBLE_GROUPS = 3
"""MuJoCo draws geom groups 0, 1 and 2 unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A robot file, compiled for being looked at, its base fixed."""

    path: Path
    """The file."""
    spec: mujoco.MjSpec
    """The model, to add a scene to."""
    model: mujoco.MjModel
    """The compiled model."""
    base: int
    """Body of the base link, in whose frame views are given."""
    joints: tuple[str, ...]
    """Hinges and slides that move on their own, in the file's order."""
    followers: Followers
    """Those that follow others."""

    @classmethod
    def load(cls, robot: Path | str) -> Arm:
        """Read a URDF or MJCF file, or a robot that comes with ManiSkill by its name.

        Raises:
            RobotError: When it can't be read, has no joint, or nothing of it can be seen.
        """
        path = find_robot(robot)
        file = read_mujoco(path, meshes=True)
        spec = file.spec
        moving = [joint for joint in spec.joints if joint.type in HINGE_OR_SLIDE and joint.name]
        if not moving:
            raise RobotError(f"{path}: has no joint that moves, and no pose of an arm can be looked at; give an arm")
        root = root_of(moving[0].parent, spec)
        for joint in [joint for joint in spec.joints if joint.type == mujoco.mjtJoint.mjJNT_FREE]:
            if root_of(joint.parent, spec).name == root.name:
                spec.delete(joint)
        for element in (*spec.keys, *spec.sensors):
            spec.delete(element)
        mine = [joint.name for joint in moving if root_of(joint.parent, spec).name == root.name]
        base = root.name
        model = compile_spec(spec, path, 0)
        arm = cls(
            path=path,
            spec=spec,
            model=model,
            base=int(model.body(base).id),
            joints=tuple(name for name in mine if name not in file.followers),
            followers={name: item for name, item in file.followers.items() if name in mine},
        )
        if not arm.shown.any():
            raise RobotError(f"{path}: its links have no shape that can be seen; give a file with meshes")
        return arm

    @property
    def shown(self) -> NDArray[np.bool_]:
        """Which geoms are the robot to an eye: its visual shapes, or what collides where it has no others."""
        model = self.model
        mine = (model.body_rootid[model.geom_bodyid] == self.base) & (model.geom_group < VISIBLE_GROUPS)
        seen = mine & (model.geom_contype == 0) & (model.geom_conaffinity == 0)
        return seen if seen.any() else mine

    @property
    def limits(self) -> dict[str, tuple[float, float]]:
        """Least and greatest position of the joints that have limits [rad or m]."""
        found = {}
        for name in self.joints:
            joint = self.model.joint(name)
            if self.model.jnt_limited[joint.id]:
                found[name] = (float(joint.range[0]), float(joint.range[1]))
        return found

    def positions(self, joint_pos: Mapping[str, float]) -> Array:
        """Positions by name in the order of `joints` [rad or m].

        Raises:
            RobotError: When one is missing, or is no joint that moves on its own.
        """
        for name in joint_pos:
            if name not in self.joints:
                raise RobotError(
                    f"{self.path}: has no joint '{name}'{closest(name, self.joints) or '.'} Its joints are: "
                    f"{', '.join(self.joints)}"
                )
        missing = [name for name in self.joints if name not in joint_pos]
        if missing:
            raise RobotError(
                f"the position of joint '{missing[0]}' of {self.path.name} is not given, and the arm can't be drawn "
                f"without it; give all of {', '.join(self.joints)}"
            )
        return np.array([joint_pos[name] for name in self.joints], dtype=np.float64)

    def place(self, data: mujoco.MjData, joint_pos: Mapping[str, float]) -> None:
        """Put the arm's links there; see `pose`."""
        placed = dict(zip(self.joints, self.positions(joint_pos).tolist(), strict=True))
        follow(self.followers, placed)
        for name, value in placed.items():
            data.joint(name).qpos[0] = value
        mujoco.mj_kinematics(data.model, data)

    def pose(self, data: mujoco.MjData, joint_pos: Mapping[str, float]) -> None:
        """Put the arm there in `data`, kinematics and lights up to date.

        Args:
            data: Of a model that has the arm's joints.
            joint_pos: By name [rad or m], all of `joints`.
        """
        self.place(data, joint_pos)
        mujoco.mj_comPos(data.model, data)
        mujoco.mj_camlight(data.model, data)


class Links:
    """Points on the surfaces of an arm's links."""

    def __init__(self, arm: Arm, count: int, *, seed: int = 0) -> None:
        """Draw about `count` points, evenly by area."""
        self.arm = arm
        model, shown = arm.model, np.flatnonzero(arm.shown)
        surfaces = [_triangles(model, geom) for geom in shown]
        areas = [_areas(item) for item in surfaces]
        total = sum(float(item.sum()) for item in areas)
        random = np.random.default_rng(seed)
        points, bodies, colours = [], [], []
        for geom, triangles, area in zip(shown, surfaces, areas, strict=True):
            number = max(1, round(count * float(area.sum()) / total))
            points.append(_on(triangles, area, number, random) @ _turn(model, geom).T + model.geom_pos[geom])
            bodies.append(np.full(number, model.geom_bodyid[geom], dtype=np.intp))
            material = model.geom_matid[geom]
            rgba = model.geom_rgba[geom] if material < 0 else model.mat_rgba[material]
            colours.append(np.tile((255.0 * rgba[:3]).astype(np.uint8), (number, 1)))
        # Mixed, so that the first of them are a smaller cloud of the same shape.
        mixed = random.permutation(sum(map(len, points)))
        self.local = np.concatenate(points)[mixed]
        """In the frames of their bodies [m], shape (points, 3)."""
        self.body = np.concatenate(bodies)[mixed]
        """The body of each, shape (points,)."""
        self.colours = np.concatenate(colours)[mixed]
        """RGB as the file has it, shape (points, 3)."""
        self._data = mujoco.MjData(model)

    def frames(self, joint_pos: Mapping[str, float]) -> tuple[Array, Array]:
        """Rotations (bodies, 3, 3) and origins (bodies, 3) [m] of all bodies in the base's frame.

        Args:
            joint_pos: By name [rad or m], all of the arm's joints.
        """
        self.arm.place(self._data, joint_pos)
        base, data = self.arm.base, self._data
        turned = data.xmat[base].reshape(3, 3)
        return turned.T @ data.xmat.reshape(-1, 3, 3), (data.xpos - data.xpos[base]) @ turned

    def posed(self, joint_pos: Mapping[str, float], count: int | None = None) -> Array:
        """The points, or the first `count` of them, in the base's frame [m], shape (points, 3)."""
        turned, origin = self.frames(joint_pos)
        body, local = self.body[:count], self.local[:count]
        return np.einsum("nij,nj->ni", turned[body], local) + origin[body]


def _turn(model: mujoco.MjModel, geom: int) -> Array:
    turned = np.zeros(9)
    mujoco.mju_quat2Mat(turned, model.geom_quat[geom])
    return turned.reshape(3, 3)


def _areas(triangles: Array) -> Array:
    return 0.5 * np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1)


def _on(triangles: Array, area: Array, number: int, random: np.random.Generator) -> Array:
    """Points on triangles (n, 3, 3), as many on each as its area says."""
    # Evenly spaced along the summed areas: large faces get theirs, whatever chance says.
    along = (np.arange(number) + random.random(number)) / number * area.sum()
    chosen = np.minimum(np.searchsorted(np.cumsum(area), along), len(area) - 1)
    u, v = random.random((2, number, 1))
    u, v = np.where(u + v > 1.0, 1.0 - u, u), np.where(u + v > 1.0, 1.0 - v, v)
    corners = triangles[chosen]
    return corners[:, 0] + u * (corners[:, 1] - corners[:, 0]) + v * (corners[:, 2] - corners[:, 0])


def _triangles(model: mujoco.MjModel, geom: int) -> Array:
    """The surface of a geom in its own frame, shape (n, 3, 3) [m]."""
    kinds, kind, size = mujoco.mjtGeom, model.geom_type[geom], model.geom_size[geom]
    if kind == kinds.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
        face, faces = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
        return model.mesh_vert[first : first + count].astype(np.float64)[model.mesh_face[face : face + faces]]
    if kind == kinds.mjGEOM_BOX:
        return _grid_surface(lambda normal: normal / np.abs(normal).max(axis=-1, keepdims=True) * size)
    if kind in (kinds.mjGEOM_SPHERE, kinds.mjGEOM_ELLIPSOID):
        return _grid_surface(lambda normal: normal * (size if kind == kinds.mjGEOM_ELLIPSOID else size[0]))
    if kind == kinds.mjGEOM_CAPSULE:
        ends = np.array([0.0, 0.0, size[1]])
        return _grid_surface(lambda normal: normal * size[0] + np.sign(normal[..., 2:]) * ends)
    if kind == kinds.mjGEOM_CYLINDER:

        def tin(normal: Array) -> Array:
            across = np.linalg.norm(normal[..., :2], axis=-1, keepdims=True)
            return normal / np.maximum(across, np.abs(normal[..., 2:])) * [size[0], size[0], size[1]]

        return _grid_surface(tin)
    raise RobotError(
        f"geom '{model.geom(geom).name}' of body '{model.body(model.geom_bodyid[geom]).name}' is a "
        f"{kinds(kind).name.removeprefix('mjGEOM_').lower()}, whose surface is not known here; give it a mesh"
    )


def _grid_surface(surface: Callable[[Array], Array]) -> Array:
    """Triangles of what becomes of the unit sphere's directions (..., 3)."""
    polar, around = np.meshgrid(np.linspace(0.0, np.pi, 25), np.linspace(0.0, 2.0 * np.pi, 49), indexing="ij")
    normal = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], axis=-1)
    points = surface(normal)
    a, b, c, d = points[:-1, :-1], points[1:, :-1], points[1:, 1:], points[:-1, 1:]
    return np.concatenate([np.stack(corners, axis=-2).reshape(-1, 3, 3) for corners in ((a, b, c), (a, c, d))])
