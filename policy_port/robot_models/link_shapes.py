"""Which links of a robot file collide, and what is left of that without its meshes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from policy_port.arrays import Array
from policy_port.errors import RobotError
from policy_port.robot_models.urdf import parse_urdf

MARGIN = 1.0e-3
"""So much lower than what is left of the shapes is lower [m]."""

BAND = 0.05
"""What is so near to the lowest is as low [m]: the other feet, the motor at a wheel."""


@dataclass(frozen=True, kw_only=True)
class LinkShapes:
    """The collision shapes of one link."""

    name: str
    """The link, or body."""
    parent: int | None
    """Index of the link that it hangs from; None of a root."""
    moves: bool
    """Whether a joint moves it against its parent."""
    plain: int
    """Number of its shapes that are no meshes."""
    meshes: int
    """Number of its shapes that are meshes."""
    height: float
    """Of its frame, at the default pose [m]; only differences between links mean anything."""
    centre: float = math.inf
    """Height of the lowest centre of its plain shapes [m]."""
    lowest: float = math.inf
    """Height of the lowest point of its plain shapes, or a little below [m]."""


class CollisionShapes:
    """The collision shapes of one robot."""

    def __init__(self, links: Sequence[LinkShapes]) -> None:
        """Find the ends of the chains.

        Links that no joint moves against each other are one body. An end is a body that carries no further body; where
        the file gives bodies shapes, one that carries no further body with a shape: a rotor or a sensor without a shape
        was never meant to touch anything.
        """
        self.links = tuple(links)
        """The links, in the file's order."""
        bodies = [self._body(index) for index in range(len(links))]
        carried_by: dict[int, set[int]] = {body: set() for body in bodies}
        for body in carried_by:
            above = links[body].parent
            while above is not None:
                carried_by[bodies[above]].add(body)
                above = links[bodies[above]].parent
        self._bodies = bodies
        shaped = {bodies[index] for index, link in enumerate(links) if link.plain or link.meshes}
        self._tips = {body for body, those in carried_by.items() if not those}
        self._ends = {body for body in shaped if not carried_by[body] & shaped}
        self._plain = {bodies[index] for index, link in enumerate(links) if link.plain}
        self._shaped = shaped

    def _body(self, index: int) -> int:
        parent = self.links[index].parent
        return index if parent is None or self.links[index].moves else self._body(parent)

    @property
    def lost(self) -> tuple[str, ...]:
        """Links that have no collision shape any more without meshes, those at the ends of the chains first."""
        lost = [index for index, link in enumerate(self.links) if link.meshes and not link.plain]
        return tuple(self.links[index].name for index in sorted(lost, key=lambda i: self._bodies[i] not in self._ends))

    @property
    def lost_ends(self) -> tuple[str, ...]:
        """Those of the lost ones whose whole body, at the end of a chain, has no shape any more."""
        return tuple(
            link.name
            for index, link in enumerate(self.links)
            if link.meshes and self._bodies[index] in self._ends - self._plain
        )

    @property
    def never(self) -> tuple[str, ...]:
        """Last links of chains to which the file gives no collision shape at all."""
        return tuple(self.links[body].name for body in sorted(self._tips - self._shaped))

    def refuse_without_feet(self, path: Path) -> None:
        """Raise a RobotError where what stood on the ground has no shape any more without meshes.

        That is so where no shape is left; where a link that lost its own is lower than every shape that is left, into
        the ground therefore; and where the end of every chain lost its own and one is not higher than the middle of the
        lowest shape that is left, such as the motor at a wheel. A gripper that lost its mesh above a base with wheels
        stops nobody.
        """
        lost = [link for link in self.links if link.meshes and not link.plain]
        down = min((link.height for link in lost), default=math.inf)
        ends_left = self._ends & self._plain
        centre, lowest = (min(getattr(link, key) for link in self.links) for key in ("centre", "lowest"))
        if not lost or down >= (lowest - MARGIN if ends_left else centre + BAND):
            return
        low = [link.name for link in sorted(lost, key=lambda link: link.height) if link.height < down + BAND]
        urdf = path.suffix.lower() == ".urdf"
        raise RobotError(
            f"{path}: without its meshes the robot has nothing to stand or roll on: the collision shapes of its lowest "
            f"links, {_few(low)}, are meshes only. Give them plain shapes, spheres or cylinders "
            f"({'<collision> in their <link>' if urdf else '<geom> in their <body>'}), or give the meshes and leave "
            "out --no-meshes"
        )

    def told_of(self, *, meshes: bool, stands: bool) -> str:
        """In words, which links can't touch anything.

        Args:
            meshes: Whether the meshes are there; without them, the links that lost their last shape are named.
            stands: Whether the robot stands on the ground; then ends that never had a shape are named.
        """
        told = []
        if not meshes and self.lost:
            ends = self.lost_ends
            inner = [name for name in self.lost if name not in ends]
            at_ends = [f"{_few(ends)} (where chains end)"] if ends else []
            told.append("meshes were the only shapes of " + "; ".join([*at_ends, *([_few(inner)] if inner else [])]))
        if stands and self.never:
            told.append(f"the file gives no shape to {_few(self.never)} (where chains end)")
        return "; ".join(told)


