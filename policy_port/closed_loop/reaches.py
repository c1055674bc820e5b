"""Trials of an arm: episodes of the reach task, one environment each."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np

from policy_port.arrays import Array
from policy_port.closed_loop.outcome import Outcome
from policy_port.contract.spec import Contract
from policy_port.control.controller import Controller
from policy_port.control.loop import Rows, SimulatedTime, run
from policy_port.control.plant import Plant
from policy_port.errors import TaskError
from policy_port.replay import metrics
from policy_port.replay.reach import ReachEpisodes
from policy_port.tasks.reach import ReachTask

FAR = 0.25
"""A tip that ends this far from its goal has missed it altogether [m]."""


@dataclass(frozen=True, kw_only=True)
class Reaches:
    """Episodes that run side by side, one environment each."""

    task: ReachTask
    """Start poses, goals and what counts as success."""
    seed: int
    """Seed of the first episode."""
    count: int
    """Number of trials."""

    def perform(self, plant: Plant, controller: Controller, decimation: int) -> Outcome:
        """Let a controller reach.

        Raises:
            TaskError: When the contract has another rate than the task, or reads no goal point.
        """
        check_reach(controller.contract, self.task)
        episodes = ReachEpisodes(self.task, self.seed, self.count, plant)
        notes = _Notes()
        # An observation or an action that is not finite: no episode that was under way can be finished.
        with contextlib.suppress(TaskError):
            run(plant, controller, episodes, decimation=decimation, clock=SimulatedTime(), observers=(notes,))
        ended = [episodes.finished.get(number) for number in range(self.count)]
        distance = np.array([np.inf if end is None or end.diverged else end.final_distance for end in ended])
        failed = np.array([end is None or not end.success for end in ended])
        steps = np.array([0 if end is None else end.steps for end in ended])
        dt = controller.contract.control_dt
        target, joint_pos = np.array(notes.target), np.array(notes.joint_pos)
        return Outcome(
            loss=failed + np.minimum(1.0, distance / FAR),
            failed=failed,
            seconds=steps * dt,
            error=distance,
            asked=np.arange(self.count),
            tracking=float(np.mean([metrics.tracking_error(target[:, e], joint_pos[:, e]) for e in range(self.count)])),
            rate=float(np.mean([metrics.action_rate(target[:, e]) for e in range(self.count)])) / dt,
            saturation=0.0,
        )


def check_reach(contract: Contract, task: ReachTask) -> None:
    """Hold a contract against what the task commands and at which rate.

    Raises:
        TaskError: When they don't fit.
    """
    if [term.size for term in contract.observation.terms if term.term == "goal"] != [3]:
        raise TaskError(
            f"the reach task commands a point, but contract '{contract.name}' reads no goal of three numbers"
        )
    if abs(contract.control_dt * task.control_frequency - 1.0) > 1e-6:
        raise TaskError(
            f"contract '{contract.name}' has a control period of {contract.control_dt:g} s, the reach task runs at "
            f"{task.control_frequency} Hz; set timestep and decimation to its rate, then diagnose the rest"
        )


class _Notes:
    """Targets and positions of every step."""

    def __init__(self) -> None:
        self.target: list[Array] = []
        self.joint_pos: list[Array] = []

    def __call__(self, plant: Plant, controller: Controller, target: Array, started: Rows) -> None:
        self.target.append(target.copy())
        self.joint_pos.append(controller.state.joint_pos.copy())
