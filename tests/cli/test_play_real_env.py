"""Claims about `policy-port play --real --env`: what it refuses before an arm is reached."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.robots.arm.robot_file import find_robot_file

REAL = ["play", "so100-reach", "--real", "--continuous"]
REACH = "PolicyPortSO100Reach-v1"


def refused(folder: Path, *arguments: str) -> str:
    """The message; the arm has a port that nobody may open, and no calibration."""
    shipped = find_robot_file("so100").read_text(encoding="utf-8")
    (folder / "arm.yaml").write_text(
        shipped.replace("port: null", "port: /not/there").replace("calibration_dir: null", "calibration_dir: .")
    )
    out = folder / "run"
    result = CliRunner().invoke(app, [*REAL, "--robot", str(folder / "arm.yaml"), "--out", str(out), *arguments])
    assert result.exit_code == 2, result.output
    assert not out.exists()
    return " ".join(result.output.replace("│", " ").split())


def test_options_that_contradict_each_other(tmp_path: Path) -> None:
    """A run has one task, and a controller only in a ManiSkill task."""
    assert "give one of --task" in refused(tmp_path, "--env", REACH, "--task", "so100-reach")
    assert "--control-mode goes with --env" in refused(tmp_path, "--control-mode", "pd_joint_pos")


@pytest.mark.slow
def test_tasks_that_do_not_fit(tmp_path: Path) -> None:
    """An unknown task, one whose observation no arm can measure, another robot's, and another controller."""
    pytest.importorskip("mani_skill", reason="ManiSkill is not installed")
    pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")
    assert "did you mean 'SO100GraspCube-v1'?" in refused(tmp_path, "--env", "SO100GraspCub-v1")
    assert "extra/obj_pose: not measurable" in refused(tmp_path, "--env", "SO100GraspCube-v1")
    assert "its robot is a panda" in refused(tmp_path, "--env", "PickCube-v1")
    message = refused(tmp_path, "--env", REACH, "--control-mode", "pd_joint_delta_pos")
    assert "under pd_joint_delta_pos, an action moves the target of" in message
    assert "holds no calibration of all six motors" in refused(tmp_path, "--env", REACH)
