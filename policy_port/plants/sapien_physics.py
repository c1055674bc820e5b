"""What a robot file says beside its URDF, in the terms of SAPIEN: springs, couplings, who touches whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import sapien
from numpy.typing import NDArray
from sapien import physx

from policy_port.arrays import Array
from policy_port.errors import RobotError
from policy_port.plants.places import Sensor
from policy_port.robot_models.coupling import Follower, Followers

Groups = tuple[int, int, int, int]
ALL: Groups = (1, 1, 0, 0)
"""SAPIEN's own: everything touches everything."""

TENDON = {"stiffness": 1.0e4, "damping": 10.0}
"""Of a coupling between joints [N m/rad and N m s/rad, or N/m and N s/m]: PhysX integrates it implicitly. Ten times
stiffer, links of 0.1 kg on a floating base diverge."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a collision shape has beside its geometry."""

    groups: Groups
    """SAPIEN's collision groups."""
    friction: float
    """Friction coefficient of its material."""


@dataclass(frozen=True, kw_only=True)
class Physics:
    """What an MJCF says that URDF can't; the defaults are what a URDF means."""

    gravity: tuple[float, float, float] = (0.0, 0.0, -9.81)
    """[m/s^2]"""
    springs: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Stiffness [N m/rad or N/m] and rest position [rad or m] of joints that have a spring."""
    weightless: frozenset[str] = frozenset()
    """Links that feel no gravity."""
    shapes: Mapping[str, tuple[Shape, ...]] | None = None
    """Collision shapes of links, in the order of their URDF; None leaves what SAPIEN makes of them."""
    ground_height: float = 0.0
    """[m]"""
    ground: Shape | None = None
    """The ground's; None where everything touches it with the setup's friction."""
    targets: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Ranges to which the file's own drives clip their joint's target [SI, of the drive's quantity]."""
    drives: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Gain on the target of the file's own drives, and damping beside it."""
    sensors: Mapping[str, Sensor] = field(default_factory=dict)
    """The file's sensors, for where they are mounted."""
    left_out: tuple[str, ...] = ()
    """What SAPIEN can't do, and a user should know of."""

    def spring_rows(self, names: list[str]) -> tuple[Array, Array] | None:
        """Stiffness and rest position of joints, shape (joints,) each; None where no joint has a spring."""
        rows = np.array([self.springs.get(name, (0.0, 0.0)) for name in names]).reshape(-1, 2)
        return (rows[:, 0], rows[:, 1]) if self.springs else None


