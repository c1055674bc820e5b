"""`distil` as it is called."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from policy_port.cli.app import app

pytest.importorskip("rsl_rl", reason="needs policy-port[train]")

from policy_port.train import distil as module
from tests.train import rover
from tests.train.test_distil import SHORT, controller


def test_what_may_be_a_mistake_is_told_before_anything_is_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A student that reads what no sensor gives, sensors without noise, commands beyond the contract's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "look_at_teacher", lambda *given: sys.exit(9))
    rover.write(tmp_path)
    torch.jit.script(torch.nn.Sequential(controller())).save("policy.pt")
    task = Path("task.yaml").read_text().replace("standing: 0.0", "standing: 1.0")
    Path("task.yaml").write_text(task.replace("- -1.0", "- -2.0"))
    words = "distil policy.pt --student-contract teacher.yaml --teacher-contract teacher.yaml --plant mujoco"
    done = CliRunner().invoke(
        app, [*words.split(), *"--robot robot.xml --task task.yaml --num-envs 2 --out run".split()]
    )
    assert done.exit_code == 9, done.output
    said = " ".join(done.output.split())
    for note in (
        "note: the student reads 'base_lin_vel', which no sensor of the robot itself gives: an IMU measures",
        "note: task 'rover_velocity' adds no noise to base_lin_vel, base_ang_vel, which contract 'rover_teacher' reads",
        "note: task 'rover_velocity' tells the robot nothing but to stand still",
        "note: task 'rover_velocity' draws commands beyond those of contract 'rover_teacher': lin_vel_x [-2.0, 1.0]",
    ):
        assert note in said


def test_a_student_is_distilled_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its line says how much of the teacher it is; --resume and --force exclude each other, and a folder is kept."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "EPISODES", 2)
    monkeypatch.setattr(module, "FINAL", 2)
    rover.write(tmp_path)
    torch.jit.script(torch.nn.Sequential(controller())).save("policy.pt")
    Path("agent.yaml").write_text(rover.agent_yaml({**SHORT, "student": {"hidden_dims": [8]}}))
    words = "distil policy.pt --student-contract student.yaml --teacher-contract teacher.yaml --plant mujoco"
    words += (
        " --robot robot.xml --task task.yaml --num-envs 2 --iterations 1 --agent agent.yaml --student lstm --out run"
    )
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 0, done.output
    assert "1 iterations, reward" in done.output
    assert "stand in for its teacher" in done.output
    for more, says in (
        ("--resume --force", "give one of the two"),
        ("", "exists and is not empty"),
        ("--activation elu --out new", "means nothing to a file of torchscript"),
    ):
        again = CliRunner().invoke(app, [*words.split(), *more.split()])
        assert again.exit_code == 2
        assert says in " ".join(again.output.replace("│", " ").split())
