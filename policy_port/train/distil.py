"""Distillation: a student on terms that sensors give learns to do what a teacher does that knows more.

RSL-RL's algorithm as it is: the student acts, the teacher says what it would have done where the student got to, and
the loss is the mean squared difference of the two actions, in the student's raw units.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from policy_port.contract import Contract, load_contract
from policy_port.contract.layout import observation_slots
from policy_port.contract.measurable import measured
from policy_port.contract.sensors import OF_A_ROBOT
from policy_port.errors import TrainError
from policy_port.tasks.velocity import VelocityTask
from policy_port.train.disturbance import odd_commands, quiet_sensors
from policy_port.train.evaluate import tracking_of
from policy_port.train.figures import compared
from policy_port.train.judge import Judge, best_of, trial_of
from policy_port.train.loop import learn, make_runner
from policy_port.train.place import Place
from policy_port.train.ppo import Plan, begun_as, check_out, open_folder
from policy_port.train.report import write_run_report
from policy_port.train.run import Files, Run, make_record
from policy_port.train.settings import DistilAgent, read_agent
from policy_port.train.teacher import Taught, open_teacher, teacher_config

if TYPE_CHECKING:
    from policy_port.train.task_place import TaskPlace

STUDENTS: dict[str, dict[str, Any]] = {
    "gru": {"class_name": "RNNModel", "rnn_type": "gru"},
    "lstm": {"class_name": "RNNModel", "rnn_type": "lstm"},
    "mlp": {"class_name": "MLPModel", "hidden_dims": [256, 128, 128], "activation": "elu", "obs_normalization": True},
}
"""Networks by the name that --student takes, over those of the shipped settings."""
STUDENTS["mlp"]["distribution_cfg"] = {"class_name": "GaussianDistribution", "init_std": 0.1}

EPISODES, FINAL = 32, 100
"""Episodes by which each checkpoint is measured, and others by which the one that was chosen by them is."""

LAST_RATE = 0.02
"""Share of the learning rate that is left at the end."""

LOST = 0.5
"""A teacher that falls in a larger share of the episodes teaches nothing that is worth a copy."""

WON = 0.1
"""Least share of the tracking that standing still leaves which a teacher must win: a walking one wins most of it."""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """Who teaches, and who is to learn."""

    teacher: Taught
    """The teacher and its contract."""
    student: Contract
    """What the student reads and writes."""
    network: str | None = None
    """One of `STUDENTS`; that of the settings, if None."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of `load_policy` that the teacher was opened with."""

    def notes(self) -> list[str]:
        """What whoever distils should know, a sentence each."""
        found = [f"teacher: {note}" for note in self.teacher.policy.notes]
        reads = {str(slot) for slot in observation_slots(self.student)}
        if reads >= {str(slot) for slot in observation_slots(self.teacher.contract)}:
            found.append(
                f"the student's contract '{self.student.name}' reads everything that the teacher reads: whatever no "
                "sensor gives, it will need too"
            )
        found += [
            f"the student reads '{finding.term.label}', which no sensor of the robot itself gives: {finding.reason}. "
            "Leave it out of the student's contract (policy-port contract measurable writes one), or have an estimator"
            for finding in measured(self.student, OF_A_ROBOT)
            if finding.way is None
        ]
        if self.network == "mlp" and not any(slot.age for slot in observation_slots(self.student)):
            found.append(
                f"an MLP sees the present alone, as contract '{self.student.name}' states no history; what the teacher "
                "reads and the student doesn't, a memory (--student gru) or a history can tell from the past"
            )
        return found


def open_lesson(
    teacher: Path,
    teacher_contract: Path | None,
    student_contract: Path,
    *,
    network: str | None = None,
    **options: Any,
) -> Lesson:
    """Read a teacher and both contracts.

    Args:
        teacher: A policy file, a port, or a run's folder.
        teacher_contract: Its contract; None where port or run say it.
        student_contract: The student's.
        network: One of `STUDENTS`; that of the settings, if None.
        **options: Further arguments of `load_policy`, for the teacher.

    Raises:
        PolicyPortError: Of the kind that says what does not fit.
    """
    stated = None if teacher_contract is None else load_contract(teacher_contract)
    taught = open_teacher(teacher, stated, **options)
    return Lesson(teacher=taught, student=load_contract(student_contract), network=network, options=options)


