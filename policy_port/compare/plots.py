"""The pictures of a comparison, as PNG."""

from __future__ import annotations

from typing import Any

import numpy as np

from policy_port.compare.compare import Comparison
from policy_port.compare.measure import FAST, action_spectrum, walks
from policy_port.compare.pair import APART, common_episodes, joint_paths
from policy_port.compare.run import Run
from policy_port.report import Picture, draw_png
from policy_port.report.drawing import line_style

STRIDES = 3.0
"""Length of what is drawn of the joints of a long run [s]."""

MOST_JOINTS = 36
"""Joints that are drawn; the farthest apart, where there are more."""


def pictures(comparison: Comparison) -> tuple[Picture, ...]:
    """What there is to draw: the overview always, joint trajectories where runs can be paired."""
    found = [
        Picture(
            name="overview",
            title="At a glance",
            png=draw_png(9.6, 3.3, lambda figure: _overview(figure, comparison)),
            text="Left: forward velocity over time, or the outcome's rate with its interval. Middle: how far the "
            "joints of each run are from the reference over time. Right: power of the actions over frequency.",
        )
    ]
    drawn = [pair for pair in comparison.pairs if pair.rmse is not None]
    if drawn:
        rows = -(-min(len(drawn[0].joints), MOST_JOINTS) // 3)
        found.append(
            Picture(
                name="joints",
                title="Joint trajectories, aligned by their lag",
                png=draw_png(9.6, 0.6 + 1.25 * rows, lambda figure: _joints(figure, comparison, rows)),
                text="Position of each joint over time in the reference and in the other runs, each moved by its lag.",
            )
        )
    return tuple(found)


def _overview(figure: Any, comparison: Comparison) -> None:
    left, middle, right = figure.subplots(1, 3)
    if any(walks(run) for run in comparison.runs):
        _velocities(left, comparison.runs)
    else:
        _rates(left, comparison)
    _differences(middle, comparison)
    for number, run in enumerate(comparison.runs):
        found = action_spectrum(run)
        if found is not None and found[1][1:].sum() > 0.0:
            right.semilogy(found[0][1:], found[1][1:] / found[1][1:].sum(), label=run.label, **line_style(number))
    right.axvline(FAST, color="#888888", linewidth=0.8, linestyle=":")
    right.set_title("share of the actions' power", fontsize=8)
    right.set_xlabel("frequency [Hz]")
    handles = [axis.get_legend_handles_labels() for axis in (left, middle, right)]
    named = {label: handle for group in reversed(handles) for handle, label in zip(*group, strict=True)}
    if named:
        figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=6, frameon=False)


def _velocities(axis: Any, runs: tuple[Run, ...]) -> None:
    for number, run in enumerate(runs):
        episode = next(iter(run.episodes.values()))
        velocity, command = run.of("base_lin_vel", episode), run.of("command", episode)
        time = np.arange(len(episode.rows)) * run.control_dt
        if velocity is not None:
            axis.plot(time, velocity[:, 0], label=run.label, **line_style(number))
        if command is not None and number == 0:
            axis.plot(time, command[:, 0], color="#222222", linestyle="--", linewidth=0.8, label="command")
    axis.set_title("forward velocity [m/s]", fontsize=8)
    axis.set_xlabel("time [s]")


def _rates(axis: Any, comparison: Comparison) -> None:
    known = [(label, one.outcome) for label, one in comparison.measures.items() if one.outcome is not None]
    for number, (label, outcome) in enumerate(known):
        low, high = outcome.interval
        error = [[max(0.0, outcome.rate - low)], [max(0.0, high - outcome.rate)]]
        axis.errorbar(
            [number], [outcome.rate], error, fmt="o", capsize=4, color=line_style(number)["color"], label=label
        )
    axis.set_ylim(-0.03, 1.03)
    axis.set_xlim(-0.7, max(len(known), 1) - 0.3)
    axis.set_xticks([])
    title = f"{known[0][1].what}, 95 % interval" if known else "no outcome recorded"
    axis.set_title(title, fontsize=8)


def _differences(axis: Any, comparison: Comparison) -> None:
    """Root mean square over the joints, nothing aligned: the median over the episodes."""
    runs = {run.label: run for run in comparison.runs}
    for pair in comparison.pairs:
        reference, other = runs[pair.reference], runs[pair.other]
        found = []
        for key in common_episodes(reference, other):
            ours, theirs = joint_paths(reference, other, comparison.matches[pair.other], key)
            length = min(len(ours), len(theirs))
            found.append(np.sqrt(np.mean((ours[:length] - theirs[:length]) ** 2, axis=1)))
        if not found:
            continue
        table = np.full((len(found), max(map(len, found))), np.nan)
        for row, values in zip(table, found, strict=True):
            row[: len(values)] = values
        known = np.isfinite(table).any(axis=0)
        time = np.arange(table.shape[1]) * max(reference.control_dt, other.control_dt)
        style = line_style(list(runs).index(pair.other))
        axis.plot(time[known], np.nanmedian(table[:, known], axis=0), label=pair.other, **style)
    axis.axhline(APART, color="#888888", linewidth=0.8, linestyle=":")
    axis.set_title("joints apart, as recorded [rad RMS]", fontsize=8)
    axis.set_xlabel("time [s]")


def _joints(figure: Any, comparison: Comparison, rows: int) -> None:
    runs = {run.label: run for run in comparison.runs}
    drawn = [pair for pair in comparison.pairs if pair.rmse is not None]
    reference = runs[drawn[0].reference]
    worst = sorted(drawn[0].joints, key=lambda name: -drawn[0].joints[name])[:MOST_JOINTS]
    names = [name for name in reference.joint_names if name in worst]
    axes = dict(zip(names, figure.subplots(rows, 3, sharex=True, squeeze=False).flat, strict=False))
    for axis in list(figure.axes)[len(names) :]:
        axis.set_visible(False)
    shown_first = False
    for pair in (pair for pair in drawn if pair.reference == reference.label):
        other, match = runs[pair.other], comparison.matches[pair.other]
        ours, theirs = joint_paths(reference, other, match, common_episodes(reference, other)[0])
        dt = max(reference.control_dt, other.control_dt)
        end = min(len(ours), len(theirs)) * dt
        start = end - STRIDES if end > 2 * STRIDES else 0.0
        for name, axis in axes.items():
            if name not in match.names:
                continue
            column = match.names.index(name)
            if not shown_first:
                _line(axis, ours[:, column], dt, 0.0, (start, end), reference.label, 0)
            number = list(runs).index(other.label)
            _line(axis, theirs[:, column], dt, -(pair.lag or 0.0), (start, end), other.label, number)
            axis.set_title(
                f"{name} [rad], RMSE {pair.joints[name]:.3f}" if len(drawn) == 1 else name, fontsize=7, pad=2
            )
        shown_first = True
    figure.supxlabel("time [s]", fontsize=8)
    handles, labels = next(iter(axes.values())).get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=6, frameon=False)


def _line(
    axis: Any, values: np.ndarray, dt: float, shift: float, span: tuple[float, float], label: str, number: int
) -> None:
    time = np.arange(len(values)) * dt + shift
    inside = (time >= span[0]) & (time <= span[1])
    axis.plot(time[inside], values[inside], label=label, **line_style(number))
