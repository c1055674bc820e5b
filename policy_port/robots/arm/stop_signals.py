"""Signals that ask for the end, as a question that the loop asks once a step: a bus is never left in mid-sentence."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from policy_port.robots.arm.stops import OperatorStopError
from policy_port.robots.emulator.clock import REAL, Clock

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGTSTP")
"""Ctrl-C, kill, a closed terminal, Ctrl-backslash, and Ctrl-Z, which would leave a torqued arm to itself."""
ECHO = 0.25
"""A terminal and a shell may both pass on the same Ctrl-C: a second one counts after so long [s]."""


class StopSignals:
    """The first signal asks for an orderly end; a second one cuts torque at once."""

    def __init__(self, clock: Clock = REAL) -> None:
        self._clock = clock
        self.received: str | None = None
        """Name of the first signal."""
        self.cut = False
        """Whether a second one has come."""
        self.on_cut: Callable[[], None] | None = None
        """What a second one calls, within the signal handler."""
        self._first = 0.0
        self._released = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        # Twice is harmless: the second time, what was there before would be this one.
        if not self._before and threading.current_thread() is threading.main_thread():
            for name in NAMES:
                number = getattr(signal, name)
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Let signals do what they did before; called from another thread, from the next signal on."""
        self._released = True
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raise OperatorStopError when a signal has come."""
        if self.received is not None:
            raise OperatorStopError(self.received)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._released:
            self.release()
            signal.raise_signal(number)
            return
        now = self._clock.now()
        if self.received is None:
            self.received, self._first = signal.Signals(number).name, now
        elif now - self._first > ECHO:
            self.cut = True
            if self.on_cut is not None:
                self.on_cut()
