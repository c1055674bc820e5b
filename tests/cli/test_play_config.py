"""`play --real --config`: what it goes with, and what is refused before an arm is reached."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")
pytest.importorskip("mani_skill", reason="ManiSkill is not installed")

from policy_port.cli.app import app
from policy_port.robots.arm.robot_file import find_robot_file

ENV = """env: PolicyPortSO100Reach-v1
camera: {pos: [0.5, -0.4, 0.4], target: [0.0, -0.2, 0.1], fov: 0.9}
image: {size: [64, 64]}
"""
CAMERA = "cameras: {base_camera: {source: 0, width: 160, height: 120, fps: 10}}"


def test_what_an_environment_file_goes_with(tmp_path: Path) -> None:
    """--config needs --real and --env, --accept needs --config; a policy or an arm without eyes needs no file."""
    (tmp_path / "env.yaml").write_text(ENV)
    (tmp_path / "arm.yaml").write_text(find_robot_file("so100").read_text().replace("cameras: {}", CAMERA))
    out, config = ["--out", str(tmp_path / "run")], ["--config", str(tmp_path / "env.yaml")]
    real = ["--real", "--emulated", "--continuous", "--robot", str(tmp_path / "arm.yaml")]
    blind = ["--real", "--emulated", "--continuous", "--robot", "so100"]
    env = ["--env", "PolicyPortSO100Reach-v1"]
    for given, says in (
        ([*env, *config], "--config, --accept, --ask and --emulated-view go with --real"),
        ([*env, "--ask"], "--config, --accept, --ask and --emulated-view go with --real"),
        ([*real, *env, "--emulated-view", "v.yaml"], "--emulated-view goes with --config, whose camera it is"),
        ([*real, *config], "--config goes with --env"),
        ([*real, "--control-mode", "pd"], "--control-mode goes with --env"),
        ([*real, *env, "--accept", "moved"], "--accept goes with --config, whose camera is checked"),
        ([*real, *env, *config], "reads no picture, so there is no camera: leave --config out"),
        ([*blind, *env, *config], "has no camera 'base_camera'; it has none. Write into it"),
        ([*real, "--env", "SO100GraspCube-v1", *config], "leave --env out"),
        ([*real, *env, "--ask", "--fast"], "--ask waits for somebody, --fast for nobody: leave --fast out"),
        ([*real, *env, "--ask"], "nobody can answer here, as this is no terminal: leave --ask out"),
    ):
        done = CliRunner().invoke(app, ["play", "so100-reach", *given, *out])
        said = " ".join((done.output + str(done.exception)).replace("\n", " ").split())
        assert says in said, said
        assert getattr(done.exception, "exit_code", done.exit_code) == 2
        assert not (tmp_path / "run").exists()
