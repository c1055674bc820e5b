"""The arm that a command drives: a robot file's own, or an emulated one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from policy_port.camera.view import View
    from policy_port.robots.arm.robot_file import RobotFile
    from policy_port.robots.emulator import EmulatedArm
    from policy_port.robots.emulator.clock import Clock
    from policy_port.robots.emulator.lens import Outlook


ITS_OWN = {
    "fault": "a real arm has faults of its own",
    "fast": "a real arm has the time of its own",
    "emulated-view": "a real camera stands where it stands",
}
"""Options that only an emulated arm has, and why."""


def check_emulated(emulated: bool, **given: object) -> None:
    """Refuse options of `ITS_OWN` that are given, by name, for a real arm."""
    for name, value in given.items():
        if value and not emulated:
            option = name.replace("_", "-")
            raise typer.BadParameter(f"--{option} goes with --emulated: {ITS_OWN[option]}")


def outlook_of(camera: str, believed: View, given: Path | None, **more: Any) -> Outlook:
    """What an emulated arm's camera sees: from the view of a file, or from where the camera is taken to stand.

    Raises:
        CameraError: When the file is no view, or is of pictures of other proportions.
    """
    from policy_port.camera.view import load_view
    from policy_port.errors import CameraError
    from policy_port.robots.emulator.lens import Outlook

    view = believed if given is None else load_view(given).view
    (rows, columns), (height, width) = view.size, believed.size
    if rows * width != columns * height:
        raise CameraError(
            f"{given}: is of pictures of {columns}x{rows}, camera '{camera}' delivers {width}x{height}, of other "
            f"proportions; write size: [{height}, {width}] into it"
        )
    return Outlook(views={camera: view}, **more)


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
