"""What an arm is to do in a run: what the policy has to fit, what it sees, where episodes start and how they end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from policy_port.arrays import Array
from policy_port.control.controller import Controller
from policy_port.control.loop import Rows, Task
from policy_port.control.plant import Plant
from policy_port.port.pilot import Pilot
from policy_port.replay.reach import ReachEpisodes, check_reach
from policy_port.replay.result import Episode, Metric, episode_metrics
from policy_port.robots.arm.cameras import ArmCameras
from policy_port.robots.arm.preflight import check_contract
from policy_port.robots.arm.robot_file import RobotFile
from policy_port.robots.arm.session import ArmSession
from policy_port.tasks.reach import ReachTask


class ArmEpisodes(Task, Protocol):
    """The episodes of a run, one after the other."""

    rows: dict[int, tuple[int, int]]
    """Where each episode stands in the trace: environment, and number of the episode in that environment."""
    stops: dict[int, str]
    """Why episodes were stopped, by their number."""

    def stop(self, why: str, tip: Array | None) -> None:
        """The episode under way was ended by a stop; `tip` is where the tip was last [m], shape (1, 3)."""
        ...


class FixedLengthEpisodes(ABC):
    """Episodes of one arm that all take equally many control steps."""

    def __init__(self, steps: int, count: int) -> None:
        self._steps, self._count = steps, count
        self._number, self._age = -1, 0
        self.ended = 0
        """Episodes that came to their end, or were stopped."""
        self.stops: dict[int, str] = {}
        """Why episodes were stopped, by their number."""
        self.rows: dict[int, tuple[int, int]] = {}
        """See `ArmEpisodes.rows`."""

    def begin(self, rows: Rows, start: Array, command: Array, goal: Array) -> None:
        """Start the next episode."""
        self._number += 1
        self._age = 0
        self._prepare(start, goal)
        self.rows[self._number] = (0, self._number)

    def judge(self, plant: Plant, controller: Controller) -> Rows:
        """Look at the step just done, and end the episode when its time is up."""
        self._age += 1
        over = self._age >= self._steps
        self.ended += over
        self._look(plant, controller, over)
        return np.array([over])

    def stop(self, why: str, tip: Array | None) -> None:
        """See `ArmEpisodes`."""
        self.stops[self._number] = why
        self.ended += 1

    @property
    def done(self) -> bool:
        """True when every episode has ended."""
        return self.ended == self._count

    def counted(self) -> Metric:
        """How many came to their end."""
        done, stopped = self.ended - len(self.stops), len(self.stops)
        return Metric(key="episodes", value=done, text=f"{done}{f'; {stopped} stopped' if stopped else ''}")

    @abstractmethod
    def _prepare(self, start: Array, goal: Array) -> None:
        """Fill in where the next episode starts and what it commands; somebody may be asked to prepare the scene."""

    @abstractmethod
    def _look(self, plant: Plant, controller: Controller, over: bool) -> None:
        """Take note of the step just done, the episode's last one if `over`."""


class RealJob(Protocol):
    """A job for an arm; `play_real` does it."""

    tip_links: tuple[str, ...]
    """Links whose mean position is recorded; none, if empty."""
    words: dict[str, str]
    """What the report says of it."""
    header: dict[str, Any]
    """What the trace says of it."""

    def check(self, pilot: Pilot, robot: RobotFile) -> None:
        """Hold policy, arm and job against each other, before the arm is reached.

        Raises:
            PolicyPortError: When they do not fit.
        """
        ...

    def controller(self, pilot: Pilot, session: ArmSession) -> Controller:
        """The policy at the controls of an arm."""
        ...

    def look(self, controller: Controller, cameras: ArmCameras, folder: Path) -> str:
        """Leave in the run's folder what a person should look at before anything moves, and say so; "" for nothing."""
        ...

    def episodes(self, seeds: range, session: ArmSession) -> ArmEpisodes:
        """An episode for each seed."""
        ...

    def found(self, episodes: Any) -> tuple[tuple[Episode, ...], list[Metric]]:
        """Episodes that came to their end, and what can be said of them."""
        ...


class ReachJob:
    """The reach task, with what the contract says of observation and action; see `RealJob`."""

    def __init__(self, task: ReachTask) -> None:
        self._task = task
        self.tip_links: tuple[str, ...] = task.tip_links
        self.words = {
            "task": f"reach: tip within {task.success_distance:g} m of the goal after {task.episode_steps} steps",
            "tip": TIP,
        }
        self.header: dict[str, Any] = {}

    def check(self, pilot: Pilot, robot: RobotFile) -> None:
        """See `RealJob`."""
        check_contract(pilot.contract, robot, pilot.flown_through)
        check_reach(pilot.contract, self._task)

    def controller(self, pilot: Pilot, session: ArmSession) -> Controller:
        """See `RealJob`."""
        return Controller(pilot.contract, pilot.open(1), session.arm.joint_names, 1)

    def look(self, controller: Controller, cameras: ArmCameras, folder: Path) -> str:
        """See `RealJob`."""
        return ""

    def episodes(self, seeds: range, session: ArmSession) -> ReachEpisodes:
        """See `RealJob`."""
        return ReachEpisodes(self._task, seeds.start, len(seeds), session.supervisor)

    def found(self, episodes: ReachEpisodes) -> tuple[tuple[Episode, ...], list[Metric]]:
        """See `RealJob`."""
        return judged(episodes.finished)


TIP = "by forward kinematics of the measured joints; nobody measured where it truly was"
"""What a report says of a tip's position."""


def judged(finished: Mapping[int, Episode]) -> tuple[tuple[Episode, ...], list[Metric]]:
    """Episodes in their order, and their success."""
    ended = tuple(finished[number] for number in sorted(finished))
    return ended, list(episode_metrics(ended)) if ended else [Metric(key="episodes", value=0, text="0")]
