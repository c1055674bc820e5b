"""From recordings to dynamics: delays by a grid, the rest by least squares, then what the data say of each number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from policy_port.arrays import Array
from policy_port.identify.doubts import Doubt, check_doubts
from policy_port.identify.errors_left import Misfit, misfits, reading_noise, rmse
from policy_port.identify.estimate import LEVEL, Estimates, estimate
from policy_port.identify.fit import Predictor, Problem
from policy_port.identify.grid import beside, minima, profile, twins
from policy_port.identify.lag import Lag, fit_lag
from policy_port.identify.learned import Learned, learn
from policy_port.identify.mujoco_predictor import MujocoPredictor
from policy_port.identify.parameters import Space, Values
from policy_port.identify.recording import Recording
from policy_port.identify.segments import Segments, cut

HORIZONS = (0.1, 0.5, 1.0)
"""Beside the fit's, horizons for which errors are told [s]."""
LEAST_ERROR = 5e-4
"""Residuals are never trusted more than this [rad]: a third of a step of an STS3215's encoder."""
LONG = 2.0
"""Horizon over which errors are searched for what the model lacks [s]."""
GRIDS = {
    "backlash": (-1.0, -0.5, 0.5, 1.0),
    "delay": tuple(sign * move for sign in (-1.0, 1.0) for move in (0.0125, 0.025, 0.05, 0.1, 0.2, 0.35, 0.6)),
}
"""By how much a parameter of each joint is moved, in standard deviations of its prior (of a delay 40 ms)."""
FINE = tuple(sign * move for sign in (-1.0, 1.0) for move in (0.004, 0.008, 0.0125, 0.02, 0.03, 0.05, 0.1, 0.25, 0.6))
"""The same for the delay's interval."""
TURNS = 5
"""Most times that both are moved."""
SETTLED = 2.0
"""A turn that lowers the cost by less is the last."""
LEAST_SEGMENTS = 30
"""Segments that short recordings are cut into, overlapping."""
JUDGED_QUICK, JUDGED_SLOW, SHOWN = 20_000, 400, 200
"""Most segments, spread evenly, by which a quick and a slow simulator are judged, and that are drawn."""
WRONG = 3.0
"""From this multiple of the readings' noise on, errors may come from wrong data: signs turned in hidden arms' leave 4
to 20 of it."""
LAG_SEGMENTS = 150
"""Segments that the lag is fitted to."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is done."""

    horizon: float = 0.5
    """How far ahead errors are judged [s]."""
    lead: float = 0.4
    """How long each segment is predicted before that, so that its start's noise dies away [s]; of short recordings a
    twelfth of the shortest."""
    segments: int = 160
    """Segments that are fitted, spread evenly over the recordings."""
    rounds: int = 12
    """Most iterations of each of the two searches."""
    seed: int = 0
    """Of the bootstrap."""
    network: bool = False
    """Whether networks beside the drives are tried."""
    accepted: tuple[str, ...] = ()
    """Doubts of the recordings that somebody has accepted, by name."""


@dataclass(frozen=True, kw_only=True)
class Error:
    """Errors of prediction [rad] at one horizon, by model: "identified", "stock", "lag" and "lag without bias"."""

    horizon: float
    """[s]."""
    joints: dict[str, Array]
    """By joint, shape (joints,)."""
    recordings: dict[str, Array]
    """Root mean square over all joints by recording, shape (recordings,)."""

    def median(self, model: str) -> float:
        """Median over recordings."""
        return float(np.median(self.recordings[model]))


@dataclass(frozen=True, kw_only=True)
class Identified:
    """What was found."""

    estimates: Estimates
    """The parameters."""
    lag: Lag
    """The baseline."""
    errors: tuple[Error, ...]
    """On recordings that were not fitted; on the fitted ones where there are no others."""
    held_out: bool
    """Whether these were held out."""
    misfits: tuple[Misfit, ...]
    """Joints whose errors show that the model lacks something."""
    noise: Array
    """Noise of readings, their steps' share included [rad], shape (joints,)."""
    step: Array
    """Step of readings [rad], 0 where none shows, shape (joints,)."""
    shown: Segments
    """Segments for pictures."""
    predicted: dict[str, Array]
    """Their predictions by model [rad]."""
    learned: Learned | None = None
    """Networks beside the drives, kept or not; None where they weren't tried."""
    accepted: tuple[Doubt, ...] = ()
    """Doubts of the recordings that were accepted."""


