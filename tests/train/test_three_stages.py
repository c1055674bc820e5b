"""All three stages on the rover: teacher, student, fine-tuning, and what each mistake between them comes to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policy_port.errors import ContractError, TrainError
from policy_port.train import distil as copying
from policy_port.train import finetune as tuning
from policy_port.train.distil import distil, open_lesson
from policy_port.train.environment import PlantEnvironment
from policy_port.train.finetune import Judge, finetune, open_start
from policy_port.train.place import Place
from policy_port.train.ppo import Plan, train
from policy_port.train.run import Run
from policy_port.train.trial import Trial
from tests.train import rover

GOOD = 0.75
"""Tracking that a teacher must reach, of 1; standing still reaches less than 0.5."""
KEPT = 0.95
"""Share of the teacher's that the student must keep, and of the student's that fine-tuning must never fall below."""

COPYING = {
    "max_iterations": 10,
    "save_interval": 10,
    "student": {
        "class_name": "MLPModel",
        "hidden_dims": [32, 32],
        "activation": "elu",
        "distribution_cfg": {"init_std": 0.1},
    },
    "algorithm": {"gradient_length": 6, "learning_rate": 0.003},
}
TUNING = {"max_iterations": 8, "save_interval": 4, "critic_warmup": 4, "critic": {"hidden_dims": [32, 32]}}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The rover's files and settings; what is measured on the way is measured in few episodes."""
    folder = tmp_path_factory.mktemp("rover")
    found = rover.write(folder)
    for name, settings in (("training", rover.AGENT), ("copying", COPYING), ("tuning", TUNING)):
        found[name] = folder / f"{name}.yaml"
        found[name].write_text(rover.agent_yaml(settings))
    with pytest.MonkeyPatch.context() as patched:
        for module, episodes in ((copying, 8), (tuning, 16)):
            patched.setattr(module, "EPISODES", episodes)
            patched.setattr(module, "FINAL", 16)
        for module in (copying, tuning):
            patched.setattr(module, "write_run_report", lambda run: None)
        yield found


def place(files: dict[str, Path]) -> Place:
    return Place(plant="mujoco", robot=files["robot"], task=files["task"], num_envs=16)


@pytest.fixture(scope="module")
def teacher(files: dict[str, Path]) -> Run:
    """Stage 1."""
    plan = Plan(out=files["robot"].parent / "teacher_run", agent=files["training"])
    return train(files["teacher"], place(files), plan)


@pytest.fixture(scope="module")
def student(files: dict[str, Path], teacher: Run) -> Run:
    """Stage 2."""
    plan = Plan(out=files["robot"].parent / "student_run", agent=files["copying"])
    return distil(open_lesson(teacher.path, None, files["student"]), place(files), plan)


def tune(files: dict[str, Path], student: Run, out: Path) -> Run:
    """Stage 3."""
    return finetune(open_start(student.path, None), place(files), Plan(out=out, agent=files["tuning"]))


def tracking(files: dict[str, Path], run: Run, file: Path | None = None) -> float:
    """What a run's result, or another file of it, is worth in episodes that no stage has seen."""
    trial = Trial(task=rover.TASK, seconds=4.0, episodes=24, seed=9_000_000)
    judge = Judge(run.contract(), place(files))
    return float(judge.measure(file or run.result()[0], trial).tracking.mean())


def test_three_stages_reach_their_figure(files: dict[str, Path], teacher: Run, student: Run, out: Path) -> None:
    """The teacher follows commands; the student, which does not read its velocity, nearly as well; and fine-tuning
    starts at the student and never falls below it.
    """
    taught, copied = tracking(files, teacher), tracking(files, student)
    assert taught > GOOD
    assert copied > KEPT * taught
    tuned = tune(files, student, out)
    measured = [score["tracking"] for score in tuned.scores().values()]
    assert tracking(files, tuned, tuned.checkpoints()[0]) == pytest.approx(copied, abs=1e-9)
    assert min(measured) > KEPT * measured[0]
    assert tracking(files, tuned) > KEPT * copied


def test_stage_three_from_fresh_weights_is_seen(
    files: dict[str, Path], student: Run, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the student's weights the first checkpoint is far from the student, by the same measure."""
    monkeypatch.setattr(tuning, "take_weights", lambda *args: None)
    plan = Plan(out=out, agent=files["tuning"], iterations=1)
    fresh = finetune(open_start(student.path, None), place(files), plan)
    assert tracking(files, fresh, fresh.checkpoints()[0]) < 0.7 * tracking(files, student)


def test_exchanged_observations_are_seen(files: dict[str, Path], teacher: Run) -> None:
    """The student's terms for the teacher's do not fit its file; its own terms in another order teach nothing."""
    with pytest.raises(ContractError, match="the network reads 9 numbers, contract 'rover_student' describes 10"):
        open_lesson(teacher.result()[0], files["student"], files["teacher"])
    first, *others = rover.TERMS["teacher"]
    turned = rover.contract("teacher").model_dump(mode="json", exclude_none=True)
    turned["observation"]["terms"] = [*others, first]
    contract = files["robot"].with_name("turned.yaml")
    contract.write_text(rover.agent_yaml(turned))
    lesson = open_lesson(teacher.result()[0], contract, files["student"])
    with pytest.raises(TrainError, match="There is nothing to learn from it: its contract is not what"):
        distil(lesson, place(files), Plan(out=contract.with_name("never"), agent=files["copying"]))
    assert not contract.with_name("never").exists()


def test_a_stale_teacher_is_seen(files: dict[str, Path], teacher: Run, out: Path) -> None:
    """A checkpoint from before the training teaches nothing, and its student would not reach the figure."""
    lesson = open_lesson(teacher.checkpoints()[0], files["teacher"], files["student"])
    with pytest.raises(TrainError, match=r"model_0.pt.*There is nothing to learn from it"):
        distil(lesson, place(files), Plan(out=out, agent=files["copying"]))


def test_the_student_drives(files: dict[str, Path], teacher: Run, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reaches the plant is the student's: at first nearly nothing, where the teacher would have done much."""
    seen: list[float] = []
    step = PlantEnvironment.step

    def spied(self: PlantEnvironment, actions: Any) -> Any:
        seen.append(float(actions.abs().max()))
        return step(self, actions)

    monkeypatch.setattr(PlantEnvironment, "step", spied)
    plan = Plan(out=out, agent=files["copying"], iterations=1)
    run = distil(open_lesson(teacher.path, None, files["student"]), place(files), plan)
    assert max(seen[:6]) < 0.6
    assert float(run.rows()[0]["Loss/behavior"]) > 0.2
