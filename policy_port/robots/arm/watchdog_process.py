"""The far end of the watchdog: a program that switches torque off when the one that drives the arm is dead.

    python -I -S watchdog_process.py SPECIFICATION

It is started by its path and isolated, so that nothing in the working folder, in PYTHONPATH or among installed packages
is run in its place, and it has loaded all that it needs before it says that it is ready. It reads lines from its
standard input: `.` is a sign of life, `g ...` the goals about to be sent, `q` its dismissal, `!` the request to take
the port over.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import select
import signal
import sys
import termios
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

BEAT, GOODBYE, TAKE_OVER, GOALS = b".", b"q", b"!", b"g"
READY = b"ready\n"
END_TIME = 5.0
"""How long a process may take to end [s]."""
TRY_TIME = 600.0
"""For how long torque is tried to be switched off, until it is confirmed [s]: somebody may plug the cable in again."""
EAGER = 60.0
"""For how long it is tried ten times per second, then once [s]."""
TOLD = 2.0
"""When it is said that it takes longer [s]."""
KEPT = 256
"""Goals that are kept for the log: more than a trace may have in memory."""
PSEUDO = "/dev/pts/"
"""Where pseudo-terminals are: one that was closed never comes back, and its number may become a stranger's."""
BY_ID = "/dev/serial/by-id"
"""Where a USB adapter keeps its name, whichever device it becomes when it is plugged in again."""


def _raw_line() -> Any:
    # Beside this file, which is not in a package here.
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "raw_line.py")
    spec = importlib.util.spec_from_file_location("raw_line", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Voice:
    """Says what happens, to the terminal and the log, and never waits for either."""

    def __init__(self, log: str | None) -> None:
        self._log = log
        self._terminal = os.ttyname(2) if os.isatty(2) else None
        self._threads: list[threading.Thread] = []

    def leave(self) -> None:
        """Hold neither the terminal nor a pipe open, which others may wait for the end of."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)

    def start(self) -> None:
        """A terminal is opened anew for each word."""
        if self._terminal is not None:
            self.leave()

    def say(self, text: str) -> None:
        """Say it."""
        thread = threading.Thread(target=self._say, args=(text,), daemon=True)
        thread.start()
        self._threads.append(thread)
        thread.join(0.2)

    def end(self) -> None:
        """Give what was said a moment to arrive."""
        for thread in self._threads:
            thread.join(0.5)

    def note(self, lines: list[str]) -> None:
        """Write lines into the log only."""
        if self._log is not None:
            with contextlib.suppress(OSError), open(self._log, "a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)

    def _say(self, text: str) -> None:
        message = f"\nwatchdog of the arm: {text}\n".encode(errors="replace")
        with contextlib.suppress(OSError):
            if self._terminal is None:
                os.write(2, message)
            else:
                descriptor = os.open(self._terminal, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
                try:
                    os.write(descriptor, message)
                finally:
                    os.close(descriptor)
        self.note([f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}"])


def watch(port: str, ids: list[int], parent: int, timeout: float, log: str | None) -> int:
    """Wait for the end of the signs of life, and act. Returns the exit status: 0 when torque is off."""
    cut_torque: Callable[[str, list[int]], list[int]] = _raw_line().cut_torque
    voice, paths = Voice(log), [port, *_names(port)]
    try:
        handle = os.pidfd_open(parent)
    except ProcessLookupError:
        return 1
    os.set_blocking(1, False)
    os.write(1, READY)
    voice.start()
    goals: deque[bytes] = deque(maxlen=KEPT)
    why = _listen(timeout, goals)
    if why is None:
        return 0
    if why != TAKEN:
        # The port has one user at a time: two programs on one line would talk at once.
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        select.select([handle], (), (), END_TIME)
        voice.note([f"goal {line[1:].decode(errors='replace').strip()}" for line in goals])
    done = _torque_off(cut_torque, paths, ids, voice, why)
    voice.end()
    return 0 if done else 1


TAKEN = "servos have not confirmed that their torque is off"


def _listen(timeout: float, goals: deque[bytes]) -> str | None:
    """Read signs of life and answer each; why they ended, None where this watchdog was dismissed."""
    rest = b""
    while True:
        if not select.select([0], (), (), timeout)[0]:
            return f"the program that drives the arm gave no sign of life for {timeout:g} s and was ended"
        heard = os.read(0, 65536)
        if not heard:
            return "the program that drives the arm has ended"
        *lines, rest = (rest + heard).split(b"\n")
        if GOODBYE in lines:
            return None
        if TAKE_OVER in lines:
            return TAKEN
        goals.extend(line for line in lines if line.startswith(GOALS))
        with contextlib.suppress(OSError):
            os.write(1, BEAT)


def _names(port: str) -> list[str]:
    """Lasting names of the device at `port`."""
    found: list[str] = []
    with contextlib.suppress(OSError):
        device = os.path.realpath(port)
        names = [os.path.join(BY_ID, name) for name in os.listdir(BY_ID)]
        found = [name for name in names if name != port and os.path.realpath(name) == device]
    return found


def _torque_off(
    cut_torque: Callable[[str, list[int]], list[int]], paths: list[str], ids: list[int], voice: Voice, why: str
) -> bool:
    begin, told = time.monotonic(), False
    while True:
        problem = ""
        for path in paths:
            try:
                silent = cut_torque(path, ids)
                problem = f"no answer from servo {', '.join(map(str, silent))}" if silent else ""
                break
            except (OSError, termios.error) as cause:
                problem = problem or f"{path}: {cause.args[-1] if cause.args else cause}"
        spent = time.monotonic() - begin
        if not problem:
            voice.say(f"{why}; torque is off on all servos")
            return True
        if paths[0].startswith(PSEUDO) and not os.path.exists(paths[0]):
            voice.say(f"{why}; so has the emulated arm at {paths[0]}")
            return False
        if spent > TRY_TIME:
            voice.say(f"given up: {problem}. Switch the arm's power supply off")
            return False
        if spent > TOLD and not told:
            told = True
            voice.say(
                f"{why}; torque is not off yet ({problem}): switch the arm's power supply off, or mend the line. "
                f"Process {os.getpid()} tries for another {TRY_TIME / 60.0:g} minutes"
            )
            voice.leave()
        time.sleep(0.1 if spent < EAGER else 1.0)


if __name__ == "__main__":
    sys.exit(watch(**json.loads(sys.argv[1])))
