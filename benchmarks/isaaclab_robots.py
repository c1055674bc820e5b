"""Stand-ins for Isaac Lab's robots as USD text, from isaaclab_robots.yaml, and a flat ground.

Isaac Lab fetches its robots from a server of NVIDIA's. What the crossing compares is the order of joints, the rates and
the terms; those need a robot with the right names in the right tree, not the robot's own meshes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DESCRIPTION = Path(__file__).with_name("isaaclab_robots.yaml")

GROUND = """\
#usda 1.0
(
    defaultPrim = "World"
    metersPerUnit = 1
    upAxis = "Z"
)
def Xform "World"
{
    def Cube "Floor" (prepend apiSchemas = ["PhysicsCollisionAPI"])
    {
        double size = 1
        double3 xformOp:translate = (0, 0, -0.5)
        double3 xformOp:scale = (400, 400, 1)
        uniform token[] xformOpOrder = ["xformOp:translate", "xformOp:scale"]
    }
}
"""
"""A floor 400 m wide: the task lays its environments out on whatever ground its terrain names."""

DEGREES = 57.29577951308232

Vector = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Link:
    """One body, and the joint that it hangs on."""

    name: str
    parent: str
    """Name of the body it hangs on; empty for the base."""
    at: Vector
    """Its frame's origin in its parent's [m]; every frame stands upright."""
    mass: float
    """Mass [kg]."""
    com: Vector
    """Centre of mass in its own frame [m]."""
    inertia: Vector
    """Principal inertia along its own axes [kg m^2]."""
    joint: str = ""
    """Name of the hinge; empty where it is welded, or the base."""
    axis: str = "x"
    """Axis of the hinge."""
    range: tuple[float, float] = (0.0, 0.0)
    """Limits of the hinge [rad]."""
    ball: float | None = None
    """Radius of its sphere [m]."""
    box: tuple[float, ...] | None = None
    """Size and centre of its box [m]."""


def robots() -> dict[str, str]:
    """Every robot that there is a stand-in for, and the description it is after."""
    return {name: robot["after"] for name, robot in _described().items()}


def links(robot: str) -> list[Link]:
    """The bodies of a stand-in, each after the one that it hangs on, in the order in which the file has them."""
    described = _described()[robot]
    root = described["root"]
    found = [Link(**_vectors(root | {"parent": "", "at": [0.0, 0.0, 0.0]}))]
    for limb in described["limbs"]:
        for side, signs in limb["sides"].items():
            before = limb.get("parent", root["name"])
            for link in limb["links"]:
                parent = side + link["parent"] if "parent" in link else before
                found.append(_link(link, side, signs, parent))
                before = found[-1].name
    return found


def usd(robot: str) -> str:
    """The stand-in as the text of a .usda file: all bodies under one root, as Isaac Lab's own robots have them."""
    bodies = links(robot)
    origins = {"": (0.0, 0.0, 0.0)}
    for link in bodies:
        above = origins[link.parent]
        origins[link.name] = (above[0] + link.at[0], above[1] + link.at[1], above[2] + link.at[2])
    lines = ["#usda 1.0", "(", f'    defaultPrim = "{robot}"', "    metersPerUnit = 1", "    kilogramsPerUnit = 1"]
    lines += ['    upAxis = "Z"', ")", f'def Xform "{robot}"', "{"]
    lines += _indented(line for link in bodies for line in _body(link, origins[link.name]))
    lines += ['    def Scope "joints"', "    {"]
    lines += _indented((line for link in bodies if link.parent for line in _joint(robot, link)), 2)
    return "\n".join([*lines, "    }", "}", ""])


def _described() -> dict[str, Any]:
    return yaml.safe_load(DESCRIPTION.read_text(encoding="utf-8"))


def _vectors(link: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in link.items()}


def _link(link: dict[str, Any], side: str, signs: Sequence[float], parent: str) -> Link:
    """A link of a limb on one side: mirrored in x and y, and its hinge's limits with y."""
    x, y = signs

    def mirrored(vector: Sequence[float]) -> Vector:
        return (x * vector[0], y * vector[1], vector[2])

    own = _vectors(link)
    own |= {"name": side + link["name"], "parent": parent, "at": mirrored(link["at"]), "com": mirrored(link["com"])}
    if "joint" in link:
        own["joint"] = side + link["joint"]
        low, high = link["range"]
        own["range"] = (-high, -low) if y < 0 and link["axis"] != "y" else (low, high)
    return Link(**own)


def _body(link: Link, origin: Vector) -> list[str]:
    schemas = ["PhysicsRigidBodyAPI", "PhysicsMassAPI", *([] if link.parent else ["PhysicsArticulationRootAPI"])]
    lines = [f'def Xform "{link.name}" (', f"    prepend apiSchemas = [{_quoted(schemas)}]", ")", "{"]
    lines += [f"    float physics:mass = {link.mass:g}", f"    point3f physics:centerOfMass = {_text(link.com)}"]
    lines += [f"    float3 physics:diagonalInertia = {_text(link.inertia)}"]
    lines += ["    quatf physics:principalAxes = (1, 0, 0, 0)", *_indented(_placed(origin))]
    if link.ball is not None:
        lines += _indented(_shape("Sphere", [f"double radius = {link.ball:g}"]))
    if link.box is not None:
        scale = f"double3 xformOp:scale = {_text(link.box[:3])}"
        lines += _indented(_shape("Cube", ["double size = 1", scale], link.box[3:]))
    return [*lines, "}"]


def _shape(kind: str, own: Sequence[str], at: Sequence[float] = (0.0, 0.0, 0.0)) -> list[str]:
    scaled = any("xformOp:scale" in line for line in own)
    lines = [f'def {kind} "collision" (', '    prepend apiSchemas = ["PhysicsCollisionAPI"]', ")", "{"]
    return [*lines, *_indented([*own, *_placed(at, scaled)]), "}"]


def _placed(at: Sequence[float], scaled: bool = False) -> list[str]:
    order = ["xformOp:translate", "xformOp:orient", *(["xformOp:scale"] if scaled else [])]
    return [
        f"double3 xformOp:translate = {_text(at)}",
        "quatf xformOp:orient = (1, 0, 0, 0)",
        f"uniform token[] xformOpOrder = [{_quoted(order)}]",
    ]


def _joint(robot: str, link: Link) -> list[str]:
    kind, name = ("Revolute", link.joint) if link.joint else ("Fixed", f"{link.name}_weld")
    lines = [f'def Physics{kind}Joint "{name}"', "{"]
    lines += [f"    rel physics:body0 = </{robot}/{link.parent}>", f"    rel physics:body1 = </{robot}/{link.name}>"]
    lines += [f"    point3f physics:localPos0 = {_text(link.at)}", "    point3f physics:localPos1 = (0, 0, 0)"]
    lines += ["    quatf physics:localRot0 = (1, 0, 0, 0)", "    quatf physics:localRot1 = (1, 0, 0, 0)"]
    if link.joint:
        low, high = (DEGREES * limit for limit in link.range)
        lines += [f'    uniform token physics:axis = "{link.axis.upper()}"']
        lines += [f"    float physics:lowerLimit = {low:.6g}", f"    float physics:upperLimit = {high:.6g}"]
    return [*lines, "}"]


def _text(numbers: Sequence[float]) -> str:
    return f"({', '.join(f'{number:.9g}' for number in numbers)})"


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)


def _indented(lines: Iterable[str], times: int = 1) -> list[str]:
    return ["    " * times + line for line in lines]
