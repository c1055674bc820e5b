"""A URDF or MJCF file as MuJoCo parses it: meshes and textures found or left out, joints to drive, followers."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from policy_port.errors import RobotError, one_line
from policy_port.plants.places import Sensor
from policy_port.plants.setup import PlantSetup
from policy_port.robot_models.coupling import Follower, Followers, in_chain_order
from policy_port.robot_models.urdf import mesh_as_stl, mujoco_compiler, read_urdf, refuse_missing_meshes
from policy_port.robot_models.urdf_joints import Place

MOUNTED = ("accelerometer", "velocimeter", "gyro", "force", "torque", "magnetometer")
"""Sensors that are mounted at a site and read in its axes."""

HINGE_OR_SLIDE = (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE)


@dataclass(frozen=True, kw_only=True)
class MujocoFile:
    """A parsed robot file."""

    spec: mujoco.MjSpec
    """The model, to be edited."""
    is_urdf: bool = False
    """Whether it was a URDF."""
    skipped_meshes: int = 0
    """Number of meshes that were left out."""
    followers: Followers
    """Joints that follow others."""

    @property
    def sensors(self) -> dict[str, Sensor]:
        """Its sensors; of a URDF none."""
        found = {}
        for sensor in self.spec.sensors:
            kind = mujoco.mjtSensor(sensor.type).name.removeprefix("mjSENS_").lower()
            # One that gives something seen from a site, such as the world's vertical, reads in that site's axes.
            seen_from = sensor.refname if sensor.reftype == mujoco.mjtObj.mjOBJ_SITE else None
            found[sensor.name] = Sensor(kind, sensor.objname if kind in MOUNTED else seen_from)
        return found


def read_mujoco(path: Path, *, meshes: bool) -> MujocoFile:
    """Parse a robot file.

    Args:
        path: A URDF or MJCF file.
        meshes: False leaves every mesh and every picture out.

    Raises:
        RobotError: When MuJoCo can't parse it, or files that it names are missing.
    """
    if path.suffix.lower() == ".urdf":
        return _load_urdf(path, meshes=meshes)
    spec = parse_mjcf(path)
    skipped = 0
    if meshes:
        refuse_missing_meshes(path, [mesh.file for mesh in spec.meshes if mesh.file and not _found(spec, path, mesh)])
        _refuse_missing_pictures(spec, path)
    else:
        skipped = _leave_meshes_out(spec)
        _leave_pictures_out(spec)
    return MujocoFile(spec=spec, skipped_meshes=skipped, followers=_mjcf_followers(spec, path))


def parse_mjcf(path: Path) -> mujoco.MjSpec:
    """An MJCF as it stands.

    Raises:
        RobotError: When MuJoCo can't parse it.
    """
    try:
        # MuJoCo's own parser forgives what a strict one does not, so the file is only looked at in passing.
        text = re.sub(rb"<!--.*?-->", b"", path.read_bytes(), flags=re.DOTALL)
        first = re.search(rb"<([A-Za-z]\w*)", text)
        if first is not None and first[1] == b"robot":
            raise RobotError(f"{path}: is a URDF by its content; name it .urdf")
        _refuse_what_mujoco_passes_over(text, path)
        return mujoco.MjSpec.from_file(str(path))
    except (ValueError, OSError) as cause:
        raise RobotError(f"{path}: can't be loaded as MJCF: {one_line(cause)}") from None


def carrier(path: Path, joint: str) -> str:
    """The link on which a joint's own link turns, in a URDF or an MJCF file and what it includes.

    Raises:
        RobotError: When the file can't be read, has no such joint, or the link has no name.
    """
    found = read_mujoco(path, meshes=False).spec.joint(joint)
    name = "" if found is None else found.parent.parent.name
    if name in ("", "world"):
        raise RobotError(
            f"{path}: has no named link on which joint '{joint}' turns; give the link that carries it a name"
        )
    return name


def _refuse_what_mujoco_passes_over(text: bytes, path: Path) -> None:
    """MuJoCo takes NaN for "not stated", and expands no entities."""
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise RobotError(f"{path}: declares a document type or entities, which MuJoCo does not read; take them out")
    for key, value in re.findall(rb"(\w+)\s*=\s*[\"']([^\"']*)[\"']", text):
        if key != b"name" and re.fullmatch(rb"[\s\d.eE+-]*\bnan\b(?:[\s\d.eE+-]|nan)*", value, flags=re.IGNORECASE):
            raise RobotError(
                f'{path}: {key.decode()}="{value.decode()[:60]}" is no number, and MuJoCo would put its default there. '
                "Write the number, or leave the key out"
            )


def mesh_file(spec: mujoco.MjSpec, path: Path, file: str) -> Path:
    """Where MuJoCo looks for a mesh of the MJCF at `path`."""
    return _looked_for(path, spec.meshdir, file, strip=spec.strippath)


def _found(spec: mujoco.MjSpec, path: Path, mesh: mujoco.MjsMesh) -> bool:
    return mesh_file(spec, path, mesh.file).is_file()


def _looked_for(path: Path, folder: str, file: str, *, strip: bool) -> Path:
    name = re.split(r"[/\\\\]", file)[-1] if strip else file
    return path.parent.resolve() / folder / name


def _leave_meshes_out(spec: mujoco.MjSpec) -> int:
    geoms = [geom for geom in spec.geoms if geom.type == mujoco.mjtGeom.mjGEOM_MESH]
    names = {geom.name for geom in geoms if geom.name}
    for pair in list(spec.pairs):
        if names.intersection((pair.geomname1, pair.geomname2)):
            spec.delete(pair)
    for element in (*geoms, *spec.meshes):
        spec.delete(element)
    return len(geoms)


def _pictures(spec: mujoco.MjSpec) -> list[tuple[mujoco.MjsTexture, list[str]]]:
    """Textures with the files that they are made of."""
    found = [(texture, [file for file in (texture.file, *texture.cubefiles) if file]) for texture in spec.textures]
    return [(texture, files) for texture, files in found if files]


def _leave_pictures_out(spec: mujoco.MjSpec) -> None:
    pictures = {texture.name or Path(files[0]).stem: texture for texture, files in _pictures(spec)}
    for material in spec.materials:
        for role, name in enumerate(material.textures):
            if name in pictures:
                material.textures[role] = ""
    for texture in pictures.values():
        spec.delete(texture)


def _refuse_missing_pictures(spec: mujoco.MjSpec, path: Path) -> None:
    for texture, files in _pictures(spec):
        for file in files:
            place = _looked_for(path, spec.texturedir, file, strip=spec.strippath)
            if not place.is_file():
                raise RobotError(
                    f"{path}: texture '{texture.name or file}' is a picture that is missing: {place}. Put it there, "
                    "or leave meshes and textures out with --no-meshes"
                )


def _mjcf_followers(spec: mujoco.MjSpec, path: Path) -> Followers:
    """Joints that follow others by <equality>; one without a second joint leads nowhere and is no follower."""
    if spec.option.disableflags & mujoco.mjtDisableBit.mjDSBL_EQUALITY:
        return {}
    zero = {joint.name: float(joint.ref) for joint in spec.joints}
    if spec.compiler.degree:
        hinges = [joint.name for joint in spec.joints if joint.type == mujoco.mjtJoint.mjJNT_HINGE]
        zero |= {name: float(np.radians(zero[name])) for name in hinges}
    found = [
        Follower(
            name=item.name1,
            leader=item.name2,
            coefficients=tuple(float(value) for value in item.data[:5]),
            own_zero=zero.get(item.name1, 0.0),
            leader_zero=zero.get(item.name2, 0.0),
            said_by="<equality>",
        )
        for item in spec.equalities
        if item.type == mujoco.mjtEq.mjEQ_JOINT and item.active and item.name2
    ]
    return in_chain_order(found, robot=str(path))


def _load_urdf(path: Path, *, meshes: bool) -> MujocoFile:
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
    base = spec.worldbody.bodies[0] if spec.worldbody.bodies else None
    if base is not None and urdf.place != Place():
        base.pos, base.quat = urdf.place.position, urdf.place.rotation
    for follower in urdf.followers.values():
        # MuJoCo before 3.17 would drop a <mimic>.
        data = np.zeros(mujoco.mjNEQDATA)
        data[:2] = follower.coefficients
        kind = mujoco.mjtEq.mjEQ_JOINT
        spec.add_equality(
            type=kind, name1=follower.name, name2=follower.leader, objtype=mujoco.mjtObj.mjOBJ_JOINT, data=data
        )
    return MujocoFile(spec=spec, is_urdf=True, skipped_meshes=urdf.skipped_meshes, followers=urdf.followers)


def robot_joints(spec: mujoco.MjSpec, path: Path, setup: PlantSetup) -> list[mujoco.MjsJoint]:
    """Hinge and slide joints of the tree that holds the first joint of the setup that the file has.

    A floating base of three slides and a ball, or three hinges, becomes one free joint.

    Raises:
        RobotError: When there is none, or one can't be driven by name and position.
    """
    if setup.floating:
        for body in spec.worldbody.bodies:
            _free_base(spec, body, path, setup)
    movable = [joint for joint in spec.joints if joint.type in HINGE_OR_SLIDE]
    known = set(setup.joint_names)
    first = next((joint for joint in movable if joint.name in known), None)
    if first is None:
        setup.in_order([joint.name for joint in movable if joint.name], robot=str(path))
        raise RobotError(f"{path}: has no joints to drive")
    root = root_of(first.parent, spec)
    mine = [joint for joint in spec.joints if root_of(joint.parent, spec) == root]
    for joint in mine:
        if joint.type == mujoco.mjtJoint.mjJNT_BALL:
            raise RobotError(
                f"{path}: ball joint '{joint.name}' of body '{joint.parent.name}' can't be driven by position; "
                "replace it by three hinges"
            )
    mine = [joint for joint in mine if joint.type in HINGE_OR_SLIDE]
    for joint in mine:
        if not joint.name:
            number = 1 + next(i for i, other in enumerate(joint.parent.joints) if other == joint)
            raise RobotError(f"{path}: joint {number} of body '{joint.parent.name}' has no name: name it in the file")
    return mine


def root_of(body: mujoco.MjsBody, spec: mujoco.MjSpec) -> mujoco.MjsBody:
    """The body under the world that carries `body`."""
    while body.parent.name != spec.worldbody.name:
        body = body.parent
    return body


def _free_base(spec: mujoco.MjSpec, body: mujoco.MjsBody, path: Path, setup: PlantSetup) -> None:
    """Make one free joint of the joints of a body that together move it freely."""
    joints, kinds = list(body.joints), mujoco.mjtJoint
    of_kind = {kind: [joint for joint in joints if joint.type == kind] for kind in kinds.__members__.values()}
    slides, hinges, balls = (of_kind[kind] for kind in (kinds.mjJNT_SLIDE, kinds.mjJNT_HINGE, kinds.mjJNT_BALL))
    if len(slides) != 3 or (len(hinges), len(balls)) not in ((0, 1), (3, 0)) or len(joints) != 3 + len(hinges + balls):
        return
    if {joint.name for joint in joints} & set(setup.joint_names):
        return
    for group in (slides, hinges):
        axes = np.array([joint.axis / np.linalg.norm(joint.axis) for joint in group])
        if group and not np.allclose(axes @ axes.T, np.eye(3), atol=1e-6):
            return
    for joint in joints:
        odd = [
            key
            for key in ("stiffness", "damping", "armature", "frictionloss")
            if np.any(np.asarray(getattr(joint, key)))
        ]
        limited = joint.limited == mujoco.mjtLimited.mjLIMITED_TRUE or (
            joint.limited == mujoco.mjtLimited.mjLIMITED_AUTO and joint.range[0] < joint.range[1]
        )
        if odd or limited:
            raise RobotError(
                f"{path}: joint '{joint.name}' of the base '{body.name}' has {', '.join(odd) or 'limits'}, and the "
                "contract's base floats freely. Take that out of the joint"
                + (
                    ", or name the base's joints under only_in_target of a mapping and write base.floating: false"
                    if setup.ported
                    else ""
                )
            )
    for joint in joints:
        spec.delete(joint)
    body.add_freejoint()


def set_up_base(spec: mujoco.MjSpec, root: mujoco.MjsBody, setup: PlantSetup) -> None:
    """Let the base float, or fix it where its file or the setup puts it."""
    free = [joint for joint in root.joints if joint.type == mujoco.mjtJoint.mjJNT_FREE]
    if setup.floating and not free:
        root.add_freejoint()
    if not setup.floating:
        for joint in free:
            spec.delete(joint)
        if setup.height is not None:
            root.pos[2] = setup.height


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
        with warnings.catch_warnings():
            # What MuJoCo will not know one day says nothing of the robot.
            warnings.simplefilter("ignore")
            return spec.compile()
    except ValueError as cause:
        hint = ". Its links take their mass from the meshes left out; pass the meshes" if skipped else ""
        raise RobotError(f"{path}: MuJoCo can't compile it: {one_line(cause)}{hint}") from None
