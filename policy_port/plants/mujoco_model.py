"""From a robot file and a setup to a MuJoCo model: drives, ground and light added, the rest as the file has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np
from numpy.typing import NDArray

from policy_port.errors import RobotError, one_line
from policy_port.plants.mujoco_scene import add_scenery
from policy_port.plants.setup import JointSetup, PlantSetup
from policy_port.robot_models.urdf import mesh_as_stl, mujoco_compiler, read_urdf, refuse_missing_meshes

HINGE_OR_SLIDE = (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE)


@dataclass(frozen=True, kw_only=True)
class MujocoRobot:
    """A compiled model and where in its arrays the robot's joints are."""

    model: mujoco.MjModel
    """The compiled model."""
    joint_names: tuple[str, ...]
    """Hinge and slide joints of the robot in the file's order, which is depth-first."""
    qpos_index: NDArray[np.intp]
    """Index of each joint in qpos."""
    dof_index: NDArray[np.intp]
    """Index of each joint in qvel."""
    ctrl_index: NDArray[np.intp]
    """Index in ctrl of the actuator that drives each joint."""
    ctrl_per_target: NDArray[np.float64]
    """Factor from a joint's position target to its actuator's control: 1, save for geared actuators of the file."""
    base_body: int
    """The base link."""
    skipped_meshes: int
    """Number of meshes that were left out."""


def build_robot(path: Path, setup: PlantSetup, *, meshes: bool) -> MujocoRobot:
    """Load a robot file and set it up.

    Args:
        path: A URDF or MJCF file.
        setup: What the contract asks for.
        meshes: False leaves every mesh out.

    Raises:
        RobotError: When the file can't be loaded or does not fit the setup.
    """
    spec, is_urdf, skipped = load_spec(path, meshes=meshes)
    names = [joint.name for joint in _robot_joints(spec, path, setup)]
    joints = setup.in_order(names, robot=str(path))
    root = _root_of(spec.joint(names[0]).parent, spec)
    _set_up_base(spec, root, setup)
    if is_urdf:
        for geom in spec.geoms:
            geom.friction[0] = setup.friction
    _set_up_joints(spec, joints, setup)
    for element in (*spec.sensors, *spec.keys):
        # They cost time or name actuators that are gone; a plant reads neither.
        spec.delete(element)
    if setup.gravity_compensation:
        for body in root.find_all("body"):
            body.gravcomp = 1.0
        root.gravcomp = 1.0
    add_scenery(spec, root, friction=setup.friction)
    spec.option.timestep = setup.timestep
    # A diverged state must stay visible, not be replaced by the model's default pose in the middle of a rollout.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    model = compile_spec(spec, path, skipped)
    return _locate(model, path, names, setup, skipped)


def load_spec(path: Path, *, meshes: bool) -> tuple[mujoco.MjSpec, bool, int]:
    """Parse a robot file: the model to be edited, whether it was a URDF, and the number of meshes left out."""
    if path.suffix.lower() == ".urdf":
        return (*_load_urdf(path, meshes=meshes),)
    try:
        root_tag = ElementTree.parse(path).getroot().tag
        spec = mujoco.MjSpec.from_file(str(path))
    except (ElementTree.ParseError, ValueError, OSError) as cause:
        raise RobotError(f"{path}: can't be loaded as MJCF: {one_line(cause)}") from None
    if root_tag == "robot":
        raise RobotError(f"{path}: is a URDF by its content; name it .urdf")
    folder = path.parent / spec.meshdir
    if meshes:
        refuse_missing_meshes(path, [m.file for m in spec.meshes if m.file and not (folder / m.file).is_file()])
        return spec, False, 0
    skipped = 0
    for geom in list(spec.geoms):
        if geom.type == mujoco.mjtGeom.mjGEOM_MESH:
            spec.delete(geom)
            skipped += 1
    for mesh in list(spec.meshes):
        spec.delete(mesh)
    return spec, False, skipped


def _load_urdf(path: Path, *, meshes: bool) -> tuple[mujoco.MjSpec, bool, int]:
    urdf = read_urdf(path, meshes=meshes)
    assets: dict[str, bytes] = {}
    virtual: dict[tuple[str, str, bool], str] = {}
    for part in ("visual", "collision"):
        for shape in urdf.root.iterfind(f"link/{part}"):
            # Visual and collision shapes often share a name, which MuJoCo complains about on the console.
            shape.attrib.pop("name", None)
        for mesh in urdf.root.iterfind(f"link/{part}/geometry/mesh"):
            file = Path(mesh.get("filename", ""))
            key = (str(file), mesh.get("scale", ""), part == "collision")
            if key not in virtual:
                # A name of its own per file, as MuJoCo takes two files of one name in two folders for the same mesh.
                virtual[key] = f"{len(virtual):03d}_{file.stem}{'.obj' if file.suffix.lower() == '.obj' else '.stl'}"
                obj = file.suffix.lower() == ".obj"
                assets[virtual[key]] = file.read_bytes() if obj else mesh_as_stl(file, hull=part == "collision")
            mesh.set("filename", virtual[key])
    compiler = mujoco_compiler(urdf.root)
    # Links behind fixed joints keep their names (a gripper's tip), and the visuals stay.
    wanted = {"fusestatic": "false", "discardvisual": "false", "strippath": "true", "balanceinertia": "true"}
    compiler.attrib.update(wanted)
    for key in ("meshdir", "assetdir"):
        compiler.attrib.pop(key, None)
    try:
        spec = mujoco.MjSpec.from_string(urdf.text(), assets=assets)
    except ValueError as cause:
        raise RobotError(f"{path}: can't be loaded by MuJoCo: {one_line(cause)}") from None
    for first, second in urdf.excluded_pairs:
        spec.add_exclude(bodyname1=first, bodyname2=second)
    return spec, True, urdf.skipped_meshes


