"""Scores of several policies in several worlds, from a table of numbers and runs."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policy_port.compare.measure import measure
from policy_port.compare.ranking import mean_maximum_rank_violation, pearson, violations
from policy_port.compare.run import read_run
from policy_port.errors import EvidenceError

FEWEST = 2
"""Policies that can be ranked; two of them correlate perfectly whatever they score."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """One world against the reference."""

    reference: str
    """The world that counts."""
    other: str
    """The world that is to stand in for it."""
    policies: tuple[str, ...]
    """The policies."""
    scores: tuple[tuple[float, float], ...]
    """Score of each policy in the reference and in the other world."""

    @property
    def pearson(self) -> float | None:
        """Correlation of the scores; None where a world scores all alike."""
        return pearson(*zip(*self.scores, strict=True))

    @property
    def mmrv(self) -> float:
        """Mean maximum rank violation, in the reference's score."""
        return mean_maximum_rank_violation(*zip(*self.scores, strict=True))

    @property
    def swapped(self) -> list[str]:
        """Pairs that the other world does not rank as the reference does, in words."""
        first, second = zip(*self.scores, strict=True)
        return [f"{self.policies[i]} over {self.policies[j]}" for i, j in violations(first, second)]

    def sentence(self) -> str:
        """How well the other world ranks."""
        r = "undefined (a world scores all alike)" if self.pearson is None else f"{self.pearson:.3f}"
        few = "; two policies always correlate perfectly" if len(self.policies) == FEWEST else ""
        return (
            f"{self.other} ranks {len(self.policies)} policies as {self.reference} does with Pearson r {r} and MMRV "
            f"{self.mmrv:.3f}{few}."
        )

    def rows(self) -> list[tuple[str, str, str]]:
        """Policy, score in the reference, score in the other world; best first."""
        ordered = sorted(zip(self.policies, self.scores, strict=True), key=lambda row: -row[1][0])
        return [(name, f"{first:.3f}", f"{second:.3f}") for name, (first, second) in ordered]

    def text(self) -> str:
        """The scores and what is ranked otherwise."""
        width = max(len(name) for name in self.policies)
        lines = [f"{'policy':<{width}}  {self.reference}  {self.other}"]
        for name, first, second in self.rows():
            lines.append(f"{name:<{width}}  {first:<{len(self.reference)}}  {second}")
        if self.swapped:
            lines.append(f"not ranked so in {self.other}: {', '.join(self.swapped)}")
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "reference": self.reference,
            "other": self.other,
            "scores": {name: list(pair) for name, pair in zip(self.policies, self.scores, strict=True)},
            "pearson": self.pearson,
            "mmrv": self.mmrv,
            "swapped": self.swapped,
        }


def read_rankings(path: Path) -> tuple[Ranking, ...]:
    """Read a CSV with a head `policy,WORLD,WORLD,...`; each cell is a score, or a run whose score is taken.

    A run's score is its success rate, or the share of its environments that stayed up. The first world is the
    reference of the others. Runs are named relative to the file.

    Raises:
        EvidenceError: When the file is malformed or a run has no score, naming line and world.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [
                (number, row) for number, row in enumerate(csv.reader(file), 1) if any(cell.strip() for cell in row)
            ]
    except (OSError, UnicodeDecodeError) as cause:
        raise EvidenceError(f"{path}: can't be read: {cause}") from None
    head = [name.strip() for name in rows[0][1]] if rows else []
    if len(head) < 3 or head[0] != "policy" or len(set(head)) < len(head):
        raise EvidenceError(
            f"{path}: line 1 must be a head such as policy,real,mujoco (the world that counts first), given: "
            f"{','.join(head) or 'nothing'}"
        )
    policies, table = [], []
    for number, row in rows[1:]:
        if len(row) != len(head):
            raise EvidenceError(f"{path}:{number}: has {len(row)} cells, the head has {len(head)}")
        policies.append(row[0].strip())
        table.append([_score(path, number, world, cell.strip()) for world, cell in zip(head[1:], row[1:], strict=True)])
    repeated = sorted({name for name in policies if policies.count(name) > 1})
    if repeated:
        raise EvidenceError(f"{path}: lists {', '.join(repeated)} twice; give each policy one line")
    if len(policies) < FEWEST:
        raise EvidenceError(f"{path}: ranks {len(policies)} policies; a ranking needs {FEWEST} at least")
    return tuple(
        Ranking(
            reference=head[1],
            other=world,
            policies=tuple(policies),
            scores=tuple((scores[0], scores[column]) for scores in table),
        )
        for column, world in enumerate(head[2:], 1)
    )


def _score(path: Path, number: int, world: str, cell: str) -> float:
    try:
        score = float(cell)
    except ValueError:
        return _score_of_run(path, number, world, cell)
    if not math.isfinite(score):
        raise EvidenceError(f"{path}:{number}: the score in {world} is {cell}; scores are finite numbers")
    return score


def _score_of_run(path: Path, number: int, world: str, cell: str) -> float:
    where = path.parent / cell
    if not cell or not where.exists():
        raise EvidenceError(f"{path}:{number}: '{cell}' in {world} is neither a number nor a run ({where})")
    run = read_run(where, cell)
    outcome = measure(run).outcome
    if outcome is not None:
        return outcome.rate
    raise EvidenceError(f"{where}: has no success rate or survival (no metrics.json beside it); write a number instead")
