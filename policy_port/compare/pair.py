"""How far two runs are apart: joint trajectories after alignment, and when they part."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np

from policy_port.arrays import Array
from policy_port.compare.joints import JointMatch
from policy_port.compare.run import Run
from policy_port.compare.signals import SHORTEST, best_lag, divergence_step, overlap, resample, rmse

LONGEST_LAG = 0.5
"""Largest lag that is considered: less than a stride, so that one stride is not taken for the next [s]."""

APART = 0.1
"""Two runs have parted when the root mean square over the joints differs by this much [rad or m]."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two runs, episode by episode."""

    reference: str
    """Label of the run that the other is held against."""
    other: str
    """Label of the other run."""
    episodes: int
    """Episodes that both have."""
    how: str
    """How the joints were matched."""
    lag: float | None = None
    """Time by which the other is late: median over the episodes [s]."""
    rmse: float | None = None
    """Root mean square difference of the joint positions after alignment [rad or m]."""
    rmse_unaligned: float | None = None
    """The same without alignment [rad or m]."""
    divergence: float | None = None
    """Time at which they part: median over the episodes; infinite where most never do [s]."""
    joints: dict[str, float]
    """rmse of each joint, by the reference's names."""
    ranges: dict[str, float]
    """How far each joint moves in the reference, 5th to 95th percentile, for comparison [rad or m]."""

    @property
    def farthest(self) -> str | None:
        """The joint that differs most."""
        return max(self.joints, key=lambda name: self.joints[name]) if self.joints else None


def pair_runs(reference: Run, other: Run, match: JointMatch) -> Pair:
    """Compare the joint trajectories of two runs; the finer one is read at the coarser one's period."""
    found = [_Episode(*joint_paths(reference, other, match, key)) for key in common_episodes(reference, other)]
    long_enough = [one for one in found if one.length >= SHORTEST]
    common: dict[str, Any] = {
        "reference": reference.label,
        "other": other.label,
        "episodes": len(long_enough),
        "how": match.how,
    }
    if not long_enough:
        return Pair(**common, joints={}, ranges={})
    dt = max(reference.control_dt, other.control_dt)
    most = round(LONGEST_LAG / dt)
    lags = [best_lag(one.ours, one.theirs, most) for one in long_enough]
    aligned = [rmse(*overlap(one.ours, one.theirs, lag)) for one, lag in zip(long_enough, lags, strict=True)]
    # Squares are averaged, so that a long difference in one episode is not diluted by roots.
    per_joint = np.sqrt(np.mean(np.square(aligned), axis=0))
    plain = np.square([rmse(*overlap(one.ours, one.theirs, 0)) for one in long_enough])
    parted = [math.inf if one.parted is None else one.parted * dt for one in long_enough]
    moved = np.concatenate([one.ours for one in long_enough])
    ranges = np.percentile(moved, 95, axis=0) - np.percentile(moved, 5, axis=0)
    return Pair(
        **common,
        lag=statistics.median(lags) * dt,
        rmse=float(np.sqrt(np.mean(per_joint**2))),
        rmse_unaligned=float(np.sqrt(plain.mean())),
        divergence=statistics.median_low(parted),
        joints=dict(zip(match.names, map(float, per_joint), strict=True)),
        ranges=dict(zip(match.names, map(float, ranges), strict=True)),
    )


def common_episodes(reference: Run, other: Run) -> list[Any]:
    """What names the episodes that both runs have, in the reference's order."""
    return [key for key in reference.episodes if key in other.episodes]


def joint_paths(reference: Run, other: Run, match: JointMatch, key: Any) -> tuple[Array, Array]:
    """Positions of the matched joints in one episode of both, in the reference's order and sense, at one period."""
    dt = max(reference.control_dt, other.control_dt)
    ours = reference.of("joint_pos", reference.episodes[key])
    theirs = other.of("joint_pos", other.episodes[key])
    assert ours is not None
    assert theirs is not None
    theirs = theirs[:, match.other] * match.slope + match.offset
    return resample(ours[:, match.reference], reference.control_dt, dt), resample(theirs, other.control_dt, dt)


class _Episode:
    """One episode of both runs, as far as both are finite."""

    def __init__(self, ours: Array, theirs: Array) -> None:
        length = min(len(ours), len(theirs))
        broken = ~(np.isfinite(ours[:length]).all(axis=1) & np.isfinite(theirs[:length]).all(axis=1))
        self.parted = divergence_step(ours, theirs, APART)
        self.length = int(np.argmax(broken)) if broken.any() else length
        self.ours, self.theirs = ours[: self.length], theirs[: self.length]
