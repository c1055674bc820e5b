"""The person in front of the arm."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
from collections.abc import Callable

from policy_port.errors import RobotError

LOOK = 0.05
"""How often the arm is looked at while somebody is waited for [s]."""


class Console:
    """Questions that are answered with Enter, while the arm stays watched."""

    def __init__(self, *, continuous: bool) -> None:
        """Choose how steps are let through.

        Args:
            continuous: Steps need no Enter.

        Raises:
            RobotError: When steps need Enter and nobody is there to press it.
        """
        self._asks = sys.stdin is not None and sys.stdin.isatty()
        if not self._asks and not continuous:
            raise RobotError(
                "nobody can press Enter here, and without --continuous every step waits for it; nothing was moved"
            )
        self._single = not continuous
        self._steps = 0

    def confirm(self, question: str, idle: Callable[[], None]) -> None:
        """Wait for Enter; without a terminal, --continuous was the answer."""
        if self._asks:
            self._ask(f"{question} [Enter; Ctrl-C ends] ", idle)

    def wait(self, idle: Callable[[], None]) -> bool:
        """Return when the next step may be done, calling `idle` every now and then; whether it had to wait."""
        if not self._single:
            return False
        self._steps += 1
        answer = self._ask(f"step {self._steps} [Enter: do it; c: all the rest; Ctrl-C ends] ", idle)
        self._single = answer.strip().lower() != "c"
        return True

    def _ask(self, question: str, idle: Callable[[], None]) -> str:
        descriptor, heard = sys.stdin.fileno(), b""
        # What was typed before the question is no answer to it.
        with contextlib.suppress(termios.error):
            termios.tcflush(descriptor, termios.TCIFLUSH)
        print(question, end="", file=sys.stderr, flush=True)
        # Not input(): that would wait with the arm unwatched.
        while not heard.endswith(b"\n"):
            if select.select([descriptor], (), (), LOOK)[0]:
                data = os.read(descriptor, 1024)
                if not data:
                    raise RobotError("the terminal was closed")
                heard += data
            idle()
        return heard.decode(errors="replace")
