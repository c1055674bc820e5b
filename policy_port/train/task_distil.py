"""Distillation in a ManiSkill task: a student that sees, or that reads part of the state, learns from a state teacher.

DAgger by RSL-RL's distillation: the student drives, the teacher labels what the student's own steps lead to.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from policy_port.checkpoints import Actor, load_policy
from policy_port.contract import Contract
from policy_port.contract.image import ImageInput
from policy_port.contract.layout import observation_slots
from policy_port.contract.measurable import measured
from policy_port.errors import TaskError, TrainError
from policy_port.replay.metrics import success_interval
from policy_port.train.distil import Settling, open_student, settings_of
from policy_port.train.loop import learn, make_runner, one_thread
from policy_port.train.ppo import Plan, check_out
from policy_port.train.report import write_run_report
from policy_port.train.run import Run
from policy_port.train.settings import DistilAgent
from policy_port.train.task_environment import Act, Ended, TaskEnvironment
from policy_port.train.task_place import TaskPlace, Worlds
from policy_port.train.teacher import Taught, teacher_config

EPISODES, FINAL = range(2_000_000, 2_000_016), range(3_000_000, 3_000_050)
"""Seeds by which each checkpoint is measured, and others by which the one that was chosen by them is."""

LOST = 0.5
"""A teacher that succeeds in a smaller share of the episodes teaches nothing that is worth a copy."""

AGGREGATED = "policy_port.train.task_distillation:Aggregated"
REMEMBERS = "policy_port.train.distillation:Distillation"
"""RSL-RL's algorithm for students without and with a memory."""

RESERVED = ("student", "teacher")
"""Observation groups that no image may be called after."""


@dataclass(frozen=True, kw_only=True)
class TaskLesson:
    """Who teaches, and what is to learn."""

    teacher: Taught
    """The teacher and its contract, which describes the environment's whole state."""
    student: Contract | None = None
    """What the student reads and writes; what the environment shows beside its pictures, if None."""
    images: tuple[ImageInput, ...] = ()
    """The pictures that it reads, where no contract states them."""
    network: str | None = None
    """One of `STUDENTS`; that of the settings, if None."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of `load_policy` that the teacher was opened with."""

    def __post_init__(self) -> None:
        """Refuse a student that is stated twice or not at all.

        Raises:
            TrainError: Saying what to leave out, or to give.
        """
        if self.student is None and not self.images:
            raise TrainError(
                "a student in a task environment sees or reads part of the state: give --student-images NAME=HxW, or "
                "--student-contract with its terms, as `policy-port contract measurable` writes it"
            )
        if self.student is not None and self.student.images and self.images:
            raise TrainError(
                f"contract '{self.student.name}' states images, and --student-images names some; leave one of the two "
                "out"
            )
        if self.seen and self.network is not None:
            raise TrainError(
                f"--student {self.network} sees nothing: a student of pictures is RSL-RL's CNNModel, whose sizes stand "
                "in --agent; leave --student out"
            )
        for image in self.seen:
            if image.name in RESERVED:
                raise TrainError(f"no image can be called '{image.name}': an observation group is; rename it")
            if (image.layout, image.dtype, image.scale) != ("nchw", "float32", 1.0):
                raise TrainError(
                    f"image '{image.name}' of the student's contract is {image.layout}, {image.dtype}, scaled by "
                    f"{image.scale:g}, and RSL-RL's networks read nchw, float32, from 0 to 1. Leave the images out of "
                    "the contract and name the cameras by --student-images"
                )

    @property
    def seen(self) -> tuple[ImageInput, ...]:
        """The pictures that the student reads."""
        return self.images or (() if self.student is None else self.student.images)


def pictures(stated: Sequence[str]) -> tuple[ImageInput, ...]:
    """Images as --student-images states them, in the form in which RSL-RL's networks read them.

    Args:
        stated: A camera's name and the rows and columns of its picture, each "NAME=HxW".

    Raises:
        TrainError: When one is written otherwise, or a camera is named twice.
    """
    found: dict[str, ImageInput] = {}
    for text in stated:
        name, _, size = text.partition("=")
        height, _, width = size.partition("x")
        if not (name.isidentifier() and height.isdecimal() and width.isdecimal() and 8 <= int(height) <= 1024):
            height = ""
        if not height or not 8 <= int(width) <= 1024:
            raise TrainError(
                f"--student-images {text}: is no NAME=HxW; write a camera's name, and rows and columns of 8 to 1024, "
                "as base_camera=64x64"
            )
        if name in found:
            raise TrainError(f"--student-images names camera '{name}' twice; name each once")
        size = {"height": int(height), "width": int(width), "channels": 3, "cameras": (name,)}
        found[name] = ImageInput(name=name, layout="nchw", dtype="float32", scale=1.0, **size)
    return tuple(found.values())


