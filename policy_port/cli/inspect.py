"""`policy-port inspect`: what a policy file is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from policy_port import counts
from policy_port.cli.export import (
    ActivationOption,
    AgentOption,
    FromOption,
    MeanOption,
    OutputOption,
    StatisticsOption,
    outputs_of,
    refuse_unheard,
)
from policy_port.cli.options import takes
from policy_port.cli.run_folder import policy_file

MOST = 12
"""How many tensors that are not used are listed."""

ONE_CALL = "the control loop of one environment runs it in one call"


@dataclass(frozen=True, kw_only=True)
class _Inspected:
    file: Annotated[
        Path,
        typer.Argument(help="Policy file: .pt, .pth, .zip, .onnx, a port, a run's folder, a YAML.", show_default=False),
    ]
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
    activation: ActivationOption = None
    agent: AgentOption = None
    statistics: StatisticsOption = None
    output: OutputOption = None
    mean: MeanOption = False
    width: Annotated[
        int | None,
        typer.Option(min=1, max=counts.NUMBERS, help="Width of the observation, where the file does not say it."),
    ] = None
    teacher: Annotated[bool, typer.Option("--teacher", help="The teacher of a distillation file.")] = False
    library: FromOption = None
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Hold the network against its --contract, or a port folder's own, without trace."),
    ] = False
    contract: Annotated[
        Path | None, typer.Option(help="With --probe, or for a YAML of networks: contract of the policy.")
    ] = None


@takes(_Inspected)
def inspect(options: _Inspected) -> None:
    """Print what a policy file is, without executing anything from it.

    With --probe: which block of the observation moves which action, joint orders that don't fit, dead inputs, symmetry,
    saturation, all from the network alone. Exit status 1: something is certain to be wrong. 0 proves nothing right.
    """
    from policy_port.checkpoints import inspect_file
    from policy_port.checkpoints.files.networks_yaml import is_wiring
    from policy_port.contract import load_contract
    from policy_port.port.format import MANIFEST
    from policy_port.probe.file import told_by

    wired = options.contract is not None and is_wiring(options.file)
    if options.contract is not None and not options.probe and not wired:
        raise typer.BadParameter("--contract goes with --probe, which holds the network against it")
    told = {
        "kind": options.library,
        "statistics": options.statistics,
        "width": options.width,
        "outputs": outputs_of(options.output),
        "activation": options.activation,
        "agent_yaml": options.agent,
        "teacher": options.teacher,
        "mean": options.mean,
    }
    if options.probe:
        _probe(options, told)
        return
    if (options.file / MANIFEST).is_file():
        _port_folder(options)
        return
    if options.contract is not None:
        told |= told_by(load_contract(options.contract), options.width)
    found = inspect_file(policy_file(options.file), **told)
    _refuse_unheard(options, str(found["library"]))
    typer.echo(json.dumps(found, indent=2) if options.json else "\n".join(report_lines(found)))


def _port_folder(options: _Inspected) -> None:
    """Print what a port's graph is, and how its control step is computed."""
    from policy_port.checkpoints import inspect_file
    from policy_port.deploy.runtime import remembers
    from policy_port.port.folder import load_port
    from policy_port.port.format import DEPLOY, WITHOUT_DEPLOY

    port = load_port(options.file, whole=True)
    file = port.onnx or port.torchscript
    assert file is not None, "a port holds one of the two"
    found = inspect_file(file)
    if DEPLOY in port.held:
        steps = [f"{DEPLOY}: signals by name in, joint targets out"]
        slower = remembers(port.contract)
        steps.append(f"the control loop computes it in NumPy around the network: {slower}" if slower else ONE_CALL)
    else:
        why = port.manifest.get(WITHOUT_DEPLOY, f"the port was written before there was {DEPLOY}")
        steps = [f"no {DEPLOY}: {why}", "the control loop computes it in NumPy around the network"]
    if options.json:
        typer.echo(json.dumps(found | {"control_step": steps}, indent=2))
        return
    lines = [f"{'control step' if not number else '':<13}{line}" for number, line in enumerate(steps)]
    typer.echo("\n".join([*report_lines(found), *lines]))


