"""What one run shows by itself: outcome, speed, tracking, action spectrum, torque."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from policy_port.arrays import Array
from policy_port.compare.run import Run, Stretch
from policy_port.compare.signals import dominant_frequency, power_share, spectrum
from policy_port.replay.metrics import action_rate, success_interval, tracking_error
from policy_port.replay.velocity import SETTLING

FAST = 5.0
"""Action power above this frequency is called fast: gaits lie below it, chatter above [Hz]."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How many trials ended well."""

    what: str
    """"success" or "stayed up"."""
    good: int
    """Trials that did."""
    trials: int
    """All of them."""

    @property
    def rate(self) -> float:
        """Share of the trials."""
        return self.good / self.trials

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Clopper-Pearson interval of the rate."""
        return success_interval(self.good, self.trials)


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Numbers of one run; None where the trace can't tell."""

    outcome: Outcome | None
    """Success or survival."""
    survival: float | None
    """How long the first environment to fall stayed up; the whole length if none fell; walks only [s]."""
    velocity: tuple[float, float, float] | None
    """Mean lin_vel_x, lin_vel_y [m/s] and ang_vel_z [rad/s] in the base frame after the start; walks only."""
    velocity_error: float | None
    """Length of mean minus commanded horizontal velocity [m/s]; walks only."""
    turning_error: float | None
    """Absolute mean minus commanded turning velocity [rad/s]; walks only."""
    joint_tracking: float | None
    """Root mean square of target minus the position one step later [rad or m]."""
    action_rate: float | None
    """Mean absolute change of a raw action per control step."""
    dominant_frequency: float | None
    """Strongest frequency of the actions [Hz]."""
    fast_power: float | None
    """Share of the actions' power above FAST."""
    torque_rms: float | None
    """Root mean square over steps and driven joints [N m or N]."""
    torque_peak: float | None
    """Largest absolute value [N m or N]."""


def measure(run: Run) -> Measures:
    """Measure one run."""
    counted = [episode for episode in run.episodes.values() if episode.first or not walks(run)]
    driven, placed = run.columns(run.driven), run.columns(run.placed)
    velocity, command = _velocity(run, counted)
    effort = [piece[:, driven] for piece in _pieces(run, "effort", counted)]
    torque = np.concatenate(effort) if effort else np.zeros((0, 1))
    found = action_spectrum(run)
    error = turning = None
    if velocity is not None and command is not None:
        error = math.hypot(velocity[0] - command[0], velocity[1] - command[1])
        turning = abs(velocity[2] - command[2])
    return Measures(
        outcome=_outcome(run, counted),
        survival=min(len(episode.rows) for episode in counted) * run.control_dt if walks(run) else None,
        velocity=velocity,
        velocity_error=error,
        turning_error=turning,
        joint_tracking=_mean(
            tracking_error(target[:, placed], position[:, placed])
            for target, position in zip(
                _pieces(run, "target", counted), _pieces(run, "joint_pos", counted), strict=False
            )
        ),
        action_rate=_mean(action_rate(piece) for piece in _pieces(run, "action", counted)),
        dominant_frequency=None if found is None else dominant_frequency(*found),
        fast_power=None if found is None else power_share(*found, FAST),
        torque_rms=float(np.sqrt(np.mean(torque**2))) if len(torque) else None,
        torque_peak=float(np.abs(torque).max()) if len(torque) else None,
    )


def walks(run: Run) -> bool:
    """Whether the run follows a velocity command, as far as one can tell."""
    asked = run.header.get("asked")
    if isinstance(asked, dict) and asked.get("command", ()) is None:
        return False
    if run.metrics:
        return "survival" in run.metrics["metrics"]
    return "base_lin_vel" in run.arrays and bool(np.any(run.arrays.get("command", np.zeros(1)) != 0.0))


def action_spectrum(run: Run) -> tuple[Array, Array] | None:
    """Power of all raw actions over frequency, the mean over the episodes; None where nothing was recorded.

    Episodes of other lengths than the longest are left out: their frequencies are other ones.
    """
    pieces = _pieces(run, "action", run.episodes.values())
    longest = max((len(piece) for piece in pieces), default=0)
    found = [spectrum(piece, run.control_dt) for piece in pieces if len(piece) == longest]
    known = [one for one in found if one is not None]
    return (known[0][0], np.mean([power for _, power in known], axis=0)) if known else None


def _pieces(run: Run, name: str, episodes: Iterable[Stretch]) -> list[Array]:
    """An array's episodes up to the first step that is not finite in it."""
    found = []
    for episode in episodes:
        piece = run.of(name, episode)
        if piece is None:
            return []
        broken = ~np.isfinite(piece).all(axis=1)
        found.append(piece[: int(np.argmax(broken))] if broken.any() else piece)
    return [piece for piece in found if len(piece)]


def _outcome(run: Run, counted: list[Stretch]) -> Outcome | None:
    numbers = run.metrics.get("metrics", {})
    if "success_rate" in numbers:
        ended = run.metrics.get("episodes", [])
        return Outcome(what="success", good=sum(bool(one["success"]) for one in ended), trials=len(ended))
    if numbers.get("fallen") is not None:
        return Outcome(what="stayed up", good=len(counted) - int(numbers["fallen"]), trials=len(counted))
    return None


def _velocity(run: Run, counted: list[Stretch]) -> tuple[tuple[float, float, float] | None, Array | None]:
    """Mean velocity after the start, and the mean command."""
    if not walks(run) or not {"base_lin_vel", "base_ang_vel"} <= run.arrays.keys():
        return None, None
    skip = round(SETTLING / run.control_dt)
    linear = [piece[skip:] for piece in _pieces(run, "base_lin_vel", counted)]
    angular = [piece[skip:] for piece in _pieces(run, "base_ang_vel", counted)]
    if not any(len(piece) for piece in linear) or not any(len(piece) for piece in angular):
        return None, None
    x, y, _ = np.concatenate(linear).mean(axis=0)
    turn = np.concatenate(angular)[:, 2].mean()
    commands = _pieces(run, "command", counted)
    return (float(x), float(y), float(turn)), np.concatenate(commands).mean(axis=0) if commands else None


def _mean(values: Iterable[float]) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else None