def urdf_shapes(path: Path, joint_pos: Mapping[str, float]) -> CollisionShapes:
    """The collision shapes of a URDF, meshes among them.

    Args:
        path: The file.
        joint_pos: Joint positions of the default pose [rad or m]; 0, where not named.

    Raises:
        RobotError: When the file is no URDF.
    """
    root = parse_urdf(path)
    links = root.findall("link")
    index = {link.get("name", ""): place for place, link in enumerate(links)}
    hung: dict[str, tuple[str, bool, Array]] = {}
    for joint in root.findall("joint"):
        parent, child = joint.find("parent"), joint.find("child")
        if parent is not None and child is not None:
            moved = _origin(joint) @ _moved(joint, joint_pos.get(joint.get("name", ""), 0.0))
            hung[child.get("link", "")] = parent.get("link", ""), joint.get("type") != "fixed", moved
    found = []
    for link in links:
        name = link.get("name", "")
        parent, moves, _ = hung.get(name, ("", True, None))
        pose, above = np.eye(4), name
        for _ in links:
            if above in hung:
                above, _, moved = hung[above]
                pose = moved @ pose
        shapes = [item for item in link.findall("collision") if item.find("geometry") is not None]
        plain = [item for item in shapes if item.find("geometry/mesh") is None]
        placed = [(pose @ _origin(item), _half(item)) for item in plain]
        found.append(
            LinkShapes(
                name=name,
                parent=index.get(parent),
                moves=moves,
                plain=len(plain),
                meshes=len(shapes) - len(plain),
                height=float(pose[2, 3]),
                centre=min((float(at[2, 3]) for at, _ in placed), default=math.inf),
                lowest=min((float(at[2, 3] - np.abs(at[2, :3]) @ half) for at, half in placed), default=math.inf),
            )
        )
    return CollisionShapes(found)


def _numbers(text: str | None, default: str, count: int) -> Array:
    """Numbers of an attribute; what is none is refused by who reads the file to simulate it."""
    try:
        values = np.array([float(word) for word in (text or default).split()])
    except ValueError:
        values = np.zeros(0)
    return values if values.shape == (count,) else np.array([float(word) for word in default.split()])


def _origin(element: ElementTree.Element) -> Array:
    origin = element.find("origin")
    xyz, rpy = (_numbers(None if origin is None else origin.get(key), "0 0 0", 3) for key in ("xyz", "rpy"))
    placed = np.eye(4)
    x, y, z = (_turned(axis, float(angle)) for axis, angle in zip(np.eye(3), rpy, strict=True))
    placed[:3, :3], placed[:3, 3] = z @ y @ x, xyz
    return placed


def _moved(joint: ElementTree.Element, position: float) -> Array:
    axis = joint.find("axis")
    along = _numbers(None if axis is None else axis.get("xyz"), "1 0 0", 3)
    along = along / (np.linalg.norm(along) or 1.0)
    moved = np.eye(4)
    if joint.get("type") == "prismatic":
        moved[:3, 3] = position * along
    elif joint.get("type") in ("revolute", "continuous"):
        moved[:3, :3] = _turned(along, position)
    return moved


def _turned(axis: Array, angle: float) -> Array:
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + math.sin(angle) * cross + (1.0 - math.cos(angle)) * cross @ cross


def _half(collision: ElementTree.Element) -> Array:
    """Half the sides of the box around a plain shape [m]."""
    box, round_ = collision.find("geometry/box"), next(iter(collision.findall("geometry/*")), None)
    if box is not None:
        return 0.5 * _numbers(box.get("size"), "0 0 0", 3)
    radius, length = (
        float(_numbers(None if round_ is None else round_.get(key), "0", 1)[0]) for key in ("radius", "length")
    )
    capped = radius if round_ is not None and round_.tag == "capsule" else 0.0
    return np.array([radius, radius, 0.5 * length + capped if length else radius])


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
