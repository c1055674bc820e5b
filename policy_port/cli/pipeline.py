"""`policy-port pipeline`: teacher, student, fine-tuned, exported and played, as one file says it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from policy_port import counts
from policy_port.cli.plant_options import PlantName

if TYPE_CHECKING:
    from policy_port.pipeline.document import Command
    from policy_port.pipeline.stages import State

LEARNING = ("checkpoints", "contract", "control", "dynamics", "plants", "robot_models", "tasks", "train")
PORTING = ("checkpoints", "contract", "export", "motion", "port", "proof", "remap")
PLAYING = ("contract", "control", "motion", "plants", "port", "replay", "robot_models", "tasks")


def pipeline(
    file: Annotated[Path, typer.Argument(metavar="PIPELINE", help="Pipeline, a YAML file; docs/distil.md says more.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of everything that is made; the file's own, if absent.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would run, and run nothing.")] = False,
) -> None:
    """Run the stages that a file lists; what is done and unchanged is skipped, what was cut goes on."""
    from policy_port.pipeline.document import read_pipeline
    from policy_port.pipeline.report import figures_text, pipeline_report
    from policy_port.pipeline.stages import Running
    from policy_port.report import write_report

    found = read_pipeline(file, commands(), out)

    def report(states: dict[str, State]) -> None:
        write_report(found.out / "report.html", pipeline_report(found, states))

    running = Running(pipeline=found, parts=PARTS, say=typer.echo, on_stage=report)
    if plan:
        for name, due in running.plan().items():
            typer.echo(f"{name}: {WORDS[due]}")
        return
    states = running.run()
    if text := figures_text(states):
        typer.echo(text)
    typer.echo(f"wrote {found.out / 'report.html'}")


WORDS = {
    "done": "done, and nothing that it depends on has changed",
    "resume": "goes on where it was cut",
    "run": "runs",
}


def commands() -> Mapping[str, Command]:
    """What a stage may run, by the name on the command line; `measure` is a pipeline's own."""
    from policy_port.cli.compare import compare
    from policy_port.cli.distil import distil
    from policy_port.cli.export import export, remap
    from policy_port.cli.play import play
    from policy_port.cli.regress import regress
    from policy_port.cli.train import finetune, train
    from policy_port.pipeline.document import Command

    def learns(call: Callable[..., Any]) -> Command:
        return Command(
            **called(call),
            rooms=LEARNING,
            measures=lambda folder, options: _of_run(folder),
            curves=_curves,
            tells=_result,
            makes="run",
            parts=tuple(PARTS),
            takes=TAKES,
        )

    def ports(call: Callable[..., Any]) -> Command:
        return Command(**called(call), rooms=PORTING, makes="port", takes=TAKES)

    return {
        "train": learns(train),
        "distil": learns(distil),
        "finetune": learns(finetune),
        "export": ports(export),
        "remap": ports(remap),
        "measure": Command(
            call=measure,
            rooms=LEARNING,
            measures=lambda folder, options: _measured(folder),
            makes="table of figures",
            takes={"policy": ("port", "run")},
        ),
        "play": Command(
            **called(play),
            rooms=PLAYING,
            measures=lambda folder, options: _of_play(folder),
            makes="replay",
            takes={"ports": ("port",)},
        ),
        "compare": Command(**called(compare), rooms=("compare",), makes="comparison", takes={"runs": ("replay",)}),
        "regress": Command(
            **called(regress),
            rooms=("regress", *PORTING, *PLAYING),
            folder=_baselines,
            depends=_suite,
            makes="folder of baselines",
            takes={},
        ),
    }


TAKES = {
    **dict.fromkeys(("contract", "student_contract", "teacher_contract", "critic_contract"), (":contract",)),
    "teacher": ("run", "port", ":checkpoint"),
    "student": ("run", ":checkpoint"),
    "policy": ("run", ":checkpoint"),
}
"""What options of trainings and exports may name of earlier stages."""


def called(command: Callable[..., Any]) -> dict[str, Any]:
    """A command of the command line and its check, which fail as a stage does."""
    return {"call": as_stage(command), "check": as_stage(command.check)}  # type: ignore[attr-defined]


