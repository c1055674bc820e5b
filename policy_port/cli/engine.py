"""`policy-port engine`: from an arm's motion to a better simulator, from that to a better policy, and again."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from policy_port.cli.options import takes

if TYPE_CHECKING:
    from policy_port.engine.document import Engine
    from policy_port.pipeline.document import Command


def engine(
    file: Annotated[Path, typer.Argument(metavar="ENGINE", help="Engine, a YAML file; docs/engine.md says more.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of everything that is made; the file's own, if absent.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would run, and run nothing.")] = False,
    until: Annotated[
        str | None, typer.Option(metavar="STAGE", help="End after this stage, as --plan calls it.")
    ] = None,
) -> None:
    """Turn the crank: collect, identify, fine-tune, play, N times, until a turn brings nothing significant.

    What is done and unchanged is skipped, what was cut goes on. Before each motion of a real arm it asks.
    """
    from policy_port.engine.document import read_engine
    from policy_port.engine.turning import plan_of, turn_crank

    found = read_engine(file, out)
    if plan:
        for name, due in plan_of(found, commands(), PARTS, until).items():
            typer.echo(f"{name}: {due}")
        return
    _refuse_unattended(found)
    done = turn_crank(found, commands(), PARTS, typer.echo, until)
    typer.echo("\n" + done.text())
    typer.echo(f"wrote {found.out / 'report.html'}")


def _refuse_unattended(found: Engine) -> None:
    """A file that says `continuous` is no answer of somebody who stands by the arm."""
    from policy_port.errors import RobotError

    attended = sys.stdin is not None and sys.stdin.isatty()
    if found.document.emulated is None and not attended:
        raise RobotError(
            "the engine moves a real arm and asks before each motion, and nobody can press Enter here: run it in a "
            "terminal; nothing was moved. To rehearse without an arm, write `emulated: {}` into the file"
        )


PARTS = {"dynamics": lambda folder: folder / "dynamics.yaml"}
"""What `@STAGE:PART` may name."""


def commands() -> Mapping[str, Command]:
    """What a stage may run: the commands that a person would type, and `identify` with its files in a folder."""
    from policy_port.cli import pipeline
    from policy_port.cli.collect import collect
    from policy_port.cli.play import play
    from policy_port.pipeline.document import Command

    known, as_stage = pipeline.commands(), pipeline.as_stage
    return {
        "collect": Command(call=as_stage(collect), rooms=(), lasting=True),
        "identify": Command(call=identify, rooms=("identify", "dynamics", "plants"), tells=_identified),
        "finetune": known["finetune"],
        "export": known["export"],
        "simulate": Command(call=as_stage(play), rooms=pipeline.PLAYING),
        "play": Command(call=_tried(as_stage(play)), rooms=(), lasting=True, tells=_played),
    }


def _tried(play: Callable[..., Any]) -> Callable[..., Any]:
    """Play on the arm; a policy that it was stopped with again and again has failed, and the crank goes on."""
    from policy_port.errors import TrainError
    from policy_port.replay.result import TRACE
    from policy_port.trace import Trace

    @functools.wraps(play)
    def stage(**options: Any) -> None:
        try:
            play(**options)
        except TrainError as error:
            trace: Path = options["out"] / TRACE
            header = Trace(trace).header if trace.is_file() else {}
            whole = len(header.get("episodes", ())) == options["episodes"] and header.get("stopped") is None
            if not (header.get("gave_up") or whole):
                raise
            typer.echo(f"  {error}", err=True)

    return stage


@dataclass(frozen=True, kw_only=True)
class IdentifyStage:
    """What the stage is given; see `policy-port identify`."""

    collected: list[Path]
    """Folders of `collect`, a turn each."""
    runs: list[Path]
    """Folders of `play --real`, to fit too."""
    data: list[Path]
    """More recordings to fit."""
    held_out: list[Path]
    """More recordings to judge by."""
    accept: list[str]
    """Doubts of the recordings that are none."""
    out: Path
    robot: str
    contract: Path
    payload: str | None = None
    priors: str = "sts3215"
    segments: int = 96
    horizon: float = 0.5


@takes(IdentifyStage)
def identify(stage: IdentifyStage) -> None:
    """Identify from what was collected in all turns, each recording in its two halves."""
    from policy_port.contract import load_contract
    from policy_port.engine.halves import check_apart, write_halves
    from policy_port.identify import session
    from policy_port.replay.result import TRACE

    halves = []
    for number, folder in enumerate(stage.collected, 1):
        place = stage.out / "halves" / f"turn{number}"
        place.mkdir(parents=True, exist_ok=True)
        halves.append(write_halves(folder / TRACE, place))
    fit = (*(one["fit"] for one in halves), *(folder / TRACE for folder in stage.runs), *stage.data)
    judged = (*(one["held_out"] for one in halves), *stage.held_out)
    check_apart(fit, judged)
    request = session.Request(
        plant="mujoco",
        robot=stage.robot,
        contract=load_contract(stage.contract),
        priors=stage.priors,
        payload_link=stage.payload,
        data=fit,
        held_out=judged,
        horizon=stage.horizon,
        segments=stage.segments,
        accepted=tuple(stage.accept),
    )
    done = session.run(request, lambda text: typer.echo(f"  {text}", err=True))
    typer.echo(done.text.rstrip())
    session.write(done, stage.out / "dynamics.yaml", stage.out / "report.html")


def _identified(folder: Path) -> str:
    from policy_port.dynamics.document import load_dynamics

    found = load_dynamics(folder / "dynamics.yaml")
    known = sum(bool(one.identified) for _, one in found.estimates())
    return f"{known} parameters identified"


def _played(folder: Path) -> str:
    import json

    metrics: Any = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    return f"success {metrics.get('success_rate', 0.0):.2f} of {metrics.get('episodes', 0)}"
