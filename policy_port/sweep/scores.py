"""What outcomes say: each policy's score in each plant, who ranks as the reference does, and which one to deploy."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policy_port.arrays import Array
from policy_port.compare.scores import FEWEST, Ranking
from policy_port.regress.statistical import score
from policy_port.replay.intervals import Figure, bootstrap
from policy_port.replay.metrics import success_interval
from policy_port.sweep.document import Cell, Sweep
from policy_port.sweep.run import Outcome

ALIKE = 1e-3
"""Errors that are closer than this share of `cap` are one outcome."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What could be deployed: a checkpoint under a contract."""

    name: str
    run: str
    contract: str
    iteration: int | None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which one to deploy, in words."""

    best: str
    """Its name; empty where nothing could be scored."""
    text: str


class Scores:
    """A sweep's outcomes as scores from 0 to 1."""

    def __init__(self, sweep: Sweep, outcomes: Sequence[Outcome]) -> None:
        self.sweep, self.outcomes = sweep, tuple(outcomes)
        self.subjects = tuple(dict.fromkeys(self.subject(cell) for cell in sweep.cells))
        """Every policy, in the sweep's order."""
        self.plants = tuple(sweep.file.plants)
        self.commands = tuple(sweep.asked)
        self._scores = {
            (self.subject(one.cell), one.cell.plant, one.cell.command, one.seed): self.score(one)
            for one in outcomes
            if not one.failure
        }

    def subject(self, cell: Cell) -> Subject:
        """Whose cell it is."""
        several = len(self.sweep.file.contracts) > 1
        name = f"{cell.policy.label} ({cell.contract})" if several else cell.policy.label
        return Subject(name=name, run=cell.policy.run, contract=cell.contract, iteration=cell.policy.iteration)

    def score(self, one: Outcome) -> float:
        """From 0 to 1; an error that is no number is the worst there is."""
        finite = one.error is None or math.isfinite(one.error)
        return score(bool(one.success), one.error if finite else math.inf, self.sweep.file.score)

    def values(self, subject: Subject, plant: str, command: str | None = None) -> Array | None:
        """Scores by seed, the mean over commands, shape (seeds,); None where a case failed, so that all are paired."""
        commands = self.commands if command is None else (command,)
        rows = [
            [self._scores.get((subject, plant, command, seed)) for command in commands]
            for seed in self.sweep.file.all_seeds
        ]
        known = [[value for value in row if value is not None] for row in rows]
        return np.mean(known, axis=1) if all(len(row) == len(commands) for row in known) else None

    @functools.cache  # noqa: B019
    def figure(self, subject: Subject, plant: str, command: str | None = None) -> Figure | None:
        """The mean with its interval: Clopper-Pearson's of a success rate, else bootstrapped over the seeds."""
        values = self.values(subject, plant, command)
        if values is None:
            return None
        if self.sweep.file.score.measure == "success":
            trials = len(values) * (len(self.commands) if command is None else 1)
            low, high = success_interval(round(float(values.mean()) * trials), trials)
            return Figure(value=float(values.mean()), low=low, high=high)
        if len(values) < 2:
            return Figure(value=float(values.mean()), low=math.nan, high=math.nan)
        return bootstrap(lambda rows: values[rows].mean(axis=-1), len(values))

    @property
    def judged_in(self) -> tuple[str, ...]:
        """The plants that decide: the reference, or all."""
        return (self.sweep.file.reference,) if self.sweep.file.reference else self.plants

    def rankings(self) -> tuple[Ranking, ...]:
        """Each plant against the reference, over the policies that both have scored."""
        found = []
        for plant in self.plants if self.sweep.file.reference else ():
            pairs = {s.name: (self.figure(s, self.judged_in[0]), self.figure(s, plant)) for s in self.subjects}
            both = {name: (a.value, b.value) for name, (a, b) in pairs.items() if a is not None and b is not None}
            if plant != self.judged_in[0] and len(both) >= FEWEST:
                names = tuple(both)
                scores = tuple(both.values())
                found.append(Ranking(reference=self.judged_in[0], other=plant, policies=names, scores=scores))
        return tuple(found)

    def choice(self) -> Choice:
        """The best where it counts, and who can't be told apart from it on the same seeds."""
        whole: dict[Subject, Array] = {}
        for subject in self.subjects:
            known = [found for plant in self.judged_in if (found := self.values(subject, plant)) is not None]
            if len(known) == len(self.judged_in):
                whole[subject] = np.mean(known, axis=0)
        where = f"in {self.judged_in[0]}" if len(self.judged_in) == 1 else f"in the mean over {', '.join(self.plants)}"
        left_out = [subject.name for subject in self.subjects if subject not in whole]
        missing = f" Left out, because cases of theirs failed: {', '.join(left_out)}." if left_out else ""
        if not whole:
            return Choice(best="", text=f"No policy has a score {where}: cases of each failed.")
        best = max(whole, key=lambda subject: float(whole[subject].mean()))
        alike = [s.name for s in whole if s != best and not _better(whole[best], whole[s])]
        count = len(self.sweep.file.all_seeds)
        doubt = f" {count} seeds do not tell it from {', '.join(alike)}." if alike else ""
        doubt = doubt if count > 1 else " One seed says nothing of chance."
        text = f"Best {where}: {best.name}, {float(whole[best].mean()):.3f}, of {len(whole)}."
        return Choice(best=best.name, text=text + doubt + missing)

    def doubts(self) -> list[str]:
        """Where seeds draw nothing that matters, so that intervals are narrow for no reason."""
        cap, seeds = self.sweep.file.score.cap or 1.0, self.sweep.file.all_seeds
        errors: dict[tuple[str, str], dict[Subject, list[float]]] = {}
        for one in self.outcomes:
            if one.error is not None and not one.failure:
                there = errors.setdefault((one.cell.command, one.cell.plant), {})
                there.setdefault(self.subject(one.cell), []).append(one.error)
        same = [
            f"{command} on {plant}"
            for (command, plant), found in errors.items()
            if len(seeds) > 1 and all(np.ptp(values) < ALIKE * cap for values in found.values())
        ]
        if not same:
            return []
        return [
            f"All {len(seeds)} seeds give each policy the same outcome in {', '.join(same)}: what they draw changes "
            "nothing there, and the intervals say nothing. Raise `start_noise`, draw a goal, or give one seed."
        ]


def _better(one: Array, other: Array) -> bool:
    """Whether the difference on the same seeds lies above zero with its whole interval."""
    difference = one - other
    return len(difference) > 1 and bootstrap(lambda rows: difference[rows].mean(axis=-1), len(difference)).low > 0.0
