"""A plan made into motion: poses that are clear of everything, targets within the limits, checked before any of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from policy_port.arrays import Array
from policy_port.errors import TaskError
from policy_port.plants.clearance import Clearance, Pair
from policy_port.robot_models.find import find_robot
from policy_port.robots.arm.robot_file import RobotFile
from policy_port.robots.emulator.simulated import so100_setup
from policy_port.robots.jobs.plan import Bounds, Plan, Segment, motions

TRIES = 1000
"""Poses that are tried for an episode."""
SLACK = 0.002
"""How much closer links may come on the way to rest than they lie there [m]."""


@dataclass(frozen=True, kw_only=True)
class PlannedEpisode:
    """An episode of which every target is known."""

    label: str
    """What it is, in words."""
    use: Literal["fit", "held_out"]
    """What its recording is for."""
    targets: Array
    """[rad], shape (steps, joints), in the order of the robot file's `joint_names`; the first is where it starts."""


def realise(plan: Plan, robot: RobotFile, folder: Path) -> tuple[PlannedEpisode, ...]:
    """Compute every target of a plan, and look in MuJoCo at the way from each to the next.

    The way from one episode to the next and the ways to rest, on which the arm may be led at any time, are looked at
    too. Links that lie closer than `clearance` in the rest pose come at most
    `SLACK` closer on the way to it.

    Args:
        plan: The plan.
        robot: The arm.
        folder: Where the plan's traces are.

    Raises:
        TaskError: When the plan asks for what the arm does not have, takes too long, or no pose is clear.
    """
    bounds, rng = Bounds(robot, plan.margin), np.random.default_rng(plan.seed)
    asked = motions(plan, robot, bounds, folder, rng)
    search, found = _Search(plan, robot, bounds, rng), []
    for segment, label, offsets in asked:
        targets = search.place(segment, label, offsets)
        found.append(PlannedEpisode(label=label, use=segment.use, targets=targets))
    return tuple(found)


class _Search:
    """Looks for poses about which an episode is clear."""

    def __init__(self, plan: Plan, robot: RobotFile, bounds: Bounds, rng: np.random.Generator) -> None:
        self._plan, self._bounds, self._rng = plan, bounds, rng
        names = robot.joint_names
        limits = {name: (robot.joints[name].lower, robot.joints[name].upper) for name in names}
        setup = so100_setup(dict.fromkeys(names, 0.0))
        self._clear = Clearance(find_robot(robot.described), setup, limits, plan.clearance)
        self._order = [names.index(name) for name in self._clear.joint_names]
        self._rest = np.array(robot.pose("rest"))[self._order]
        self._lying = self._clear.lenient(self._rest, SLACK)
        self._last: Array | None = None

    def place(self, segment: Segment, label: str, offsets: Array) -> Array:
        """The targets of an episode; see `realise`."""
        period, blocked = 1.0 / self._plan.control_frequency, frozenset[Pair]()
        if segment.kind == "replay":
            candidates = [offsets]
        else:
            candidates = (self._pose(segment, label, offsets) + offsets for _ in range(TRIES))
        for asked in candidates:
            held = np.clip(asked, self._bounds.lower, self._bounds.upper)
            # Most poses that are no good are so where they start.
            first = held[:1, self._order]
            if blocked := self._clear.near(first, first):
                continue
            targets = self._bounds.follow(held, period)
            if not (blocked := self._blocked(targets)):
                self._last = targets[-1]
                return targets
        pairs = ", ".join(f"{one} and {other}" for one, other in sorted(blocked))
        raise TaskError(
            f"the plan's {label}: no pose was found from which nothing comes closer than {self._plan.clearance:g} m, "
            f"last {pairs}; write a smaller `amplitude` or `clearance`, or another `pose`"
        )

    def _pose(self, segment: Segment, label: str, offsets: Array) -> Array:
        """A pose that leaves the offsets room [rad], shape (joints,)."""
        low, high = self._bounds.lower - offsets.min(axis=0), self._bounds.upper - offsets.max(axis=0)
        if (low > high).any():
            name = self._bounds.names[int((low > high).argmax())]
            raise TaskError(f"the plan's {label}: joint {name} has no room for it; write a smaller `amplitude`")
        pose = self._rng.uniform(low, high)
        for name, value in (segment.pose or {}).items():
            if name not in self._bounds.names:
                raise TaskError(f"the plan's {label}: pose: the arm has no joint '{name}'; its joints are "
                                f"{', '.join(self._bounds.names)}")  # fmt: skip
            index = self._bounds.names.index(name)
            if not low[index] <= value <= high[index]:
                raise TaskError(
                    f"the plan's {label}: pose: {name} at {value:g} rad leaves no room; it has {low[index]:.3f} to "
                    f"{high[index]:.3f} under this `amplitude` and `margin`"
                )
            pose[index] = value
        return pose

    def _blocked(self, targets: Array) -> frozenset[Pair]:
        """Pairs that come too close in an episode, on the way to it, or on the way to rest from anywhere in it."""
        clear, targets = self._clear, targets[:, self._order]
        starts, ends = targets[:-1], targets[1:]
        if self._last is not None:
            last = self._last[self._order][None]
            starts, ends = np.concatenate([starts, last]), np.concatenate([ends, targets[:1]])
        # The way to the first pose begins at rest, and the arm may be led there at any time.
        return clear.near(starts, ends) or clear.near_home(targets, self._rest, self._lying)
