"""`policy-port distil`: a student on terms that sensors give learns from a teacher that knows more."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from policy_port.cli.options import takes
from policy_port.cli.plant_options import DynamicsOption, PlantName, RandomiseOption
from policy_port.cli.train import (
    IterationsOption,
    LearningTaskOption,
    MinutesOption,
    ReplaceOption,
    ResumeOption,
    RunOption,
    SettingsOption,
    TorchDeviceOption,
    summary,
)


class Student(StrEnum):
    """The networks that a student can be."""

    GRU = "gru"
    LSTM = "lstm"
    MLP = "mlp"


@dataclass(frozen=True, kw_only=True)
class DistilOptions:
    """What `distil` is given on the command line."""

    teacher: Annotated[
        Path,
        typer.Argument(
            metavar="TEACHER", help="Any policy that inspect reads: a checkpoint, ONNX, TorchScript; or a port or run."
        ),
    ]
    out: RunOption
    student_contract: Annotated[Path, typer.Option(metavar="FILE", help="What the student is to read and write.")]
    plant: Annotated[PlantName, typer.Option(help="Simulator to learn in.")]
    robot: Annotated[str, typer.Option(metavar="FILE", help="URDF, MJCF, or for Newton USD.")]
    teacher_contract: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The teacher's contract; a port and a run hold their own.")
    ] = None
    student: Annotated[
        Student | None, typer.Option(help="The student's network; sizes stand in --agent. As it ships: gru.")
    ] = None
    task: LearningTaskOption = "velocity"
    num_envs: Annotated[int, typer.Option(min=1, max=65536, help="Environments side by side.")] = 64
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of networks, commands and everything else.")] = 0
    iterations: IterationsOption = None
    minutes: MinutesOption = None
    agent: SettingsOption = None
    library: Annotated[str | None, typer.Option("--from", help="Library that wrote the teacher's file.")] = None
    activation: Annotated[str | None, typer.Option(help="The teacher's activation, where its file does not say.")] = (
        None
    )
    teacher_agent: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The teacher's own agent.yaml; looked for beside it.")
    ] = None
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="What the teacher does not need of its file. Repeatable.")
    ] = None
    device: TorchDeviceOption = None
    dynamics: DynamicsOption = None
    randomise: RandomiseOption = None
    resume: ResumeOption = False
    force: ReplaceOption = False


@takes(DistilOptions)
def distil(options: DistilOptions) -> None:
    """Teach a student to act like a teacher that reads more, by RSL-RL's distillation, and say how well it does.

    The student drives, the teacher says what it would have done. Of the checkpoints the one that tracks the velocity
    best is the result, held against the teacher in the same episodes.
    """
    if options.resume and options.force:
        raise typer.BadParameter("--resume goes on with what is in --out and --force replaces it; give one of the two")

    from policy_port.cli.export import refuse_unheard
    from policy_port.train.distil import distil as teach
    from policy_port.train.distil import open_lesson
    from policy_port.train.place import Place
    from policy_port.train.ppo import Plan

    given = {
        "kind": options.library,
        "activation": options.activation,
        "agent_yaml": options.teacher_agent,
        "ignore": options.ignore,
    }
    lesson = open_lesson(
        options.teacher,
        options.teacher_contract,
        options.student_contract,
        network=None if options.student is None else options.student.value,
        **{name: value for name, value in given.items() if value},
    )
    unheard = {"activation": options.activation, "teacher-agent": options.teacher_agent}
    refuse_unheard(lesson.teacher.policy.library, **unheard)
    place = Place(
        plant=options.plant.value,
        robot=Path(options.robot),
        task=options.task or "velocity",
        num_envs=options.num_envs,
        seed=options.seed,
        device=options.device or "cpu",
        dynamics=options.dynamics,
        randomise=None if options.randomise is None else options.randomise.value,
    )
    plan = Plan(
        out=options.out,
        agent=options.agent,
        iterations=options.iterations,
        minutes=options.minutes,
        resume=options.resume,
        force=options.force,
    )
    for note in lesson.notes():
        typer.echo(f"note: {note}", err=True)
    typer.echo(summary(teach(lesson, place, plan)))
