"""What a rehearsal without torque found out about the time that a control step takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from policy_port.robots.real_time import RealTime
from policy_port.robots.stops import ArmStopError

REHEARSED = 30
"""Control steps of the rehearsal without torque."""
SLACK = 0.004
"""Added to the time that a step took in the rehearsal [s]."""


def settle(clock: RealTime, taken: Sequence[float], period: float) -> float:
    """Decide how long before a target the measurement has to be.

    Args:
        clock: The clock that is set to it.
        taken: Times from measurement to decision [s].
        period: Control period [s].

    Returns:
        99th percentile of the times [s].

    Raises:
        ArmStopError: When a step takes too long for the period.
    """
    slow = float(np.percentile(taken, 99))
    if float(np.median(taken)) > 0.5 * period:
        raise ArmStopError(
            f"a control step takes {np.median(taken):.3f} s without any motion, the period is {period:g} s: this "
            "computer is too slow or too busy; nothing was moved",
            may_move=False,
        )
    clock.lead = min(slow + SLACK, 0.6 * period)
    clock.lateness.clear()
    clock.restart()
    return slow
