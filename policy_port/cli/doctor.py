"""`policy-port doctor`: what this machine can do, and the command that mends what it can't."""

from __future__ import annotations

import typer


def doctor() -> None:
    """Say what this machine can do, and how to mend what it can't."""
    typer.echo("ok")
