"""The `policy-port` program: its table of commands, and how every command fails."""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from policy_port import __version__
from policy_port.errors import PolicyPortError

# One row per command, in the order of `--help`: the module of `policy_port.cli` and the name in it, and the first
# line of its help. A command is imported when it is run, so that `--help` and shell completion answer at once; its
# file imports typer and the standard library only, and inside its function what it works with.
COMMANDS: dict[str, tuple[str, str]] = {
    "inspect": ("inspect:inspect", "Print what a policy file is, without executing anything from it."),
    "remap": (
        "export:remap",
        "Write the policy for another parsing of its robot, and prove that it arrived unchanged.",
    ),
    "export": (
        "export:export",
        "Write the policy as TorchScript and ONNX with its contract, and prove that it arrived unchanged.",
    ),
    "play": (
        "play:play",
        "Replay a port in a ManiSkill environment (--env), on flat ground (--plant) or on an arm (--real); measure it.",
    ),
    "regress": (
        "regress:regress",
        "Hold a suite of replays against its baselines: exit 0 pass, 1 regression, 2 bad suite, 3 inconclusive.",
    ),
    "sweep": (
        "sweep:sweep",
        "Score checkpoints in simulators, over commands and seeds: exit 0 all played, 1 cases failed, 2 bad sweep.",
    ),
    "verify": (
        "verify:verify",
        "Rebuild from a trace's raw state what the network saw, run the port on it, and compare number by number.",
    ),
    "diagnose": (
        "diagnose:diagnose",
        "Search the usual mistakes for what explains a trace, or does better in a simulator; rank them as YAML edits.",
    ),
    "compare": (
        "compare:compare",
        "Compare runs of one policy: outcome, speed, joint trajectories, actions, torque; and rank policies by --rank.",
    ),
    "train": (
        "train:train",
        "Train a policy on a plant by RSL-RL's PPO; killed at any time, --resume draws the same curve.",
    ),
    "distil": (
        "distil:distil",
        "Teach a student to act like a teacher that reads more, by RSL-RL's distillation, and say how well it does.",
    ),
    "finetune": (
        "train:finetune",
        "Fine-tune a distilled student by PPO without destroying it; where that is no better, the student is the "
        "result.",
    ),
    "identify": (
        "identify:identify",
        "Find the dynamics that predict recordings, and say how well they are known.",
    ),
    "pipeline": (
        "pipeline:pipeline",
        "Run the stages that a file lists; what is done and unchanged is skipped, what was cut goes on.",
    ),
    "engine": (
        "engine:engine",
        "Turn the crank: collect, identify, fine-tune, play, N times, until a turn brings nothing significant.",
    ),
    "collect": (
        "collect:collect",
        "Excite an arm's dynamics by a plan, on the arm (--real) or an emulated one (--emulated), and record it.",
    ),
    "emulate": (
        "emulate:emulate",
        "Emulate an SO100 or SO101 arm: servos behind a port that LeRobot opens, cameras, and faults on demand.",
    ),
    "doctor": ("doctor:doctor", "Say what this machine can do, and how to mend what it can't."),
}

# The same for commands that have commands of their own.
GROUPS: dict[str, tuple[str, str]] = {
    "contract": ("contract:contract_app", "Make a contract from what a trainer wrote, and look at contracts."),
    "map": ("map:map_app", "Derive a mapping, look at one, and hold it against contracts."),
    "robot": ("robot:robot_app", "Look at an arm without torque, confirm its signs and zeros, let it go."),
    "camera": (
        "camera:camera_app",
        "A camera and its twin in the simulator: resets, align, solve, background, check.",
    ),
}

# Commands whose arguments are parsed by a class of their own.
CLASSES = {"play": "play_scheduled:ViewCommand"}


def _named(where: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(f"policy_port.cli.{module}"), name)


@functools.cache
def command_named(name: str) -> Any:
    """The command itself, imported.

    Args:
        name: A key of `COMMANDS` or `GROUPS`.
    """
    holder = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    # With a callback it stays a group, however few its commands.
    holder.callback()(lambda: None)
    if name in GROUPS:
        holder.add_typer(_named(GROUPS[name][0]), name=name)
    else:
        holder.command(name, cls=_named(CLASSES[name]) if name in CLASSES else None)(_named(COMMANDS[name][0]))
    return typer.main.get_group(holder).commands[name]


class _Commands(TyperGroup):
    """The top-level group: a misuse is one message and an exit status, a bug keeps its traceback."""

    def __init__(self, **given: Any) -> None:
        # What is listed is not imported: these stand for it, by name and first line.
        rows = {**COMMANDS, **GROUPS}
        given["commands"] = {
            name: TyperCommand(name, help=help, rich_markup_mode=None) for name, (_, help) in rows.items()
        }
        super().__init__(**given)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find what is run, or completed further, and import it."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, command_named(str(name)), rest

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


def main() -> None:
    """Entry point of `policy-port`."""
    try:
        app(prog_name="policy-port")
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. Without this the interpreter complains once more at exit.
        sys.stderr.close()
        sys.exit(141)
