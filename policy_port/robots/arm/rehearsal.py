"""What a rehearsal without torque found out about the time that a control step takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from policy_port.robots.arm.real_time import RealTime
from policy_port.robots.arm.robot_file import RobotFile
from policy_port.robots.arm.stops import ArmStopError

REHEARSED = 30
"""Control steps of the rehearsal without torque."""
ASKED = 3
"""How often the network is asked; once could be bad luck."""
MARGIN = 1.25
"""How much longer than its quickest answer a network may take while the arm moves."""
SLACK = 0.004
"""Added to the time that a step took in the rehearsal [s]."""


def check_asking(robot: RobotFile, taken: Sequence[float], period: float) -> None:
    """Refuse a network whose answer the arm can't wait for; a policy with chunks asks it in few of its steps.

    Args:
        robot: The arm, which says how long it may wait.
        taken: Times of a step in which the network was asked [s].
        period: Control period [s].

    Raises:
        ArmStopError: Naming the bounds that a run would exceed.
    """
    quickest, timing = min(taken), robot.timing
    bounds = {
        "stale": timing.stale,
        "deadline": timing.deadline + period,
        "heartbeat": timing.heartbeat - period,
        **({"stale_frame": timing.stale_frame} if robot.cameras else {}),
    }
    short = [f"timing.{key} ({getattr(timing, key):g})" for key, bound in bounds.items() if MARGIN * quickest > bound]
    if short:
        raise ArmStopError(
            f"a control step in which the network is asked takes {quickest:.3f} s, for which {', '.join(short)} of the "
            "robot file leaves no time: the arm would be stopped. Where the arm may stand still for that long, as "
            f"between two chunks, raise each to {2.0 * quickest:.1f} s or so; else take a faster computer or a smaller "
            "network. Nothing was moved",
            may_move=False,
        )


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
