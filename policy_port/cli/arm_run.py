"""One run on an arm, from the checks before it to what is written after it."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from policy_port.cli.real_outputs import OutputOptions
    from policy_port.port.pilot import Pilot
    from policy_port.robots.arm.console import Console
    from policy_port.robots.arm.robot_file import RobotFile
    from policy_port.robots.emulator import EmulatedArm
    from policy_port.robots.emulator.lens import Outlook
    from policy_port.robots.jobs.reach_job import RealJob
    from policy_port.robots.jobs.run import RealRun


@dataclass(frozen=True, kw_only=True)
class ArmRun:
    """Which arm does it, and what is written of it."""

    robot_file: str
    """Where the arm is described."""
    emulated: bool
    faults: Sequence[str]
    """Faults of an emulated arm."""
    dynamics: Path | None
    """What an emulated arm behaves like."""
    fast: bool
    """Whether an emulated arm's time passes as fast as this machine computes."""
    seed: int
    """Seed of an emulated arm's noise and faults."""
    outputs: OutputOptions
    answers: bool = False
    """Whether a person says after each episode how it went."""
    stops: int = 1
    """Stops by the supervisor in a row that end the run."""

    def perform(
        self,
        pilot: Pilot,
        robot: RobotFile,
        job: RealJob,
        seeds: range,
        console: Console,
        *,
        outlook: Outlook | None = None,
        begun: Callable[[EmulatedArm], None] | None = None,
    ) -> tuple[RobotFile, RealRun]:
        """Let the arm do it, and leave it at rest.

        Args:
            pilot: The policy, in radians.
            robot: The arm.
            job: What to do.
            seeds: Seeds of the episodes.
            console: The person in front of the arm.
            outlook: What an emulated arm's camera sees; its dials, if not given.
            begun: Called with an emulated arm.

        Returns:
            The robot file that led to the arm, and what came of it.

        Raises:
            PolicyPortError: When something is not right before anything moves.
        """
        from policy_port.cli.arm import reached
        from policy_port.robots.emulator.clock import VirtualClock
        from policy_port.robots.jobs.run import Keep, play_real

        out, dataset = self.outputs.out, self.outputs.dataset
        if dataset is not None:
            from policy_port.robots.jobs.dataset import check_dataset

            check_dataset(dataset, out, robot, pilot.contract.control_dt)
        clock = VirtualClock() if self.fast else None
        arm = reached(
            robot,
            emulated=self.emulated,
            faults=self.faults,
            dynamics=self.dynamics,
            seed=self.seed,
            clock=clock,
            outlook=outlook,
            begun=_laid(console, robot, begun),
        )
        keep = Keep(folder=out, frames=dataset is not None, answers=self.answers, stops=self.stops)
        with arm as (known, on_torque), _run_folder(out):
            # Without a clock of its own a run goes by the machine's.
            timed = {} if clock is None else {"time": clock}
            done = play_real(pilot, known, job, seeds=seeds, keep=keep, console=console, on_torque=on_torque, **timed)
        return known, done

    def conclude(self, robot: RobotFile, done: RealRun, *, title: str, task: str | None) -> None:
        """Print how it went and write what was asked for.

        Raises:
            Exit: When the arm was stopped, or something could not be written.
        """
        from policy_port.cli.real_outputs import RealOutputs

        typer.echo(done.result.table())
        after = RealOutputs(title=title, out=self.outputs.out, robot=robot, done=done, task=task)
        after.write(self.outputs, self.robot_file, emulated=self.emulated)
        if done.exit_code or after.failed:
            raise typer.Exit(done.exit_code or 1) from done.end.stop


def check_folder(out: Path) -> None:
    """Refuse a folder that is there already, but for one that a run left which was refused before anything moved."""
    from policy_port.errors import OutputError
    from policy_port.robots.jobs.pictures import PLACEMENT, VIEWS

    # A run on an arm is never undone: its folder is there from the first step on, whatever ends the run.
    if out.exists() and (not out.is_dir() or {file.name for file in out.iterdir()} - {VIEWS, PLACEMENT}):
        raise OutputError(f"{out}: exists already; name a folder that does not exist yet")


def check_stops(stops: int, *, emulated: bool) -> None:
    """Refuse to go on after a stop where nobody stands by the arm.

    Raises:
        RobotError: Where there is no terminal.
    """
    from policy_port.errors import RobotError

    if stops > 1 and not emulated and not (sys.stdin is not None and sys.stdin.isatty()):
        raise RobotError(
            "after a stop somebody is asked before the arm moves again, and nobody can press Enter here: leave --stops "
            "out, or run it in a terminal; nothing was moved"
        )


def _laid(
    console: Console, robot: RobotFile, begun: Callable[[EmulatedArm], None] | None
) -> Callable[[EmulatedArm], None]:
    """What is to be done with an emulated arm: `begun`, and laying it down to rest after a stop, as a person would."""
    from policy_port.robots.arm.emulated import lay_down

    def begin(arm: EmulatedArm) -> None:
        console.lay = functools.partial(lay_down, arm, robot)
        if begun is not None:
            begun(arm)

    return begin


@contextlib.contextmanager
def _run_folder(out: Path) -> Iterator[None]:
    """The run's folder; it goes again where a run ended before it left anything."""
    from policy_port.errors import OutputError

    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise OutputError(f"{out}: can't be made: {cause.strerror or cause}") from cause
    try:
        yield
    except BaseException:
        if made and not any(out.iterdir()):
            out.rmdir()
        raise
