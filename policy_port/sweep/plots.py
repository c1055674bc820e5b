"""The pictures of a sweep: learning curves in each simulator, and who ranks the policies as the reference does."""

from __future__ import annotations

import itertools
from typing import Any

from policy_port.report import draw_png
from policy_port.report.drawing import line_style
from policy_port.sweep.results import PICTURES
from policy_port.sweep.scores import Scores


def pictures(scores: Scores) -> list[tuple[str, bytes]]:
    """Name and PNG of each picture that there is something to draw for."""
    found = []
    curve, ranking = PICTURES
    runs = list(dict.fromkeys(s.run for s in scores.subjects if s.iteration is not None))
    if runs:
        width = 1.0 + 3.4 * len(runs)
        found.append((curve, draw_png(width, 2.9, lambda figure: _curves(figure, scores, runs))))
    if others := scores.rankings():
        width = 1.0 + 2.9 * len(others)
        found.append((ranking, draw_png(width, 3.1, lambda figure: _rankings(figure, scores))))
    return found


def _curves(figure: Any, scores: Scores, runs: list[str]) -> None:
    axes = figure.subplots(1, len(runs), sharey=True, squeeze=False)[0]
    contracts = scores.sweep.file.contracts
    lines = list(itertools.product(scores.plants, contracts))
    for (axis, run), (number, (plant, contract)) in itertools.product(zip(axes, runs, strict=True), enumerate(lines)):
        ours = [s for s in scores.subjects if s.run == run and s.contract == contract and s.iteration is not None]
        known = [(s.iteration, one) for s in ours if (one := scores.figure(s, plant)) is not None]
        x, look = [at for at, _ in known], line_style(number)
        label = plant if len(contracts) == 1 else f"{plant}, {contract}"
        axis.plot(x, [one.value for _, one in known], marker="o", markersize=3, label=label, **look)
        low, high = ([getattr(one, end) for _, one in known] for end in ("low", "high"))
        axis.fill_between(x, low, high, color=look["color"], alpha=0.12, linewidth=0)
        axis.set(title=run or scores.sweep.name, xlabel="iteration", ylim=(-0.03, 1.03))
    axes[0].set_ylabel("success rate" if scores.sweep.file.score.measure == "success" else "score")
    axes[-1].legend(frameon=False, fontsize=7)


def _rankings(figure: Any, scores: Scores) -> None:
    best = scores.choice().best
    found = scores.rankings()
    axes = figure.subplots(1, len(found), sharex=True, sharey=True, squeeze=False)[0]
    for number, (axis, ranking) in enumerate(zip(axes, found, strict=True)):
        axis.plot([0, 1], [0, 1], color="#888888", linewidth=0.8, linestyle=":")
        for name, (x, y) in zip(ranking.policies, ranking.scores, strict=True):
            chosen = name == best
            axis.plot(x, y, marker="*" if chosen else "o", markersize=10 if chosen else 4, linestyle="",
                      color=line_style(number)["color"], label=f"deploy {name}" if chosen else None)  # fmt: skip
        r = "undefined" if ranking.pearson is None else f"{ranking.pearson:.2f}"
        axis.set(title=f"r {r}, MMRV {ranking.mmrv:.3f}", xlabel=ranking.reference, ylabel=ranking.other)
        axis.legend(frameon=False, fontsize=7)
