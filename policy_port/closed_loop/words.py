"""Outcomes in words, for a person who wants to know what the robot did."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from policy_port.closed_loop.outcome import Outcome
from policy_port.mistakes.numbers import counted

Told = Callable[[Outcome], str]
"""Puts an outcome in words."""


def walked(outcome: Outcome) -> str:
    """What came of walks."""
    count, fallen = len(outcome.failed), int(outcome.failed.sum())
    parts = [f"fell in {fallen} of {counted(count, 'walk')}"]
    if fallen:
        parts[0] += f", after {outcome.seconds[outcome.failed].mean():.1f} s on average"
    if fallen < count:
        error = float(outcome.error[~outcome.failed].mean())
        parts.append(f"velocity off by {100 * error:.0f} % of what was asked" + (" elsewhere" if fallen else ""))
    return "; ".join([*parts, _joints(outcome)])


def reached(outcome: Outcome) -> str:
    """What came of reaching for goals."""
    count, missed = len(outcome.failed), int(outcome.failed.sum())
    known = outcome.error[np.isfinite(outcome.error)]
    where = f"{known.mean():.3f} m from it on average" if known.size else "the simulation became NaN"
    return "; ".join([f"reached {count - missed} of {counted(count, 'goal')}", f"ended {where}", _joints(outcome)])


def _joints(outcome: Outcome) -> str:
    tracking = f"{outcome.tracking:.3f}" if np.isfinite(outcome.tracking) else "-"
    rate = f"{outcome.rate:.2f}" if np.isfinite(outcome.rate) else "-"
    return f"joints {tracking} rad off target, targets move {rate} rad/s, {100 * outcome.saturation:.1f} % saturated"