def identify(
    predictor: Predictor,
    stock: Predictor,
    space: Space,
    recordings: tuple[Sequence[Recording], Sequence[Recording]],
    effort: Effort,
    note: Callable[[str], None] = lambda _: None,
) -> Identified:
    """Identify a robot's dynamics.

    Args:
        predictor: The simulator, whose every number can be set.
        stock: The same as the robot comes.
        space: What is searched.
        recordings: What is fitted, and what is held out (may be none).
        effort: How much is done.
        note: Told what is being done.

    Raises:
        EvidenceError: When the recordings are clearly predicted better without a mistake that was not accepted, naming
            it.
    """
    fitted, others = recordings
    problem, lag = _problem(predictor, fitted, effort)
    note(f"{problem.segments.count} segments of {problem.segments.horizon:.2f} s")
    problem, z, elsewhere = search(problem, space, _start(problem, space, lag), effort.rounds, note)
    delays = profile(problem, space, z, "delay", FINE)
    again = twins(problem, space, delays.best, elsewhere, LEVEL)
    estimates = estimate(problem, space, (delays, again), note, effort.seed)
    found = tuple(find_misfits(predictor, estimates.values, fitted))
    accepted: tuple[Doubt, ...] = ()
    if any(one.error > WRONG * one.noise for one in found):
        note("errors are not noise: whether signs, columns, units or clocks are wrong")
        accepted = check_doubts(problem, space, space.coordinates(estimates.values), effort.accepted)
    learned = None
    if effort.network and isinstance(predictor, MujocoPredictor):
        bare = _without_play(problem, space, z)
        learned = learn(predictor, (bare, estimates.values), recordings, effort.horizon, note)
    note("errors")
    judged = others or fitted
    models = _models(predictor, stock, estimates.values, lag)
    noise, step = reading_noise(cut(fitted, effort.horizon).some(400))
    shown, most = cut(judged, LONG).some(SHOWN), JUDGED_QUICK if predictor.quick is None else JUDGED_SLOW
    return Identified(
        estimates=estimates,
        lag=lag,
        errors=tuple(_errors(judged, horizon, most, models) for horizon in sorted({*HORIZONS, effort.horizon})),
        held_out=bool(others),
        misfits=found,
        noise=noise,
        step=step,
        shown=shown,
        predicted={name: model(shown) for name, model in models.items() if name != "lag without bias"},
        learned=learned,
        accepted=accepted,
    )


