"""Robot files as MuJoCo, SAPIEN and Newton parse them: the joints in each one's own order."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from policy_port.descriptors.kinematic_tree import Link, depth_first
from policy_port.errors import MissingDependencyError, RobotError, closest, one_line
from policy_port.robot_models.find import USD_SUFFIXES
from policy_port.robot_models.urdf import mujoco_compiler, read_urdf


def mujoco_tree(path: Path) -> tuple[Link, ...]:
    """The tree as MuJoCo parses a URDF or MJCF file."""
    spec = mujoco_spec(path)
    import mujoco

    movable = (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE)

    def link(body: Any) -> Link:
        balls = [joint.name for joint in body.joints if joint.type == mujoco.mjtJoint.mjJNT_BALL]
        if balls:
            raise RobotError(f"{path}: ball joint {balls[0]} is three joints in one and has no place in a joint order")
        joints = tuple(joint.name for joint in body.joints if joint.type in movable)
        if "" in joints:
            raise RobotError(
                f"{path}: joint {joints.index('') + 1} of body '{body.name}' has no name: name it in the file"
            )
        return Link(name=body.name, joints=joints, children=tuple(link(child) for child in body.bodies))

    return tuple(link(body) for body in spec.worldbody.bodies)


def mujoco_spec(path: Path) -> Any:
    """A URDF or MJCF file as MuJoCo parses it."""
    try:
        import mujoco
    except ImportError:
        raise _absent("MuJoCo", "sim") from None
    try:
        if is_urdf(path):
            return mujoco.MjSpec.from_string(_urdf_without_geometry(path))
        return mujoco.MjSpec.from_file(str(path))
    except (ValueError, OSError) as cause:
        raise RobotError(f"{path}: MuJoCo can't read it: {one_line(cause)}") from None


def chain_to(path: Path, link: str) -> list[dict[str, Any]]:
    """The way from a robot's base link to one of its links, as `motion.chain` of a contract writes it.

    Raises:
        RobotError: When there is no such link, or another joint than a hinge through the link's origin is on the way.
    """
    model = _without_shapes(path)
    names = [model.body(index).name for index in range(1, model.nbody)]
    if link not in names:
        raise RobotError(f"{path}: has no link '{link}'{closest(link, names) or '.'} Its links: {', '.join(names)}")
    body, steps = int(model.body(link).id), []
    while model.body_parentid[body] != 0:
        steps.append(_step(path, model, body))
        body = int(model.body_parentid[body])
    return steps[::-1]


def _step(path: Path, model: Any, body: int) -> dict[str, Any]:
    import mujoco

    name, first, count = model.body(body).name, int(model.body_jntadr[body]), int(model.body_jntnum[body])
    step: dict[str, Any] = {
        "link": name,
        "offset": model.body_pos[body].tolist(),
        "quat": model.body_quat[body].tolist(),
    }
    if count == 0:
        return step
    if count > 1 or model.jnt_type[first] != mujoco.mjtJoint.mjJNT_HINGE or model.jnt_pos[first].any():
        raise RobotError(
            f"{path}: link '{name}' does not hang on one hinge through its origin, which motion.chain can't say"
        )
    if model.qpos0[model.jnt_qposadr[first]] != 0.0:
        raise RobotError(f"{path}: joint '{model.joint(first).name}' has a ref, so its zero is not the file's pose")
    return step | {"joint": model.joint(first).name, "axis": model.jnt_axis[first].tolist()}


def _without_shapes(path: Path) -> Any:
    """A robot as MuJoCo compiles it, links and joints alone: meshes need not be there."""
    spec = mujoco_spec(path)
    try:
        # What refers to shapes or acts goes with them; every link gets a mass of its own.
        for group in (spec.sensors, spec.actuators, spec.pairs, spec.excludes, spec.keys, spec.geoms, spec.meshes):
            for item in list(group):
                spec.delete(item)
        for body in spec.bodies[1:]:
            body.mass, body.inertia, body.explicitinertial = 1.0, (1.0, 1.0, 1.0), True
        return spec.compile()
    except (ValueError, OSError) as cause:
        raise RobotError(f"{path}: MuJoCo can't read it: {one_line(cause)}") from None


def sapien_order(path: Path) -> tuple[str, ...]:
    """Active joints as SAPIEN orders them, of a URDF file or of an MJCF turned into one as the ManiSkill plant does."""
    text = _urdf_without_geometry(path) if is_urdf(path) else _tree_as_urdf(path)
    try:
        import sapien
    except ImportError:
        raise _absent("SAPIEN", "sim") from None
    with tempfile.TemporaryDirectory() as folder:
        # Without geometry it needs neither meshes nor a renderer; the joints are the same.
        bare = Path(folder) / "robot.urdf"
        bare.write_text(text, encoding="utf-8")
        scene = sapien.Scene([sapien.physx.PhysxCpuSystem()])
        try:
            robot = scene.create_urdf_loader().load(str(bare))
        except Exception as cause:
            raise RobotError(f"{path}: SAPIEN can't read it: {one_line(cause)}") from None
        return tuple(joint.name for joint in robot.active_joints)


def newton_order(path: Path) -> tuple[str, ...]:
    """Joints as Newton orders them, of a URDF, MJCF or USD file."""
    return tuple(name for _, _, name in _newton_joints(path)[1] if name)


def newton_tree(path: Path) -> tuple[Link, ...]:
    """The tree as Newton parses a file; the way in for USD."""
    bodies, joints = _newton_joints(path)
    children: dict[int, list[tuple[int, str]]] = {}
    for parent, child, name in joints:
        children.setdefault(parent, []).append((child, name))

    def link(body: int, name: str) -> Link:
        below = tuple(link(child, joint) for child, joint in children.get(body, []))
        return Link(name=bodies[body], joints=(name,) if name else (), children=below)

    return tuple(link(body, name) for body, name in children.get(-1, []))


def _newton_joints(path: Path) -> tuple[list[str], list[tuple[int, int, str]]]:
    """Body names; parent body, child body and name of each joint, "" for one that is fixed or free."""
    try:
        import newton
        import warp
    except ImportError:
        raise _absent("Newton", "newton") from None
    # A mapping goes to a file; what Warp found of devices is not asked for.
    warp.config.log_level = warp.LOG_ERROR
    builder = newton.ModelBuilder()
    try:
        if path.suffix.lower() in USD_SUFFIXES:
            builder.add_usd(str(path))
        elif is_urdf(path):
            builder.add_urdf(_urdf_without_geometry(path), floating=True)
        else:
            builder.add_mjcf(str(path), parse_meshes=False, parse_visuals=False)
    except ImportError:
        # MJCF and URDF need nothing more; USD has a library of its own.
        raise MissingDependencyError(f"{path}: Newton needs OpenUSD to read it: pip install usd-core") from None
    except Exception as cause:
        raise RobotError(f"{path}: Newton can't read it: {one_line(cause)}") from None
    kinds = newton.JointType
    named = (kinds.REVOLUTE, kinds.PRISMATIC)
    passive = (kinds.FIXED, kinds.FREE)
    found: list[tuple[int, int, str]] = []
    columns = (builder.joint_type, builder.joint_parent, builder.joint_child, builder.joint_label)
    for kind, parent, child, label in zip(*columns, strict=True):
        if kind not in (*named, *passive):
            raise RobotError(
                f"{path}: Newton makes {label} one joint of several axes ({kinds(kind).name}), which has no place in a "
                "joint order; give each axis a body of its own"
            )
        found.append((int(parent), int(child), label.rpartition("/")[2] if kind in named else ""))
    return [name.rpartition("/")[2] for name in builder.body_label], found


def is_urdf(path: Path) -> bool:
    """Whether the file is a URDF, by its name."""
    return path.suffix.lower() == ".urdf"


def _urdf_without_geometry(path: Path) -> str:
    urdf = read_urdf(path, meshes=False).without("visual", "collision")
    mujoco_compiler(urdf.root).attrib.update({"fusestatic": "false", "balanceinertia": "true"})
    return urdf.text()


def _tree_as_urdf(path: Path) -> str:
    """Links and joints of an MJCF alone, as URDF."""
    robots = [root for root in mujoco_tree(path) if depth_first((root,))]
    if len(robots) > 1:
        raise RobotError(
            f"{path}: holds {len(robots)} trees of joints ({', '.join(root.name for root in robots)}), and a plant "
            "takes one; give a file of the robot alone"
        )
    robot = ElementTree.Element("robot", name="robot")
    ElementTree.SubElement(robot, "link", name="world")

    def write(link: Link, name: str, parent: str) -> None:
        if len(link.joints) > 1:
            raise RobotError(
                f"{path}: body '{link.name}' has {len(link.joints)} joints, which URDF can't say; put a body between "
                "them"
            )
        ElementTree.SubElement(robot, "link", name=name)
        kind = "continuous" if link.joints else "fixed"
        joint = ElementTree.SubElement(robot, "joint", name=(*link.joints, f"mount {name}")[0], type=kind)
        ElementTree.SubElement(joint, "parent", link=parent)
        ElementTree.SubElement(joint, "child", link=name)
        ElementTree.SubElement(joint, "axis", xyz="0 0 1")
        for place, child in enumerate(link.children):
            write(child, f"{name}.{place}", name)

    for root in robots:
        write(root, "0", "world")
    return ElementTree.tostring(robot, encoding="unicode")


def _absent(name: str, extra: str) -> MissingDependencyError:
    return MissingDependencyError(f"asking {name} needs it installed: pip install 'policy-port[{extra}]'")
