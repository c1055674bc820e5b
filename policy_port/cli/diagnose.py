"""`policy-port diagnose`: find the mistake that explains a trace, or how a robot does, and the edit that mends it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from policy_port.cli.plant_options import MeshesOption, PlantName, RobotOption, TaskOption, parse_command
from policy_port.cli.verify import PortArgument, ReportOption, SideOption, TraceSide

if TYPE_CHECKING:
    from policy_port.mistakes.hypothesis import Diagnosis
    from policy_port.report import Report

COMMAND = "0.5,0,0"
"""What a walking robot is told, if nothing else is said [m/s, m/s, rad/s]."""

SECONDS = 6.0
"""How long it walks in each trial, if nothing else is said [s]."""

TraceOption = Annotated[
    Path | None, typer.Option(help="Trace (.npz) from the source simulator; see policy_port.trace.")
]
PlantOption = Annotated[
    PlantName | None, typer.Option(help="Without a trace: simulator to play the usual mistakes in, which is weaker.")
]
CommandOption = Annotated[
    str | None,
    typer.Option(metavar="VX,VY,WZ", help=f"With --plant: velocity command, varied by the trials; {COMMAND}, if none."),
]
SecondsOption = Annotated[
    float | None, typer.Option(min=1.0, help=f"With --plant: length of the walks that count [s]; {SECONDS:g}, if none.")
]
SeedOption = Annotated[
    int | None, typer.Option(min=0, help="With --plant: seed of start poses and episodes; 0, if none.")
]
ThroughOption = Annotated[
    str | None,
    typer.Option(metavar="MAP", help="With --plant: mapping of the port; the simulator speaks its source side."),
]


def diagnose(
    port: PortArgument,
    trace: TraceOption = None,
    plant: PlantOption = None,
    side: SideOption = None,
    robot: RobotOption = None,
    command: CommandOption = None,
    task: TaskOption = None,
    seconds: SecondsOption = None,
    seed: SeedOption = None,
    through: ThroughOption = None,
    no_meshes: MeshesOption = False,
    write: Annotated[
        Path | None, typer.Option(help="Contract file to write, mended by the first hypothesis.", metavar="YAML")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the contract file.")] = False,
    report: ReportOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search the usual mistakes for what explains a trace, or does better in a simulator; rank them as YAML edits.

    Exit status 0: nothing differs, or nothing that a simulator can show is wrong. 1: something is. 2: bad input.
    """
    if (trace is None) == (plant is None):
        raise typer.BadParameter("give exactly one of --trace (numbers of the source) and --plant (a simulator)")
    simulated = {"--robot": robot, "--command": command, "--task": task, "--through": through}
    simulated |= {"--seconds": seconds, "--seed": seed, "--no-meshes": no_meshes or None}
    given = [name for name, value in simulated.items() if value is not None]
    if trace is not None and given:
        raise typer.BadParameter(f"{', '.join(given)} goes with --plant")
    if plant is not None and side is not None:
        raise typer.BadParameter("--side goes with --trace; the side that a simulator speaks is --through's")
    if command is not None and task is not None:
        raise typer.BadParameter("give at most one of --command (walk) and --task (so100-reach)")
    if seconds is not None and task is not None:
        raise typer.BadParameter("--seconds goes with --command: the task has its own length")
    outputs = _Outputs(write, report, json)
    outputs.check(force)
    if trace is not None:
        _explain(port, trace, side, outputs)
        return
    assert plant is not None
    chosen = _Chosen(
        plant.value, robot, command or COMMAND, task, seconds or SECONDS, seed or 0, through, not no_meshes
    )
    _play(port, chosen, outputs)


class _Outputs(NamedTuple):
    """What becomes of a diagnosis."""

    write: Path | None
    report: Path | None
    json: bool

    def check(self, force: bool) -> None:
        """Refuse a contract file that can't be written, before anything is searched."""
        from policy_port.errors import OutputError

        if self.write is not None and self.write.exists() and not force:
            raise OutputError(f"{self.write}: exists; name another file, or replace it with --force")
        if self.write is not None and not self.write.parent.is_dir():
            raise OutputError(f"{self.write.parent}: no such folder for the output")

    def give(self, diagnosis: Diagnosis, page: Callable[[], Report], side: str, source: str) -> None:
        """Print the diagnosis, write its page and the mended contract, or say why there is none.

        Args:
            diagnosis: The diagnosis.
            page: Makes its page.
            side: Whose contract it is of, "source" or "port".
            source: Where its edits come from.

        Raises:
            Exit: With status 1, when something is wrong.
        """
        from policy_port.files import write_atomic
        from policy_port.report import write_report

        typer.echo(diagnosis.json().rstrip() if self.json else diagnosis.text())
        if self.report is not None:
            write_report(self.report, page())
        if diagnosis.ok:
            return
        if self.write is not None and diagnosis.found is not None and diagnosis.found.edits:
            write_atomic(self.write, diagnosis.found.mended_yaml(source))
            typer.echo(
                f"wrote {self.write}: contract of the {side}'s side, mended; export or remap with it again", err=True
            )
        elif self.write is not None:
            several = f"{diagnosis.tied} hypotheses do equally well, so none is written as if it were found"
            why = several if diagnosis.tied > 1 else "no edit of the contract mends it"
            typer.echo(f"wrote nothing to {self.write}: {why}", err=True)
        raise typer.Exit(1)


def _explain(port: Path, trace: Path, side: TraceSide | None, outputs: _Outputs) -> None:
    """Diagnose by a trace."""
    from policy_port.port.folder import load_port
    from policy_port.verdict.diagnose import diagnose_contract
    from policy_port.verdict.evidence import read_evidence
    from policy_port.verdict.report import diagnose_report
    from policy_port.verdict.sides import find_side

    evidence = read_evidence(trace)
    found = find_side(load_port(port), evidence, side.value if side else None)
    diagnosis = diagnose_contract(found.contract, evidence)
    outputs.give(diagnosis, lambda: diagnose_report(diagnosis, trace, port), found.name, "from a trace")


class _Chosen(NamedTuple):
    """What is to be played."""

    plant: str
    robot: str | None
    command: str
    task: str | None
    seconds: float
    seed: int
    through: str | None
    meshes: bool


def _play(port: Path, chosen: _Chosen, outputs: _Outputs) -> None:
    """Diagnose by playing."""
    from policy_port.closed_loop import diagnose as closed_loop
    from policy_port.closed_loop.report import closed_loop_report
    from policy_port.contract import load_mapping
    from policy_port.errors import PortError
    from policy_port.port.folder import load_port
    from policy_port.replay.play import find_task

    parsed = parse_command(chosen.command)
    task = find_task(chosen.task) if chosen.task is not None else None
    loaded = load_port(port)
    if loaded.contract.images or loaded.chunk is not None:
        what = "reads camera images" if loaded.contract.images else "answers with chunks of actions"
        raise PortError(f"{port}: {what}; diagnose --plant plays policies that do not")
    pilot = loaded.pilot(None if chosen.through is None else load_mapping(chosen.through))
    robot = closed_loop.Robot(kind=chosen.plant, file=chosen.robot or pilot.contract.robot, meshes=chosen.meshes)
    if task is not None:
        diagnosis = closed_loop.diagnose_reach(pilot, robot, task, seed=chosen.seed)
    else:
        diagnosis = closed_loop.diagnose_walk(pilot, robot, parsed, seconds=chosen.seconds, seed=chosen.seed)
    side = "port" if chosen.through is None else "source"
    source = f"closed loop in {diagnosis.simulator}"
    outputs.give(diagnosis, lambda: closed_loop_report(diagnosis, port), side, source)
