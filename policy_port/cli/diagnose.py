"""`policy-port diagnose`: find the mistake that explains a trace, and the edit of the contract that mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from policy_port.cli.verify import PortArgument, ReportOption, SideOption, TraceOption


def diagnose(
    port: PortArgument,
    trace: TraceOption,
    side: SideOption = None,
    write: Annotated[
        Path | None, typer.Option(help="Contract file to write, mended by the first hypothesis.", metavar="YAML")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the contract file.")] = False,
    report: ReportOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search the usual mistakes for what explains a trace; rank them, each as the YAML edit that mends it.

    Exit status 0: nothing differs. 1: something does. 2: the trace or the port can't be used.
    """
    from policy_port.errors import OutputError
    from policy_port.export.port import load_port
    from policy_port.files import write_atomic
    from policy_port.report import write_report
    from policy_port.verdict.diagnose import diagnose_contract, mended_yaml
    from policy_port.verdict.evidence import read_evidence
    from policy_port.verdict.report import diagnose_report
    from policy_port.verdict.sides import find_side

    if write is not None and write.exists() and not force:
        raise OutputError(f"{write}: exists; name another file, or replace it with --force")
    if write is not None and not write.parent.is_dir():
        raise OutputError(f"{write.parent}: no such folder for the output")
    evidence = read_evidence(trace)
    found = find_side(load_port(port), evidence, side.value if side else None)
    diagnosis = diagnose_contract(found.contract, evidence)
    typer.echo(diagnosis.json().rstrip() if json else diagnosis.text())
    if report is not None:
        write_report(report, diagnose_report(diagnosis, trace, port))
    if diagnosis.ok:
        return
    first = diagnosis.hypotheses[0] if diagnosis.hypotheses else None
    if write is not None and first is not None and first.edits:
        write_atomic(write, mended_yaml(diagnosis))
        typer.echo(
            f"wrote {write}: contract of the {found.name}'s side, mended; export or remap with it again", err=True
        )
    elif write is not None:
        typer.echo(f"wrote nothing to {write}: no edit of the contract mends it", err=True)
    raise typer.Exit(1)