def _robot_joints(spec: mujoco.MjSpec, path: Path, setup: PlantSetup) -> list[mujoco.MjsJoint]:
    """Hinge and slide joints of the tree that holds the first joint of the setup that the file has."""
    movable = [joint for joint in spec.joints if joint.type in HINGE_OR_SLIDE]
    known = set(setup.joint_names)
    first = next((joint for joint in movable if joint.name in known), None)
    if first is None:
        setup.in_order([joint.name for joint in movable], robot=str(path))
        raise RobotError(f"{path}: has no joints to drive")
    root = _root_of(first.parent, spec)
    balls = [joint.name for joint in spec.joints if joint.type == mujoco.mjtJoint.mjJNT_BALL]
    if balls:
        raise RobotError(f"{path}: ball joints can't be driven by position: {', '.join(balls)}; replace each by hinges")
    return [joint for joint in movable if _root_of(joint.parent, spec) is root or _root_of(joint.parent, spec) == root]


def _root_of(body: mujoco.MjsBody, spec: mujoco.MjSpec) -> mujoco.MjsBody:
    while body.parent.name != spec.worldbody.name:
        body = body.parent
    return body


def _set_up_base(spec: mujoco.MjSpec, root: mujoco.MjsBody, setup: PlantSetup) -> None:
    free = [joint for joint in root.joints if joint.type == mujoco.mjtJoint.mjJNT_FREE]
    if setup.floating and not free:
        root.add_freejoint()
    if not setup.floating:
        for joint in free:
            spec.delete(joint)
        if setup.height is not None:
            root.pos[2] = setup.height


def _set_up_joints(spec: mujoco.MjSpec, joints: tuple[JointSetup, ...], setup: PlantSetup) -> None:
    file_limits = {joint.name: effort_limit(spec, joint.name) for joint in joints}
    if setup.actuation != "model":
        for actuator in list(spec.actuators):
            spec.delete(actuator)
        # With Euler a position actuator's whole torque is computed from the state at the start of the step: that is
        # explicit PD. implicitfast integrates the damping of the drive, as PhysX does.
        implicit = setup.actuation == "implicit"
        integrators = mujoco.mjtIntegrator
        spec.option.integrator = integrators.mjINT_IMPLICITFAST if implicit else integrators.mjINT_EULER
    for joint in joints:
        element = spec.joint(joint.name)
        if joint.armature is not None:
            element.armature = joint.armature
        limit = joint.effort_limit or file_limits[joint.name]
        if setup.actuation == "model":
            if joint.effort_limit is not None:
                element.actfrclimited = True
                element.actfrcrange = [-joint.effort_limit, joint.effort_limit]
            continue
        if setup.actuation == "implicit":
            # The drive's damping is the joint's own, which MuJoCo integrates implicitly whatever the drive does. Were
            # it the actuator's, the integrator would drop it from its derivatives as soon as the drive saturates, and
            # a light link would explode; so only the spring feels the effort limit. One number, or in newer MuJoCo
            # three coefficients, of which the first is the linear one.
            element.damping = np.zeros_like(element.damping)
            element.damping[..., :1] = joint.damping or 0.0
        # The drive carries the limit: a limit of the joint would cut the torque after implicit integration.
        element.actfrclimited = False
        gain, bias = np.zeros(10), np.zeros(10)
        gain[0] = joint.stiffness or 0.0
        bias[1] = -(joint.stiffness or 0.0)
        if setup.actuation == "explicit":
            bias[2] = -(joint.damping or 0.0)
        drive = spec.add_actuator(name=f"drive of {joint.name}", target=joint.name)
        drive.trntype = mujoco.mjtTrn.mjTRN_JOINT
        drive.gaintype, drive.biastype = mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_AFFINE
        drive.gainprm, drive.biasprm = gain, bias
        drive.ctrllimited = False
        drive.forcelimited = limit is not None
        if limit is not None:
            drive.forcerange = [-limit, limit]


