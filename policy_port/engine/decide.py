"""Whether a turn brought anything, and when the crank stops by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policy_port.compare.ranking import mean_maximum_rank_violation, pearson
from policy_port.engine.evidence import Turn
from policy_port.train.paired import Paired, paired

ENOUGH = 3
"""Policies from which on a ranking says something."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a turn brought on the arm, over the turn before."""

    turn: int
    against: Paired
    """Its policy against that of the turn before, in the same episodes on the arm."""
    better: bool
    """Whether it is surely better."""

    def text(self) -> str:
        """In a sentence, with the test."""
        word = "brought the policy forward" if self.better else "brought nothing significant"
        return f"turn {self.turn} {word}: {self.against.text()}"


def judge(turns: Sequence[Turn], level: float) -> Verdict | None:
    """What the last turn brought; None of turn 0, before which there is nothing."""
    if len(turns) < 2:
        return None
    found = paired(turns[-1].own.real.episodes, turns[-2].own.real.episodes)
    return Verdict(turn=turns[-1].number, against=found, better=found.better(level))


def best(verdicts: Sequence[Verdict]) -> int:
    """The turn whose policy is the result: the last one that surely brought it forward."""
    return max((verdict.turn for verdict in verdicts if verdict.better), default=0)


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Whether the simulator ranks the policies as the arm does."""

    policies: int
    pearson: float | None
    """Of success; None where one of both gives every policy the same."""
    violation: float
    """SIMPLER's mean maximum rank violation of success."""
    pearson_distance: float | None
    """Of the mean distance to the goal."""


def ranking(turn: Turn) -> Ranking | None:
    """The ranking under a turn's dynamics; None where there are too few policies."""
    if len(turn.scores) < ENOUGH:
        return None
    pairs = [pairing for _, pairing in turn.scores]
    real, simulated = [one.real.rate for one in pairs], [one.simulated.rate for one in pairs]
    return Ranking(
        policies=len(pairs),
        pearson=pearson(real, simulated),
        violation=mean_maximum_rank_violation(real, simulated),
        pearson_distance=pearson([one.real.distance for one in pairs], [one.simulated.distance for one in pairs]),
    )
