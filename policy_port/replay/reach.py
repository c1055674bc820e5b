"""Replay of the reach task on a plant: bring the tip to a point, the same episodes as in the task environment."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.arrays import Array
from policy_port.contract import Contract
from policy_port.control.controller import Controller
from policy_port.control.joint_map import joint_indices
from policy_port.control.loop import Observer, Rows, SimulatedTime, run
from policy_port.control.plant import Plant
from policy_port.errors import TaskError
from policy_port.plants.supervised import SupervisedPlant
from policy_port.port.pilot import Pilot
from policy_port.replay.recording import TraceObserver, plant_header, setting_of, tip_position
from policy_port.replay.result import Episode, Result, episode_metrics
from policy_port.tasks.reach import ReachTask
from policy_port.trace import Recorder


class ReachEpisodes:
    """Episodes `seed`, `seed + 1`, ... handed to whichever environment is free.

    The robot's base stands at the world's origin, so that the base frame of the task is the world.
    """

    def __init__(self, task: ReachTask, seed: int, episodes: int, plant: Plant) -> None:
        self._task = task
        self._first_seed = seed
        self._count = episodes
        self._indices = joint_indices(task.joint_names, plant.joint_names, wanted_by="the reach task")
        self._goal = np.zeros((plant.num_envs, 3))
        self._episode = np.full(plant.num_envs, -1)
        self._age = np.zeros(plant.num_envs, dtype=np.int64)
        self._next = 0
        self.finished: dict[int, Episode] = {}
        """Ended episodes by their number, counted from 0."""
        self.rows: dict[int, tuple[int, int]] = {}
        """Where each episode stands in the trace: environment, and number of the episode in that environment."""
        self.stops: dict[int, str] = {}
        """Why episodes were stopped, by their number; a simulator stops none but those of a supervised plant."""
        self._begun = np.zeros(plant.num_envs, dtype=np.int64)

    def begin(self, rows: Rows, start: Array, command: Array, goal: Array) -> None:
        """Start the next episode that nobody has done; an environment without one repeats the last."""
        for row in np.flatnonzero(rows):
            number = self._next if self._next < self._count else -1
            self._next += 1
            joint_pos, point = self._task.episode(self._first_seed + (number if number >= 0 else self._count - 1))
            start[row, self._indices] = joint_pos
            goal[row] = self._goal[row] = point
            self._episode[row] = number
            self._age[row] = 0
            if number >= 0:
                self.rows[number] = (int(row), int(self._begun[row]))
            self._begun[row] += 1

    def judge(self, plant: Plant, controller: Controller) -> Rows:
        """End the episodes whose time is up, that are stopped or have diverged, and measure how far their tip is."""
        self._age += 1
        diverged: Rows = np.logical_not(np.isfinite(controller.state.joint_pos).all(axis=1))
        ended = (self._age >= self._task.episode_steps) | diverged
        stops = plant.stops if isinstance(plant, SupervisedPlant) else {}
        ended[list(stops)] = True
        if ended.any():
            distance = np.linalg.norm(tip_position(plant, self._task.tip_links) - self._goal, axis=1)
            for row in np.flatnonzero(ended & (self._episode >= 0)):
                number, why = int(self._episode[row]), stops.get(int(row))
                if why is not None:
                    self.stops[number] = why
                self.finished[number] = Episode(
                    seed=self._first_seed + number,
                    steps=int(self._age[row]),
                    success=why is None and bool(distance[row] <= self._task.success_distance),
                    final_distance=math.inf if diverged[row] else float(distance[row]),
                    diverged=bool(diverged[row]),
                    stopped=why,
                )
        return ended

    def stop(self, why: str, tip: Array | None) -> None:
        """The episode under way was ended from outside, which is a failure; an arm has one environment.

        Args:
            why: What ended it.
            tip: Where the tip was last [m], shape (1, 3); None where the episode had no step.
        """
        number = int(self._episode[0])
        self.stops[number] = why
        self.finished[number] = Episode(
            seed=self._first_seed + number,
            steps=int(self._age[0]),
            success=False,
            final_distance=math.inf if tip is None else float(np.linalg.norm(tip[0] - self._goal[0])),
            stopped=why,
        )

    def listed(self) -> list[dict[str, Any]]:
        """What a trace says of each episode: its seed, where it stands in the trace, and why it was stopped."""
        rows = ((n, {"seed": self._first_seed + n, "env": e, "episode": k}) for n, (e, k) in self.rows.items())
        return [row | ({"stopped": self.stops[n]} if n in self.stops else {}) for n, row in rows]

    @property
    def done(self) -> bool:
        """True when every episode has ended."""
        return len(self.finished) == self._count


def replay_reach(
    pilot: Pilot,
    plant: Plant,
    task: ReachTask,
    *,
    seed: int,
    episodes: int,
    decimation: int,
    trace: Path,
    observers: tuple[Observer, ...] = (),
) -> Result:
    """Perform the reach task on a plant.

    Args:
        pilot: The policy.
        plant: The arm, its base at the world's origin.
        task: Start poses, goals and what counts as success.
        seed: Seed of the first episode; episode e has seed + e.
        episodes: Number of episodes.
        decimation: Physics steps per control step.
        trace: The .npz to record.
        observers: More onlookers.

    Raises:
        TaskError: When the policy reads no goal point, or runs at another rate than the task.
        RobotError: When the plant lacks a joint or a tip link.
    """
    contract = pilot.contract
    check_reach(contract, task)
    controller = Controller(
        contract, pilot.open(plant.num_envs), plant.joint_names, plant.num_envs, mountings=plant.mounting
    )
    queue = ReachEpisodes(task, seed, episodes, plant)
    header = plant_header(pilot, plant, decimation)
    # A replay can be repeated, so nobody waits for the disk.
    with Recorder(trace, header, durable=False) as recorder:
        record = TraceObserver(recorder, contract.control_dt, plant.num_envs, tip_links=task.tip_links)
        run(plant, controller, queue, decimation=decimation, clock=SimulatedTime(), observers=(record, *observers))
        recorder.close(episodes=queue.listed())
    setting = {
        **setting_of(header),
        "task": f"reach: tip within {task.success_distance:g} m of the goal after {task.episode_steps} steps",
        "seeds": f"{seed} to {seed + episodes - 1}",
    }
    if isinstance(plant, SupervisedPlant):
        setting["arm"] = f"targets limited, and episodes stopped, as the supervisor of an {plant.limits.arm} does"
    if contract.actuation.gravity_compensation:
        setting["actuation"] += ", without gravity on the links"
    ended = tuple(queue.finished[number] for number in range(episodes))
    return Result(setting=setting, metrics=episode_metrics(ended), episodes=ended)


def check_reach(contract: Contract, task: ReachTask) -> None:
    """Refuse a contract that is not the reach task's.

    Raises:
        TaskError: When the policy reads no goal point, or runs at another rate than the task.
    """
    sizes = [term.size for term in contract.observation.terms if term.term == "goal"]
    if sizes != [3]:
        raise TaskError(
            f"the reach task commands a point, but contract '{contract.name}' reads "
            + (f"goals of size {', '.join(map(str, sizes))}" if sizes else "no goal")
        )
    if abs(contract.control_dt * task.control_frequency - 1.0) > 1e-6:
        raise TaskError(
            f"contract '{contract.name}' has a control period of {contract.control_dt:g} s, the reach task runs at "
            f"{task.control_frequency} Hz"
        )
