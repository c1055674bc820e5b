"""`policy-port distil`: a student on terms that sensors give learns from a teacher that knows more."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from policy_port import counts
from policy_port.cli.options import takes
from policy_port.cli.plant_options import PlantName, SimBackend
from policy_port.cli.train import LearningOptions, LearningTaskOption, RobotFileOption, summary

if TYPE_CHECKING:
    from policy_port.contract.image import ImageInput
    from policy_port.train.ppo import Plan
    from policy_port.train.run import Run


NUM_ENVS, TASK_ENVS = 256, 16
"""Environments where nobody says how many: each iteration learns from the commands of that moment alone, and a task
environment's picture is dear."""


class Student(StrEnum):
    """The networks that a student can be."""

    GRU = "gru"
    LSTM = "lstm"
    MLP = "mlp"


@dataclass(frozen=True, kw_only=True)
class DistilOptions(LearningOptions):
    """What `distil` is given on the command line."""

    teacher: Annotated[
        Path,
        typer.Argument(
            metavar="TEACHER", help="Any policy that inspect reads: a checkpoint, ONNX, TorchScript; or a port or run."
        ),
    ]
    student_contract: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What the student is to read and write; pictures alone need none."),
    ] = None
    plant: Annotated[PlantName | None, typer.Option(help="Simulator to learn in.")] = None
    robot: RobotFileOption = None
    env: Annotated[
        str | None, typer.Option(metavar="ID", help="Learn in a ManiSkill environment, from a teacher of its state.")
    ] = None
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Environment file: --env with its camera, background and randomisation."),
    ] = None
    student_images: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=HxW", help="Camera of --env that the student looks through. Repeatable."),
    ] = None
    control_mode: Annotated[str | None, typer.Option(help="Controller of --env; its default, if absent.")] = None
    episode_steps: Annotated[
        int | None,
        typer.Option(
            min=2, max=counts.ITERATIONS, help="Steps of an episode while learning in --env; its own, if absent."
        ),
    ] = None
    sim_backend: Annotated[SimBackend, typer.Option(help="Where the physics of --env runs.")] = SimBackend.CPU
    teacher_contract: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The teacher's contract; a port and a run hold their own.")
    ] = None
    student: Annotated[
        Student | None, typer.Option(help="The student's network; sizes stand in --agent. As it ships: gru.")
    ] = None
    task: LearningTaskOption = None
    num_envs: Annotated[
        int | None, typer.Option(min=1, max=counts.ENVS, help="Environments side by side; 256, of --env 16.")
    ] = None
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


def check_ways(options: DistilOptions) -> None:
    """Refuse options of the way that was not chosen.

    Raises:
        BadParameter: Naming them, and what a student learns in.
    """
    if options.env is not None or options.config is not None:
        names = ("--plant", "--robot", "--task", "--dynamics", "--randomise")
        strays = {name: getattr(options, name[2:]) for name in names}
        _refuse("goes with --plant: a ManiSkill environment brings its own", strays)
        return
    strays: dict[str, Any] = {"--student-images": options.student_images, "--control-mode": options.control_mode}
    strays["--episode-steps"] = options.episode_steps
    _refuse("goes with --env: a robot on a plant has no camera, and its contract says how it is driven", strays)
    if options.plant is None or options.robot is None or options.student_contract is None:
        raise typer.BadParameter(
            "a student learns on a plant, given --plant, --robot and --student-contract, or in a task environment of "
            "ManiSkill's, given --env"
        )
    if options.teacher_contract is None and str(options.teacher).startswith("@") and ":" in str(options.teacher):
        raise typer.BadParameter(
            f"{options.teacher} is a file, which does not say what its numbers mean; give --teacher-contract, or the "
            "whole run as the teacher"
        )


