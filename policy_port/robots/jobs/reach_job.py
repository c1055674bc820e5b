"""What an arm is to do in a run: what the policy has to fit, what it sees, where episodes start and how they end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from policy_port.contract import RobotMapping
from policy_port.control.controller import Controller
from policy_port.control.loop import Task
from policy_port.errors import TaskError
from policy_port.port.pilot import Pilot
from policy_port.replay.reach import ReachEpisodes
from policy_port.replay.result import Episode, Metric, episode_metrics
from policy_port.robots.arm.cameras import ArmCameras
from policy_port.robots.arm.preflight import check_contract
from policy_port.robots.arm.robot_file import RobotFile
from policy_port.robots.arm.session import ArmSession
from policy_port.tasks.reach import ReachTask


class ArmEpisodes(Task, Protocol):
    """The episodes of a run, one after the other."""

    @property
    def rows(self) -> Mapping[int, tuple[int, int]]:
        """Where each episode stands in the trace: environment, and number of the episode in that environment."""
        ...


class RealJob(Protocol):
    """A job for an arm; `play_real` does it."""

    @property
    def tip_links(self) -> tuple[str, ...]:
        """Links whose mean position is recorded; none, if empty."""
        ...

    @property
    def words(self) -> dict[str, str]:
        """What the report says of it."""
        ...

    @property
    def header(self) -> dict[str, Any]:
        """What the trace says of it."""
        ...

    def check(self, pilot: Pilot, robot: RobotFile, port_mapping: RobotMapping | None) -> None:
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
        self.tip_links = task.tip_links
        self.words = {
            "task": f"reach: tip within {task.success_distance:g} m of the goal after {task.episode_steps} steps",
            "tip": TIP,
        }
        self.header: dict[str, Any] = {}

    def check(self, pilot: Pilot, robot: RobotFile, port_mapping: RobotMapping | None) -> None:
        """See `RealJob`."""
        contract = pilot.contract
        check_contract(contract, robot, port_mapping)
        if abs(contract.control_dt * self._task.control_frequency - 1.0) > 1e-6:
            raise TaskError(
                f"contract '{contract.name}' runs at {1.0 / contract.control_dt:g} Hz, the task at "
                f"{self._task.control_frequency}"
            )
        if sum(term.size for term in contract.observation.terms if term.term == "goal") != 3:
            raise TaskError(f"the reach task commands a point; contract '{contract.name}' reads no such goal")

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
