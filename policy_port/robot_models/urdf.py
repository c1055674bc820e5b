"""URDF files made ready for a simulator: meshes found, converted or left out, everything else as it stands."""

from __future__ import annotations

import copy
import math
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.etree import ElementTree

from policy_port.errors import MissingDependencyError, RobotError
from policy_port.robot_models.coupling import Followers
from policy_port.robot_models.urdf_joints import Place, free_the_base, refuse_odd_joints, urdf_followers

MAX_BYTES = 64 * 1024 * 1024
"""Largest robot description read."""


@dataclass(frozen=True, kw_only=True)
class Urdf:
    """A parsed URDF whose mesh references lead to existing files."""

    path: Path
    """The file."""
    root: ElementTree.Element
    """Its XML; every mesh's filename is an absolute path."""
    skipped_meshes: int
    """Number of mesh geometries that were left out."""
    place: Place = field(default_factory=Place)
    """Where the file puts the base link."""
    followers: Followers = field(default_factory=dict)
    """Joints that follow others; what the XML says of it is gone, as simulators read it each in their own way."""

    def effort_limit(self, joint: str) -> float | None:
        """Effort limit that the file states for `joint` [N m or N]; None when it has none."""
        limit = self.root.find(f"joint[@name='{joint}']/limit")
        return _positive(limit, "effort")

    def damping(self, joint: str) -> float:
        """Viscous damping that the file states for `joint` [N m s/rad or N s/m]."""
        return _positive(self.root.find(f"joint[@name='{joint}']/dynamics"), "damping") or 0.0

    def armature(self, joint: str) -> float:
        """Armature of `joint` [kg m^2 or kg]; URDF proper has none, an `armature` beside damping is understood."""
        return _positive(self.root.find(f"joint[@name='{joint}']/dynamics"), "armature") or 0.0

    def without(self, *tags: str) -> Urdf:
        """The robot without these parts of its links: without "visual", it is as physics alone sees it."""
        root = copy.deepcopy(self.root)
        for link in root.iter("link"):
            for part in [item for item in link if item.tag in tags]:
                link.remove(part)
        return replace(self, root=root)

    def with_visuals(self) -> Urdf:
        """The robot with its collision shapes to be seen, and lines between the joints of links without any."""
        root = copy.deepcopy(self.root)
        for link in root.iter("link"):
            for collision in link.findall("collision"):
                visual = copy.deepcopy(collision)
                visual.tag = "visual"
                _colour(visual, "0.45 0.47 0.5 1")
                link.append(visual)
        by_name = {link.get("name"): link for link in root.findall("link")}
        for joint in root.findall("joint"):
            origin, parent = joint.find("origin"), joint.find("parent")
            link = by_name.get(parent.get("link")) if parent is not None else None
            if origin is not None and link is not None and link.find("collision") is None:
                _draw_line(link, [float(value) for value in origin.get("xyz", "0 0 0").split()])
        return replace(self, root=root)

    @property
    def links(self) -> tuple[str, ...]:
        """Names of the links, in the file's order."""
        return tuple(link.get("name", "") for link in self.root.findall("link"))

    @property
    def excluded_pairs(self) -> tuple[tuple[str, str], ...]:
        """Pairs of links that the SRDF beside the file says never to collide."""
        srdf = self.path.with_suffix(".srdf")
        if not srdf.is_file():
            return ()
        links = set(self.links)
        pairs = [
            (item.get("link1", ""), item.get("link2", ""))
            for item in parse_xml(srdf, "SRDF").findall("disable_collisions")
        ]
        return tuple(pair for pair in dict.fromkeys(pairs) if links.issuperset(pair))

    def text(self) -> str:
        """The file as XML text."""
        return ElementTree.tostring(self.root, encoding="unicode")


def read_urdf(path: Path, *, meshes: bool) -> Urdf:
    """Read a URDF.

    Args:
        path: The file.
        meshes: False leaves every mesh out, visual and collision.

    Raises:
        RobotError: When the file is no URDF, or meshes are missing.
    """
    root = parse_urdf(path)
    refuse_odd_joints(path, root)
    place, followers = free_the_base(path, root), urdf_followers(path, root)
    for joint in root.findall("joint"):
        for mimic in joint.findall("mimic"):
            joint.remove(mimic)
    missing: list[str] = []
    skipped = 0
    for link in root.iter("link"):
        for part in [item for item in link if item.tag in ("visual", "collision")]:
            mesh = part.find("geometry/mesh")
            if mesh is None:
                continue
            name = mesh.get("filename", "")
            if not meshes:
                link.remove(part)
                skipped += 1
            elif (file := _resolve(path.parent.resolve(), name)) is None:
                missing.append(name)
            else:
                mesh.set("filename", str(file))
    refuse_missing_meshes(path, missing)
    return Urdf(path=path, root=root, skipped_meshes=skipped, place=place, followers=followers)


