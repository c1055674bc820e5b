"""What a replay found, as a table to read and as JSON to keep."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from policy_port.files import json_text
from policy_port.replay.metrics import success_interval

TRACE, METRICS = "trace.npz", "metrics.json"
"""Names of the files that every replay leaves in its folder."""


@dataclass(frozen=True, kw_only=True)
class Episode:
    """How one episode of a task ended."""

    seed: int
    """Seed of the episode; the same seed is the same episode in every simulator."""
    steps: int
    """Control steps that it lasted."""
    success: bool
    """Whether the task was fulfilled at its end."""
    final_distance: float | None = None
    """Distance to the goal at its end [m]; infinite where the simulation diverged, None where the task has none."""
    diverged: bool = False
    """Whether the simulation ended it by becoming NaN or infinite."""
    success_once: bool | None = None
    """Whether the task was fulfilled at any moment; None where that was not watched."""
    stopped: str | None = None
    """Why the arm's supervisor ended it, which is a failure; None where it came to its end."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One number."""

    key: str
    """Its name in metrics.json."""
    value: float | None
    """The number; None where it can't be given."""
    text: str
    """The number and its unit as the table shows them; empty where another row says it already."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """A replay: under which circumstances it ran, and what came out."""

    setting: dict[str, str]
    """Simulator, actuation, rates, task: what is printed above the numbers."""
    metrics: tuple[Metric, ...]
    """The numbers, in the order of the table."""
    episodes: tuple[Episode, ...] = ()
    """Single episodes, where the task has them."""

    def __getitem__(self, key: str) -> float | None:
        """Value of the metric `key`."""
        return {metric.key: metric.value for metric in self.metrics}[key]

    def table(self) -> str:
        """Setting and metrics, two columns."""
        rows = [*self.setting.items(), *((m.key.replace("_", " "), m.text) for m in self.metrics if m.text)]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)

    def json(self) -> str:
        """The same for programs, at full precision."""
        document: dict[str, Any] = {
            "setting": self.setting,
            "metrics": {metric.key: metric.value for metric in self.metrics},
            "episodes": [vars(episode) for episode in self.episodes],
        }
        return json_text(document)


def number(key: str, value: float | None, unit: str = "", digits: int = 3) -> Metric:
    """A metric shown with `digits` decimals, "-" where there is no number."""
    missing = value is None or not math.isfinite(value)
    return Metric(key=key, value=value, text="-" if missing else f"{value:.{digits}f} {unit}".rstrip())


def episode_metrics(episodes: tuple[Episode, ...]) -> tuple[Metric, ...]:
    """Success rate with its 95 % interval, and the distances that the episodes ended at."""
    successes, count = sum(episode.success for episode in episodes), len(episodes)
    low, high = success_interval(successes, count)
    rate = successes / count
    found = [
        Metric(key="episodes", value=count, text=str(count)),
        Metric(
            key="success_rate",
            value=rate,
            text=f"{100 * rate:.1f} % ({successes} of {count}; 95 % interval {100 * low:.1f} to {100 * high:.1f} %)",
        ),
        Metric(key="success_rate_low", value=low, text=""),
        Metric(key="success_rate_high", value=high, text=""),
    ]
    once = [episode.success_once for episode in episodes if episode.success_once is not None]
    if once:
        found.append(Metric(key="success_once_rate", value=sum(once) / count, text=f"{100 * sum(once) / count:.1f} %"))
    stopped = sum(episode.stopped is not None for episode in episodes)
    if stopped:
        found.append(Metric(key="stopped", value=stopped, text=f"{stopped} of {count}: by the arm's supervisor"))
    diverged = sum(episode.diverged for episode in episodes)
    if diverged:
        found.append(Metric(key="diverged", value=diverged, text=f"{diverged} of {count}: the simulation became NaN"))
    distances = [episode.final_distance for episode in episodes if episode.final_distance is not None]
    if distances:
        found.append(number("mean_final_distance", sum(distances) / len(distances), "m", 4))
        found.append(number("largest_final_distance", max(distances), "m", 4))
    return tuple(found)