def distil_task(lesson: TaskLesson, place: TaskPlace, plan: Plan, tell: Callable[[str], object]) -> Run:
    """Distil a student, and say in how many episodes it succeeds.

    Args:
        lesson: Who teaches whom.
        place: The environments.
        plan: How the run is to go.
        tell: Called with what whoever distils should know, a sentence each.

    Raises:
        PolicyPortError: Of the kind that says what does not fit; nothing is written then.
    """
    check_out(plan, "distil", lesson.teacher.policy.path)
    agent = settings_of(lesson.network, [image.name for image in lesson.seen], plan)
    where = str(plan.agent or "the shipped settings of distil")
    environment = open_lesson_in(lesson, place)
    try:
        for note in notes(lesson, environment, agent, plan):
            tell(note)
        taught = look_at_teacher(lesson, environment)
        names = [image.name for image in environment.contract.images]
        settings = agent.runner_settings(student=["student", *names], teacher=["teacher"])
        settings["teacher"] = teacher_config(lesson.teacher, lesson.options)
        settings["algorithm"]["class_name"] = REMEMBERS if agent.student.rnn_type else AGGREGATED
        runner = make_runner(
            "DistillationRunner", environment, settings, seed=place.seed, device=place.device, where=where
        )
        files = {"environment.yaml": yaml.safe_dump(place.document(), sort_keys=False)}
        files |= {f"contracts/{name}.yaml": contract.to_yaml() for name, contract in environment.contracts.items()}
        kind = "distil_pictures" if lesson.seen else "distil"
        run, begun = open_student(lesson.teacher, kind, agent, files, place, plan, runner)
        score = functools.partial(_score, environment)
        ends = plan.iterations or begun.max_iterations
        # A run that is gone on with for longer learns at the rate of the longer one.
        settle = Settling(runner.alg, begun.model_copy(update={"max_iterations": ends}))
        learn(run, runner, ends, minutes=plan.minutes, prepare=settle, score=score)
        run.finish(*choose(environment, run, taught))
    finally:
        environment.close()
    write_run_report(run)
    return run


def open_lesson_in(lesson: TaskLesson, place: TaskPlace) -> TaskEnvironment:
    """Open the environments for a teacher and its student.

    Raises:
        TaskError: When one of them does not fit the environment.
    """
    worlds = Worlds(place, lesson.teacher.contract.model_copy(update={"images": lesson.seen}))
    try:
        contracts = {"student": student_of(lesson, worlds, place.env_id), "teacher": lesson.teacher.contract}
        return TaskEnvironment(worlds, contracts, seed=place.seed, device=place.device)
    except BaseException:
        worlds.close()
        raise


def student_of(lesson: TaskLesson, worlds: Worlds, env_id: str) -> Contract:
    """The student's contract: the one given, or the teacher's terms that the environment shows beside its pictures.

    Raises:
        TaskError: When the teacher's contract does not name what is shown.
    """
    if lesson.student is not None:
        return lesson.student.model_copy(update={"images": lesson.seen})
    teacher, shown = lesson.teacher.contract, [name for name, _ in worlds.beside]
    kept = [term for term in teacher.observation.terms if term.label in shown]
    if [term.label for term in kept] != shown:
        raise TaskError(
            f"{env_id}: shows {', '.join(shown) or 'nothing'} beside its pictures, and the teacher's contract "
            f"'{teacher.name}' has the terms {', '.join(term.label for term in teacher.observation.terms)}. Give "
            f"--student-contract, as `policy-port contract import --env {env_id} --obs-mode rgb` writes it, without "
            "its images"
        )
    observation = teacher.observation.model_copy(update={"terms": tuple(kept)})
    student = teacher.model_copy(
        update={"name": f"{teacher.name}_student", "observation": observation, "images": lesson.images, "sources": {}}
    )
    return Contract.model_validate(student.model_dump(mode="json", exclude_none=True))


