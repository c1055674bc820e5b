"""An MJCF robot as URDF, for simulators that read no MJCF or read it without inertias.

MuJoCo itself parses and compiles the file; what is written down is the compiled model. Beside what URDF knows, a
joint's `dynamics` carries armature, and stiffness and drive_damping of the position actuator that drives it.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np

from policy_port.arrays import Array
from policy_port.errors import RobotError
from policy_port.plants.mujoco_model import HINGE_OR_SLIDE, compile_spec, effort_limit, load_spec
from policy_port.robot_models.urdf import Urdf

UNLIMITED_SLIDE = 100.0
"""URDF's sliding joints need limits [m]."""


def mjcf_as_urdf(path: Path, joint_names: tuple[str, ...], *, meshes: bool) -> Urdf:
    """Read the robot that has one of `joint_names`.

    Named sites become links, so that they can be asked for. A link's frame is moved to its joint's anchor, as URDF
    demands. Contact masks, friction and friction loss are left behind.

    Raises:
        RobotError: When the file can't be loaded, or has what URDF can't say.
    """
    spec, _, skipped = load_spec(path, meshes=meshes)
    limits = {joint.name: effort_limit(spec, joint.name) for joint in spec.joints if joint.name}
    files = {mesh.name: mesh.file for mesh in spec.meshes}
    folder = path.parent.resolve() / spec.meshdir
    model = compile_spec(spec, path, skipped)
    known = [i for i in range(model.njnt) if model.joint(i).name in joint_names]
    root = int(model.body_rootid[model.jnt_bodyid[known[0] if known else 0]]) if model.njnt else 1
    writer = _Writer(model, path, root, limits, {name: folder / file for name, file in files.items()})
    return Urdf(path=path, root=writer.robot(), skipped_meshes=skipped)


class _Writer:
    """Writes the tree of one body."""

    def __init__(
        self, model: mujoco.MjModel, path: Path, root: int, limits: dict[str, float | None], files: dict[str, Path]
    ) -> None:
        self._model = model
        self._path = path
        self._limits = limits
        self._files = files
        self._bodies = [int(body) for body in np.flatnonzero(model.body_rootid == root)]
        self._joint_of = {body: self._joint(body) for body in self._bodies}

    def robot(self) -> ElementTree.Element:
        robot = ElementTree.Element("robot", name=self._path.stem)
        for body in self._bodies:
            self._write_link(robot, body)
        for body in self._bodies[1:]:
            self._write_joint(robot, body)
        model = self._model
        for site in range(model.nsite):
            body = int(model.site_bodyid[site])
            if body in self._bodies and model.site(site).name:
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
                f"{self._path}: body '{self._name(body)}' has {len(joints)} joints, which URDF can't say; put a body "
                "between them, or use --plant mujoco"
            )
        if joints and model.qpos0[model.jnt_qposadr[joints[0]]] != 0.0:
            raise RobotError(
                f"{self._path}: joint '{model.joint(joints[0]).name}' has a reference position, which URDF can't say; "
                "use --plant mujoco"
            )
        return joints[0] if joints else None

    def _anchor(self, body: int) -> Array:
        joint = self._joint_of[body]
        return self._model.jnt_pos[joint] if joint is not None else np.zeros(3)

    def _name(self, body: int) -> str:
        return self._model.body(body).name or f"body {body}"

    def _write_link(self, robot: ElementTree.Element, body: int) -> None:
        model, anchor = self._model, self._anchor(body)
        link = ElementTree.SubElement(robot, "link", name=self._name(body))
        if model.body_mass[body] > 0.0:
            inertial = ElementTree.SubElement(link, "inertial")
            _origin(inertial, model.body_ipos[body] - anchor, model.body_iquat[body])
            ElementTree.SubElement(inertial, "mass", value=_text(model.body_mass[body]))
            xx, yy, zz = (_text(value) for value in model.body_inertia[body])
            ElementTree.SubElement(inertial, "inertia", ixx=xx, iyy=yy, izz=zz, ixy="0", ixz="0", iyz="0")
        first = int(model.body_geomadr[body])
        for geom in range(first, first + int(model.body_geomnum[body])):
            touches = bool(model.geom_contype[geom] or model.geom_conaffinity[geom])
            self._write_shape(link, "collision" if touches else "visual", geom, anchor)

    def _write_shape(self, link: ElementTree.Element, tag: str, geom: int, anchor: Array) -> None:
        model, kinds = self._model, mujoco.mjtGeom
        part = ElementTree.SubElement(link, tag)
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
                ElementTree.SubElement(geometry, "mesh", filename=str(file), scale=scale)
                # MuJoCo turns a mesh into its own axes of inertia; the file is as it was before.
                back, turned, moved = np.zeros(4), np.zeros(4), np.zeros(3)
                mujoco.mju_negQuat(back, model.mesh_quat[mesh])
                mujoco.mju_mulQuat(turned, quat, back)
                mujoco.mju_rotVecQuat(moved, model.mesh_pos[mesh], turned)
                position, quat = position - moved, turned
            case _:
                raise RobotError(
                    f"{self._path}: a shape of '{link.get('name')}' is neither sphere, box, cylinder, capsule nor "
                    "mesh, which URDF can't say; use --plant mujoco"
                )
        _origin(part, position - anchor, quat)
        part.append(geometry)

    def _write_joint(self, robot: ElementTree.Element, body: int) -> None:
        model, joint = self._model, self._joint_of[body]
        parent = int(model.body_parentid[body])
        offset = np.zeros(3)
        mujoco.mju_rotVecQuat(offset, self._anchor(body), model.body_quat[body])
        position = model.body_pos[body] - self._anchor(parent) + offset
        child, quat = self._name(body), model.body_quat[body]
        if joint is None:
            self._connect(robot, f"mount {child}", "fixed", parent, child, position, quat)
            return
        slides = model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE
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
        dynamics |= self._drive(joint)
        ElementTree.SubElement(element, "dynamics", {key: _text(value) for key, value in dynamics.items()})

    def _drive(self, joint: int) -> dict[str, float]:
        """Stiffness and damping of the position actuator of a joint; empty when it has none."""
        model = self._model
        on_joint = (model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT) & (model.actuator_trnid[:, 0] == joint)
        for actuator in np.flatnonzero(on_joint & (model.actuator_biasprm[:, 1] < 0.0)):
            gear = float(model.actuator_gear[actuator, 0]) ** 2
            _, position, velocity = -model.actuator_biasprm[actuator, :3] * gear
            return {"stiffness": position, "drive_damping": velocity}
        return {}

    def _connect(
        self, robot: ElementTree.Element, name: str, kind: str, parent: int, child: str, position: Array, quat: Array
    ) -> ElementTree.Element:
        element = ElementTree.SubElement(robot, "joint", name=name, type=kind)
        ElementTree.SubElement(element, "parent", link=self._name(parent))
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