def _problem(predictor: Predictor, fitted: Sequence[Recording], effort: Effort) -> tuple[Problem, Lag]:
    """What is fitted, with errors weighed by the lag's, and the lag."""
    spared = min(effort.lead, min(item.time[-1] for item in fitted) / 12.0)
    segments = cut(fitted, spared + effort.horizon, LEAST_SEGMENTS).some(effort.segments)
    lag = fit_lag(segments.some(LAG_SEGMENTS))
    left, _ = rmse(lag.predict(segments) - segments.measured, segments)
    samples = segments.measured.shape[1]
    lead = min(int((segments.after.mean(axis=0) < spared).sum()), samples // 2)
    weights = _weights(left, samples / 4 * segments.shared)
    return Problem(predictor=predictor, segments=segments, weights=weights, lead=lead), lag


def _start(problem: Problem, space: Space, lag: Lag) -> Array:
    """Where the search starts."""
    values = space.values(np.zeros(len(space.parameters)))
    # A mass on a spring lags behind by a little more than damping over stiffness.
    values["delay"] = np.maximum(lag.delay - 0.01, 0.002)
    values["damping"] = values["stiffness"] * lag.time_constant
    return space.coordinates(values)


def search(
    problem: Problem, space: Space, z: Array, rounds: int, note: Callable[[str], None]
) -> tuple[Problem, Array, list[Array]]:
    """The problem as it is about its minimum, the minimum's coordinates, and those of other minima along the delays.

    Derivatives lead near it, profiles of backlash and delay out of where they end. A slow simulator's search starts
    where a quick one's ended, if that serves it.
    """
    quick, grids, turns = problem.predictor.quick, GRIDS, TURNS
    fast = replace(problem, predictor=quick or problem.predictor)
    note(f"searching{' in MuJoCo for a start' if quick else ''}")
    there, *others = minima(fast, space, fast.minimise(space, z, rounds), rounds)
    z = there if quick is None else min((z, there), key=lambda one: problem.cost(space, one))
    if quick is not None:
        # Of a slow simulator half the rounds, every second move and one turn.
        rounds, grids, turns = -(-rounds // 2), {key: moves[1::2] for key, moves in GRIDS.items()}, 1
        note("searching")
        z = problem.minimise(space, z, rounds)
    searched = {item.key for item in space.parameters}
    for turn in range(turns):
        note(f"backlash and delays moved, the others following ({turn + 1})")
        problem = weighed(problem, space, z)
        before = z
        for key in (key for key in grids if key in searched):
            z = profile(problem, space, z, key, grids[key]).best
        z = problem.minimise(space, z, rounds // 2)
        if problem.cost(space, before) - problem.cost(space, z) >= SETTLED:
            continue
        there = z if quick is not None or turn == turns - 1 else beside(problem, space, z)
        if problem.cost(space, z) - problem.cost(space, there) < SETTLED:
            break
        z = there
    problem = weighed(problem, space, z)
    return problem, z, [problem.minimise(space, one, rounds // 2) for one in others]


def _without_play(problem: Problem, space: Space, z: Array) -> Values:
    """The model that serves best without backlash."""
    rest = space.without([item.name for item in space.parameters if item.key == "backlash"])
    rest.fixed["backlash"][:] = 0.0
    return rest.values(problem.minimise(rest, rest.coordinates(space.values(z)), 6))


def _weights(error: Array, memory: float | Array) -> Array:
    return 1.0 / np.sqrt(np.maximum(error, LEAST_ERROR) ** 2 * np.maximum(memory, 1.0))


def weighed(problem: Problem, space: Space, z: Array) -> Problem:
    """The problem with errors weighed by what is left of them, each counted as often as it is new."""
    error, segments = problem.errors([space.values(z)])[0], problem.segments
    left, _ = rmse(error, segments)
    power, samples = (error**2).sum(axis=(0, 1)), error.shape[1]
    memory = np.ones(error.shape[2])
    for lag in range(1, samples):
        # Bartlett's window keeps far lags, of which there are few, from counting.
        with_lag = (error[:, lag:] * error[:, :-lag]).sum(axis=(0, 1)) / np.maximum(power, 1e-300)
        memory += 2.0 * np.maximum(with_lag, 0.0)
    shared = max(1.0, segments.shared * samples / segments.measured.shape[1])
    return replace(problem, weights=_weights(left, memory * shared))


def _models(predictor: Predictor, stock: Predictor, values: Values, lag: Lag) -> dict[str, Callable[[Segments], Array]]:
    def simulated(simulator: Predictor, numbers: Values, segments: Segments) -> Array:
        return simulator.predict([numbers], segments)[0]

    biased: Any = partial(lag.predict, biased=True)
    unbiased: Any = partial(lag.predict, biased=False)
    return {
        "identified": partial(simulated, predictor, values),
        "stock": partial(simulated, stock, stock.stock),
        "lag": biased,
        "lag without bias": unbiased,
    }


def _errors(
    judged: Sequence[Recording], horizon: float, most: int, models: dict[str, Callable[[Segments], Array]]
) -> Error:
    segments = cut(judged, horizon).some(most)
    found = {name: rmse(model(segments) - segments.measured, segments) for name, model in models.items()}
    return Error(
        horizon=horizon,
        joints={name: by_joint for name, (by_joint, _) in found.items()},
        recordings={name: np.sqrt((by_recording**2).mean(axis=1)) for name, (_, by_recording) in found.items()},
    )


def find_misfits(predictor: Predictor, values: Values, recordings: Sequence[Recording]) -> list[Misfit]:
    """Joints whose errors on recordings are not noise."""
    segments = cut(recordings, LONG).some(200)
    told = predictor.predict([values], segments)[0]
    pull = np.empty_like(told)
    for index, item in enumerate(segments.recordings):
        mine = np.flatnonzero(segments.of == index)
        at = segments.start[mine, None] + segments.after[mine]
        held = np.searchsorted(item.sent, at, side="right").clip(1) - 1
        pull[mine] = item.command[held] - segments.measured[mine]
    return misfits(told - segments.measured, segments, predictor.joint_names, pull)
