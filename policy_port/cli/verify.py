"""`policy-port verify`: hold a port against what was recorded where its policy was trained."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

NOT_VERIFIED = 3
"""Exit status where nothing differs, and what a verdict needs could not be compared."""


class Engine(StrEnum):
    """The file of the port that is run."""

    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"


class TraceSide(StrEnum):
    """The parsing that a trace was recorded in."""

    SOURCE = "source"
    PORT = "port"


PortArgument = Annotated[Path, typer.Argument(metavar="PORT", help="Port folder, from `remap` or `export`.")]
TraceOption = Annotated[
    Path | None, typer.Option(help="Trace (.npz) from the source simulator, required; see policy_port.trace.")
]
SideOption = Annotated[
    TraceSide | None, typer.Option(help="Parsing that the trace was recorded in, where its header does not tell.")
]

ReportOption = Annotated[Path | None, typer.Option(help="HTML file to write, with its plot beside it.", metavar="HTML")]


def verify(
    port: PortArgument,
    trace: TraceOption = None,
    side: SideOption = None,
    engine: Annotated[Engine, typer.Option(help="Which file of the port to run.")] = Engine.ONNX,
    report: ReportOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Rebuild from a trace's raw state what the network saw, run the port on it, and compare number by number.

    Exit status 0: nothing differs. 1: something does, and is named. 2: the trace or the port can't be used.
    3: not verified; nothing differs, but a comparison that a verdict needs could not be made, which is named.
    """
    if trace is None:
        raise typer.BadParameter(
            "verify needs a --trace of the source (docs/traces.md). Without one, `policy-port inspect "
            f"{port} --probe` says what the network alone tells of its contract"
        )
    from policy_port.port.folder import load_port
    from policy_port.report import write_report
    from policy_port.verdict.evidence import read_evidence
    from policy_port.verdict.report import verify_report
    from policy_port.verdict.verify import verify_port

    evidence = read_evidence(trace)
    verdict = verify_port(load_port(port, whole=True), evidence, side=side.value if side else None, engine=engine.value)
    typer.echo(verdict.json().rstrip() if json else verdict.text())
    if report is not None:
        write_report(report, verify_report(verdict, port))
    if not verdict.ok:
        raise typer.Exit(1 if verdict.wrong else NOT_VERIFIED)
