"""One picture of a crossing: what each simulator shows, and how far the policy gets with and without its remap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.replay.plot import tip_distance
from policy_port.trace import Trace

WITH, WITHOUT = "#1f5fa8", "#c8373f"


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """The replays of one simulator."""

    video: Path
    """Video of the remapped policy."""
    remapped: Path
    """Trace of the remapped policy."""
    left_out: Path
    """Trace of the same policy without its remap."""


def plot_crossing(crossings: Mapping[str, Crossing], path: Path, *, title: str) -> None:
    """Draw the end of each simulator's video over the tip's distance to the goal, episode by episode.

    Args:
        crossings: Replays by the simulator's name.
        path: The PNG to write.
        title: What was carried across.
    """
    import imageio.v3 as imageio
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(crossings), 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11)
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.25, 1.0])[:, 0]
    pictures = above.subplots(1, len(crossings), squeeze=False)[0]
    plots = below.subplots(1, len(crossings), squeeze=False, sharey=True)[0]
    for picture, plot, (simulator, crossing) in zip(pictures, plots, crossings.items(), strict=True):
        picture.imshow(list(imageio.imiter(crossing.video))[-1])
        picture.set_axis_off()
        picture.set_title(simulator, fontsize=10)
        _draw(plot, Trace(crossing.left_out), WITHOUT, "remap left out")
        _draw(plot, Trace(crossing.remapped), WITH, "remapped")
        plot.set_yscale("log")
        plot.set_xlabel("time [s]")
        plot.grid(visible=True, alpha=0.3)
    plots[0].set_ylabel("tip to goal [m]")
    plots[0].legend(loc="lower left", frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def _draw(axis: Any, trace: Trace, colour: str, label: str) -> None:
    """Every episode thin, their median thick."""
    time, distance, episode = trace["time"], tip_distance(trace), trace["episode"]
    assert distance is not None, "replays of a reach task record the tip"
    runs = [
        (time[mine, env], distance[mine, env])
        for env in range(distance.shape[1])
        for number in np.unique(episode[:, env])
        if (mine := episode[:, env] == number).any()
    ]
    for seconds, metres in runs:
        axis.plot(seconds, metres, color=colour, linewidth=0.5, alpha=0.3)
    # An episode whose simulation diverged is shorter: the median goes on over the others, as far as there are any.
    longest: Any = max((seconds for seconds, _ in runs), key=len)
    table = np.full((len(runs), len(longest)), np.nan)
    for row, (_, metres) in zip(table, runs, strict=True):
        row[: len(metres)] = metres
    known = np.isfinite(table).any(axis=0)
    axis.plot(longest[known], np.nanmedian(table[:, known], axis=0), color=colour, linewidth=2.0, label=label)
