"""The policy that reaches for a ball that it sees: its files, its figures, and what it does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("mani_skill", reason="mani_skill is not installed (extra: sim)")
pytest.importorskip("rsl_rl", reason="needs policy-port[train]")

from policy_port.contract import load_contract
from policy_port.tasks.so100_ball_env import ENV_ID
from policy_port.train.task_distil import TaskLesson, open_lesson_in, perform, read_student
from policy_port.train.task_place import TaskPlace
from policy_port.train.teacher import open_teacher

ASSETS = Path(__file__).resolve().parents[2] / "policy_port" / "assets"
FOLDER, TEACHER = ASSETS / "so100_reach_ball", ASSETS / "so100_reach"

pytestmark = pytest.mark.filterwarnings("ignore")


def test_the_file_is_small_and_harmless() -> None:
    """RSL-RL's keys, under a megabyte, loaded without running code."""
    state = torch.load(FOLDER / "model.pt", weights_only=True)
    assert set(state) == {"student_state_dict", "teacher_state_dict", "optimizer_state_dict", "iter", "infos"}
    assert (FOLDER / "model.pt").stat().st_size < 1_000_000


def test_published_figures_tell_what_the_picture_is_worth() -> None:
    """On seeds 0 to 99 the student is held against its teacher, and is lost without its picture."""
    figures = json.loads((FOLDER / "evaluation.json").read_text())
    assert figures["seeds"] == [0, 99]
    assert figures["teacher, from state"]["success_rate"] >= 0.95
    assert figures["student"]["success_rate"] >= 0.5
    assert figures["student without its picture"]["success_rate"] <= 0.1


def test_it_reaches_what_it_sees_and_nothing_that_it_does_not() -> None:
    """An episode of the published seeds ends near the ball; blind, the same episode ends elsewhere."""
    lesson = TaskLesson(
        teacher=open_teacher(TEACHER / "model.pt", load_contract(TEACHER / "contract.yaml")),
        student=load_contract(FOLDER / "contract.yaml"),
    )
    environment = open_lesson_in(lesson, TaskPlace(env_id=ENV_ID, num_envs=1))
    try:
        student = read_student(FOLDER / "model.pt", environment.contract)
        seen, blind = (perform(environment, student, [0], group="student", looks=looks)[0] for looks in (True, False))
    finally:
        environment.close()
    assert seen.distance < 0.06
    assert blind.distance > seen.distance + 0.02
