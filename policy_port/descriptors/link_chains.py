"""Which joints lead from a robot's base to each of its links: what has to be read to know where the link is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policy_port.descriptors.kinematic_tree import Link
from policy_port.descriptors.robot_parsers import is_urdf, mujoco_spec, newton_tree
from policy_port.robot_models.find import USD_SUFFIXES
from policy_port.robot_models.urdf import parse_urdf
from policy_port.robot_models.urdf_joints import urdf_followers


@dataclass(frozen=True, kw_only=True)
class LinkChains:
    """Of one robot file."""

    joints: dict[str, tuple[str, ...]]
    """Joints on the way from the base to each link or site; one that follows another is shown as the one that leads."""
    floats: bool
    """Whether the file itself frees the base; a URDF never says it."""


def link_chains(path: Path) -> LinkChains:
    """Read the chains of a URDF, MJCF or USD file.

    Raises:
        RobotError: When the file can't be read.
        MissingDependencyError: When its reader is not installed.
    """
    if path.suffix.lower() in USD_SUFFIXES:
        found: dict[str, tuple[str, ...]] = {}
        for root in newton_tree(path):
            _walk(root, (), found)
        return LinkChains(joints=found, floats=False)
    spec = mujoco_spec(path)
    leads = _leaders(path, spec)
    found = {}
    floats = any(_add(body, (), leads, found) for body in spec.worldbody.bodies)
    return LinkChains(joints=found, floats=floats)


def _walk(link: Link, way: tuple[str, ...], found: dict[str, tuple[str, ...]]) -> None:
    found[link.name] = way = (*way, *link.joints)
    for child in link.children:
        _walk(child, way, found)


def _add(body: Any, way: tuple[str, ...], leads: dict[str, str], found: dict[str, tuple[str, ...]]) -> bool:
    import mujoco

    names = [joint.name for joint in body.joints if joint.type != mujoco.mjtJoint.mjJNT_FREE]
    way = (*way, *(leads.get(str(name), str(name)) for name in names))
    found |= {each.name: way for each in (body, *body.sites)}
    for child in body.bodies:
        _add(child, way, leads, found)
    return len(names) < len(body.joints)


def _leaders(path: Path, spec: Any) -> dict[str, str]:
    import mujoco

    if is_urdf(path):
        return {str(name): follower.leader for name, follower in urdf_followers(path, parse_urdf(path)).items()}
    kind = mujoco.mjtEq.mjEQ_JOINT
    return {each.name1: each.name2 for each in spec.equalities if each.type == kind and each.active and each.name2}
