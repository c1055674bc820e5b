"""The report of a run: its curves, what it came to, and what it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from policy_port.report import Picture, Report, Table, draw_png, write_report
from policy_port.train.curve import Row
from policy_port.train.place import LIMITS
from policy_port.train.run import Record, Run

WIDTH, HEIGHT, COLUMNS = 3.3, 1.9, 3
"""Size of a curve [inch], and how many stand side by side."""


def write_run_report(run: Run) -> None:
    """Write report.html into the run's folder, with the curves beside it."""
    rows, scores, record = run.rows(), run.scores(), run.record
    file, reason = run.result()
    kept = {name: run.path / name for name in record.hashes if (run.path / name).is_file()}
    pictures = [_picture("curves", "Learning curve", "iteration", _columns(rows))] if rows else []
    tables = []
    if scores:
        measured = {name: [(i, scores[i].get(name, math.nan)) for i in scores] for name in next(iter(scores.values()))}
        pictures.append(_picture("scores", "Measured at the checkpoints", "iteration", measured))
        table = tuple((str(i), *(f"{value:.4g}" for value in scores[i].values())) for i in scores)
        tables.append(Table(title="Checkpoints", head=("iteration", *measured), rows=table))
    if undone := run.undone():
        title = "Undone: what fell below the start, and was made again by half the step, or ended the run"
        table = tuple(tuple(f"{row.get(name, math.nan):.4g}" for name in undone[0]) for row in undone)
        tables.append(Table(title=title, head=tuple(undone[0]), rows=table))
    report = Report(
        title=f"{record.stage}: {run.path.name}",
        verdict=f"{file.name}: {reason}",
        pictures=tuple(pictures),
        tables=tuple(tables),
        settings={
            "stage": record.stage,
            "iterations": str(len(rows)),
            "seed": str(record.seed),
            "environments": f"{record.num_envs} in {record.plant}",
            "robot": record.robot or "the task's own",
            "dynamics": _dynamics(record),
            **(
                {"arm": f"limited and stopped as in {LIMITS}, {record.hashes[LIMITS][:12]}"}
                if LIMITS in record.hashes
                else {}
            ),
            "started from": record.source or "nothing",
        },
        files={**kept, file.name: file},
    )
    write_report(run.path / "report.html", report)


def _dynamics(record: Record) -> str:
    if "dynamics.yaml" not in record.hashes:
        return "the robot file's and the contract's"
    drawn = f", drawn from its {record.randomise} for each environment: drawn.csv" if record.randomise else ""
    return f"dynamics.yaml, {record.hashes['dynamics.yaml'][:12]}{drawn}"


def _columns(rows: Sequence[Row]) -> dict[str, list[tuple[int, float]]]:
    """Points of each curve; of what never changes there is nothing to see."""
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name != "iteration"]
    found = {n: [(int(row["iteration"]), float(row[n])) for row in rows if row.get(n)] for n in names}
    return {name: points for name, points in found.items() if points}


def _picture(name: str, title: str, along: str, curves: Mapping[str, Sequence[tuple[int, float]]]) -> Picture:
    lines = math.ceil(len(curves) / COLUMNS)

    def draw(figure: Any) -> None:
        axes = iter(figure.subplots(lines, COLUMNS, squeeze=False).flat)
        for (label, points), place in zip(curves.items(), axes, strict=False):
            place.plot(*zip(*points, strict=True), linewidth=1.0, marker="." if len(points) < 40 else None)
            place.set_title(label, fontsize=8)
            place.set_xlabel(along)
        for place in axes:
            place.set_visible(False)

    ends = "; ".join(f"{label} from {points[0][1]:.3g} to {points[-1][1]:.3g}" for label, points in curves.items())
    return Picture(name=name, title=title, png=draw_png(WIDTH * COLUMNS, HEIGHT * lines, draw), text=ends)