def notes(lesson: TaskLesson, environment: TaskEnvironment, agent: DistilAgent, plan: Plan) -> list[str]:
    """What whoever distils should know, a sentence each."""
    found = [f"teacher: {note}" for note in lesson.teacher.policy.notes]
    student, iterations = environment.contract, plan.iterations or agent.max_iterations
    steps = iterations * agent.num_steps_per_env * environment.num_envs
    seen = ", ".join(f"{image.name} {image.height}x{image.width}" for image in student.images)
    found.append(
        f"{iterations} iterations of {agent.num_steps_per_env} steps in {environment.num_envs} environments, "
        f"{steps:,} steps in all" + (f", each with its pictures ({seen})" if seen else "")
    )
    findings = measured(student, ("encoders",))
    found += [
        f"student: '{finding.term.label}' is measured by no encoder: {finding.words}"
        for finding in findings
        if finding.way is None
    ]
    if perfect := [finding.term.label for finding in findings if finding.way is not None and finding.way.sensors]:
        found.append(f"no noise is added here to {', '.join(perfect)}, which real encoders err in")
    if {str(slot) for slot in observation_slots(lesson.teacher.contract)} <= {
        str(slot) for slot in observation_slots(student)
    }:
        found.append(f"the student's contract '{student.name}' reads everything that the teacher reads")
    return found


def look_at_teacher(lesson: TaskLesson, environment: TaskEnvironment) -> list[Ended]:
    """The teacher's episodes of the final seeds; a teacher that can't do the task is refused.

    Raises:
        TrainError: When it succeeds in less than half of the episodes.
    """
    ended = perform(environment, lesson.teacher.policy.actor, FINAL, group="teacher")
    share = float(np.mean([one.success for one in ended]))
    if share < LOST:
        raise TrainError(
            f"teacher {lesson.teacher.policy.path}: succeeds in {100 * share:.0f} % of {len(ended)} episodes of "
            f"{environment.cfg['env']}. There is nothing to learn from it: it is the teacher of another environment or "
            "controller (--control-mode), or its contract is not what it was trained with"
        )
    return ended


def perform(
    environment: TaskEnvironment, actor: Actor, seeds: Sequence[int], *, group: str, looks: bool = True
) -> list[Ended]:
    """Episodes of a network that reads a group's numbers and, as the student, the pictures."""
    shown = [image.name for image in actor.images]

    def policy() -> Act:
        memory = list(actor.initial_state(environment.num_envs))

        def act(seen: Any) -> Tensor:
            action, *memory[:] = actor(seen[group].cpu(), *(seen[name].cpu() for name in shown), *memory)
            return action

        return act

    with one_thread("cpu"), torch.no_grad():
        return environment.perform(seeds, policy, group=group, looks=looks and bool(shown))


def read_student(file: Path, contract: Contract) -> Actor:
    """A checkpoint's student, by the reader of every other checkpoint."""
    sizes = {image.name: (image.height, image.width) for image in contract.images}
    return load_policy(file, kind="rsl_rl", image_sizes=sizes).actor


def _score(environment: TaskEnvironment, file: Path) -> dict[str, float]:
    """Figures of a checkpoint over `EPISODES`."""
    return figures(perform(environment, read_student(file, environment.contract), EPISODES, group="student"))


def figures(ended: Sequence[Ended]) -> dict[str, float]:
    """Means over episodes; no distance where the environment tells none."""
    found = {name: np.mean([getattr(one, name) for one in ended]) for name in ("success", "once", "distance")}
    return {name: float(value) for name, value in found.items() if not np.isnan(value)}


def choose(environment: TaskEnvironment, run: Run, taught: Sequence[Ended]) -> tuple[Path, str]:
    """The checkpoint that succeeds most often, nearest where several do, and its share in other episodes."""
    scores = run.scores()
    best = max(scores, key=lambda done: (scores[done]["success"], -scores[done].get("distance", 0.0), done))
    file = run.checkpoints()[best]
    student, blind = read_student(file, environment.contract), ""
    ended = perform(environment, student, FINAL, group="student")
    if student.images:
        dark = perform(environment, student, FINAL, group="student", looks=False)
        blind = f", without its pictures in {sum(one.success for one in dark)}"
    succeeded = sum(one.success for one in ended)
    low, high = success_interval(succeeded, len(ended))
    return file, (
        f"after {best} iterations it succeeds in {succeeded} of {len(ended)} episodes ({100 * low:.0f} to "
        f"{100 * high:.0f} %), its teacher in {sum(one.success for one in taught)}{blind}"
    )
