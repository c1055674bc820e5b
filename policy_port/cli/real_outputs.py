"""What `policy-port play --real` writes after the arm has been looked after."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from policy_port.robots.arm.robot_file import RobotFile
    from policy_port.robots.jobs.run import RealRun

TASK = "Bring the tip of the gripper to the goal and hold it there."
"""What a dataset says the arm was to do."""


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What is written of a run."""

    out: Path
    plot: bool
    report: bool
    dataset: Path | None


@dataclass(kw_only=True)
class RealOutputs:
    """What is written once the arm has been looked after; whatever fails, how the arm was left has been told."""

    title: str
    """What was done with what."""
    out: Path
    """The run's folder."""
    robot: RobotFile
    """The arm."""
    done: RealRun
    """The run."""
    task: str | None = None
    """What the arm was to do, in words; None for the reach task."""
    failed: bool = False
    """Whether something could not be written."""
    outside: list[Path] = field(default_factory=list)
    """What lies outside the run's folder."""

    def write(self, options: OutputOptions, robot_file: str, *, emulated: bool) -> None:
        """Write what was asked for, and say which files there are."""
        from policy_port.robots.arm.robot_file import find_robot_file

        if self.done.lost is not None:
            self._say_lost(options)
        else:
            if options.plot:
                self.plot()
            if options.report:
                self.report(find_robot_file(robot_file), emulated=emulated)
            if options.dataset is not None:
                self.dataset(options.dataset)
        for file in sorted({*self.out.iterdir(), *self.outside}):
            typer.echo(f"wrote {file}")

    def _say_lost(self, options: OutputOptions) -> None:
        """One message where the disk has no room: what would be made of the trace has none either."""
        from policy_port.robots.jobs.run import METRICS, TRACE

        self.failed = True
        asked = {
            METRICS: not (self.out / METRICS).exists(),
            "plot.png": options.plot,
            "report.html": options.report,
            str(options.dataset): options.dataset,
        }
        missing = [name for name, wanted in asked.items() if wanted]
        also = f" {', '.join(missing)} {'was' if len(missing) == 1 else 'were'} not written." if missing else ""
        kept = ""
        if (self.out / f"{TRACE}.parts").is_dir():
            kept = f" {TRACE}.parts holds the steps before: policy_port.trace.Trace('{self.out / TRACE}') reads them."
        typer.echo(f"error: the run is not whole on disk: {self.done.lost}.{kept}{also}", err=True)

    def plot(self) -> None:
        """Write plot.png."""
        from policy_port.files import write_atomic
        from policy_port.replay.play import PLOT
        from policy_port.replay.plot import plot_replay
        from policy_port.robots.jobs.run import TRACE
        from policy_port.trace import Trace

        with self._told(PLOT):
            trace = Trace(self.out / TRACE)
            if len(trace):
                write_atomic(self.out / PLOT, plot_replay(trace, title=self.title))
            else:
                typer.echo("no plot: the run ended before its first step", err=True)

    def report(self, robot_file: Path, *, emulated: bool) -> None:
        """Write report.html and its pictures."""
        from policy_port.replay.play import REPORT
        from policy_port.report import write_report
        from policy_port.robots.jobs.report import real_report
        from policy_port.robots.jobs.run import METRICS, TRACE
        from policy_port.trace import Trace

        before = set(self.out.iterdir())
        with self._told(REPORT, lambda: set(self.out.iterdir()) - before):
            files = {robot_file.name: robot_file, TRACE: self.out / TRACE, METRICS: self.out / METRICS}
            trace = Trace(self.out / TRACE)
            run = self.done
            page = real_report(run.result, run.end, trace, title=self.title, files=files, emulated=emulated)
            write_report(self.out / REPORT, page)

    def dataset(self, folder: Path) -> None:
        """Write the run as a LeRobotDataset."""
        from policy_port.robots.jobs.dataset import write_dataset
        from policy_port.robots.jobs.run import TRACE
        from policy_port.trace import Trace

        frames = self.done.frames
        with self._told(str(folder)):
            steps = write_dataset(
                folder, Trace(self.out / TRACE), self.robot, self.done.scale, task=self.task or TASK, frames=frames
            )  # fmt: skip
            if steps:
                self.outside.append(folder)
            else:
                typer.echo(f"no dataset in {folder}: the run ended before anything was sent", err=True)
            if frames is not None:
                frames.discard()

    @contextlib.contextmanager
    def _told(self, what: str, made: Callable[[], set[Path]] = set) -> Iterator[None]:
        """Say why something was not written, and leave no part of it (`made`) behind."""
        from policy_port.errors import PolicyPortError

        try:
            yield
        except PolicyPortError as cause:
            self.failed = True
            for file in made():
                file.unlink()
            typer.echo(f"error: {what} was not written: {cause}", err=True)
        except Exception:
            # A bug keeps its traceback; the arm's ending and its exit code stand all the same.
            self.failed = True
            typer.echo(f"error: {what} was not written:\n{traceback.format_exc()}", err=True)
