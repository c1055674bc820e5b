"""The report of a comparison."""

from __future__ import annotations

from pathlib import Path

from policy_port.compare.compare import Comparison
from policy_port.compare.pair import APART, LONGEST_LAG
from policy_port.compare.plots import pictures
from policy_port.compare.run import Run
from policy_port.compare.words import joint_rows, pair_rows, run_rows
from policy_port.replay.result import METRICS
from policy_port.report import Report, Table

INTERVALS = "Rates carry 95 % Clopper-Pearson intervals. "
APPLES = "A run that resembles another proves no port: two wrong ones resemble each other as well."


def comparison_report(comparison: Comparison) -> Report:
    """What was found, for a reader who was not there."""
    tables = []
    if comparison.runs:
        rows = tuple(run_rows(comparison.runs, comparison.measures))
        head = ("", *comparison.measures)
        tables.append(Table(title="Each run", head=head, rows=rows, note=INTERVALS + APPLES))
    if comparison.pairs:
        head = ("", *(f"{pair.other} against {pair.reference}" for pair in comparison.pairs))
        note = (
            f"The lag is that of the largest cross-correlation of all joints within {LONGEST_LAG:g} s. Runs have "
            f"parted when the root mean square over the joints, as recorded, passes {APART:g} rad."
        )
        tables.append(Table(title="Run against run", head=head, rows=tuple(pair_rows(comparison.pairs)), note=note))
        note = "Root mean square difference after alignment, of the range that the joint moves through."
        head = ("joint", *head[1:])
        tables.append(Table(title="By joint [rad]", head=head, rows=tuple(joint_rows(comparison.pairs)), note=note))
    if comparison.matrix is not None:
        head = ("", "played in PhysX", "played in Newton")
        tables.append(Table(title="PP, PN, NN, NP", head=head, rows=comparison.matrix.rows()))
    for ranking in comparison.rankings:
        note = f"Not ranked so in {ranking.other}: {', '.join(ranking.swapped)}." if ranking.swapped else ""
        head = ("policy", ranking.reference, ranking.other)
        title = f"{ranking.other} against {ranking.reference}"
        tables.append(Table(title=title, head=head, rows=tuple(ranking.rows()), note=note))
    files = {}
    for run in comparison.runs:
        files[f"{run.label}: {run.path.name}"] = run.path
        if run.metrics:
            files[f"{run.label}: {METRICS}"] = run.path.parent / METRICS
    return Report(
        title=f"Comparison of {', '.join(comparison.measures)}" if comparison.runs else "Ranking",
        verdict=comparison.verdict,
        warnings=comparison.warnings,
        tables=tuple(tables),
        pictures=pictures(comparison) if comparison.runs else (),
        settings={run.label: _setting(run) for run in comparison.runs},
        files=files,
    )


def _setting(run: Run) -> str:
    """What the tables do not say of a run: what it was asked, by which policy under which contract."""
    said = run.metrics.get("setting", {})
    parts = [f"{key}: {said[key]}" for key in ("command", "task", "seeds", "fall") if key in said]
    if "robot" in said:
        # The name, not where it lay: a report is handed on.
        parts.append(f"robot: {Path(said['robot']).name}")
    for key in ("contract", "contract_sha256", "checkpoint_sha256", "policy_sha256"):
        if key in run.header:
            parts.append(f"{key}: {run.header[key]}")
    return "; ".join(parts) or "nothing stated"
