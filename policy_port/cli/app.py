"""The `policy-port` program: its table of commands, and how every command fails."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from policy_port import __version__
from policy_port.cli import doctor
from policy_port.cli.camera import camera_app
from policy_port.cli.collect import collect
from policy_port.cli.compare import compare
from policy_port.cli.contract import contract_app
from policy_port.cli.diagnose import diagnose
from policy_port.cli.distil import distil
from policy_port.cli.emulate import emulate
from policy_port.cli.engine import engine
from policy_port.cli.export import export, remap
from policy_port.cli.identify import identify
from policy_port.cli.inspect import inspect
from policy_port.cli.map import map_app
from policy_port.cli.pipeline import pipeline
from policy_port.cli.play import play
from policy_port.cli.play_scheduled import ViewCommand
from policy_port.cli.regress import regress
from policy_port.cli.robot import robot_app
from policy_port.cli.sweep import sweep
from policy_port.cli.train import finetune, train
from policy_port.cli.verify import verify
from policy_port.errors import PolicyPortError

# One row per command, in the order of `--help`. A command's file imports typer and the standard library only;
# what it works with is imported inside its function, so that `--help` and shell completion answer at once.
COMMANDS: dict[str, Callable[..., Any]] = {
    "inspect": inspect,
    "remap": remap,
    "export": export,
    "play": play,
    "regress": regress,
    "sweep": sweep,
    "verify": verify,
    "diagnose": diagnose,
    "compare": compare,
    "train": train,
    "distil": distil,
    "finetune": finetune,
    "identify": identify,
    "pipeline": pipeline,
    "engine": engine,
    "collect": collect,
    "emulate": emulate,
    "doctor": doctor.doctor,
}

# The same for commands that have commands of their own.
GROUPS: dict[str, typer.Typer] = {
    "contract": contract_app,
    "map": map_app,
    "robot": robot_app,
    "camera": camera_app,
}


class _Commands(TyperGroup):
    """The top-level group: a misuse is one message and an exit status, a bug keeps its traceback."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the commands in the order of the tables above."""
        return [name for name in (*COMMANDS, *GROUPS) if name in self.commands]

    def invoke(self, ctx: Any) -> Any:
        """Run the command; turn the errors that a user can mend into their message and exit status."""
        try:
            return super().invoke(ctx)
        except PolicyPortError as error:
            typer.echo(f"error: {_shown(str(error))}", err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            typer.echo("interrupted; nothing was written", err=True)
            raise typer.Exit(130) from None


def _shown(text: str) -> str:
    """A message that quotes a stranger's file, with whatever a terminal would obey written out."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


app = typer.Typer(
    cls=_Commands,
    help="Carry a trained robot policy to another simulator or robot, and prove that it arrived unchanged.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    # Rich doubles the time of `--help` and would wrap tracebacks that belong to bugs.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"policy-port {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


for _name, _command in COMMANDS.items():
    app.command(_name, cls=ViewCommand if _name == "play" else None)(_command)
for _name, _group in GROUPS.items():
    app.add_typer(_group, name=_name)


def main() -> None:
    """Entry point of `policy-port`."""
    try:
        app(prog_name="policy-port")
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. Without this the interpreter complains once more at exit.
        sys.stderr.close()
        sys.exit(141)
