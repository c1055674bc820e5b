"""Fine-tuning a policy of the reach task; see `finetune`: the same care, and another measure of what came out."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.checkpoints import load_policy
from policy_port.contract import Contract
from policy_port.contract.spec import check_network_width
from policy_port.control.controller import Controller
from policy_port.control.loop import SimulatedTime
from policy_port.control.loop import run as perform_task
from policy_port.errors import TrainError
from policy_port.replay.reach import ReachEpisodes
from policy_port.replay.result import Episode
from policy_port.tasks.reach import ReachTask
from policy_port.tasks.reach_training import ReachTraining, read_reach
from policy_port.train.evaluate import ActorPolicy
from policy_port.train.finetune import Start, tune
from policy_port.train.loop import one_thread
from policy_port.train.paired import paired
from policy_port.train.place import Place
from policy_port.train.ppo import Plan
from policy_port.train.run import Run

EPISODES, FINAL = 64, 128
"""Episodes that each checkpoint is measured in, and those in which the best one is held against the start."""
FIRST, LAST = 2_000_000, 3_000_000
"""Seeds of the first of each: none that anybody plays by hand."""
LEVEL = 0.05
"""Chance of calling a policy better that is not."""


def finetune_reach(start: Start, place: Place, plan: Plan) -> Run:
    """Fine-tune a policy of the reach task, and keep what came out only where it is better.

    Args:
        start: The policy.
        place: Where; its task is one of kind `reach`.
        plan: How.

    Raises:
        PolicyPortError: Of the kind that says what does not fit; nothing is written then.
    """
    task = read_reach(place.task)
    if task is None:
        raise TrainError(f"{place.task}: is no task of kind reach")
    judge = ReachJudge(start.contract, place, task)
    return tune(
        start, place, plan, settings="finetune_reach", score=judge.score, choose=functools.partial(choose, judge)
    )


def choose(judge: ReachJudge, run: Run) -> tuple[Path, str]:
    """The checkpoint that a run comes to: the best one where it is surely better than the start, else that."""
    scores, files = run.scores(), run.checkpoints()
    best = max(scores, key=lambda iteration: (scores[iteration]["success"], -scores[iteration]["distance"]))
    if best == 0:
        return files[0], "the policy that it began with, which no checkpoint did better than"
    new, old = (judge.measure(files[iteration], LAST, FINAL) for iteration in (best, 0))
    found = paired(new, old)
    words = found.text()
    if judge.supervised:
        stops = [sum(one.stopped is not None for one in episodes) for episodes in (new, old)]
        words += f"; the arm's supervisor would stop {stops[0]} of them, and {stops[1]} of those that it began with"
    if found.better(LEVEL):
        return files[best], f"fine-tuned, after {best} iterations: {words}"
    return files[0], f"the policy that it began with, because fine-tuning did not surely improve it: {words}"


class ReachJudge:
    """Measures checkpoints of one contract in one place, always in the same episodes."""

    def __init__(self, contract: Contract, place: Place, task: ReachTraining) -> None:
        """Prepare; simulators are made when they are needed."""
        self._contract, self._place, self._task = contract, place, task.judged
        self.supervised = place.limits is not None
        """Whether episodes are stopped as on the arm."""

    def score(self, file: Path) -> Mapping[str, float]:
        """Share of episodes in which the tip ended at the goal, how far off it was in the mean [m], and share stopped.

        One that the arm's supervisor would stop has failed.
        """
        found = self.measure(file, FIRST, EPISODES)
        finite = [min(one.final_distance or 0.0, 1.0) for one in found]
        stopped = {"stopped": float(np.mean([one.stopped is not None for one in found]))} if self.supervised else {}
        return {
            "success": float(np.mean([one.success for one in found])),
            "distance": float(np.mean(finite)),
            **stopped,
        }

    def measure(self, file: Path, seed: int, episodes: int) -> tuple[Episode, ...]:
        """A checkpoint's episodes of the task as it is judged."""
        actor = load_policy(file, kind="rsl_rl").actor
        check_network_width(self._contract, actor.obs_size, actor.action_size, policy=str(file))
        plant = self._place.make_plant(self._contract, min(episodes, EPISODES))
        try:
            with one_thread("cpu"):
                return perform_reach(self._contract, actor, plant, self._task, range(seed, seed + episodes))
        finally:
            plant.close()


def perform_reach(contract: Contract, actor: Any, plant: Any, task: ReachTask, seeds: range) -> tuple[Episode, ...]:
    """A network's episodes of the task, through the controller of a replay."""
    envs = plant.num_envs
    policy = ActorPolicy(actor, envs)
    controller = Controller(contract, policy, plant.joint_names, envs, mountings=plant.mounting)
    queue = ReachEpisodes(task, seeds.start, len(seeds), plant)
    decimation = round(contract.control_dt / plant.timestep)
    perform_task(plant, controller, queue, decimation=decimation, clock=SimulatedTime(), observers=())
    return tuple(queue.finished[number] for number in range(len(seeds)))
