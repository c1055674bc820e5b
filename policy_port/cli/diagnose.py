"""`policy-port diagnose`: find the mistake that explains a trace, or how a robot does, and the edit that mends it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from policy_port.cli.plant_options import MeshesOption, PlantName, RobotOption, TaskOption, parse_command
from policy_port.cli.verify import PortArgument, ReportOption, SideOption, TraceSide

if TYPE_CHECKING:
    from policy_port.closed_loop.diagnosis import ClosedLoopDiagnosis
    from policy_port.contract import Contract
    from policy_port.mistakes.edits import Edit

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
    _check_outputs(write, force)
    if trace is not None:
        _explain(port, trace, side, write, report, json)
        return
    assert plant is not None
    chosen = _Chosen(
        plant.value, robot, command or COMMAND, task, seconds or SECONDS, seed or 0, through, not no_meshes
    )
    diagnosis, contract_of = _play(port, chosen)
    typer.echo(diagnosis.json().rstrip() if json else diagnosis.text())
    if report is not None:
        from policy_port.closed_loop.report import closed_loop_report
        from policy_port.report import write_report

        write_report(report, closed_loop_report(diagnosis, port))
    if diagnosis.ok:
        return
    found = diagnosis.found
    several = f"{diagnosis.tied} hypotheses do equally well" if diagnosis.tied > 1 else None
    source = f"closed loop in {diagnosis.setting['simulator'].partition(',')[0]}"
    _write(write, (found.contract, found.edits) if found else None, contract_of, source, several)
    raise typer.Exit(1)


def _explain(
    port: Path, trace: Path, side: TraceSide | None, write: Path | None, report: Path | None, json: bool
) -> None:
    """Diagnose by a trace."""
    from policy_port.port.folder import load_port
    from policy_port.report import write_report
    from policy_port.verdict.diagnose import diagnose_contract
    from policy_port.verdict.evidence import read_evidence
    from policy_port.verdict.report import diagnose_report
    from policy_port.verdict.sides import find_side

    evidence = read_evidence(trace)
    found = find_side(load_port(port), evidence, side.value if side else None)
    diagnosis = diagnose_contract(found.contract, evidence)
    typer.echo(diagnosis.json().rstrip() if json else diagnosis.text())
    if report is not None:
        write_report(report, diagnose_report(diagnosis, trace, port))
    if diagnosis.ok:
        return
    first = diagnosis.hypotheses[0] if diagnosis.hypotheses else None
    _write(write, (first.contract, first.edits) if first else None, f"the {found.name}'s side", "from a trace", None)
    raise typer.Exit(1)


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


def _play(port: Path, chosen: _Chosen) -> tuple[ClosedLoopDiagnosis, str]:
    """Diagnose by playing; also whose contract that is."""
    from policy_port.closed_loop import diagnose as closed_loop
    from policy_port.contract import load_mapping
    from policy_port.errors import PortError
    from policy_port.port.folder import load_port
    from policy_port.port.pilot import Pilot
    from policy_port.replay.play import find_task

    parsed = parse_command(chosen.command)
    task = find_task(chosen.task) if chosen.task is not None else None
    loaded = load_port(port)
    if loaded.onnx is None:
        raise PortError(f"{port}: holds no ONNX file, which is what is played; export it with --format onnx")
    if loaded.contract.images or loaded.chunk is not None:
        what = "reads camera images" if loaded.contract.images else "answers with chunks of actions"
        raise PortError(f"{port}: {what}; diagnose --plant plays policies that do not")
    pilot = Pilot(onnx=loaded.onnx, network_contract=loaded.contract, made_with=loaded.mapping)
    if chosen.through is not None:
        pilot = pilot.through(load_mapping(chosen.through))
    robot = closed_loop.Robot(kind=chosen.plant, file=chosen.robot or pilot.contract.robot, meshes=chosen.meshes)
    side = "the source's side" if chosen.through is not None else "the port's side"
    if task is not None:
        return closed_loop.diagnose_reach(pilot, robot, task, seed=chosen.seed), side
    return closed_loop.diagnose_walk(pilot, robot, parsed, seconds=chosen.seconds, seed=chosen.seed), side


def _check_outputs(write: Path | None, force: bool) -> None:
    from policy_port.errors import OutputError

    if write is not None and write.exists() and not force:
        raise OutputError(f"{write}: exists; name another file, or replace it with --force")
    if write is not None and not write.parent.is_dir():
        raise OutputError(f"{write.parent}: no such folder for the output")


def _write(
    out: Path | None, mended: tuple[Contract, tuple[Edit, ...]] | None, whose: str, source: str, several: str | None
) -> None:
    """Write the mended contract, or say why there is none."""
    from policy_port.files import write_atomic
    from policy_port.verdict.diagnose import mended_yaml

    if out is None:
        return
    if mended is not None and mended[1]:
        write_atomic(out, mended_yaml(*mended, source))
        typer.echo(f"wrote {out}: contract of {whose}, mended; export or remap with it again", err=True)
        return
    why = f"{several}, so none is written as if it were found" if several else "no edit of the contract mends it"
    typer.echo(f"wrote nothing to {out}: {why}", err=True)
