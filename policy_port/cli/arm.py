"""The arm that a command drives: a robot file's own, or an emulated one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from policy_port.robots.arm.robot_file import RobotFile
    from policy_port.robots.emulator import EmulatedArm
    from policy_port.robots.emulator.clock import Clock
    from policy_port.robots.emulator.lens import Outlook


@contextlib.contextmanager
def reached(
    robot: RobotFile,
    *,
    emulated: bool,
    faults: Sequence[str] = (),
    dynamics: Path | None = None,
    seed: int = 0,
    clock: Clock | None = None,
    outlook: Outlook | None = None,
    begun: Callable[[EmulatedArm], None] | None = None,
) -> Iterator[tuple[RobotFile, Callable[[], None]]]:
    """The robot file that leads to the arm, emulated or not, and what is to be done once torque is on.

    `begun` is called with an emulated one.
    """
    if not emulated:
        yield robot, lambda: None
        return
    from policy_port.dynamics.document import load_dynamics
    from policy_port.robots.arm.emulated import DIALS, emulate, on_its_own_clock

    given = None if dynamics is None else load_dynamics(dynamics)
    seen = outlook or DIALS
    if clock is None:
        made = emulate(robot, faults=faults, dynamics=given, seed=seed, outlook=seen)
    else:
        made = emulate(on_its_own_clock(robot), faults=faults, dynamics=given, seed=seed, clock=clock, outlook=seen)
    with made as rehearsal:
        if begun is not None:
            begun(rehearsal.arm)
        yield rehearsal.robot, rehearsal.let_go