def parse_urdf(path: Path) -> ElementTree.Element:
    """The XML of a URDF as it stands.

    Raises:
        RobotError: When the file is no URDF.
    """
    root = parse_xml(path, "URDF")
    if root.tag != "robot":
        raise RobotError(f"{path}: is no URDF: its root is <{root.tag}>, not <robot>")
    return root


def mujoco_compiler(root: ElementTree.Element) -> ElementTree.Element:
    """The settings of MuJoCo's compiler in a URDF, <mujoco><compiler>; made where they are not there."""
    extension = root.find("mujoco")
    if extension is None:
        extension = ElementTree.SubElement(root, "mujoco")
    compiler = extension.find("compiler")
    return ElementTree.SubElement(extension, "compiler") if compiler is None else compiler


def refuse_missing_meshes(path: Path, missing: list[str]) -> None:
    """Raise a RobotError that names `missing`, if there is any."""
    if not missing:
        return
    names = list(dict.fromkeys(missing))
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    raise RobotError(
        f"{path}: {len(names)} mesh file{'s are' if len(names) > 1 else ' is'} missing: {shown}. Put them where the "
        "file looks for them, or leave all meshes out with --no-meshes"
    )


def mesh_as_stl(path: Path, *, hull: bool) -> bytes:
    """A mesh as binary STL, the one format that every simulator reads.

    Args:
        path: A mesh in any format that trimesh reads.
        hull: Whether the convex hull will do: then the hull that ManiSkill ships beside a PLY file
            (X.ply.convex.stl) is taken.

    Raises:
        RobotError: When the mesh can't be read.
        MissingDependencyError: When it has to be converted and trimesh is not installed.
    """
    shipped = path.with_name(path.name + ".convex.stl")
    if hull and path.suffix.lower() == ".ply" and shipped.is_file():
        path = shipped
    if path.suffix.lower() == ".stl":
        data = path.read_bytes()
        if len(data) > 84 and len(data) == 84 + 50 * struct.unpack_from("<I", data, 80)[0]:
            return data
    try:
        import trimesh
    except ImportError:
        raise MissingDependencyError(
            f"{path}: converting it needs trimesh: pip install 'policy-port[sim]', or leave meshes out with --no-meshes"
        ) from None
    try:
        data = trimesh.load_mesh(path).export(file_type="stl")
    except Exception as cause:
        raise RobotError(
            f"{path}: can't be read as a mesh ({cause}); convert it to STL, or leave meshes out with --no-meshes"
        ) from cause
    assert isinstance(data, bytes)
    return data


def parse_xml(path: Path, what: str) -> ElementTree.Element:
    """The XML of a robot description.

    Raises:
        RobotError: When it can't be read, or is no `what`.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RobotError(f"{path}: {path.stat().st_size} bytes are too many for a {what}")
        return ElementTree.parse(path).getroot()
    except ElementTree.ParseError as cause:
        raise RobotError(f"{path}: is no {what}: {cause}") from None
    except OSError as cause:
        raise RobotError(f"{path}: can't be read: {cause.strerror or cause}") from None


def _resolve(folder: Path, name: str) -> Path | None:
    """The file that a mesh name leads to, or None. The package of package://PACKAGE/... is looked for upwards."""
    plain = name
    for prefix in ("package://", "model://", "file://"):
        plain = plain.removeprefix(prefix)
    names = [Path(plain)]
    if name.startswith(("package://", "model://")):
        names.append(Path(*Path(plain).parts[1:]))
    for base in (folder, *folder.parents[:3]):
        for candidate in names:
            if (base / candidate).is_file():
                return base / candidate
    return None


def _draw_line(link: ElementTree.Element, end: list[float]) -> None:
    x, y, z = end
    length = math.hypot(x, y, z)
    if length < 0.01:
        return
    visual = ElementTree.SubElement(link, "visual")
    middle = f"{x / 2} {y / 2} {z / 2}"
    rpy = f"0 {math.atan2(math.hypot(x, y), z)} {math.atan2(y, x)}"
    ElementTree.SubElement(visual, "origin", xyz=middle, rpy=rpy)
    geometry = ElementTree.SubElement(visual, "geometry")
    ElementTree.SubElement(geometry, "cylinder", radius="0.012", length=str(length))
    _colour(visual, "0.25 0.35 0.5 1")


def _colour(visual: ElementTree.Element, rgba: str) -> None:
    material = ElementTree.SubElement(visual, "material", name=f"colour {rgba}")
    ElementTree.SubElement(material, "color", rgba=rgba)


def _positive(element: ElementTree.Element | None, key: str) -> float | None:
    if element is None:
        return None
    try:
        value = float(element.get(key, "0"))
    except ValueError:
        return None
    return value if value > 0.0 else None
