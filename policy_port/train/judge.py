"""What checkpoints are worth on the task that they are trained on, always in the same episodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from policy_port.checkpoints import Actor, load_policy
from policy_port.contract import Contract
from policy_port.contract.spec import check_network_width
from policy_port.tasks.velocity import VelocityTask, load_task
from policy_port.train.evaluate import ActorPolicy, evaluate
from policy_port.train.figures import Scores
from policy_port.train.loop import one_thread
from policy_port.train.place import Place
from policy_port.train.trial import Trial

AT_A_TIME = 64
"""Most episodes that are played side by side."""


def trial_of(task: VelocityTask, episodes: int, *, last: bool = False) -> Trial:
    """Episodes of a task.

    Args:
        task: The task.
        episodes: How many.
        last: Those that a chosen checkpoint is held to, which are none of those that it was chosen by.
    """
    seed = 3_000_000 if last else 2_000_000
    return Trial(task=task, seconds=min(task.episode, 20.0), episodes=episodes, seed=seed)


def best_of(scores: Mapping[int, Mapping[str, float]]) -> int:
    """Iterations of the checkpoint that tracks best, where each fall counts as an episode lost."""
    return max(scores, key=lambda iteration: scores[iteration]["tracking"] - scores[iteration]["falls"])


class Judge:
    """Measures checkpoints of one contract in one place."""

    def __init__(self, contract: Contract, place: Place) -> None:
        """Prepare; simulators are made when they are needed."""
        self.contract, self.place = contract, place

    def score(self, file: Path, episodes: int) -> dict[str, float]:
        """Figures of a run's checkpoint: means over the episodes."""
        figures = self.measure(file, self.trial(file.parent, episodes)).figures()
        return {name: figure.value for name, figure in figures.items()}

    def trial(self, folder: Path, episodes: int, *, last: bool = False) -> Trial:
        """As `trial_of`, of a run's task."""
        return trial_of(load_task(folder / "task.yaml"), episodes, last=last)

    def measure(self, file: Path, trial: Trial) -> Scores:
        """A checkpoint's episodes of a trial."""
        actor = load_policy(file, kind="rsl_rl").actor
        check_network_width(self.contract, actor.obs_size, actor.action_size, policy=str(file))
        return self.of_actor(actor, trial)

    def of_actor(self, actor: Actor, trial: Trial) -> Scores:
        """A network's episodes of a trial."""
        plant = self.place.make_plant(self.contract, min(trial.episodes, AT_A_TIME))
        try:
            with one_thread("cpu"):
                return evaluate(self.contract, lambda rows: ActorPolicy(actor, rows), plant, trial)
        finally:
            plant.close()