def meet(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether shapes of these collision groups touch, by SAPIEN's rule."""
    return bool((one[0] & other[1]) | (one[1] & other[0])) and not (one[2] & other[2] and one[3] == other[3])


def set_up_contacts(scene: sapien.Scene, articulation: physx.PhysxArticulation, physics: Physics, path: Path) -> None:
    """Give every collision shape of a robot its groups and material."""
    if physics.shapes is None:
        part_neighbours(articulation, path)
        return
    for link in articulation.links:
        mine = physics.shapes.get(link.name, ())
        for shape, said in zip(link.collision_shapes, mine, strict=True):
            shape.set_collision_groups(list(said.groups))
            shape.set_physical_material(scene.create_physical_material(said.friction, said.friction, 0.0))


def part_neighbours(articulation: physx.PhysxArticulation, path: Path) -> None:
    """Let no body touch the one that it hangs from, where links fixed to each other are one body.

    PhysX parts a link from its parent alone: a wheel would rub on the motor housing that is fixed to the same shin.
    MuJoCo and Newton part bodies. SAPIEN's third group parts shapes that share a bit; it has 32, SRDF uses some.

    Raises:
        RobotError: When 32 are too few.
    """
    body: dict[physx.PhysxArticulationLinkComponent, physx.PhysxArticulationLinkComponent] = {}
    for link in _parents_first(articulation):
        fixed = link.parent is not None and link.joint.type == "fixed"
        body[link] = body[link.parent] if fixed else link
    shaped = [link for link in body if link.collision_shapes]
    used = 0
    for link in shaped:
        for shape in link.collision_shapes:
            used |= shape.collision_groups[2]
    for link in dict.fromkeys(body.values()):
        near = [link] if link.parent is None else [link, body[link.parent]]
        parted = [item for item in shaped if body[item] in near]
        if len(parted) < 2 or {link, link.parent}.issuperset(parted):
            continue
        free = used.bit_length()
        if free >= 32:
            raise RobotError(
                f"{path}: links fixed to each other, beside links that move against them, part its shapes into more "
                "than 32 kinds, which is all that SAPIEN can tell apart. Use --plant mujoco"
            )
        used |= 1 << free
        for shape in (shape for item in parted for shape in item.collision_shapes):
            first, second, third, fourth = shape.collision_groups
            shape.set_collision_groups([first, second, third | 1 << free, fourth])


def _parents_first(articulation: physx.PhysxArticulation) -> list[physx.PhysxArticulationLinkComponent]:
    """SAPIEN's links, each after the one that it hangs from."""
    return sorted(articulation.links, key=lambda link: len(_upwards(link)))


def couple(articulation: physx.PhysxArticulation, followers: Followers, path: Path) -> None:
    """Tie each follower to its leader by a fixed tendon.

    Raises:
        RobotError: When the coupling is no line, or the way between the two has a fixed joint.
    """
    joints = {joint.name: joint for joint in articulation.active_joints}
    for follower in followers.values():
        if follower.leader not in joints or follower.name not in joints:
            raise RobotError(f"{path}: joint '{follower.name}' follows '{follower.leader}', which does not move")
        if follower.line is None:
            raise RobotError(
                f"{path}: joint '{follower.name}' follows joint '{follower.leader}' ({follower.said_by}) by a curve or "
                "by a constant; SAPIEN couples joints by straight lines. Make the coupling a line, or use --plant "
                "mujoco"
            )
        multiplier, offset = follower.line
        chain, factors = _chain(joints[follower.leader], joints[follower.name], multiplier)
        inverse = [1.0 / factor if factor else 0.0 for factor in factors]
        try:
            articulation.create_fixed_tendon(chain, factors, inverse, rest_length=offset, **TENDON)
        except RuntimeError as cause:
            raise RobotError(
                f"{path}: joint '{follower.name}' follows joint '{follower.leader}' ({follower.said_by}), and SAPIEN "
                f"can't couple them: {cause}. Put no fixed joint between the two, or use --plant mujoco"
            ) from None


def _chain(
    leader: physx.PhysxArticulationJoint, follower: physx.PhysxArticulationJoint, multiplier: float
) -> tuple[list[physx.PhysxArticulationLinkComponent], list[float]]:
    """Links from the nearest one above both joints down to theirs, and each one's factor in the tendon's length."""
    ups = [_upwards(leader.child_link), _upwards(follower.child_link)]
    above = next(link for link in ups[0][1:] if link in ups[1][1:])
    links = [above]
    for up in ups:
        links += [link for link in reversed(up[: up.index(above)]) if link not in links]
    factors = {leader.child_link.name: -multiplier, follower.child_link.name: 1.0}
    return links, [factors.get(link.name, 0.0) for link in links]


def _upwards(link: physx.PhysxArticulationLinkComponent) -> list[physx.PhysxArticulationLinkComponent]:
    links = [link]
    while (parent := links[-1].parent) is not None:
        links.append(parent)
    return links


class Coordinates:
    """A robot's joints as SAPIEN counts them, and those of them that a plant tells of."""

    def __init__(self, names: list[str], told: list[str], followers: Followers) -> None:
        """Find `told` among SAPIEN's active joints `names`."""
        self._names = names
        self.columns: NDArray[np.intp] | slice = np.array([names.index(name) for name in told], dtype=np.intp)
        """Where SAPIEN has the plant's joints."""
        if told == names:
            self.columns = slice(None)
        self._followers: list[tuple[int, int, Follower]] = [
            (names.index(item.name), names.index(item.leader), item) for item in followers.values()
        ]

    def driven(self, values: Array) -> Array:
        """Numbers of the plant's joints as SAPIEN counts them, 0 for followers."""
        spread = np.zeros((*values.shape[:-1], len(self._names)))
        spread[..., self.columns] = values
        return spread

    def all(self, joint_pos: Array) -> Array:
        """Positions of all joints [rad or m], followers where their leaders want them; `joint_pos`: the plant's."""
        positions = self.driven(joint_pos)
        for mine, leader, follower in self._followers:
            positions[..., mine] = np.vectorize(follower.position)(positions[..., leader])
        return positions
