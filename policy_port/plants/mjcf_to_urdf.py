"""An MJCF robot as URDF and what URDF can't say, for simulators that read no MJCF or read it without inertias.

MuJoCo itself parses and compiles the file; what is written down is the compiled model.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np

from policy_port.arrays import Array
from policy_port.errors import RobotError
from policy_port.plants.mjcf_limits import left_out, refuse_what_sapien_lacks
from policy_port.plants.mjcf_shapes import WorldOfShapes
from policy_port.plants.mujoco_drives import file_drives
from policy_port.plants.mujoco_file import (
    HINGE_OR_SLIDE,
    MujocoFile,
    compile_spec,
    effort_limit,
    mesh_file,
    read_mujoco,
    robot_joints,
    root_of,
    set_up_base,
)
from policy_port.plants.mujoco_scene import ensure_ground
from policy_port.plants.sapien_physics import Physics
from policy_port.plants.setup import PlantSetup
from policy_port.robot_models.urdf import Urdf
from policy_port.robot_models.urdf_joints import Place

UNLIMITED_SLIDE = 100.0
"""URDF's sliding joints need limits [m]."""


def mjcf_for_sapien(path: Path, setup: PlantSetup, *, meshes: bool) -> tuple[Urdf, Physics]:
    """Read the robot that has a joint of the setup.

    Named sites become links, so that they can be asked for. A link's frame is moved to its joint's anchor, as URDF
    demands.

    Raises:
        RobotError: When the file can't be loaded, or has what neither URDF nor SAPIEN can say.
    """
    file = read_mujoco(path, meshes=meshes)
    spec = file.spec
    names = [joint.name for joint in robot_joints(spec, path, setup)]
    limits = {name: effort_limit(spec, name) for name in names}
    set_up_base(spec, root_of(spec.joint(names[0]).parent, spec), setup)
    ensure_ground(spec, setup.friction)
    model = compile_spec(spec, path, file.skipped_meshes)
    root = int(model.body_rootid[model.jnt_bodyid[model.joint(names[0]).id]])
    refuse_what_sapien_lacks(model, root, path)
    writer = _Writer(model, path, root, limits, _mesh_files(spec, path))
    place = Place() if writer.hinged_to_the_world else _place(model, root)
    robot = writer.robot()
    urdf = Urdf(path=path, root=robot, skipped_meshes=file.skipped_meshes, place=place, followers=file.followers)
    return urdf, _physics(model, path, root, writer, setup, file)


def _physics(
    model: mujoco.MjModel, path: Path, root: int, writer: _Writer, setup: PlantSetup, file: MujocoFile
) -> Physics:
    joints = [joint for joint in writer.joints if model.jnt_stiffness[joint]]
    weightless = [body for body in writer.bodies if model.body_gravcomp[body] == 1.0]
    followers = setup.followers(file.followers, robot=str(path))
    drives = {}
    if setup.actuation == "model":
        named = setup.drives(followers)
        drives = dict(zip(named, file_drives(model, path, named, followers), strict=True))
    shapes = writer.shapes.groups_and_friction(setup)
    no_gravity = model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_GRAVITY
    return Physics(
        gravity=(0.0, 0.0, 0.0) if no_gravity else _vector(model.opt.gravity),
        springs={
            model.joint(joint).name: (
                float(model.jnt_stiffness[joint]),
                float(model.qpos_spring[model.jnt_qposadr[joint]]),
            )
            for joint in joints
        },
        weightless=frozenset(writer.name(body) for body in weightless),
        shapes={writer.name(body): those for body, those in shapes.of_body.items()},
        ground_height=shapes.ground_height,
        ground=shapes.ground,
        targets={name: drive.targets for name, drive in drives.items() if drive.targets is not None},
        sensors=file.sensors,
        left_out=left_out(model, root),
        drives={name: (drive.gain, drive.damping) for name, drive in drives.items()},
    )


def _mesh_files(spec: mujoco.MjSpec, path: Path) -> dict[str, Path]:
    """Files of the meshes that have one, by the name of the mesh, which may be its file's."""
    files = [(mesh, mesh_file(spec, path, mesh.file)) for mesh in spec.meshes if mesh.file]
    return {mesh.name or re.split(r"[/\\]", mesh.file)[-1].rpartition(".")[0]: file for mesh, file in files}


def _vector(values: Array) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _place(model: mujoco.MjModel, root: int) -> Place:
    """Where the file puts the base link."""
    w, x, y, z = (float(value) for value in model.body_quat[root])
    return Place(position=_vector(model.body_pos[root]), rotation=(w, x, y, z))