def distil(lesson: Lesson, place: Place, plan: Plan) -> Run:
    """Distil a student, and say how much of the teacher it is.

    Raises:
        PolicyPortError: Of the kind that says what does not fit; nothing is written then.
    """
    check_out(plan, "distil", lesson.teacher.policy.path, *place.files())
    agent = settings_of(lesson.network, None, plan)
    where = str(plan.agent or "the shipped settings of distil")
    environment = place.stand_up({"student": lesson.student, "teacher": lesson.teacher.contract}, "student")
    try:
        told = odd_commands(environment.task, lesson.student, lesson.teacher.contract)
        for note in (*lesson.notes(), *quiet_sensors(environment.task, lesson.student), *told):
            plan.tell(note)
        look_at_teacher(lesson, place, environment.task)
        settings = agent.runner_settings(student=["student"], teacher=["teacher"])
        settings["teacher"] = teacher_config(lesson.teacher, lesson.options)
        settings["algorithm"]["class_name"] = "policy_port.train.distillation:Distillation"
        runner = make_runner(
            "DistillationRunner", environment, settings, seed=place.seed, device=place.device, where=where
        )
        texts = {"task.yaml": environment.task.to_yaml(), "contracts/student.yaml": lesson.student.to_yaml()}
        texts["contracts/teacher.yaml"] = lesson.teacher.contract.to_yaml()
        run, begun = open_student(lesson.teacher, "distil", agent, {**texts, **place.texts()}, place, plan, runner)
        judge, settle = Judge(lesson.student, place), Settling(runner.alg, begun)
        ends = plan.iterations or begun.max_iterations
        score = functools.partial(judge.score, episodes=EPISODES)
        learn(run, runner, ends, minutes=plan.minutes, prepare=settle, score=score)
    finally:
        environment.close()
    run.finish(*choose(lesson, judge, run))
    write_run_report(run)
    return run


def settings_of(named: str | None, images: Sequence[str] | None, plan: Plan) -> DistilAgent:
    """The settings: what ships for what the student reads, the network that was named, and the user's file.

    Args:
        named: One of `STUDENTS`; that of the settings, if None.
        images: The pictures that the student sees; None on a plant, which has no camera.
        plan: How the run is to go.

    Raises:
        TrainError: When file and name say two networks, or a network sees that has nothing to see, or can't.
    """
    base = {} if named is None else {"student": STUDENTS[named]}
    agent = read_agent(DistilAgent, "distil_pictures" if images else "distil", plan.agent, base)
    kind = agent.student.rnn_type or {"MLPModel": "mlp"}.get(agent.student.class_name, agent.student.class_name)
    if named is not None and kind != named:
        raise TrainError(
            f"{plan.agent}: student is {agent.student.words()}, and --student says {named}; leave one of the two out"
        )
    if (agent.student.class_name == "CNNModel") == bool(images):
        return agent
    if images:
        why = f"the student reads {', '.join(images)}: let class_name be CNNModel"
    elif images is None:
        why = "a robot on a plant has no camera; let class_name be MLPModel or RNNModel"
    else:
        why = "the student reads no picture; give --student-images, or let class_name be MLPModel or RNNModel"
    raise TrainError(f"{plan.agent}: student is {agent.student.class_name}, and {why}")


