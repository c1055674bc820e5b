"""A fine-tuning never falls: what ends below a share of its start is undone, and made again by half the step.

Of an undone segment a row of undone.csv is left and nothing else, and the step in force is a matter of these rows
alone: so a run that was killed goes on with the step that it would have had.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from policy_port.errors import TrainError
from policy_port.train.run import Run, State

FIGURE = "tracking"
"""What is held against the start: a fall counts in it, as nothing is tracked from there on."""
CRITIC_RATE = 1e-3
"""Learning rate of the critic where the actor does not learn or must go by small steps: nothing of it is at risk."""
HALVINGS = 4
"""Times that the step is halved; what falls with a sixteenth of it ends the run."""


class Guard:
    """Holds each checkpoint of a run against the start, before it becomes one.

    The step is RSL-RL's `desired_kl` and the actor's learning rate: of an adaptive schedule the first says how far an
    iteration goes, as far down as the rate may be lowered, and of a fixed one only the second does. Both are halved.
    The critic learns as fast as alone from then on: a g1 fell farther by half, and by a quarter, of the step of both,
    and no longer by half of the actor's when its critic learned so. RSL-RL has one rate for both, which a checkpoint
    holds. It stays as it is, and each of them goes by a share of every update.
    """

    def __init__(
        self, run: Run, algorithm: Any, *, keep: float, first: int, tell: Callable[[str], object] = lambda note: None
    ) -> None:
        """Take over RSL-RL's algorithm.

        Args:
            run: The run.
            algorithm: RSL-RL's PPO.
            keep: Least share of the start's figure that a checkpoint must have.
            first: Iterations after which the actor learns. Before that it can't fall, whatever a simulator that does
                not repeat itself says.
            tell: Tells a person what was undone.
        """
        self._run, self._algorithm, self._keep, self._first, self._tell = run, algorithm, keep, first, tell
        self._desired_kl, self._step, self._began = algorithm.desired_kl, 1.0, 0
        self._learn = [list(network.parameters()) for network in (algorithm._raw_actor, algorithm._raw_critic)]
        self._before: list[list[Tensor]] = []
        algorithm.optimizer.register_step_pre_hook(self._remember)
        algorithm.optimizer.register_step_post_hook(self._shorten)

    def settle(self, done: int) -> float:
        """Set the step of the segment that begins after so many iterations.

        Returns:
            Its share of the settings' step.

        Raises:
            TrainError: When the start's figure is no number.
        """
        if not math.isfinite(self._least()):
            raise TrainError(
                f"{self._run.path / 'scores.csv'}: model_0.pt, the policy that the run begins with, has a {FIGURE} of "
                "no number, and no checkpoint can be held against that; begin with a policy that its task can measure"
            )
        self._began, self._step = done, 0.5 ** len(undone_by(self._run, done))
        self._algorithm.desired_kl = self._desired_kl * self._step
        return self._step

    def measure(self, reached: State, score: Callable[[Path], Mapping[str, float]]) -> Mapping[str, float] | None:
        """What the segment's end measures; None where that is too little, and the segment undone."""
        with self._run.candidate(reached) as file:
            found = score(file)
            if self._began < self._first or found[FIGURE] >= self._least():
                return found
            self._run.undo({"began": self._began, "iteration": reached["iter"], "step": self._step, **found})
        over = spent(self._run, self._began)
        with tqdm.external_write_mode(file=sys.stderr):
            self._tell(
                f"iterations {self._began} to {reached['iter']} are undone: {FIGURE} came to {found[FIGURE]:.3f}, "
                f"below {100 * self._keep:g} % of the start's {self._start():.3f}; "
                + ("the run ends" if over else f"again, with {self._step / 2:g} of the settings' step")
            )
        return None

    def _remember(self, *_: object) -> None:
        if self._step < 1.0:
            self._before = [[value.detach().clone() for value in values] for values in self._learn]

    @torch.no_grad()
    def _shorten(self, *_: object) -> None:
        if self._step < 1.0:
            shares = (self._step, CRITIC_RATE / self._algorithm.learning_rate)
            for share, values, before in zip(shares, self._learn, self._before, strict=True):
                for value, was in zip(values, before, strict=True):
                    value.copy_(was + share * (value - was))

    def _start(self) -> float:
        return self._run.scores().get(0, {}).get(FIGURE, math.nan)

    def _least(self) -> float:
        return self._keep * self._start()


def undone_by(run: Run, done: int) -> list[dict[str, float]]:
    """What was undone up to the segment that begins after so many iterations.

    Later rows are of checkpoints that somebody has deleted since.
    """
    return [row for row in run.undone() if row["began"] <= done]


def spent(run: Run, done: int) -> bool:
    """Whether a run that has done so many iterations fell with the least step too, and is over."""
    return len(undone_by(run, done)) > HALVINGS


def ended(run: Run) -> str:
    """What a run's result has to say of it: that it is over before its time, where it is."""
    done = max(run.checkpoints())
    if not spent(run, done):
        return ""
    return (
        f"; the run ended after {done} iterations, because the next checkpoint fell below the start with "
        f"{0.5**HALVINGS:g} of the settings' step too (undone.csv)"
    )