class _Writer:
    """Writes the tree of one body."""

    def __init__(
        self, model: mujoco.MjModel, path: Path, root: int, limits: dict[str, float | None], files: dict[str, Path]
    ) -> None:
        self._model = model
        self._path = path
        self._limits = limits
        self._files = files
        self.bodies = [int(body) for body in np.flatnonzero(model.body_rootid == root)]
        """The robot's links."""
        self.shapes = WorldOfShapes(model, path, root)
        """What touches what."""
        self._joint_of = {body: self._joint(body) for body in self.bodies}

    @property
    def joints(self) -> list[int]:
        """The robot's hinges and slides."""
        return [joint for joint in self._joint_of.values() if joint is not None]

    @property
    def hinged_to_the_world(self) -> bool:
        """Whether a joint moves the base link against the world."""
        return self._joint_of[self.bodies[0]] is not None

    def robot(self) -> ElementTree.Element:
        robot = ElementTree.Element("robot", name=self._path.stem)
        if self.hinged_to_the_world:
            ElementTree.SubElement(robot, "link", name=self.name(0))
        for body in self.bodies:
            self._write_link(robot, body)
        for body in self.bodies[0 if self.hinged_to_the_world else 1 :]:
            self._write_joint(robot, body)
        model = self._model
        for site in range(model.nsite):
            body = int(model.site_bodyid[site])
            if body in self.bodies and model.site(site).name:
                name = model.site(site).name
                ElementTree.SubElement(robot, "link", name=name)
                position = model.site_pos[site] - self._anchor(body)
                self._connect(robot, f"site {name}", "fixed", body, name, position, model.site_quat[site])
        return robot

    def _joint(self, body: int) -> int | None:
        """The hinge or slide of a body; the free joint of the root is none."""
        model = self._model
        first, count = model.body_jntadr[body], model.body_jntnum[body]
        joints = [int(j) for j in range(first, first + count) if mujoco.mjtJoint(model.jnt_type[j]) in HINGE_OR_SLIDE]
        if len(joints) > 1:
            raise RobotError(
                f"{self._path}: body '{self.name(body)}' has {len(joints)} joints, which URDF can't say; put a body "
                "between them, or use --plant mujoco"
            )
        return joints[0] if joints else None

    def _anchor(self, body: int) -> Array:
        joint = self._joint_of.get(body)
        return self._model.jnt_pos[joint] if joint is not None else np.zeros(3)

    def name(self, body: int) -> str:
        """Name of a body's link."""
        return self._model.body(body).name or f"body {body}"

    def _write_link(self, robot: ElementTree.Element, body: int) -> None:
        model, anchor = self._model, self._anchor(body)
        link = ElementTree.SubElement(robot, "link", name=self.name(body))
        if model.body_mass[body] > 0.0:
            inertial = ElementTree.SubElement(link, "inertial")
            _origin(inertial, model.body_ipos[body] - anchor, model.body_iquat[body])
            ElementTree.SubElement(inertial, "mass", value=_text(model.body_mass[body]))
            xx, yy, zz = (_text(value) for value in model.body_inertia[body])
            ElementTree.SubElement(inertial, "inertia", ixx=xx, iyy=yy, izz=zz, ixy="0", ixz="0", iyz="0")
        first = int(model.body_geomadr[body])
        for geom in range(first, first + int(model.body_geomnum[body])):
            self._write_shape(link, "collision" if self.shapes.touches(geom) else "visual", geom, anchor)

    def _write_shape(self, link: ElementTree.Element, tag: str, geom: int, anchor: Array) -> None:
        model, kinds = self._model, mujoco.mjtGeom
        position, quat, size = model.geom_pos[geom], model.geom_quat[geom], model.geom_size[geom]
        geometry = ElementTree.Element("geometry")
        match mujoco.mjtGeom(model.geom_type[geom]):
            case kinds.mjGEOM_SPHERE:
                ElementTree.SubElement(geometry, "sphere", radius=_text(size[0]))
            case kinds.mjGEOM_BOX:
                ElementTree.SubElement(geometry, "box", size=_text(*(2.0 * size)))
            case kinds.mjGEOM_CYLINDER | kinds.mjGEOM_CAPSULE as kind:
                name = "cylinder" if kind == kinds.mjGEOM_CYLINDER else "capsule"
                ElementTree.SubElement(geometry, name, radius=_text(size[0]), length=_text(2.0 * size[1]))
            case kinds.mjGEOM_MESH:
                mesh = int(model.geom_dataid[geom])
                file, scale = self._files.get(model.mesh(mesh).name), _text(*model.mesh_scale[mesh])
                if file is None:
                    raise RobotError(
                        f"{self._path}: mesh '{model.mesh(mesh).name}' has no file of its own, which URDF can't say; "
                        "save it as one, leave meshes out with --no-meshes, or use --plant mujoco"
                    )
                ElementTree.SubElement(geometry, "mesh", filename=str(file), scale=scale)
                # MuJoCo turns a mesh into its own axes of inertia; the file is as it was before.
                back, turned, moved = np.zeros(4), np.zeros(4), np.zeros(3)
                mujoco.mju_negQuat(back, model.mesh_quat[mesh])
                mujoco.mju_mulQuat(turned, quat, back)
                mujoco.mju_rotVecQuat(moved, model.mesh_pos[mesh], turned)
                position, quat = position - moved, turned
            case _ if tag == "visual":
                return
            case _:
                raise RobotError(
                    f"{self._path}: a shape of '{link.get('name')}' is neither sphere, box, cylinder, capsule nor "
                    "mesh, which URDF can't say; use --plant mujoco"
                )
        part = ElementTree.SubElement(link, tag)
        _origin(part, position - anchor, quat)
        part.append(geometry)

    def _write_joint(self, robot: ElementTree.Element, body: int) -> None:
        model, joint = self._model, self._joint_of[body]
        parent = int(model.body_parentid[body])
        offset = np.zeros(3)
        mujoco.mju_rotVecQuat(offset, self._anchor(body), model.body_quat[body])
        position = model.body_pos[body] - self._anchor(parent) + offset
        child, quat = self.name(body), model.body_quat[body]
        if joint is None:
            self._connect(robot, f"mount {child}", "fixed", parent, child, position, quat)
            return
        slides = model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE
        # The file's pose is where the joint stands at its reference position, URDF's where it stands at zero.
        back = -float(model.qpos0[model.jnt_qposadr[joint]])
        moved, turn, turned = np.zeros(3), np.zeros(4), np.zeros(4)
        mujoco.mju_rotVecQuat(moved, model.jnt_axis[joint] * (back if slides else 0.0), quat)
        mujoco.mju_axisAngle2Quat(turn, model.jnt_axis[joint], 0.0 if slides else back)
        mujoco.mju_mulQuat(turned, quat, turn)
        position, quat = position + moved, turned
        limited = bool(model.jnt_limited[joint])
        kind = "prismatic" if slides else "revolute" if limited else "continuous"
        name = model.joint(joint).name
        element = self._connect(robot, name, kind, parent, child, position, quat)
        ElementTree.SubElement(element, "axis", xyz=_text(*model.jnt_axis[joint]))
        low, high = model.jnt_range[joint] if limited else (-UNLIMITED_SLIDE, UNLIMITED_SLIDE)
        ElementTree.SubElement(
            element, "limit", lower=_text(low), upper=_text(high), effort=_text(self._limits[name] or 0.0), velocity="0"
        )
        dof = model.jnt_dofadr[joint]
        dynamics = {"damping": model.dof_damping[dof], "friction": 0.0, "armature": model.dof_armature[dof]}
        ElementTree.SubElement(element, "dynamics", {key: _text(value) for key, value in dynamics.items()})

    def _connect(
        self, robot: ElementTree.Element, name: str, kind: str, parent: int, child: str, position: Array, quat: Array
    ) -> ElementTree.Element:
        element = ElementTree.SubElement(robot, "joint", name=name, type=kind)
        ElementTree.SubElement(element, "parent", link=self.name(parent))
        ElementTree.SubElement(element, "child", link=child)
        _origin(element, position, quat)
        return element


def _origin(element: ElementTree.Element, position: Array, quat: Array) -> None:
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, quat)
    rotation = matrix.reshape(3, 3)
    level = np.hypot(rotation[0, 0], rotation[1, 0])
    pitch = np.arctan2(-rotation[2, 0], level)
    if level > 1e-9:
        roll, yaw = np.arctan2(rotation[2, 1], rotation[2, 2]), np.arctan2(rotation[1, 0], rotation[0, 0])
    else:
        # Straight up or down roll and yaw turn about the same axis, so yaw is taken as zero.
        roll, yaw = np.arctan2(-rotation[1, 2], rotation[1, 1]), 0.0
    ElementTree.SubElement(element, "origin", xyz=_text(*position), rpy=_text(roll, pitch, yaw))


def _text(*values: float) -> str:
    return " ".join(repr(float(value)) for value in values)
