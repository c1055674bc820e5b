"""Claims about commands whose options are the fields of a dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from typer.testing import CliRunner

from policy_port.cli.options import takes


@dataclass(frozen=True, kw_only=True)
class Options:
    """Of a command that greets."""

    file: Annotated[Path, typer.Argument(metavar="FILE")]
    times: Annotated[int, typer.Option(min=1, help="How often.")] = 1
    names: Annotated[list[str] | None, typer.Option("--name", help="Whom.")] = None


def run(*args: str) -> tuple[int, str, list[Options]]:
    seen: list[Options] = []
    app = typer.Typer(rich_markup_mode=None)

    @app.command()
    @takes(Options)
    def greet(options: Options) -> None:
        """Say hello."""
        seen.append(options)

    result = CliRunner().invoke(app, list(args))
    return result.exit_code, result.output, seen


def test_the_function_gets_what_was_given_and_the_defaults() -> None:
    """Arguments by place, options by flag, and what is not given as the dataclass says."""
    code, _, seen = run("a.txt", "--name", "b", "--name", "c")
    assert (code, seen) == (0, [Options(file=Path("a.txt"), times=1, names=["b", "c"])])


def test_a_field_without_a_default_is_required_and_bounds_hold() -> None:
    """The command is refused before the function runs."""
    assert run()[0::2] == (2, [])
    assert run("a.txt", "--times", "0")[0::2] == (2, [])


def test_help_is_the_functions_and_the_fields() -> None:
    """`--help` shows the function's docstring and each field's help, as for a command of parameters."""
    code, output, _ = run("--help")
    assert code == 0
    for text in ("Say hello.", "FILE", "--times", "How often.", "[default: 1", "--name", "Whom."):
        assert text in output
