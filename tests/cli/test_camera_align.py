"""`policy-port camera align` on the command line: what is refused, before an arm is reached."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")
pytest.importorskip("mani_skill", reason="ManiSkill, which ships the robot description, is not installed")
pytest.importorskip("aiohttp", reason="aiohttp is not installed")

from policy_port.camera.env_file import EnvFile
from policy_port.camera.view import View, view_fields
from policy_port.cli.app import app
from policy_port.robots.arm.robot_file import find_robot_file

ENV = {
    "env": "SO100GraspCube-v1",
    "camera": {"pos": [0.75, 0.0, 0.35], "target": [0.25, 0.0, 0.05], "fov": 0.7},
    "image": {"size": [64, 64]},
}
CAMERA = "cameras: {base_camera: {source: 0, width: 160, height: 120, fps: 10}}"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    EnvFile.model_validate(ENV).write(tmp_path / "env.yaml")
    text = find_robot_file("so100").read_text()
    (tmp_path / "arm.yaml").write_text(text.replace("cameras: {}", CAMERA))
    return tmp_path


def refused(files: Path, says: str, *more: str, robot: str = "arm.yaml", config: str = "env.yaml") -> None:
    before = {file: file.read_bytes() for file in files.iterdir() if file.is_file()}
    given = ["--config", str(files / config), "--robot", robot if robot == "so100" else str(files / robot)]
    done = CliRunner().invoke(app, ["camera", "align", *given, *more])
    said = " ".join((done.output + str(done.exception)).split())
    assert says in said, said
    assert getattr(done.exception, "exit_code", done.exit_code) == 2
    assert {file: file.read_bytes() for file in files.iterdir() if file.is_file()} == before


def test_bad_input_is_refused_before_the_arm(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No port, camera or file, another environment, a taken port, a file that may not be written: 2, and nothing."""
    refused(files, "names no port")
    refused(files, "has no camera 'base_camera'; it has none. Write into it", "--emulated", robot="so100")
    refused(files, "env.yml", config="env.yml")
    refused(files, "--env says PickCubeSO100-v1; leave --env out", "--env", "PickCubeSO100-v1")
    refused(files, "--fault goes with --emulated", "--fault", "stall-camera")
    refused(files, "--fast goes with --emulated", "--fast")
    refused(files, "--emulated-view goes with --emulated", "--emulated-view", "view.yaml")
    (files / "view.yaml").write_text(yaml.safe_dump(view_fields(View.at([1, 0, 0], [1, 0, 0, 0], fov=1, size=(9, 16)))))
    wide = "is of pictures of 16x9, camera 'base_camera' delivers 160x120, of other proportions; write size: [120, 160]"
    refused(files, wide, "--emulated", "--emulated-view", str(files / "view.yaml"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused(files, f"--port {port}: the page can't listen", "--emulated", "--port", port)
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)
    refused(files, "may not be written", "--emulated")