def _probe(options: _Inspected, told: dict[str, Any]) -> None:
    """Print what the network tells of its contract; exit with 1 where something is certain to be wrong."""
    from policy_port.probe.file import open_probed
    from policy_port.probe.probe import probe
    from policy_port.probe.words import text

    policy, stated = open_probed(policy_file(options.file), options.contract, **told)
    _refuse_unheard(options, policy.library)
    found = probe(policy.actor, stated, policy=str(policy.path))
    if options.json:
        about = {"file": str(policy.path), "sha256": policy.sha256, "contract": stated.name}
        typer.echo(json.dumps(about | found.document(), indent=2))
    else:
        typer.echo(f"{'file':<12}{policy.path}\n{'contract':<12}{stated.name}\n{text(found)}")
    if not found.ok:
        raise typer.Exit(1)


def _refuse_unheard(options: _Inspected, library: str) -> None:
    refuse_unheard(library, activation=options.activation, agent=options.agent, teacher=options.teacher)


def report_lines(found: Mapping[str, Any]) -> list[str]:
    """Lay out what `inspect_file` found for people."""
    rows: list[tuple[str, list[str]]] = [
        ("file", [f"{found['file']} ({found['bytes']} bytes)"]),
        ("sha256", [found["sha256"]]),
        ("library", [f"{found['library']}, {found['version']}"]),
        ("evidence", found["evidence"]),
        ("inputs", [_port(port) for port in found["inputs"]]),
        ("outputs", [_port(port) for port in found["outputs"]]),
        ("state", ["none; feed-forward"] if len(found["outputs"]) == 1 else ["recurrent: " + _names(found["outputs"])]),
        ("network", [*found["architecture"], f"{found['parameters']} numbers"]),
        ("normaliser", _normaliser(found["normaliser"])),
        ("actions", [found["distribution"]]),
        ("not used", _shortened([line for line in found["leftovers"] if line not in found["stops_export"]])),
        *([("unexplained", _stops(found["stops_export"]))] if found["stops_export"] else []),
        ("notes", found["notes"] or ["none"]),
    ]
    lines = []
    for title, values in rows:
        for index, value in enumerate(values):
            lines.append(f"{title if index == 0 else '':<12}{value}")
    return lines


def _port(port: Mapping[str, Any]) -> str:
    shown = f"{port['name']} [{', '.join(map(str, port['shape']))}]"
    if "dtype" not in port:
        return shown
    scale = "scaled inside" if port["scale"] is None else f"times {port['scale']:.6g} inside"
    return f"{shown} {port['dtype']}, {port['layout']}, {scale}"


def _names(ports: list[Mapping[str, Any]]) -> str:
    return ", ".join(port["name"] for port in ports[1:])


def _normaliser(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return ["none that can be told apart from the network"]
    low, high = found["mean_range"]
    least, most = found["deviation_range"]
    lines = [
        f"{found['formula']}, {found['size']} entries, from {found['where']}",
        f"mean {low:.4g} to {high:.4g}, deviation {least:.4g} to {most:.4g}",
    ]
    if found["clip"] is not None:
        lines.append(f"clipped to +-{found['clip']:g}")
    if found["samples"] is not None:
        lines.append(f"{found['samples']} samples")
    return lines


def _stops(unexplained: list[str]) -> list[str]:
    """What stops an export, and what lets it go on."""
    return [
        f"{len(unexplained)} of the file are left out, known as no part of a training, and stop an export:",
        *_shortened(unexplained),
        "where the policy does not need them, export says how to leave them out with --ignore NAME",
    ]


def _shortened(leftovers: list[str]) -> list[str]:
    if not leftovers:
        return ["nothing; every tensor belongs to the actor"]
    rest = len(leftovers) - MOST
    return leftovers if rest <= 0 else [*leftovers[:MOST], f"and {rest} more (--json lists them)"]
