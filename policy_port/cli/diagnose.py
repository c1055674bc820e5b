"""`policy-port diagnose`: find the mistake that explains a trace, or how a robot does, and the edit that mends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from policy_port import counts
from policy_port.cli.options import takes
from policy_port.cli.plant_options import MeshesOption, PlantName, RobotOption, TaskOption, parse_command
from policy_port.cli.verify import NOT_VERIFIED, PortArgument, ReportOption, SideOption, TraceSide

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
    float | None,
    typer.Option(
        min=1.0, max=counts.DAY, help=f"With --plant: length of the walks that count [s]; {SECONDS:g}, if none."
    ),
]
SeedOption = Annotated[
    int | None, typer.Option(min=0, max=counts.SEED, help="With --plant: seed of start poses and episodes; 0, if none.")
]
WriteOption = Annotated[
    Path | None, typer.Option(help="Contract file to write, mended by the first hypothesis.", metavar="YAML")
]
UnverifiedOption = Annotated[
    bool, typer.Option("--unverified", help="Write the mended contract though the network does not confirm it.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace the contract file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ThroughOption = Annotated[
    str | None,
    typer.Option(metavar="MAP", help="With --plant: mapping of the port; the simulator speaks its source side."),
]


@dataclass(frozen=True, kw_only=True)
class DiagnoseOptions:
    """What `diagnose` is given on the command line."""

    port: PortArgument
    trace: TraceOption = None
    plant: PlantOption = None
    side: SideOption = None
    robot: RobotOption = None
    command: CommandOption = None
    task: TaskOption = None
    seconds: SecondsOption = None
    seed: SeedOption = None
    through: ThroughOption = None
    no_meshes: MeshesOption = False
    write: WriteOption = None
    unverified: UnverifiedOption = False
    force: ForceOption = False
    report: ReportOption = None
    json: JsonOption = False


@takes(DiagnoseOptions)
def diagnose(options: DiagnoseOptions) -> None:
    """Search the usual mistakes for what explains a trace, or does better in a simulator; rank them as YAML edits.

    Exit status 0: nothing differs, or nothing that a simulator can show is wrong. 1: something is. 2: bad input.
    3: nothing differs, but what a verdict needs could not be compared, which is named.
    """
    _check(options)
    outputs = _Outputs(options.write, options.report, options.json, options.unverified)
    outputs.check(options.force)
    if options.trace is not None:
        _explain(options.port, options.trace, options.side, outputs)
    else:
        _play(options, outputs)


def _check(options: DiagnoseOptions) -> None:
    """Refuse options that don't go together."""
    if (options.trace is None) == (options.plant is None):
        raise typer.BadParameter("give exactly one of --trace (numbers of the source) and --plant (a simulator)")
    simulated = {
        "--robot": options.robot,
        "--command": options.command,
        "--task": options.task,
        "--through": options.through,
        "--seconds": options.seconds,
        "--seed": options.seed,
        "--no-meshes": options.no_meshes or None,
    }
    given = [name for name, value in simulated.items() if value is not None]
    if options.trace is not None and given:
        raise typer.BadParameter(f"{', '.join(given)} goes with --plant")
    if options.plant is not None and options.side is not None:
        raise typer.BadParameter("--side goes with --trace; the side that a simulator speaks is --through's")
    if options.unverified and (options.write is None or options.trace is None):
        raise typer.BadParameter("--unverified goes with --trace and --write")
    if options.command is not None and options.task is not None:
        raise typer.BadParameter("give at most one of --command (walk) and --task (so100-reach)")
    if options.seconds is not None and options.task is not None:
        raise typer.BadParameter("--seconds goes with --command: the task has its own length")


class _Outputs(NamedTuple):
    """What becomes of a diagnosis."""

    write: Path | None
    report: Path | None
    json: bool
    unverified: bool

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
        refusal = self._refusal(diagnosis)
        if self.write is not None and refusal:
            typer.echo(f"wrote nothing to {self.write}: {refusal}", err=True)
        elif self.write is not None and diagnosis.found is not None:
            write_atomic(self.write, diagnosis.found.mended_yaml(source))
            doubt = f", NOT VERIFIED ({diagnosis.found.doubt})" if diagnosis.found.doubt else ""
            typer.echo(
                f"wrote {self.write}: contract of the {side}'s side, mended{doubt}; export or remap with it again",
                err=True,
            )
        raise typer.Exit(1 if diagnosis.wrong else NOT_VERIFIED)

    def _refusal(self, diagnosis: Diagnosis) -> str:
        """Why no mended contract is written; nothing where one is."""
        if diagnosis.tied > 1:
            return f"{diagnosis.tied} hypotheses do equally well, so none is written as if it were found"
        if diagnosis.found is None or not diagnosis.found.edits:
            return "no edit of the contract mends it"
        if diagnosis.found.doubt and not self.unverified:
            return f"it is not verified: {diagnosis.found.doubt}. --unverified writes it all the same"
        return ""


def _explain(port: Path, trace: Path, side: TraceSide | None, outputs: _Outputs) -> None:
    """Diagnose by a trace."""
    from policy_port.errors import EvidenceError
    from policy_port.port.folder import load_port
    from policy_port.verdict.diagnose import diagnose_contract
    from policy_port.verdict.evidence import read_evidence
    from policy_port.verdict.report import diagnose_report
    from policy_port.verdict.sides import find_side, following, side_network

    evidence = read_evidence(trace)
    loaded = load_port(port)
    found = find_side(loaded, evidence, side.value if side else None)
    try:
        network = side_network(loaded, found, engine="onnx" if loaded.onnx is not None else "torchscript")
    except EvidenceError as cause:
        network, evidence = None, evidence.unable("action", str(cause))
    diagnosis = diagnose_contract(found.contract, following(loaded, found, evidence), network)
    outputs.give(diagnosis, lambda: diagnose_report(diagnosis, trace, port), found.name, "from a trace")


def _play(options: DiagnoseOptions, outputs: _Outputs) -> None:
    """Diagnose by playing."""
    from policy_port.closed_loop import diagnose as closed_loop
    from policy_port.closed_loop.report import closed_loop_report
    from policy_port.contract import load_mapping
    from policy_port.errors import PortError
    from policy_port.port.folder import load_port
    from policy_port.replay.play import find_task

    assert options.plant is not None
    port, seed = options.port, options.seed or 0
    parsed = parse_command(options.command or COMMAND)
    task = find_task(options.task) if options.task is not None else None
    loaded = load_port(port)
    if loaded.contract.images or loaded.chunk is not None:
        what = "reads camera images" if loaded.contract.images else "answers with chunks of actions"
        raise PortError(f"{port}: {what}; diagnose --plant plays policies that do not")
    pilot = loaded.pilot(None if options.through is None else load_mapping(options.through))
    robot = closed_loop.Robot(
        kind=options.plant.value, file=options.robot or pilot.contract.robot, meshes=not options.no_meshes
    )
    if task is not None:
        diagnosis = closed_loop.diagnose_reach(pilot, robot, task, seed=seed)
    else:
        diagnosis = closed_loop.diagnose_walk(pilot, robot, parsed, seconds=options.seconds or SECONDS, seed=seed)
    side = "port" if options.through is None else "source"
    source = f"closed loop in {diagnosis.simulator}"
    outputs.give(diagnosis, lambda: closed_loop_report(diagnosis, port), side, source)
