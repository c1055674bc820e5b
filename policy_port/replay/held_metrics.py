"""What replays under what is held are measured by: numbers of single episodes, and their means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy_port.contract import Contract
from policy_port.contract.actions import TARGETS
from policy_port.control.loop import Rows
from policy_port.replay import metrics
from policy_port.replay.result import Metric, number
from policy_port.replay.velocity import SETTLING
from policy_port.trace import Trace


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What one episode is measured by."""

    velocity: tuple[float, ...] | None
    """Mean forward, sideways [m/s] and turning velocity [rad/s] once it has settled; None where it did not last."""
    error: float
    """Root mean square of position target minus position one step later [rad or m]; NaN where there is none."""
    slip: float
    """The same of joints that are told velocities [rad/s or m/s]."""
    rate: float
    """Mean change of a raw action per control step."""
    saturated: float | None
    """Share of steps and joints at the effort limit; None where nobody tells."""


def figures_of(
    trace: Trace, contract: Contract, joint_names: tuple[str, ...], episodes: Iterable[tuple[int, int]]
) -> list[Figures]:
    """What recorded episodes are measured by.

    Args:
        trace: What was recorded.
        contract: The policy's contract.
        joint_names: Joints in the trace's order.
        episodes: Environment, and number of the episode in it.
    """
    driven = [joint_names.index(name) for name in contract.action_joint_names]
    placed, turned = (
        [index for index in driven if contract.drives[joint_names[index]] == drive]
        for drive in ("position", "velocity")
    )
    limits = {name: joint.effort_limit or math.inf for name, joint in contract.joints.items()}
    limit = np.array([limits[joint_names[index]] for index in driven])
    found = []
    for env, episode in episodes:
        rows = np.flatnonzero(trace["episode"][:, env] == episode)
        target, position = trace["target"][rows, env][:, placed], trace["joint_pos"][rows, env][:, placed]
        lin, ang = trace["base_lin_vel"][rows, env], trace["base_ang_vel"][rows, env]
        slip = math.nan
        if turned:
            wanted, moved = (trace[key][rows, env][:, turned] for key in (TARGETS["velocity"], "joint_vel"))
            slip = metrics.tracking_error(wanted, moved)
        found.append(
            Figures(
                velocity=metrics.mean_velocity(lin, ang, contract.control_dt, after=SETTLING),
                error=metrics.tracking_error(target, position),
                slip=slip,
                rate=metrics.action_rate(trace["action"][rows, env]),
                saturated=metrics.saturation(trace["effort"][rows, env][:, driven], limit),
            )
        )
    return found


def held_metrics(
    figures: Sequence[Figures],
    contract: Contract,
    lasted: NDArray[np.int64],
    fallen: Rows,
    *,
    seconds: float,
    commanded: bool,
) -> tuple[Metric, ...]:
    """Means over the episodes; survival is that of the first to fall.

    Args:
        figures: What each episode is measured by.
        contract: The policy's contract.
        lasted: Control steps of each episode.
        fallen: The episodes that ended in a fall.
        seconds: Length of an episode that no fall ends [s].
        commanded: Whether a velocity was told.
    """
    ended = list(_endings(lasted, fallen, seconds, contract))
    if commanded:
        velocities = [each.velocity for each in figures if each.velocity is not None]
        velocity = [mean([each[axis] for each in velocities]) for axis in range(3)]
        ended += [
            number("mean_lin_vel_x", velocity[0], f"m/s in the base frame, after {SETTLING:g} s"),
            number("mean_lin_vel_y", velocity[1], "m/s"),
            number("mean_ang_vel_z", velocity[2], "rad/s"),
        ]
    error, slip = mean([each.error for each in figures]), mean([each.slip for each in figures])
    turned = any(contract.drives[name] == "velocity" for name in contract.action_joint_names)
    return (
        *ended,
        number("joint_tracking_rmse", error, "rad or m, target to position one step later", 4),
        *([number("joint_velocity_rmse", slip, "rad/s or m/s, target to velocity one step later")] * turned),
        number("action_rate", mean([e.rate for e in figures]), "mean change of a raw action per control step", 4),
        number("effort_saturation", mean([e.saturated for e in figures]), "of steps and joints at the effort limit", 4),
    )


def _endings(lasted: NDArray[np.int64], fallen: Rows, seconds: float, contract: Contract) -> tuple[Metric, ...]:
    shortest, down, count = float(lasted.min()) * contract.control_dt, int(fallen.sum()), len(fallen)
    if not contract.base.floating:
        broken = Metric(
            key="diverged", value=down, text=f"{down} of {count}: the simulation became NaN" if down else ""
        )
        return (Metric(key="duration", value=shortest, text=f"{shortest:.2f} s of {seconds:g} s"), broken)
    whole = "" if down else " (did not fall)"
    return (
        Metric(key="survival", value=shortest, text=f"{shortest:.2f} s of {seconds:g} s{whole}"),
        Metric(key="fallen", value=down, text=f"{down} of {count}"),
    )


def mean(values: list[float] | list[float | None]) -> float | None:
    """Mean of what is known; None where nothing is: an episode of one step has neither rate nor tracking."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sum(known) / len(known) if known else None