@takes(DistilOptions, check=check_ways)
def distil(options: DistilOptions) -> None:
    """Teach a student to act like a teacher that reads more, by RSL-RL's distillation, and say how well it does.

    The student drives, the teacher says what it would have done. Of the checkpoints the one that tracks the velocity
    best, of --env the one that succeeds most often, is the result, held against the teacher in the same episodes.
    """
    check_ways(options)
    plan = options.plan()
    given = {
        "kind": options.library,
        "activation": options.activation,
        "agent_yaml": options.teacher_agent,
        "ignore": options.ignore,
    }
    way = _on_plant if options.env is None and options.config is None else _in_env
    typer.echo(summary(way(options, plan, {name: value for name, value in given.items() if value})))


def _on_plant(options: DistilOptions, plan: Plan, given: dict[str, Any]) -> Run:
    from policy_port.cli.export import refuse_unheard
    from policy_port.train.distil import distil as teach
    from policy_port.train.distil import open_lesson

    # As check_ways saw to it.
    assert options.plant is not None
    assert options.robot is not None
    assert options.student_contract is not None
    lesson = open_lesson(
        options.teacher, options.teacher_contract, options.student_contract, network=_network(options), **given
    )
    refuse_unheard(lesson.teacher.policy.library, **_unheard(options))
    place = options.place(options.plant, options.robot, options.task, options.num_envs or NUM_ENVS)
    return teach(lesson, place, plan)


def _in_env(options: DistilOptions, plan: Plan, given: dict[str, Any]) -> Run:
    from policy_port.cli.export import refuse_unheard
    from policy_port.contract import load_contract
    from policy_port.train.task_distil import TaskLesson, distil_task
    from policy_port.train.task_place import TaskPlace
    from policy_port.train.teacher import open_teacher

    scene, images = read_scene(options)
    stated = None if options.teacher_contract is None else load_contract(options.teacher_contract)
    lesson = TaskLesson(
        teacher=open_teacher(options.teacher, stated, **given),
        student=None if options.student_contract is None else load_contract(options.student_contract),
        images=images,
        network=_network(options),
        options=given,
    )
    refuse_unheard(lesson.teacher.policy.library, **_unheard(options))
    place = TaskPlace(
        **scene,
        control_mode=options.control_mode,
        sim_backend=options.sim_backend.value,
        num_envs=options.num_envs or TASK_ENVS,
        seed=options.seed,
        device=options.device or "cpu",
        episode_steps=options.episode_steps,
    )
    return distil_task(lesson, place, plan, plan.tell)


def read_scene(options: DistilOptions) -> tuple[dict[str, Any], tuple[ImageInput, ...]]:
    """What of the environments the environment file says, and the pictures that the student sees.

    The file's camera is the student's, in the file's size, where no picture is named.
    """
    from policy_port.train.task_distil import pictures

    images = pictures(options.student_images or ())
    if options.config is None:
        return {"env_id": options.env or ""}, images

    from policy_port.camera.env_file import load_env_file
    from policy_port.camera.scene import arrange, check_camera_name, make_options
    from policy_port.camera.trained import check_photographed, with_camera

    given = load_env_file(options.config, options.env)
    check_camera_name(given)
    if given.image is not None:
        height, width = given.image.size
        stated = next((image for image in images if image.name == given.camera_name), None)
        if stated is not None and (stated.height, stated.width) != (height, width):
            raise typer.BadParameter(
                f"--student-images {given.camera_name}={stated.height}x{stated.width}: {options.config} says image: "
                f"{{size: [{height}, {width}]}}, which is what the arm's camera will show; leave --student-images out"
            )
        if not images and options.student_contract is None:
            images = pictures([f"{given.camera_name}={height}x{width}"])
    if (changed := check_photographed(given)) is not None:
        typer.echo(f"note: {changed}")
    said = {"env_id": given.env, "options": make_options(given), "arrange": lambda base: arrange(base, given)}
    return said, with_camera(images, given)


def _refuse(why: str, given: dict[str, Any]) -> None:
    """Refuse options that mean nothing to the way that was chosen."""
    strays = [name for name, value in given.items() if value]
    if strays:
        raise typer.BadParameter(f"{', '.join(strays)} {why}")


def _network(options: DistilOptions) -> str | None:
    return None if options.student is None else options.student.value


def _unheard(options: DistilOptions) -> dict[str, Any]:
    return {"activation": options.activation, "teacher-agent": options.teacher_agent}