def effort_limit(spec: mujoco.MjSpec, joint: str) -> float | None:
    """What the file says of a joint's effort: the joint's own range, its actuator's, or a motor's control range."""
    element = spec.joint(joint)
    ranges = [(element.actfrclimited, element.actfrcrange, 1.0)]
    for actuator in spec.actuators:
        if actuator.trntype == mujoco.mjtTrn.mjTRN_JOINT and actuator.target == joint:
            gear = abs(actuator.gear[0])
            ranges.append((actuator.forcelimited, actuator.forcerange, gear))
            if actuator.biastype == mujoco.mjtBias.mjBIAS_NONE:
                ranges.append((actuator.ctrllimited, actuator.ctrlrange, gear * actuator.gainprm[0]))
    limits = [
        factor * max(abs(low), abs(high))
        for limited, (low, high), factor in ranges
        if limited != mujoco.mjtLimited.mjLIMITED_FALSE and low < high
    ]
    return min(limits) if limits else None


def compile_spec(spec: mujoco.MjSpec, path: Path, skipped: int) -> mujoco.MjModel:
    """Compile; `skipped` meshes were left out of the file at `path`, which the messages name."""
    try:
        return spec.compile()
    except ValueError as cause:
        hint = ". Its links take their mass from the meshes left out; pass the meshes" if skipped else ""
        raise RobotError(f"{path}: MuJoCo can't compile it: {one_line(cause)}{hint}") from None


def _locate(model: mujoco.MjModel, path: Path, names: list[str], setup: PlantSetup, skipped: int) -> MujocoRobot:
    ids = np.array([model.joint(name).id for name in names], dtype=np.intp)
    ctrl_index = np.zeros(len(names), dtype=np.intp)
    ctrl_per_target = np.ones(len(names))
    for place, joint in enumerate(ids):
        on_joint = (model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT) & (model.actuator_trnid[:, 0] == joint)
        springs = [
            int(i)
            for i in np.flatnonzero(on_joint)
            if model.actuator_biastype[i] == mujoco.mjtBias.mjBIAS_AFFINE
            and (setup.actuation != "model" or model.actuator_biasprm[i, 1] < 0.0)
        ]
        if not springs:
            given = "a motor without gains" if on_joint.any() else "no actuator"
            raise RobotError(
                f"{path}: joint '{names[place]}' has {given}, but the contract's actuation.kind is model: the robot "
                "file's position actuators. Write kind: implicit or explicit, and stiffness and damping per joint"
            )
        ctrl_index[place] = springs[0]
        if setup.actuation == "model":
            gain, spring = model.actuator_gainprm[springs[0], 0], -model.actuator_biasprm[springs[0], 1]
            ctrl_per_target[place] = spring / gain * model.actuator_gear[springs[0], 0]
    return MujocoRobot(
        model=model,
        joint_names=tuple(names),
        qpos_index=model.jnt_qposadr[ids].astype(np.intp),
        dof_index=model.jnt_dofadr[ids].astype(np.intp),
        ctrl_index=ctrl_index,
        ctrl_per_target=ctrl_per_target,
        base_body=int(model.body_rootid[model.jnt_bodyid[ids[0]]]),
        skipped_meshes=skipped,
    )


def lowest_point(model: mujoco.MjModel, data: mujoco.MjData, base_body: int) -> float | None:
    """Height of the lowest point of a robot's collision shapes over the ground [m]; None when it has none.

    Args:
        model: The model.
        data: A state whose kinematics are up to date.
        base_body: The robot's base link.
    """
    touching = (model.geom_contype | model.geom_conaffinity) != 0
    mine = np.flatnonzero((model.body_rootid[model.geom_bodyid] == base_body) & touching)
    planes = np.flatnonzero((model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE) & (model.geom_bodyid == 0))
    ground = float(model.geom_pos[planes[0], 2]) if planes.size else 0.0
    return min((_lowest_of_geom(model, data, int(geom)) - ground for geom in mine), default=None)


def _lowest_of_geom(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> float:
    """Height of a geom's lowest point [m]: its support in the direction of gravity."""
    down = data.geom_xmat[geom][6:9]
    size, height = model.geom_size[geom], float(data.geom_xpos[geom][2])
    kinds = mujoco.mjtGeom
    match kinds(model.geom_type[geom]):
        case kinds.mjGEOM_SPHERE:
            reach = size[0]
        case kinds.mjGEOM_CAPSULE:
            reach = size[0] + abs(down[2]) * size[1]
        case kinds.mjGEOM_CYLINDER:
            reach = size[0] * np.hypot(down[0], down[1]) + abs(down[2]) * size[1]
        case kinds.mjGEOM_ELLIPSOID:
            reach = np.linalg.norm(down * size)
        case kinds.mjGEOM_MESH:
            mesh = model.geom_dataid[geom]
            first = model.mesh_vertadr[mesh]
            vertices = model.mesh_vert[first : first + model.mesh_vertnum[mesh]]
            reach = -float((vertices @ down).min())
        case _:
            reach = np.abs(down * size).sum()
    return height - float(reach)
