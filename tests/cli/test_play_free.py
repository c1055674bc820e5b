"""Claims about `policy-port play --real --seconds`: which policies run for a time, and what the command refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

from policy_port.checkpoints import load_policy
from policy_port.cli.app import app
from policy_port.contract import Contract
from policy_port.export.write import write_port
from policy_port.remap import identity_remap
from policy_port.robots.arm.robot_file import find_robot_file
from policy_port.robots.emulator.clock import VirtualClock
from policy_port.trace import Trace
from tests.cli.person import at_a_terminal
from tests.robots.jobs.act_folder import START, contract_document


def write_free_port(folder: Path, contract: Contract) -> Path:
    """A network in LeRobot's numbers that reads positions only and asks for about the pose that it starts in."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    start, weight = torch.tensor(START), 0.05 * torch.randn(6, 6)
    tensors: dict[str, Any] = {"mlp.0.weight": weight, "mlp.0.bias": start - weight @ start}
    tensors["distribution.std_param"] = torch.ones(6)
    critic = {"mlp.0.weight": torch.zeros(1, 6), "mlp.0.bias": torch.zeros(1)}
    saved = {"actor_state_dict": tensors, "critic_state_dict": critic, "optimizer_state_dict": {}, "iter": 0}
    torch.save({**saved, "infos": None}, folder / "model_0.pt")
    policy = load_policy(folder / "model_0.pt", activation="elu")
    return write_port(folder / "port", policy, identity_remap(contract), formats=("onnx",)).path


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_free_port(tmp_path_factory.mktemp("free"), Contract.model_validate(contract_document(images=[])))


@pytest.fixture
def robot(tmp_path: Path) -> Path:
    """A robot file whose watchdog, which lives in real time, waits for a machine that is busy."""
    text = find_robot_file("so100").read_text(encoding="utf-8")
    path = tmp_path / "arm.yaml"
    path.write_text(text.replace("heartbeat: 1.0", "heartbeat: 5.0"), encoding="utf-8")
    return path


def play(*arguments: Any, code: int = 2) -> str:
    result = CliRunner().invoke(app, ["play", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return " ".join(result.output.replace("│", " ").split())


THROUGH = ("--through", "so100_maniskill_to_lerobot")


def test_what_is_to_be_done_is_said_once(port: Path, robot: Path, tmp_path: Path) -> None:
    """A task, an environment or a time; a policy without a goal needs one of them, one with a goal gets no time."""
    out = tmp_path / "run"
    real = (port, "--real", "--continuous", "--robot", robot, "--out", out)
    assert "give one of --task" in play(*real, "--seconds", 5, "--task", "so100-reach")
    assert "and --seconds" in play(*real, "--seconds", 5, "--env", "SO100GraspCube-v1")
    assert "reads no goal, so the reach task is not for it: say how long" in play(*real, *THROUGH)
    assert "in LeRobot's numbers" in play(*real, "--seconds", 5)
    goal = play("so100-reach", *real[1:], "--seconds", 5)
    assert "reads a goal of 3 numbers, and in a run that only --seconds bounds nobody gives it one" in goal
    assert not out.exists()


def test_seconds_belong_to_a_command_or_an_arm(port: Path, tmp_path: Path) -> None:
    """Where --seconds would change nothing it is refused."""
    out = ("--out", tmp_path / "run", "--seconds", 5)
    assert "--seconds does not go with --task" in play(port, "--plant", "mujoco", "--task", "so100-reach", *out)
    assert "--seconds goes with --plant" in play(port, "--env", "SO100GraspCube-v1", *out)


@pytest.mark.slow
def test_a_rehearsal_says_what_nobody_measured(port: Path, robot: Path, tmp_path: Path, clock: VirtualClock) -> None:
    """One episode of the length asked for, at rest afterwards, and a report that claims no success."""
    out = tmp_path / "run"
    given = ("--real", "--emulated", "--continuous", "--robot", robot, "--seconds", 0.6, *THROUGH, "--out", out)
    said = play(port, *given, "--report", code=0)
    assert "task none: 0.6 s an episode (9 steps), from the default pose" in said
    assert "success nobody measured it: look" in said
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    assert (metrics["episodes"], metrics["steps"], metrics["limited_steps"]) == (1, 9, 0)
    assert 0.0 < metrics["asked_change_max"] < 0.1
    assert "success_rate" not in metrics
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Done. 1 episode came to its end; whether it succeeded, nobody measured. The arm: at rest" in page
    assert not (out / "views.png").exists()
    assert abs(Trace(out / "trace.npz")["action"][:, 0] - START).max() < 5.0


@pytest.mark.slow
def test_somebody_prepares_the_scene_between_two_episodes(port: Path, robot: Path, tmp_path: Path) -> None:
    """In a terminal, without --continuous: steps are let through, and the second episode waits for Enter too."""
    out = tmp_path / "run"
    given = ("--real", "--emulated", "--robot", robot, "--seconds", 0.2, "--episodes", 2, *THROUGH, "--out", out)
    with at_a_terminal("play", port, *given) as person:
        person.reads("The arm will move")
        person.types()
        person.reads("step 1 ")
        person.types("c")
        person.reads("Prepare the scene for episode 2 of 2.")
        person.types()
        output, _ = person.command.communicate(timeout=60)
    assert person.command.returncode == 0, output
    assert Trace(out / "trace.npz")["episode"][:, 0].tolist() == [0, 0, 0, 1, 1, 1]
