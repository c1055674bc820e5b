"""Which joints lead from a robot's base to each of its links: what has to be read to know where the link is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from policy_port.descriptors.kinematic_tree import Link
from policy_port.descriptors.robot_parsers import is_urdf, mujoco_spec, newton_tree
from policy_port.robot_models.find import USD_SUFFIXES
from policy_port.robot_models.urdf import parse_urdf
from policy_port.robot_models.urdf_joints import urdf_followers

Base = Literal["floats", "bolted", "unsaid"]
"""How a robot file holds a base; a URDF and a USD leave it to whoever stands the robot up."""


@dataclass(frozen=True, kw_only=True)
class LinkChains:
    """Of one robot file."""

    joints: dict[str, tuple[str, ...]]
    """Joints on the way from the base to each link or site; one that follows another is shown as the one that leads."""
    bases: dict[str, Base]
    """How the base is held that each joint moves against; a scene may have more than one."""

    def base(self, joints: Iterable[str]) -> Base | None:
        """How the base of a robot with these joints is held; None where the file has none of them."""
        return next((self.bases[name] for name in joints if name in self.bases), None)


def link_chains(path: Path) -> LinkChains:
    """Read the chains of a URDF, MJCF or USD file.

    Raises:
        RobotError: When the file can't be read.
        MissingDependencyError: When its reader is not installed.
    """
    found: dict[str, tuple[str, ...]] = {}
    if path.suffix.lower() in USD_SUFFIXES:
        for root in newton_tree(path):
            _walk(root, (), found)
        return LinkChains(joints=found, bases=_bases(found, "unsaid"))
    spec = mujoco_spec(path)
    leads = _leaders(path, spec)
    bases: dict[str, Base] = {}
    said = _of_urdf(path) if is_urdf(path) else None
    for body in spec.worldbody.bodies:
        chains: dict[str, tuple[str, ...]] = {}
        _add(body, (), leads, chains)
        bases |= _bases(chains, said or _of_mjcf(body))
        found |= chains
    return LinkChains(joints=found, bases=bases)


def _bases(chains: dict[str, tuple[str, ...]], base: Base) -> dict[str, Base]:
    return {name: base for way in chains.values() for name in way}


def _of_urdf(path: Path) -> Base:
    """A root link called world is what a URDF bolts an arm to."""
    tree = parse_urdf(path)
    carried = {child.get("link") for child in tree.iterfind("joint/child")}
    return "bolted" if "world" in {link.get("name") for link in tree.iterfind("link")} - carried else "unsaid"


def _of_mjcf(body: Any) -> Base:
    import mujoco

    kinds = [joint.type for joint in body.joints]
    if mujoco.mjtJoint.mjJNT_FREE in kinds:
        return "floats"
    # Three slides with a ball or three hinges can be made one free joint.
    return "unsaid" if kinds.count(mujoco.mjtJoint.mjJNT_SLIDE) == 3 and len(kinds) in (4, 6) else "bolted"


def _walk(link: Link, way: tuple[str, ...], found: dict[str, tuple[str, ...]]) -> None:
    found[link.name] = way = (*way, *link.joints)
    for child in link.children:
        _walk(child, way, found)


def _add(body: Any, way: tuple[str, ...], leads: dict[str, str], found: dict[str, tuple[str, ...]]) -> None:
    import mujoco

    names = [joint.name for joint in body.joints if joint.type != mujoco.mjtJoint.mjJNT_FREE]
    way = (*way, *(leads.get(str(name), str(name)) for name in names))
    found |= {each.name: way for each in (body, *body.sites)}
    for child in body.bodies:
        _add(child, way, leads, found)


def _leaders(path: Path, spec: Any) -> dict[str, str]:
    import mujoco

    if is_urdf(path):
        return {str(name): follower.leader for name, follower in urdf_followers(path, parse_urdf(path)).items()}
    kind = mujoco.mjtEq.mjEQ_JOINT
    return {each.name1: each.name2 for each in spec.equalities if each.type == kind and each.active and each.name2}
