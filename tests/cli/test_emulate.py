"""The emulated arm from the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.robots.emulator.calibration import DEFAULT_CALIBRATION, read_calibration


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["emulate", *map(str, arguments)])
    return result.exit_code, result.output


def test_it_says_where_the_arm_is_and_how_it_ended(tmp_path: Path) -> None:
    """Port, cameras and calibration are printed; after the duration it ends well and takes its link with it."""
    calibration, link = tmp_path / "calibration" / "mine.json", tmp_path / "port"
    code, output = run(
        "so101", "--calibration", calibration, "--port-link", link, "--camera", "front=64x48@5", "--duration", 0.2
    )
    assert code == 0
    lines = output.splitlines()
    assert lines[0] == f"calibration  written to {calibration}"
    assert lines[1] == f"port         {link}"
    assert lines[2].startswith("camera       front: http://127.0.0.1:")
    assert lines[3] == "unplugged    after 0 goals; torque is off on all servos"
    assert read_calibration(calibration) == DEFAULT_CALIBRATION
    assert not link.is_symlink()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["so99"], "no emulated robot is called 'so99'. There are: so100, so101"),
        (["--fault", "silent:elbow"], "no joint is called 'elbow'; did you mean 'elbow_flex'?"),
        (["--camera", "front"], "write NAME=WIDTHxHEIGHT@FPS"),
        (["--latency-ms", "-1"], "is out of range"),
        (["so101", "--model", "mujoco"], "an SO100's links are others. Leave --model out"),
    ],
)
def test_a_misuse_says_what_is_valid(arguments: list[str], message: str) -> None:
    """It exits with 2 and one message."""
    code, output = run(*arguments)
    assert code == 2
    assert message in output


def test_the_faults_are_listed() -> None:
    """--faults prints the table and starts nothing."""
    code, output = run("--faults")
    assert code == 0
    assert "brownout" in output
    assert "stuck[:joint]" in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_unplugs_the_arm(tmp_path: Path, number: signal.Signals) -> None:
    """For this command an interrupt is the normal end: status 0, a summary, no link."""
    link = tmp_path / "port"
    command = [sys.executable, "-c", "from policy_port.cli.app import main; main()", "emulate", "--port-link", link]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    assert process.stdout is not None
    lines = [process.stdout.readline(), process.stdout.readline()]
    assert lines == [f"port         {link}\n", "Ctrl-C unplugs the arm.\n"]
    process.send_signal(number)
    rest = process.stdout.read()
    process.stdout.close()
    assert process.wait() == 0
    assert rest == "unplugged    after 0 goals; torque is off on all servos\n"
    assert not link.is_symlink()
