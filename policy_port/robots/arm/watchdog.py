"""A process that switches torque off when the one that drives the arm is dead.

    python -m policy_port.robots.arm.watchdog PORT PID TIMEOUT ID...

It reads heartbeats from its standard input. When they end, it ends the process that sent them, which may hang, and
only then opens the port. It needs nothing but Python's own library.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import termios
import time

BEAT, GOODBYE = b".", b"q"
READY = b"ready\n"
END_TIME = 5.0
"""How long a process may take to start or to end [s]."""
TRY_TIME = 3.0
"""For how long the port is tried [s]."""


class Watchdog:
    """The near end: `beat` at least every `timeout` seconds, or lose torque."""

    def __init__(self, port: str, ids: list[int], timeout: float) -> None:
        """Start the watchdog.

        Raises:
            RuntimeError: When it does not start.
        """
        # A session of its own: a Ctrl-C in the terminal is not for it.
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, port, str(os.getpid()), str(timeout), *map(str, ids)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._pipe = self._process.stdin.fileno()
        ready = select.select([self._process.stdout], (), (), END_TIME)[0]
        if not ready or os.read(self._process.stdout.fileno(), len(READY)) != READY:
            self._process.kill()
            self._process.wait()
            raise RuntimeError("the watchdog did not start")
        self._closed = False

    @property
    def alive(self) -> bool:
        """False when the watchdog itself has ended."""
        return self._process.poll() is None

    def beat(self) -> None:
        """Give a sign of life."""
        with contextlib.suppress(OSError):
            os.write(self._pipe, BEAT)

    def close(self) -> None:
        """Torque is off: nothing is left to watch. Twice is harmless."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            os.write(self._pipe, GOODBYE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(END_TIME)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def watch(port: str, parent: int, timeout: float, ids: list[int]) -> int:
    """Wait for the end of the heartbeats, and act. Returns the exit status: 0 when torque is off."""
    try:
        handle = os.pidfd_open(parent)
    except ProcessLookupError:
        return 1
    os.write(1, READY)
    while True:
        if not select.select([0], (), (), timeout)[0]:
            break
        heard = os.read(0, 4096)
        if GOODBYE in heard:
            return 0
        if not heard:
            break
    # The port has one user at a time: two programs on one line would talk at once.
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    select.select([handle], (), (), END_TIME)
    return 0 if _torque_off(port, ids) else 1


def _torque_off(port: str, ids: list[int]) -> bool:
    from policy_port.robots.arm.raw_line import cut_torque

    end = time.monotonic() + TRY_TIME
    while True:
        try:
            if not cut_torque(port, ids):
                return True
        except (OSError, termios.error):
            pass
        if time.monotonic() > end:
            return False
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(watch(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), [int(text) for text in sys.argv[4:]]))
