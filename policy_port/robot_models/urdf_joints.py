"""What a URDF says of its joints beside how they move: where the base stands, who follows whom, what has no name."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from policy_port.errors import RobotError, closest
from policy_port.robot_models.coupling import Follower, Followers, in_chain_order

Quaternion = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a robot's base link stands in the world by its file."""

    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """[m]"""
    rotation: Quaternion = (1.0, 0.0, 0.0, 0.0)
    """Unit quaternion, wxyz."""


def refuse_odd_joints(path: Path, root: ElementTree.Element) -> None:
    """Raise a RobotError for a name that stands twice, a joint without name or end, or one that no drive can turn."""
    for kind in ("link", "joint"):
        names = Counter(element.get("name") for element in root.findall(kind))
        if twice := next((name for name, count in names.items() if name and count > 1), None):
            raise RobotError(f"{path}: {kind} '{twice}' stands twice; give one of them another name")
    links = {link.get("name") for link in root.findall("link")}
    for joint in root.findall("joint"):
        ends = [_end(joint, tag) for tag in ("parent", "child")]
        if not joint.get("name"):
            raise RobotError(
                f"{path}: the joint between links '{ends[0]}' and '{ends[1]}' has no name: name it in the file"
            )
        name = joint.get("name")
        for tag, end in zip(("parent", "child"), ends, strict=True):
            if end not in links:
                raise RobotError(
                    f"{path}: joint '{name}' has {tag} link '{end}', which the file does not have"
                    f"{closest(end, [link for link in links if link]) or '.'} Name a link of the file"
                )
        if joint.get("type") == "planar":
            raise RobotError(
                f"{path}: joint '{name}' is planar, which can't be driven by position. Write two prismatic joints and "
                "a continuous one, with links between them, or fixed where it does not move"
            )


def free_the_base(path: Path, root: ElementTree.Element) -> Place:
    """Take the link `world`, or what a floating joint hangs on, off the root of the tree.

    Whether the base floats is the contract's to say; what stays is where the file puts it.

    Raises:
        RobotError: When a floating joint is not that of the base, or the link above it is a part of the robot.
    """
    children = {_end(joint, "child") for joint in root.findall("joint")}
    tops = [link for link in root.findall("link") if link.get("name") not in children]
    place = Place()
    if len(tops) == 1:
        top = tops[0]
        below = [joint for joint in root.findall("joint") if _end(joint, "parent") == top.get("name")]
        empty = all(top.find(part) is None for part in ("inertial", "visual", "collision"))
        kind = below[0].get("type") if len(below) == 1 else ""
        if empty and (kind == "floating" or (kind == "fixed" and top.get("name") == "world")):
            place = _place(below[0].find("origin"))
            root.remove(below[0])
            root.remove(top)
    for joint in root.findall("joint"):
        if joint.get("type") == "floating":
            raise RobotError(
                f"{path}: joint '{joint.get('name')}' is floating, and is not the one joint between an empty first "
                "link and the robot's base. Only a base floats, by base.floating of the contract: take the joint out, "
                "or make it fixed"
            )
    return place


def urdf_followers(path: Path, root: ElementTree.Element) -> Followers:
    """Joints with <mimic>, by name; a fixed one has no position and follows nobody.

    Raises:
        RobotError: When a leader is not in the file or does not move, or a number is none.
    """
    joints = {joint.get("name", ""): joint for joint in root.findall("joint")}
    found = []
    for name, joint in joints.items():
        mimic = joint.find("mimic")
        if mimic is None:
            continue
        if joint.get("type") == "fixed":
            joint.remove(mimic)
            continue
        leader = mimic.get("joint", "")
        if leader not in joints:
            raise RobotError(
                f"{path}: joint '{name}' mimics '{leader}', which the file does not have"
                f"{closest(leader, joints) or '.'} Its joints are: {', '.join(joints)}. Name the one that "
                "leads, or take <mimic> out"
            )
        if joints[leader].get("type") == "fixed":
            raise RobotError(
                f"{path}: joint '{name}' mimics '{leader}', which is fixed and has no position. Make '{name}' fixed "
                "too, or take <mimic> out"
            )
        try:
            numbers = float(mimic.get("offset") or 0.0), float(mimic.get("multiplier") or 1.0)
        except ValueError as cause:
            raise RobotError(f"{path}: <mimic> of joint '{name}': {cause}; write plain numbers") from None
        found.append(Follower(name=name, leader=leader, coefficients=numbers, said_by="<mimic>"))
    return in_chain_order(found, robot=str(path))


def _end(joint: ElementTree.Element, tag: str) -> str:
    end = joint.find(tag)
    return "" if end is None else end.get("link", "")


def _place(origin: ElementTree.Element | None) -> Place:
    if origin is None:
        return Place()
    x, y, z = (float(value) for value in origin.get("xyz", "0 0 0").split())
    angles = [float(value) / 2.0 for value in origin.get("rpy", "0 0 0").split()]
    (sr, sp, sy), (cr, cp, cy) = map(math.sin, angles), map(math.cos, angles)
    rotation = (
        cr * cp * cy + sr * sp * sy,
        sr * cp * cy - cr * sp * sy,
        cr * sp * cy + sr * cp * sy,
        cr * cp * sy - sr * sp * cy,
    )
    return Place(position=(x, y, z), rotation=rotation)
