"""`policy-port inspect`: what a policy file is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer


def inspect(
    file: Annotated[Path, typer.Argument(help="Policy file: .pt, .pth, .zip or .onnx.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    activation: Annotated[
        str | None, typer.Option(help="Activation of the hidden layers, where the file does not say.")
    ] = None,
    agent_yaml: Annotated[
        Path | None, typer.Option("--agent-yaml", help="The trainer's configuration, where it is not beside the file.")
    ] = None,
    teacher: Annotated[bool, typer.Option("--teacher", help="The teacher of a distillation file.")] = False,
    from_: Annotated[str | None, typer.Option("--from", metavar="LIBRARY", help="Library that wrote the file.")] = None,
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Hold the network against its --contract, or a port folder's own, without trace."),
    ] = False,
    contract: Annotated[Path | None, typer.Option(help="With --probe: contract of the policy.")] = None,
) -> None:
    """Print what a policy file is, without executing anything from it.

    With --probe: which block of the observation moves which action, joint orders that don't fit, dead inputs, symmetry,
    saturation, all from the network alone. Exit status 1: something is certain to be wrong. 0 proves nothing right.
    """
    import json as json_module

    from policy_port.checkpoints import inspect_file

    if probe:
        _probe(file, contract, json, kind=from_, activation=activation, agent_yaml=agent_yaml, teacher=teacher)
        return
    if contract is not None:
        raise typer.BadParameter("--contract goes with --probe, which holds the network against it")
    found = inspect_file(file, kind=from_, activation=activation, agent_yaml=agent_yaml, teacher=teacher)
    if json:
        typer.echo(json_module.dumps(found, indent=2))
    else:
        typer.echo("\n".join(report_lines(found)))


def _probe(file: Path, contract: Path | None, json: bool, **options: Any) -> None:
    """Print what the network tells of its contract; exit with 1 where something is certain to be wrong."""
    import json as json_module

    from policy_port.probe.file import open_probed
    from policy_port.probe.probe import probe
    from policy_port.probe.words import text

    policy, stated = open_probed(file, contract, **options)
    found = probe(policy.actor, stated, policy=str(policy.path))
    if json:
        about = {"file": str(policy.path), "sha256": policy.sha256, "contract": stated.name}
        typer.echo(json_module.dumps(about | found.document(), indent=2))
    else:
        typer.echo(f"{'file':<12}{policy.path}\n{'contract':<12}{stated.name}\n{text(found)}")
    if not found.ok:
        raise typer.Exit(1)


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
        ("not used", _shortened(found["leftovers"])),
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


def _shortened(leftovers: list[str], most: int = 12) -> list[str]:
    if not leftovers:
        return ["nothing; every tensor belongs to the actor"]
    rest = len(leftovers) - most
    return leftovers if rest <= 0 else [*leftovers[:most], f"and {rest} more (--json lists them)"]
