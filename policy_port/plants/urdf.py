"""URDF files made ready for a simulator: meshes found, converted or left out, everything else as it stands."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from policy_port.errors import MissingDependencyError, RobotError

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

    def effort_limit(self, joint: str) -> float | None:
        """Effort limit that the file states for `joint` [N m or N]; None when it has none."""
        limit = self.root.find(f"joint[@name='{joint}']/limit")
        return _positive(limit, "effort")

    def damping(self, joint: str) -> float:
        """Viscous damping that the file states for `joint` [N m s/rad or N s/m]."""
        return _positive(self.root.find(f"joint[@name='{joint}']/dynamics"), "damping") or 0.0

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
            for item in _parse(srdf, "SRDF").findall("disable_collisions")
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
    root = _parse(path, "URDF")
    if root.tag != "robot":
        raise RobotError(f"{path}: is no URDF: its root is <{root.tag}>, not <robot>")
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
    return Urdf(path=path, root=root, skipped_meshes=skipped)


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


def _parse(path: Path, what: str) -> ElementTree.Element:
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


def _positive(element: ElementTree.Element | None, key: str) -> float | None:
    if element is None:
        return None
    try:
        value = float(element.get(key, "0"))
    except ValueError:
        return None
    return value if value > 0.0 else None
