"""The rehearsal without torque: how long a control step takes, and whether there is time for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from policy_port.robots.arm.lerobot_arm import LeRobotArm
from policy_port.robots.arm.real_time import RealTime
from policy_port.robots.arm.robot_file import MOST_WAIT, RobotFile
from policy_port.robots.arm.stops import ArmStopError

REHEARSED = 30
"""Control steps of the rehearsal without torque."""
ASKED = 3
"""How often the network is asked; once could be bad luck."""
MARGIN = 1.25
"""How much longer than its quickest answer a network may take while the arm moves."""
SLACK = 0.004
"""Added to the time that a step took in the rehearsal [s]."""


def rehearse(
    clock: RealTime,
    arm: LeRobotArm,
    step: Callable[[], object],
    begin: Callable[[], object] | None = None,
) -> float:
    """Run control steps without torque, and decide how long before a target the measurement has to be.

    Args:
        clock: The clock that paces the steps, and is set to what was found.
        arm: The arm, which says how long it may wait.
        step: A control step from measurement to decision; it sends nothing.
        begin: Makes the policy start anew, so that its network is asked in the next step. None where nobody can do
            that: the slowest steps are taken for those in which it was asked.

    Returns:
        99th percentile of the time from measurement to decision [s].

    Raises:
        ArmStopError: When the arm can't wait for the network, or a step takes too long for the period.
    """

    def timed() -> float:
        start = arm.clock.now()
        step()
        return arm.clock.now() - start

    def afresh() -> float:
        if begin is not None:
            begin()
        return timed()

    # What runs for the first time takes longer.
    afresh()
    asked = sorted(afresh() for _ in range(REHEARSED if begin is None else ASKED))[-ASKED:]
    check_asking(arm.robot, asked, arm.timestep)
    if begin is not None:
        begin()
    clock.restart()
    taken = []
    for _ in range(REHEARSED):
        clock.wait()
        taken.append(timed())
    return _settle(clock, taken, arm.timestep)


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
            f"robot file leaves no time: the arm would be stopped. {_remedy(quickest)}. Nothing was moved",
            may_move=False,
        )


def _remedy(quickest: float) -> str:
    if MARGIN * quickest > MOST_WAIT:
        return f"No arm waits for longer than {MOST_WAIT:g} s: take a faster computer or a smaller network"
    return (
        "Where the arm may stand still for that long, as between two chunks, raise each to "
        f"{min(2.0 * quickest, MOST_WAIT):.1f} s or so; else take a faster computer or a smaller network"
    )


def _settle(clock: RealTime, taken: Sequence[float], period: float) -> float:
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
