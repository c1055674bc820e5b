"""A terminal that stops, by Ctrl-S or because its connection hangs, stops nobody who looks after an arm."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import subprocess
import sys
import termios
import threading

import pytest

from policy_port.errors import RobotError
from policy_port.robots.arm.console import Console


class Stopped(io.StringIO):
    """A stream that takes nothing until it goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()

    def write(self, text: str) -> int:
        assert self.goes_on.wait(20.0)
        return super().write(text)


def test_a_terminal_that_takes_nothing_keeps_nobody_from_the_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arm is looked after while the question can't be written; Enter counts once it can be seen."""
    host, terminal = pty.openpty()
    stopped, looks = Stopped(), 0
    monkeypatch.setattr(sys, "stderr", stopped)
    with os.fdopen(terminal, "r+b", buffering=0) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        console = Console(continuous=False)
        console.say("a warning")

        def idle() -> None:
            nonlocal looks
            looks += 1
            if looks == 3:
                # Pressed by somebody who can't see the question.
                os.write(host, b"\n")
            if looks == 6:
                stopped.goes_on.set()
            if looks >= 9 and "step 1" in stopped.getvalue():
                os.write(host, b"c\n")

        assert console.wait(idle)
        assert not console.wait(idle)
    os.close(host)
    assert looks >= 9
    assert "a warning" in stopped.getvalue()


def test_a_terminal_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can answer a question that can't be written."""
    host, terminal = pty.openpty()
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    with os.fdopen(terminal, "r+b", buffering=0) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(RobotError, match="the terminal was closed"):
            Console(continuous=False).wait(lambda: None)
    os.close(host)


CHILD = """
import sys, termios
from policy_port.robots.arm.console import Console
console = Console(continuous=False)
def flow():
    return bool(termios.tcgetattr(0)[0] & termios.IXON)
found = [flow()]
console.open(); found.append(flow())
console.close(); found.append(flow())
console.close(); found.append(flow())
print(found)
"""


def test_ctrl_s_is_a_letter_while_an_arm_is_open() -> None:
    """The terminal's flow control is off between open and close, and as it was afterwards."""
    host, terminal = pty.openpty()
    settings = termios.tcgetattr(terminal)
    settings[0] |= termios.IXON
    termios.tcsetattr(terminal, termios.TCSANOW, settings)

    def own() -> None:
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    streams = {"stdin": terminal, "stderr": terminal, "stdout": subprocess.PIPE}
    done = subprocess.run([sys.executable, "-c", CHILD], text=True, preexec_fn=own, **streams)  # type: ignore[call-overload]
    os.close(host)
    os.close(terminal)
    assert done.stdout == "[True, False, True, True]\n"
