"""A command at a terminal, somebody who types there, and an arm whose time waits for neither.

As a program it is `policy-port` on a virtual clock: however busy the machine is, the same happens to the arm.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from policy_port.robots.arm.robot_file import RobotFile
    from policy_port.robots.emulator.clock import VirtualClock

PATIENCE = 60.0
"""What a question may take to come [s]."""


def drive_by_a_virtual_clock(replace: Callable[[Any, str, Any], None]) -> VirtualClock:
    """Have the commands of this process drive arms by a clock of their own.

    Args:
        replace: `setattr`, or one that is taken back later.
    """
    from policy_port.robots.arm import emulated, robot_file, session
    from policy_port.robots.emulator.clock import VirtualClock
    from policy_port.robots.jobs import looking, run

    clock, load = VirtualClock(), robot_file.load_robot_file

    def unhurried(path: Path | str) -> RobotFile:
        return emulated.on_its_own_clock(load(path))

    replace(robot_file, "load_robot_file", unhurried)
    for module, name, key in (
        (emulated, "emulate", "clock"),
        (session, "without_torque", "time"),
        (looking, "without_torque", "time"),
        (run, "play_real", "time"),
    ):
        replace(module, name, functools.partial(getattr(module, name), **{key: clock}))
    return clock


class Person:
    """Who sits at a command's terminal."""

    def __init__(self, near: int, command: subprocess.Popen[str]) -> None:
        self._near = near
        self.command = command

    def reads(self, text: str) -> None:
        """Wait until the terminal shows it."""
        heard, end = "", time.monotonic() + PATIENCE
        while text not in heard:
            assert time.monotonic() < end, f"'{text}' did not come: {heard}"
            if select.select([self._near], (), (), 0.5)[0]:
                with contextlib.suppress(OSError):
                    heard += os.read(self._near, 4096).decode()
                    continue
                raise AssertionError(f"the program has ended before '{text}': {heard}")

    def types(self, line: str = "") -> None:
        """Type a line, and Enter."""
        os.write(self._near, f"{line}\n".encode())


@contextlib.contextmanager
def at_a_terminal(*arguments: object) -> Iterator[Person]:
    """A command with a terminal for its input and errors, and a pipe for its output; it is ended at the end."""
    near, far = pty.openpty()
    words = [sys.executable, __file__, *map(str, arguments)]
    command = subprocess.Popen(words, stdin=far, stdout=subprocess.PIPE, stderr=far, text=True)
    os.close(far)
    try:
        yield Person(near, command)
    finally:
        command.kill()
        command.communicate()
        os.close(near)


if __name__ == "__main__":
    from policy_port.cli.app import main
    from policy_port.report import drawing

    # Nobody here looks at plots, which take longer to lay out than all else.
    drawing.rasterised = lambda canvas: b"a picture"
    drive_by_a_virtual_clock(setattr)
    main()
