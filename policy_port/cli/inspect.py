"""`policy-port inspect`: what a policy file is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from policy_port.cli.export import OutputOption, StatisticsOption, outputs_of


def inspect(
    file: Annotated[Path, typer.Argument(help="Policy file: .pt, .pth, .zip or .onnx.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    activation: Annotated[
        str | None, typer.Option(help="Activation of the hidden layers, where the file does not say.")
    ] = None,
    agent_yaml: Annotated[
        Path | None,
        typer.Option("--agent-yaml", "--agent", help="The trainer's configuration, where it is not beside the file."),
    ] = None,
    statistics: StatisticsOption = None,
    output: OutputOption = None,
    width: Annotated[
        int | None, typer.Option(min=1, help="Width of the observation, where the file does not say it.")
    ] = None,
    teacher: Annotated[bool, typer.Option("--teacher", help="The teacher of a distillation file.")] = False,
    from_: Annotated[str | None, typer.Option("--from", metavar="LIBRARY", help="Library that wrote the file.")] = None,
) -> None:
    """Print what a policy file is, without executing anything from it."""
    import json as json_module

    from policy_port.checkpoints import inspect_file

    found = inspect_file(
        file,
        kind=from_,
        statistics=statistics,
        width=width,
        outputs=outputs_of(output),
        activation=activation,
        agent_yaml=agent_yaml,
        teacher=teacher,
    )
    if json:
        typer.echo(json_module.dumps(found, indent=2))
    else:
        typer.echo("\n".join(report_lines(found)))


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


def _shortened(leftovers: list[str], most: int = 12) -> list[str]:
    if not leftovers:
        return ["nothing; every tensor belongs to the actor"]
    rest = len(leftovers) - most
    return leftovers if rest <= 0 else [*leftovers[:most], f"and {rest} more (--json lists them)"]