def open_student(
    teacher: Taught,
    settings: str,
    agent: DistilAgent,
    files: Files,
    place: Place | TaskPlace,
    plan: Plan,
    runner: Any,
) -> tuple[Run, DistilAgent]:
    """The run, and the settings with the number of iterations that it was begun with.

    Args:
        teacher: Who teaches.
        settings: Name of the settings that ship for the student.
        agent: The settings of now.
        files: Contents of the run's other files, by name.
        place: Where.
        plan: How.
        runner: RSL-RL's runner.
    """
    begun, policy, asked = begun_as(agent, settings, plan), teacher.policy, place.asked()
    files = {"agent.yaml": begun.to_yaml(), **files}
    outside = {"robot": Path(asked["robot"])} if "robot" in asked else {}
    source = str(policy.path.resolve())
    record = make_record(files, outside, stage="distil", acting="student", source=source, **asked)
    # Of a policy that several files make up, the sum of its own file would not be the sum of the policy.
    record = record.model_copy(update={"hashes": {**record.hashes, "source": policy.sha256}})
    return open_folder(plan, record, files, runner), begun


class Settling:
    """Lets the learning rate fall from iteration to iteration, to a fiftieth at the end.

    Each iteration learns from what the student did in it alone, so that at a constant rate a student forgets as fast as
    it learns: its tracking then swings by several percent from one checkpoint to the next, and its falls by more.
    """

    def __init__(self, algorithm: Any, agent: DistilAgent) -> None:
        """Take over RSL-RL's algorithm, and the settings that the run was begun with."""
        self._algorithm, self._agent, self._done = algorithm, agent, 0
        algorithm.before_update = self._fall

    def __call__(self, done: int) -> None:
        """Go on after so many iterations."""
        self._done = done

    def _fall(self) -> None:
        """Set the rate of the next update."""
        rate = self._agent.algorithm.learning_rate * max(LAST_RATE, 1.0 - self._done / self._agent.max_iterations)
        self._done += 1
        self._algorithm.learning_rate = rate
        for group in self._algorithm.optimizer.param_groups:
            group["lr"] = rate


def look_at_teacher(lesson: Lesson, place: Place, task: VelocityTask) -> None:
    """Refuse a teacher that can't do the task.

    Raises:
        TrainError: When it falls, or follows the command hardly better than a robot that stands still.
    """
    trial, contract = trial_of(task, EPISODES), lesson.teacher.contract
    scores = Judge(contract, place).of_actor(lesson.teacher.policy.actor, trial)
    told = np.stack([trial.commands(trial.seed + number, contract.control_dt) for number in range(trial.episodes)])
    still = float(tracking_of(np.linalg.norm(told[..., :2], axis=-1), told[..., 2]).mean())
    fell, tracking, least = float(scores.fell.mean()), float(scores.tracking.mean()), still + WON * (1.0 - still)
    if fell <= LOST and tracking >= least:
        return
    did = (
        f"falls in {100 * fell:.0f} % of {trial.episodes} episodes"
        if fell > LOST
        else f"tracks the velocity by {tracking:.3f} of the most there is; standing still does so by {still:.3f}, and "
        f"a teacher must by {least:.3f} (a tenth of the rest more) in {trial.episodes} episodes"
    )
    raise TrainError(
        f"teacher {lesson.teacher.policy.path}: {did} of task '{task.name}' on {place.robot}. "
        "There is nothing to learn from it: its contract is not what it was trained with (policy-port diagnose "
        "says what may be wrong), the robot is another one, or the task asks for what it never learnt"
    )


def choose(lesson: Lesson, judge: Judge, run: Run) -> tuple[Path, str]:
    """The checkpoint that tracks best, and how much of the teacher it is in other episodes."""
    best, trial = best_of(run.scores()), judge.trial(run.path, FINAL, last=True)
    file = run.checkpoints()[best]
    teacher = Judge(lesson.teacher.contract, judge.place).of_actor(lesson.teacher.policy.actor, trial)
    found = compared(judge.measure(file, trial), teacher)
    return file, (
        f"after {best} iterations it {'can' if found.holds else 'can NOT'} stand in for its teacher: "
        f"{found.tracking.text(1, 100.0)} % of its tracking, falls {found.falls.text(1, 100.0)} points more, over "
        f"{trial.episodes} paired episodes"
    )
