"""The time by which an arm is driven and an emulated one moves: the machine's own, or one that its users turn."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

SPIN = 0.0003
"""The last moment is not slept through: a sleep ends a little late [s]."""
LOOK = 0.0005
"""What it takes on a virtual clock to see whether an answer has come [s]."""
STRIDE = 0.02
"""Longest piece in which a virtual clock goes on [s]."""


class Clock(ABC):
    """A time [s] that never goes back; where it began means nothing."""

    @abstractmethod
    def now(self) -> float:
        """The time [s]."""

    @abstractmethod
    def look(self) -> float:
        """The time [s], for one who asks for it again and again until something has happened."""

    @abstractmethod
    def sleep_until(self, moment: float) -> None:
        """Return at `moment` [s], or at once where it is over."""

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        self.sleep_until(self.now() + seconds)


class RealClock(Clock):
    """`time.monotonic`."""

    def now(self) -> float:
        """See `Clock.now`."""
        return time.monotonic()

    def look(self) -> float:
        """See `Clock.look`."""
        return time.monotonic()

    def sleep_until(self, moment: float) -> None:
        """See `Clock.sleep_until`; it returns within microseconds of the moment, on an idle machine."""
        left = moment - time.monotonic()
        if left > SPIN:
            time.sleep(left - SPIN)
        while time.monotonic() < moment:
            pass


class VirtualClock(Clock):
    """A time that passes only while somebody sleeps on this clock, or by `LOOK` for each `look`.

    How busy the machine is changes nothing of what happens on it. Computing takes no time. What follows the clock
    lives on the threads of those who use it: it is called at each new time, before the sleeper returns.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._followers: list[Callable[[], None]] = []
        self._turn = threading.RLock()

    def now(self) -> float:
        """See `Clock.now`."""
        return self._now

    def look(self) -> float:
        """See `Clock.look`; it takes `LOOK`."""
        self.sleep_until(self._now + LOOK)
        return self._now

    def sleep_until(self, moment: float) -> None:
        """See `Clock.sleep_until`; it takes no longer than the followers need."""
        with self._turn:
            # What was done until now is done before time goes on.
            self._tell()
            while self._now < moment:
                self._now = min(self._now + STRIDE, moment)
                self._tell()

    def follow(self, live: Callable[[], None]) -> None:
        """Have `live` called at each new time, until `leave`."""
        with self._turn:
            self._followers.append(live)

    def leave(self, live: Callable[[], None]) -> None:
        """Call `live` no more. Twice is harmless."""
        with self._turn:
            self._followers = [follower for follower in self._followers if follower != live]

    def _tell(self) -> None:
        for live in tuple(self._followers):
            live()


REAL = RealClock()
"""The machine's own time."""
