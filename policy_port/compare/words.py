"""The rows and sentences in which a comparison is told."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from policy_port.compare.matrix import Matrix
from policy_port.compare.measure import FAST, Measures, Outcome
from policy_port.compare.pair import APART, Pair
from policy_port.compare.run import Run
from policy_port.compare.scores import Ranking

Row = tuple[str, ...]


def run_rows(runs: Sequence[Run], measures: Mapping[str, Measures]) -> list[Row]:
    """A row per number, a column per run; numbers that no run has are left out."""
    ordered = [measures[run.label] for run in runs]
    what = next((one.outcome.what for one in ordered if one.outcome is not None), "outcome")
    kinds: list[tuple[str, Callable[[Measures], str | None]]] = [
        (what, lambda m: None if m.outcome is None else rate(m.outcome)),
        ("survival [s]", lambda m: _number(m.survival, 2)),
        ("forward velocity [m/s]", lambda m: None if m.velocity is None else _number(m.velocity[0], 3)),
        ("velocity error [m/s]", lambda m: _number(m.velocity_error, 3)),
        ("turning error [rad/s]", lambda m: _number(m.turning_error, 3)),
        ("joint tracking RMSE [rad]", lambda m: _number(m.joint_tracking, 4)),
        ("action change per step", lambda m: _number(m.action_rate, 4)),
        ("dominant action frequency [Hz]", lambda m: _number(m.dominant_frequency, 2)),
        (f"action power above {FAST:g} Hz", lambda m: _percent(m.fast_power)),
        ("torque RMS [N m]", lambda m: _number(m.torque_rms, 2)),
        ("torque peak [N m]", lambda m: _number(m.torque_peak, 1)),
    ]
    rows: list[Row] = [
        ("simulator", *(run.simulator for run in runs)),
        ("actuation", *(str(run.header.get("actuation", "not stated")) for run in runs)),
        ("timestep", *(_timestep(run) for run in runs)),
        ("episodes", *(str(len(run.episodes)) for run in runs)),
    ]
    for name, tell in kinds:
        texts = [tell(one) for one in ordered]
        if any(text is not None for text in texts):
            rows.append((name, *(text or "-" for text in texts)))
    return rows


def pair_rows(pairs: Sequence[Pair]) -> list[Row]:
    """A row per number, a column per pair."""
    return [
        ("joints matched", *(pair.how for pair in pairs)),
        ("episodes in common", *(str(pair.episodes) for pair in pairs)),
        ("lag [s]", *(_number(pair.lag, 3) or "-" for pair in pairs)),
        ("joint RMSE after alignment [rad]", *(_number(pair.rmse, 4) or "-" for pair in pairs)),
        ("joint RMSE as recorded [rad]", *(_number(pair.rmse_unaligned, 4) or "-" for pair in pairs)),
        (f"{APART:g} rad apart after [s]", *(_parted(pair) for pair in pairs)),
    ]


def joint_rows(pairs: Sequence[Pair]) -> list[Row]:
    """RMSE after alignment by joint, and the range that the joint moves through, worst first by the first pair."""
    names = sorted(pairs[0].joints, key=lambda name: -pairs[0].joints[name])
    names += [name for pair in pairs[1:] for name in pair.joints if name not in names]
    return [(name, *(_joint(pair, name) for pair in pairs)) for name in dict.fromkeys(names)]


def rate(outcome: Outcome) -> str:
    """The rate with its interval."""
    low, high = outcome.interval
    return f"{100 * outcome.rate:.1f} % ({outcome.good} of {outcome.trials}; {100 * low:.1f} to {100 * high:.1f} %)"


def sentence(
    measures: Mapping[str, Measures], pairs: Sequence[Pair], matrix: Matrix | None, rankings: Sequence[Ranking]
) -> str:
    """What came out, in a few sentences."""
    parts = []
    for label, one in measures.items():
        said = []
        if one.outcome is not None:
            said.append(f"{one.outcome.what} {one.outcome.good} of {one.outcome.trials}")
        if one.velocity is not None:
            said.append(f"{one.velocity[0]:.3f} m/s forward")
        if said:
            parts.append(f"{label}: {', '.join(said)}.")
    for pair in pairs:
        if pair.rmse is None or pair.farthest is None or pair.lag is None:
            parts.append(f"{pair.other} and {pair.reference} have no trajectories in common.")
            continue
        late = "" if pair.lag == 0.0 else f" after a lag of {1000 * pair.lag:.0f} ms"
        parts.append(
            f"Joints of {pair.other} differ from {pair.reference} by {pair.rmse:.3f} rad RMS{late}, most "
            f"{pair.farthest} ({pair.joints[pair.farthest]:.3f})."
        )
    if matrix is not None:
        parts.append(f"Across simulators: {matrix.cell('PN')}; {matrix.cell('NP')}.")
    parts += [ranking.sentence() for ranking in rankings]
    return " ".join(parts) or "Nothing could be measured."


def _joint(pair: Pair, name: str) -> str:
    return f"{pair.joints[name]:.4f} of {pair.ranges[name]:.2f}" if name in pair.joints else "-"


def _parted(pair: Pair) -> str:
    if pair.divergence is None:
        return "-"
    return f"{pair.divergence:.2f}" if math.isfinite(pair.divergence) else "never"


def _timestep(run: Run) -> str:
    parts = run.header.get("timestep"), run.header.get("decimation")
    steps = f"{parts[0]:g} s x {parts[1]} = " if None not in parts else ""
    return f"{steps}{run.control_dt:g} s"


def _number(value: float | None, digits: int) -> str | None:
    return None if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.1f} %"
