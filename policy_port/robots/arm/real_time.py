"""The clock of a real arm: targets go out at equal distances, and the measurement is taken shortly before."""

from __future__ import annotations

import math

import numpy as np

from policy_port.robots.arm.stops import ArmStopError
from policy_port.robots.emulator.clock import REAL, Clock

RESTART = 0.2
"""Share of the period by which a target may be late without moving the next one."""


class RealTime:
    """The beat of a control loop; see `policy_port.control.loop.Clock`.

    A period runs from one target to the next. Its end is the measurement, `lead` before the next target is due, so
    that what a target rests on is as old as it takes to measure and decide, not a whole period older.
    """

    def __init__(self, period: float, deadline: float, clock: Clock = REAL) -> None:
        """Start the clock.

        Args:
            period: Time between two targets [s].
            deadline: How late a target may be sent [s].
            clock: What it goes by.
        """
        self._period, self._clock = period, clock
        self.deadline = deadline
        """How late a target may be sent [s]."""
        self.lead = 0.25 * period
        """How long before a target the measurement is taken [s]."""
        self.lateness: list[float] = []
        """How late each target went out [s]; the first one after a start is not counted."""
        self._due: float | None = None
        self._earliest = -math.inf

    def restart(self, earliest: float = -math.inf) -> None:
        """The next target is due at once, but not before `earliest` [s]."""
        self._due, self._earliest = None, earliest

    def wait(self) -> None:
        """Return when the next target is due.

        Raises:
            ArmStopError: When it was due long ago.
        """
        if self._due is None:
            self._clock.sleep_until(self._earliest)
            self._due = self._clock.now() + self._period
            return
        self._clock.sleep_until(self._due)
        late = self._clock.now() - self._due
        self.lateness.append(late)
        if late > self.deadline:
            self._due = None
            raise ArmStopError(
                f"a target was due {late:.3f} s ago; the bound is {self.deadline:g} s: the policy took too "
                "long, or something else keeps this computer busy",
                may_move=True,
            )
        # After a late target the beat starts anew: two targets in a row at once would be twice the speed.
        self._due += self._period if late < RESTART * self._period else late + self._period

    def pause(self) -> None:
        """Return when the measurement for the next target is due."""
        if self._due is not None:
            self._clock.sleep_until(self._due - self.lead)

    def jitter(self, percentile: float) -> float:
        """Percentile of the lateness [s]; NaN where nothing was counted."""
        return float(np.percentile(self.lateness, percentile)) if self.lateness else float("nan")
