"""How far a bolted-down robot's links stay from each other and from the ground, on a whole way and not at samples."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import mujoco
import numpy as np

from policy_port.arrays import Array, Integers
from policy_port.plants.mujoco_model import build_robot
from policy_port.plants.setup import PlantSetup

Pair = tuple[str, str]
SAMPLES = 200
"""Poses by which it is known how far apart two links usually are."""
NEIGHBOURS = 0.5
"""What two links keep that are closer than asked in most poses, by how the robot is made: this share of the median."""
FAR = 0.5
"""Links farther apart than this are not measured closer [m]."""
CLOSE = 1e-3
"""Where links come so near to what they keep [m], a way is refused: closer looks would take ever more time."""


class Clearance:
    """Distances between the links of a robot, and to the ground.

    A turn by an angle moves no point of a link by more than the angle times the link's reach. So a pose that is clear
    by more than asked clears every pose near it, and what is told of a way holds everywhere on it.
    """

    def __init__(self, robot_file: Path, setup: PlantSetup, limits: dict[str, tuple[float, float]], gap: float) -> None:
        """Load the robot.

        Args:
            robot_file: A URDF or MJCF file.
            setup: Its joints.
            limits: Lower and upper limit of each joint [rad].
            gap: Distance to keep [m]; of links that are closer in most poses, see `NEIGHBOURS`.

        Raises:
            RobotError: When the file can't be loaded.
        """
        robot = build_robot(robot_file, setup, meshes=True)
        self._model, self._places = robot.model, robot.qpos_index
        self._data = mujoco.MjData(robot.model)
        self.joint_names = tuple(joint.name for joint in robot.joints)
        """Order of the joints in every pose."""
        low, high = np.array([limits[name] for name in self.joint_names]).T
        poses = np.random.default_rng(0).uniform(low, high, (SAMPLES, len(low)))
        self._shapes = [self._shapes_of(body) for body in range(self._model.nbody)]
        self._pairs = self._apart()
        seen = np.array([self.distances(pose) for pose in poses])
        usual, least = np.median(seen, axis=0), seen.min(axis=0)
        often = (usual >= gap) & ((least <= 0.0) | (np.quantile(seen, 1 / 3, axis=0) >= gap))
        needed = np.where(often, gap, NEIGHBOURS * usual)
        # Left out: links that touch in most poses, which are joined; neighbours that no pose brings so close; and those
        # that no joint moves against each other.
        told = (usual > 0.0) & (often | (least < needed)) & (np.ptp(seen, axis=0) > CLOSE)
        self._pairs = [pair for pair, counts in zip(self._pairs, told, strict=True) if counts]
        self._needed = needed[told]
        self._reach = np.array([self._reaches(*pair) for pair in self._pairs])

    def distances(self, pose: Array) -> Array:
        """Of each pair at a pose [rad], shape (joints,): distances [m], shape (pairs,); negative inside each other."""
        return self._measured(pose, range(len(self._pairs)))

    def lenient(self, pose: Array, slack: float) -> Array:
        """What pairs keep on ways to a pose where some lie closer than asked [m]: what they have there.

        Args:
            pose: That pose [rad], shape (joints,).
            slack: How much less they may keep on the way [m].
        """
        return np.minimum(self._needed, self.distances(pose) - slack)

    def near(self, starts: Array, ends: Array, needed: Array | None = None) -> frozenset[Pair]:
        """Pairs that come closer than asked, or may, on straight lines in joint space; the first such that are found.

        Args:
            starts: Where lines begin [rad], shape (lines, joints).
            ends: Where they end.
            needed: What each pair keeps [m], as `lenient` has it; None: what was asked for.
        """
        needed = self._needed if needed is None else needed
        open_ = np.ones((len(starts), len(self._pairs)), dtype=bool)
        # Lines far apart from each other first: what is wrong shows early.
        order = np.random.default_rng(0).permutation(len(starts))
        starts, ends = starts[order], ends[order]
        while len(starts):
            middle, pairs = 0.5 * (starts[0] + ends[0]), np.flatnonzero(open_[0])
            room = self._measured(middle, pairs) - needed[pairs]
            if (blocked := room < CLOSE).any():
                return frozenset(self._names(self._pairs[pair]) for pair in pairs[blocked])
            for column, pair in enumerate(pairs):
                lines = np.flatnonzero(open_[:, pair])
                moved = [np.abs(poses[lines] - middle) @ self._reach[pair] for poses in (starts, ends)]
                open_[lines, pair] = np.maximum(*moved) > room[column]
            if open_[0].any():
                halves = np.stack([starts[0], middle]), np.stack([middle, ends[0]])
                starts = np.concatenate([halves[0], starts[1:]])
                ends = np.concatenate([halves[1], ends[1:]])
                open_ = np.concatenate([open_[:1], open_])
            left = open_.any(axis=1)
            starts, ends, open_ = starts[left], ends[left], open_[left]
        return frozenset()

    def near_home(self, path: Array, home: Array, needed: Array) -> frozenset[Pair]:
        """Pairs that come closer than asked, or may, on the straight way to a pose from anywhere on a path.

        What is swept is cut in halves, along the path or along the ways, until each part is near enough to one pose.

        Args:
            path: Poses that straight lines join [rad], shape (poses, joints).
            home: The pose that ways lead to [rad], shape (joints,).
            needed: What each pair keeps [m], as `lenient` has it.
        """
        parts = [(0.0, len(path) - 1.0, 0.0, 1.0, np.arange(len(self._pairs)))]
        while parts:
            first, last, begin, end, pairs = parts.pop()
            middle, half = 0.5 * (first + last), 0.5 * (begin + end)
            rows = [_along(path, first)[None], path[int(first) + 1 : int(last) + 1], _along(path, last)[None]]
            low, high = (least(np.concatenate(rows), axis=0) for least in (np.min, np.max))
            way = home - (here := _along(path, middle))
            pose = here + half * way
            room = self._measured(pose, pairs) - needed[pairs]
            if (blocked := room < CLOSE).any():
                return frozenset(self._names(self._pairs[pair]) for pair in pairs[blocked])
            ends = [edge + at * (home - edge) for edge in (low, high) for at in (begin, end)]
            pairs = pairs[self._reach[pairs] @ np.abs(np.array(ends) - pose).max(axis=0) > room]
            if not len(pairs):
                continue
            across = self._reach[pairs] @ np.maximum(high - here, here - low) * (1.0 - begin)
            if across.max() > (self._reach[pairs] @ np.abs(way)).max() * (half - begin):
                parts += [(first, middle, begin, end, pairs), (middle, last, begin, end, pairs)]
            else:
                parts += [(first, last, begin, half, pairs), (first, last, half, end, pairs)]
        return frozenset()

    def _apart(self) -> list[tuple[int, int]]:
        """Pairs of bodies with shapes that collide, neither the other's parent nor fixed to it."""
        model = self._model
        shaped = [body for body, shapes in enumerate(self._shapes) if shapes]
        return [
            (one, other)
            for one, other in combinations(shaped, 2)
            if model.body_weldid[one] != model.body_weldid[other] and model.body_parentid[other] != one
        ]

    def _shapes_of(self, body: int) -> list[int]:
        model = self._model
        first, count = int(model.body_geomadr[body]), int(model.body_geomnum[body])
        return [one for one in range(first, first + count) if model.geom_contype[one] or model.geom_conaffinity[one]]

    def _measured(self, pose: Array, pairs: range | Integers) -> Array:
        model, data = self._model, self._data
        data.qpos[self._places] = pose
        mujoco.mj_kinematics(model, data)
        return np.array(
            [
                min(
                    mujoco.mj_geomDistance(model, data, one, other, FAR, None)
                    for one in self._shapes[self._pairs[pair][0]]
                    for other in self._shapes[self._pairs[pair][1]]
                )
                for pair in pairs
            ]
        )

    def _reaches(self, one: int, other: int) -> Array:
        """How far each joint's turn by a radian moves two bodies against each other at most [m], shape (joints,)."""
        above = [self._joints_above(one), self._joints_above(other)]
        model, found = self._model, np.zeros(self._model.njnt)
        for body, mine, theirs in ((one, *above), (other, *above[::-1])):
            far = 0.0
            for place, joint in enumerate(mine):
                anchor = self._data.xanchor[joint]
                if place:
                    far += float(np.linalg.norm(anchor - self._data.xanchor[mine[place - 1]]))
                else:
                    far = self._farthest(body, anchor)
                if joint not in theirs:
                    found[joint] += 1.0 if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE else far
        return np.array([found[model.joint(name).id] for name in self.joint_names])

    def _joints_above(self, body: int) -> list[int]:
        """Joints that move a body, the nearest first."""
        model, found = self._model, list[int]()
        while body:
            first, count = int(model.body_jntadr[body]), int(model.body_jntnum[body])
            found += reversed(range(first, first + count))
            body = int(model.body_parentid[body])
        return found

    def _farthest(self, body: int, point: Array) -> float:
        """How far a body's shapes reach from a point [m]."""
        model, data = self._model, self._data
        return max(
            float(np.linalg.norm(data.geom_xpos[geom] - point) + model.geom_rbound[geom]) for geom in self._shapes[body]
        )

    def _names(self, pair: tuple[int, int]) -> Pair:
        one, other = (self._model.body(body).name for body in pair)
        return one, other


def _along(path: Array, place: float) -> Array:
    """The pose at a place of a path, between two of its rows where it is no whole number."""
    row = min(int(place), len(path) - 2) if len(path) > 1 else 0
    following = path[min(row + 1, len(path) - 1)]
    return np.asarray(path[row] + (place - row) * (following - path[row]), np.float64)
