"""`policy-port doctor`: what this machine can do, and the command that mends what it can't."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from policy_port.system import Need

if TYPE_CHECKING:
    from policy_port.system import Finding


def doctor(
    need: Annotated[Need | None, typer.Option(help="Exit with 1 where this can't be done here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Say what this machine can do, and how to mend what it can't."""
    import sys

    from policy_port.system import examine, unmet

    if sys.stderr.isatty():
        typer.echo("Looking at drivers and libraries ...", err=True)
    found = examine()
    typer.echo(_as_json(found) if as_json else _as_text(found))
    if need is not None and unmet(found, need):
        raise typer.Exit(1)


def _as_json(found: tuple[Finding, ...]) -> str:
    import dataclasses
    import json

    from policy_port.system import unmet

    document = {
        "findings": [dataclasses.asdict(finding) for finding in found],
        "ready": {str(need): not unmet(found, need) for need in Need},
    }
    return json.dumps(document, indent=2)


def _as_text(found: tuple[Finding, ...]) -> str:
    from policy_port.system import unmet

    width = max(len(finding.name) for finding in found)
    lines = []
    for finding in found:
        lines.append(f"{finding.name:<{width}}  {'ok' if finding.ok else '--':<2}  {finding.detail}")
        if finding.mend:
            lines.append(f"{'':<{width}}      mend: {finding.mend}")
    lines.append("")
    for need in Need:
        lacking = ", ".join(finding.name for finding in unmet(found, need))
        lines.append(f"{need:<{width}}  {'not ready: ' + lacking if lacking else 'ready'}")
    return "\n".join(lines)
