"""The report of a pipeline: a column a stage, a row a figure, with intervals over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policy_port.pipeline.document import Pipeline, Stage
from policy_port.pipeline.stages import State
from policy_port.report import Picture, Report, Table, draw_png
from policy_port.text_table import columns


def pipeline_report(pipeline: Pipeline, states: Mapping[str, State]) -> Report:
    """What is known of a pipeline's stages so far."""
    left = [stage.name for stage in pipeline.stages if stage.name not in states]
    scale = ", ".join(f"{option} x {factor:g}" for option, factor in pipeline.scale.items())
    tables = [
        _table(states),
        Table(
            title="Stages",
            head=("stage", "command", "time [s]", "what came out"),
            rows=tuple(_stage(stage, states.get(stage.name)) for stage in pipeline.stages),
        ),
    ]
    return Report(
        title=pipeline.name,
        verdict=f"{len(states)} of {len(pipeline.stages)} stages are done"
        + (f"; {', '.join(left)} are not." if left else "."),
        tone="neutral" if left else "good",
        tables=tuple(table for table in tables if table.rows),
        pictures=_pictures(pipeline, states),
        settings={"scaled for this machine": scale} if scale else {},
        files={pipeline.file.name: pipeline.file},
    )


def figures_text(states: Mapping[str, State]) -> str:
    """The figures as a table to print; empty where there is none."""
    table = _table(states)
    return columns((table.head, *table.rows) if table.rows else ())


def _table(states: Mapping[str, State]) -> Table:
    named = [name for name, state in states.items() if state.figures]
    rows = dict.fromkeys(row for name in named for row in states[name].figures)
    return Table(
        title="Figures",
        head=("", *named),
        rows=tuple((row, *(_cell(states[name].figures.get(row)) for name in named)) for row in rows),
        note="In brackets the 95 % interval over the seeds of the episodes; a dash where a stage does not tell.",
    )


def _pictures(pipeline: Pipeline, states: Mapping[str, State]) -> tuple[Picture, ...]:
    """The learning curves of all stages, one picture."""
    curves = {
        (stage.name, name): points
        for stage in pipeline.stages
        if stage.name in states
        for name, points in stage.command.curves(pipeline.out / stage.name).items()
        if points
    }
    if not curves:
        return ()

    def draw(figure: Any) -> None:
        for place, ((stage, name), points) in zip(
            figure.subplots(1, len(curves), squeeze=False).flat, curves.items(), strict=True
        ):
            place.plot(range(1, len(points) + 1), points, linewidth=1.0)
            place.set_title(stage, fontsize=9)
            place.set(xlabel="iteration", ylabel=name)

    ends = "; ".join(
        f"{stage}: {name} from {points[0]:.3g} to {points[-1]:.3g}" for (stage, name), points in curves.items()
    )
    picture = draw_png(3.3 * len(curves), 2.4, draw)
    return (Picture(name="curves", title="Learning curves", png=picture, text=ends),)


def _stage(stage: Stage, state: State | None) -> tuple[str, ...]:
    done = ("not yet", "") if state is None else (f"{state.seconds:.1f}", state.said)
    return (stage.name, stage.kind, *done)


def _cell(figure: Any) -> str:
    if not figure or figure.get("value") is None:
        return "-"
    low, high = figure.get("low"), figure.get("high")
    return f"{figure['value']:.4g}" + ("" if low is None or high is None else f" ({low:.4g} to {high:.4g})")
