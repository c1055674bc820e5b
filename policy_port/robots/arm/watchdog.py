"""The near end of the watchdog, a process that switches torque off when the one that drives the arm is dead."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from policy_port.robots.arm.watchdog_process import BEAT, END_TIME, GOALS, GOODBYE, READY, TAKE_OVER

START_TIME = 10.0
"""How long the watchdog may take to start [s]."""
ANSWER_TIME = 2.0
"""How long it may leave a sign of life unanswered, and twice as long as it waits for one [s]."""
FAR_END = Path(__file__).resolve().with_name("watchdog_process.py")

_LEFT: dict[str, Watchdog] = {}
"""Watchdogs that go on after this process has given its arm up, by port."""


def dismiss(port: str) -> None:
    """Torque is off on all servos at this port: nobody needs to go on trying there."""
    watchdog = _LEFT.pop(os.path.abspath(port), None)
    if watchdog is not None:
        watchdog.close()


class Watchdog:
    """`beat` at least every `timeout` seconds, or lose torque."""

    def __init__(self, port: str, ids: list[int], timeout: float, log: Path | None = None) -> None:
        """Start the watchdog.

        Args:
            port: Path of the serial port.
            ids: Ids of the servos.
            timeout: After how long without a sign of life it acts [s].
            log: File that it notes in what it did, and the last goals; none, if None.

        Raises:
            RuntimeError: When it does not start.
        """
        self._port, self._ids, self._log = os.path.abspath(port), list(ids), log
        self._timeout = timeout
        self._process = self._start()
        self._asked: float | None = None
        self._closed = self._alone = False

    @property
    def problem(self) -> str:
        """Why it can't be relied on; empty where it can."""
        if self._process.poll() is not None:
            return "the watchdog has died"
        if self._asked is not None and time.monotonic() - self._asked > max(ANSWER_TIME, 2.0 * self._timeout):
            return "the watchdog does not answer"
        return ""

    def beat(self) -> None:
        """Give a sign of life, and hear whether earlier ones were answered. It never waits."""
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            if os.read(self._process.stdout.fileno(), 4096):
                self._asked = None
        # A pipe that is full is one that nobody reads, which `problem` tells long before.
        self._tell(BEAT)
        if self._asked is None:
            self._asked = time.monotonic()

    def note(self, now: float, goals: Iterable[float]) -> None:
        """Tell which goals [ticks] are about to be sent, so that they are known whatever ends this process."""
        self._tell(GOALS + f" {now:.4f} {' '.join(f'{goal:.0f}' for goal in goals)}".encode())

    def close(self) -> None:
        """Torque is off: nothing is left to watch. Twice is harmless."""
        if self._closed:
            return
        self._closed = True
        if self._alone or not self._tell(GOODBYE):
            # It does not listen any more, or would take the end of the pipe for the end of this process.
            self._process.kill()
        self._hang_up()
        try:
            self._process.wait(END_TIME)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def take_over(self) -> None:
        """The port is closed, and servos have not confirmed that their torque is off: let the watchdog go on trying."""
        if self.problem or not self._tell(TAKE_OVER):
            self._process.kill()
            self._process.wait()
            self._hang_up()
            try:
                self._process = self._start()
            except (OSError, RuntimeError):
                return
            self._tell(TAKE_OVER)
        self._alone = True
        _LEFT[self._port] = self

    def _start(self) -> subprocess.Popen[bytes]:
        specification = {
            "port": self._port,
            "ids": self._ids,
            "parent": os.getpid(),
            "timeout": self._timeout,
            "log": None if self._log is None else str(self._log.absolute()),
        }
        # A session of its own: a Ctrl-C in the terminal is not for it.
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(FAR_END), json.dumps(specification)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
        )
        assert process.stdin is not None
        assert process.stdout is not None
        ready = select.select([process.stdout], (), (), START_TIME)[0]
        if not ready or os.read(process.stdout.fileno(), len(READY)) != READY:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                pipe.close()
            raise RuntimeError(f"the watchdog did not start: {sys.executable} {FAR_END}")
        for pipe in (process.stdin, process.stdout):
            os.set_blocking(pipe.fileno(), False)
        return process

    def _tell(self, message: bytes) -> bool:
        """Write a line; whether it was taken. A line is shorter than what a pipe takes whole or not at all."""
        assert self._process.stdin is not None
        try:
            return os.write(self._process.stdin.fileno(), message + b"\n") > 0
        except (OSError, ValueError):
            return False

    def _hang_up(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