def as_stage(call: Callable[..., Any]) -> Callable[..., Any]:
    """A command that fails as a stage does: with an error, whatever its own program would have done."""
    from policy_port.errors import TrainError

    @functools.wraps(call)
    def stage(**options: Any) -> None:
        try:
            call(**options)
        except typer.BadParameter as error:
            raise TrainError(error.format_message()) from None
        except typer.Exit as end:
            if end.exit_code:
                why = "what it printed says why" if end.__cause__ is None else str(end.__cause__)
                error = TrainError(f"ended with exit status {end.exit_code}: {why}")
                error.exit_code = end.exit_code
                raise error from None

    return stage


def measure(
    policy: Annotated[Path, typer.Argument()],
    out: Annotated[Path, typer.Option()],
    plant: Annotated[PlantName, typer.Option()],
    robot: Annotated[str, typer.Option()],
    task: Annotated[str, typer.Option()],
    episodes: Annotated[int, typer.Option(min=2, max=counts.EPISODES)] = 40,
    seconds: Annotated[float, typer.Option(min=0.1, max=counts.DAY)] = 10.0,
    seed: Annotated[int, typer.Option(min=0, max=counts.SEED)] = 1_000_000,
) -> None:
    """Let a port, or a run's result, perform drawn episodes of a velocity task, and keep the figures."""
    from policy_port.train import measure as measuring

    asked = {"episodes": episodes, "seconds": seconds, "seed": seed}
    measuring.write_measures(out, measuring.measure(policy, plant=plant.value, robot=robot, task=task, **asked))


def _checkpoint(folder: Path) -> Path:
    from policy_port.train.run import open_run

    return open_run(folder).result()[0]


def _result(folder: Path) -> str:
    from policy_port.train.run import open_run

    file, reason = open_run(folder).result()
    return f"{file.name}: {reason}"


def _curves(folder: Path) -> dict[str, list[float]]:
    from policy_port.train.run import open_run

    run, rows = open_run(folder), open_run(folder).rows()
    names = {"reward": "mean reward a control step"}
    if run.record.stage == "distil":
        names["Loss/behavior"] = "squared error of raw actions"
    return {words: [float(row[name]) for row in rows if row.get(name)] for name, words in names.items()}


def _contract(folder: Path) -> Path:
    from policy_port.train.run import open_run

    return folder / "contracts" / f"{open_run(folder).record.acting}.yaml"


PARTS = {"checkpoint": _checkpoint, "contract": _contract}
"""What `@NAME:PART` may name of a run: its result, and the contract of what drives."""


def _of_run(folder: Path) -> dict[str, Any]:
    from policy_port.tasks.reach_training import read_reach
    from policy_port.train.measure import measure_run
    from policy_port.train.run import open_run

    if read_reach(folder / "task.yaml") is not None:
        scores = open_run(folder).scores()
        last = scores[max(scores)] if scores else {}
        return {f"{name} at the last checkpoint": {"value": value} for name, value in last.items()}
    return measure_run(folder)


def _measured(folder: Path) -> dict[str, Any]:
    import json

    from policy_port.train.measure import FIGURES

    return json.loads((folder / FIGURES).read_text(encoding="utf-8"))


def _of_play(folder: Path) -> dict[str, Any]:
    """What `compare` measures of a replay."""
    from policy_port.compare.measure import measure
    from policy_port.compare.run import read_run

    found = measure(read_run(folder, folder.name))
    outcome = found.outcome
    return {
        "velocity error [m/s]": {"value": found.velocity_error},
        "turning error [rad/s]": {"value": found.turning_error},
        "survival [s]": {"value": found.survival},
        "fell [share of the episodes]": {}
        if outcome is None or outcome.what != "stayed up"
        else {"value": 1.0 - outcome.rate, "low": 1.0 - outcome.interval[1], "high": 1.0 - outcome.interval[0]},
        "torque [N m]": {"value": found.torque_rms},
    }


def _baselines(options: Mapping[str, Any]) -> Path:
    from policy_port.regress.suite import baselines_of

    # The suite itself can't be read before the port that it names is there.
    return baselines_of(Path(options["suite"]))


def _suite(options: Mapping[str, Any]) -> Any:
    """What the cases of a suite are made of; ports that earlier stages make among it."""
    from policy_port.regress.fingerprint import dependencies
    from policy_port.regress.suite import load_suite

    suite = load_suite(Path(options["suite"]))
    return {case.name: dependencies(suite, case) for case in suite.cases}
