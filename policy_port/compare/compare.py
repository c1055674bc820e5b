"""Runs side by side: numbers of each, differences of pairs, and what casts doubt on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from policy_port.compare.doubts import doubts, other_policy
from policy_port.compare.gap import Gap, gap_of
from policy_port.compare.joints import JointMatch, match_joints
from policy_port.compare.matrix import HOME, TAGS, Matrix, check_tags
from policy_port.compare.measure import Measures, measure
from policy_port.compare.pair import Pair, pair_runs
from policy_port.compare.run import Run
from policy_port.compare.scores import Ranking
from policy_port.compare.words import joint_rows, pair_rows, run_rows, sentence
from policy_port.contract.mapping import RobotMapping
from policy_port.dynamics.document import Dynamics
from policy_port.files import json_text
from policy_port.text_table import columns


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that was found."""

    runs: tuple[Run, ...]
    """The runs, the reference first."""
    measures: dict[str, Measures]
    """Numbers of each run by its label."""
    pairs: tuple[Pair, ...]
    """Each other run against its reference."""
    matches: dict[str, JointMatch]
    """How the joints of each other run were matched, by its label."""
    matrix: Matrix | None
    """PP, PN, NN, NP, where runs were tagged so."""
    rankings: tuple[Ranking, ...]
    """Worlds against the first one."""
    warnings: tuple[str, ...]
    """What casts doubt on it."""
    gap: Gap | None = None
    """What identified dynamics make of the distance to the first run, where that is asked."""

    @property
    def verdict(self) -> str:
        """The outcome in a few sentences."""
        return sentence(self.measures, self.pairs, self.matrix, self.rankings)

    def text(self) -> str:
        """Everything as tables of plain text."""
        parts = [self.verdict, *(f"warning: {warning}" for warning in self.warnings)]
        if self.runs:
            parts.append(columns((("", *self.measures), *run_rows(self.runs, self.measures))))
        if self.pairs:
            head = ("", *(f"{pair.other} against {pair.reference}" for pair in self.pairs))
            parts.append(columns((head, *pair_rows(self.pairs))))
            parts.append(columns((("joint", *head[1:]), *joint_rows(self.pairs))))
        if self.gap is not None:
            parts.append(self.gap.text())
        if self.matrix is not None:
            parts.append(columns((("", "played in PhysX", "played in Newton"), *self.matrix.rows())))
        parts += [ranking.text() for ranking in self.rankings]
        return "\n\n".join(parts)

    def json(self) -> str:
        """The same for programs, at full precision."""
        document: dict[str, Any] = {
            "verdict": self.verdict,
            "warnings": list(self.warnings),
            "runs": [
                {
                    "label": run.label,
                    "trace": str(run.path),
                    "simulator": run.simulator,
                    "control_dt": run.control_dt,
                    "contract_sha256": run.header.get("contract_sha256"),
                    "policy_sha256": run.header.get("policy_sha256"),
                    "checkpoint_sha256": run.header.get("checkpoint_sha256"),
                    "episodes": len(run.episodes),
                    **_measures(self.measures[run.label]),
                }
                for run in self.runs
            ],
            "pairs": [asdict(pair) for pair in self.pairs],
            "matrix": None if self.matrix is None else {t: _measures(m) for t, m in self.matrix.cells.items()},
            "gap": None if self.gap is None else asdict(self.gap),
            "rankings": [ranking.document() for ranking in self.rankings],
        }
        return json_text(document)


def compare_runs(
    runs: Sequence[Run],
    *,
    tagged: Mapping[str, Run] | None = None,
    mappings: Sequence[RobotMapping] = (),
    rankings: Sequence[Ranking] = (),
    dynamics: Dynamics | None = None,
) -> Comparison:
    """Compare runs.

    Args:
        runs: Runs of one policy or several; each is held against the first of its policy, those against the first.
        tagged: Runs by tag of Isaac Lab's matrix; each is held against the run at home of the same training.
        mappings: Between the joint names of runs that name them otherwise.
        rankings: Scores of several policies in several worlds.
        dynamics: What some of the runs were played under, for the gap to the first run.

    Raises:
        EvidenceError: When joints can't be matched, tags are missing, or no run is under the dynamics.
    """
    tagged = dict(tagged or {})
    warnings = check_tags(tagged) if tagged else []
    everything = (*runs, *(tagged[tag] for tag in TAGS if tag in tagged))
    couples = [(_reference(runs, number), run) for number, run in enumerate(runs) if number]
    couples += [(tagged[HOME[tag]], tagged[tag]) for tag in tagged if HOME[tag] != tag]
    pairs, matches = [], {}
    for reference, other in couples:
        warnings += doubts(reference, other)
        matches[other.label] = match_joints(reference, other, mappings)
        pairs.append(pair_runs(reference, other, matches[other.label]))
    warnings += [f"{run.label} was not closed; what was recorded before is used" for run in everything if _torn(run)]
    measures = {run.label: measure(run) for run in everything}
    return Comparison(
        runs=everything,
        measures=measures,
        pairs=tuple(pairs),
        matches=matches,
        matrix=Matrix(cells={tag: measures[tagged[tag].label] for tag in TAGS}) if tagged else None,
        rankings=tuple(rankings),
        warnings=tuple(warnings),
        gap=None if dynamics is None else gap_of(runs, pairs, dynamics),
    )


def _reference(runs: Sequence[Run], number: int) -> Run:
    """What a run is held against: the first run of its policy, or the first of all where that is the run itself."""
    return next((run for run in runs[:number] if not other_policy(run, runs[number])), runs[0])


def _torn(run: Run) -> bool:
    return "finished" not in run.header


def _measures(measures: Measures) -> dict[str, Any]:
    found: dict[str, Any] = asdict(measures)
    outcome = measures.outcome
    if outcome is not None:
        found["outcome"] |= {"rate": outcome.rate, "interval": list(outcome.interval)}
    return found
