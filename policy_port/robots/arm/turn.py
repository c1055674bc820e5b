"""One speaker at a time on a line: the loop, the thread that attends to the arm, and a signal that cuts torque."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

PATIENCE = 0.15
"""How long a sentence of another thread is waited for: longer than a servo may take to answer [s]."""


class Turn:
    """A sentence, from the instruction to the last answer, is said in a `with` block."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._next: Callable[[], None] | None = None

    def __enter__(self) -> None:
        self._lock.acquire()
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if not self._depth and self._next is not None:
            speak, self._next = self._next, None
            speak()
        self._lock.release()

    def interject(self, speak: Callable[[], None]) -> None:
        """Speak as soon as the line is free. For a signal handler, which may have interrupted a sentence itself."""
        if not self._lock.acquire(timeout=PATIENCE):
            # Whoever holds the line hangs: what has to be said comes first.
            speak()
            return
        try:
            if self._depth:
                # The sentence is this very thread's, which goes on only after the handler.
                self._next = speak
            else:
                speak()
        finally:
            self._lock.release()
