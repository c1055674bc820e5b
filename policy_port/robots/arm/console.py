"""The person in front of the arm."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import sys
import termios
import threading
import time
from collections.abc import Callable

from policy_port.errors import RobotError

HUNG = 0.2
"""A terminal that takes longer to take a question did not show it [s]."""
LOOK = 0.05
"""How often the arm is looked at while somebody is waited for [s]."""


class Console:
    """Questions that are answered with Enter, while the arm stays watched.

    A terminal may stop to take what is written: Ctrl-S does that, or a connection that hangs. So all is written from a
    thread of its own, and an answer counts once the question can be seen. While an arm is open, Ctrl-S is switched off.
    """

    def __init__(self, *, continuous: bool, attended: bool = True) -> None:
        """Choose how steps are let through.

        Args:
            continuous: Steps need no Enter.
            attended: Whether anybody is asked at all; nobody could follow an emulated arm on a clock of its own.

        Raises:
            RobotError: When steps need Enter and nobody is there to press it.
        """
        self._asks = attended and sys.stdin is not None and sys.stdin.isatty()
        if not self._asks and not continuous:
            raise RobotError(
                "nobody can press Enter here, and without --continuous every step waits for it; nothing was moved"
            )
        self._single = not continuous
        self.lay: Callable[[], None] = lambda: None
        """Lays an emulated arm down to rest; a real one, the person does."""
        self._steps = 0
        self._words: queue.SimpleQueue[tuple[str, int | None, threading.Event]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._gone = False
        self._flow: list[int] = []

    def open(self) -> None:
        """Keep Ctrl-S from stopping the terminals of this program until `close`."""
        for descriptor in (0, 2):
            with contextlib.suppress(termios.error, OSError):
                if _is_ours(descriptor) and _set_flow(descriptor, on=False):
                    self._flow.append(descriptor)

    def close(self) -> None:
        """Let Ctrl-S do what it did before. Twice is harmless."""
        flow, self._flow = self._flow, []
        for descriptor in flow:
            with contextlib.suppress(termios.error, OSError):
                _set_flow(descriptor, on=True)

    def say(self, text: str) -> None:
        """Write a line without waiting for it."""
        self._write(f"\n{text}\n")

    def confirm(self, question: str, idle: Callable[[], None]) -> None:
        """Wait for Enter; without a terminal, --continuous was the answer."""
        if self._asks:
            self._ask(f"{question} [Enter; Ctrl-C ends] ", idle)

    def answer(self, question: str, words: tuple[str, ...], idle: Callable[[], None]) -> str:
        """One of `words`; an empty line, or any other, is no answer, and it is asked again."""
        self.check_answers()
        while (answer := self._ask(question, idle).strip().lower()) not in words:
            pass
        return answer

    def check_answers(self) -> None:
        """Refuse to ask where nobody can answer.

        Raises:
            RobotError: Where there is no terminal.
        """
        if not self._asks:
            raise RobotError("nobody can answer here, as this is no terminal: leave --ask out; nothing was moved")

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
        shown = self._write(question, descriptor)
        while not shown.wait(LOOK):
            idle()
        if self._gone:
            raise RobotError("the terminal was closed")
        # Not input(): that would wait with the arm unwatched.
        while not heard.endswith(b"\n"):
            if select.select([descriptor], (), (), LOOK)[0]:
                data = os.read(descriptor, 1024)
                if not data:
                    raise RobotError("the terminal was closed")
                heard += data
            idle()
        return heard.decode(errors="replace")

    def _write(self, text: str, answers: int | None = None) -> threading.Event:
        """Have text written, a question where `answers` says from where it is answered; the event is set once it is."""
        written = threading.Event()
        self._words.put((text, answers, written))
        if self._thread is None:
            self._thread = threading.Thread(target=self._speak, name="console", daemon=True)
            self._thread.start()
        return written

    def _speak(self) -> None:
        while True:
            text, answers, written = self._words.get()
            # What was typed before the question is no answer to it; somebody quick has answered when it is written.
            _forget(answers)
            begin = time.monotonic()
            try:
                print(text, end="", file=sys.stderr, flush=True)
            except (OSError, ValueError):
                self._gone = True
            if time.monotonic() - begin > HUNG:
                _forget(answers)
            written.set()


def _forget(descriptor: int | None) -> None:
    """Forget what was typed."""
    if descriptor is not None:
        with contextlib.suppress(termios.error):
            termios.tcflush(descriptor, termios.TCIFLUSH)


def _is_ours(descriptor: int) -> bool:
    """Whether it is a terminal of which this program is in the foreground: another's settings are not touched."""
    return os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()


def _set_flow(descriptor: int, *, on: bool) -> bool:
    """Let Ctrl-S and Ctrl-Q stop and start a terminal, or not; whether that was a change."""
    settings = termios.tcgetattr(descriptor)
    if bool(settings[0] & termios.IXON) == on:
        return False
    settings[0] ^= termios.IXON
    termios.tcsetattr(descriptor, termios.TCSANOW, settings)
    return True
