"""What policies are worth in figures with intervals, and one policy held against another episode by episode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.replay.intervals import Figure, bootstrap
from policy_port.replay.metrics import success_interval

KEPT = 0.95
"""Least share of the teacher's tracking that a student may have."""
MORE_FALLS = 0.01
"""By how much more of the episodes it may fall."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Each episode of a policy in a trial, shape (episodes,)."""

    seeds: NDArray[np.int64]
    """Seed of the episode: two policies are compared by it."""
    tracking: Array
    """Reward of tracking the velocity as a share of the most there is: 1 for no error, and 0 from a fall on."""
    error: Array
    """Mean error of the planar velocity while it stood [m/s]."""
    turn_error: Array
    """Mean error of the turning velocity while it stood [rad/s]."""
    survival: Array
    """How long it stood [s]."""
    fell: NDArray[np.bool_]
    """Whether it fell."""
    action_rate: Array
    """Mean change of a joint's target per control step [rad or m]."""
    power: Array
    """Mean of the drives' mechanical power, without regard to its sign [W]; NaN where the simulator does not tell."""

    @staticmethod
    def joined(parts: Sequence[Scores]) -> Scores:
        """Several batches as one."""
        names = [field.name for field in fields(Scores)]
        return Scores(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def figures(self) -> dict[str, Figure]:
        """Means over the episodes with their intervals: bootstrapped, and Clopper-Pearson's of the share that fell."""
        found = {}
        for name in ("tracking", "error", "turn_error", "survival", "action_rate", "power"):
            values = getattr(self, name)
            found[name] = bootstrap(lambda rows, values=values: values[rows].mean(axis=-1), len(values))
        low, high = success_interval(int(self.fell.sum()), len(self.fell))
        found["falls"] = Figure(value=float(self.fell.mean()), low=low, high=high)
        return found

    def document(self) -> dict[str, Any]:
        """The figures as plain data, None for what is no number."""
        return {
            "episodes": len(self.seeds),
            "seeds": [int(self.seeds[0]), int(self.seeds[-1])],
            **{name: _plain(figure) for name, figure in self.figures().items()},
        }


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A policy held against another one on the same episodes."""

    tracking: Figure
    """Its mean tracking as a share of the other's."""
    falls: Figure
    """How much larger a share of the episodes it fell in."""
    survival: Figure
    """How much longer it stood [s]."""

    @property
    def holds(self) -> bool:
        """Whether it can stand in for the other: `KEPT` of its tracking, and at most `MORE_FALLS` more falls."""
        return self.tracking.value >= KEPT and self.falls.value <= MORE_FALLS + 1e-12

    def document(self) -> dict[str, Any]:
        """As plain data."""
        names = ("tracking", "falls", "survival")
        return {**{name: _plain(getattr(self, name)) for name in names}, "holds": self.holds}


def compared(policy: Scores, reference: Scores) -> Comparison:
    """Hold a policy against another one, episode by episode.

    Raises:
        ValueError: When they did not perform the same episodes.
    """
    if not np.array_equal(policy.seeds, reference.seeds):
        raise ValueError("only the same episodes are comparable, and these have other seeds")
    count = len(policy.seeds)

    def share(rows: NDArray[np.intp]) -> Array:
        return policy.tracking[rows].mean(axis=-1) / np.maximum(reference.tracking[rows].mean(axis=-1), 1e-12)

    more = policy.fell.astype(float) - reference.fell
    longer = policy.survival - reference.survival
    return Comparison(
        tracking=bootstrap(share, count),
        falls=bootstrap(lambda rows: more[rows].mean(axis=-1), count),
        survival=bootstrap(lambda rows: longer[rows].mean(axis=-1), count),
    )


def _plain(figure: Figure) -> dict[str, float | None]:
    values = {"value": figure.value, "low": figure.low, "high": figure.high}
    return {key: value if np.isfinite(value) else None for key, value in values.items()}
