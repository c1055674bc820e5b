"""Claims about `policy-port play --real`: what it refuses, and one rehearsal from start to end."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.cli.arm_run import check_folder
from policy_port.robots.emulator.clock import VirtualClock
from policy_port.robots.jobs import run
from policy_port.trace import Recorder, Trace
from tests.cli.person import at_a_terminal

REAL = ["play", "so100-reach", "--real", "--robot", "so100"]


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 2, result.output
    return " ".join(result.output.replace("│", " ").split())


def test_options_of_simulators_do_not_go_with_an_arm(tmp_path: Path) -> None:
    """Nothing is silently left out."""
    out = ["--out", str(tmp_path / "run")]
    assert "--plant, --force does not go with --real" in refused(*REAL, *out, "--plant", "mujoco", "--force")
    assert "go with --real" in refused("play", "port", *out, "--plant", "mujoco", "--task", "so100-reach", "--emulated")
    assert "--real needs --robot" in refused("play", "so100-reach", "--real", *out)
    assert "--dataset go with --real" in refused("play", "port", *out, "--plant", "mujoco", "--dataset", "set")
    assert "--fault goes with --emulated" in refused(*REAL, *out, "--continuous", "--fault", "unplug")


def test_without_a_person_steps_are_not_let_through(tmp_path: Path) -> None:
    """No terminal and no --continuous: an error before anything is opened."""
    message = refused(*REAL, "--emulated", "--out", str(tmp_path / "run"))
    assert "nobody can press Enter here" in message
    assert not (tmp_path / "run").exists()


def test_a_robot_file_without_a_port_leads_to_no_arm(tmp_path: Path) -> None:
    """The shipped file names no port, so that nothing moves by accident."""
    pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")
    message = refused(*REAL, "--continuous", "--out", str(tmp_path / "run"))
    assert "names no port" in message
    assert not (tmp_path / "run").exists()


def test_a_run_is_never_overwritten(tmp_path: Path) -> None:
    """What an arm has done stays on record; pictures of a run that was refused before anything moved are none of it."""
    (tmp_path / "run").mkdir()
    for name in ("views.png", "placement.png"):
        (tmp_path / "run" / name).touch()
    check_folder(tmp_path / "run")
    (tmp_path / "run" / "trace.npz").touch()
    assert "exists already" in refused(*REAL, "--emulated", "--continuous", "--out", str(tmp_path / "run"))


def test_what_a_dataset_needs_is_said_before_anything_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing libraries, or a folder that is taken, cost no run."""
    pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")
    from policy_port.robots.jobs import dataset

    run, emulated = tmp_path / "run", ["--emulated", "--continuous"]
    monkeypatch.setattr(dataset, "NEEDED", ("not_there_at_all",))
    message = refused(*REAL, *emulated, "--out", str(run), "--dataset", str(tmp_path / "set"))
    assert "not_there_at_all, which are not installed: pip install 'policy-port[dataset]'" in message
    monkeypatch.setattr(dataset, "NEEDED", ())
    monkeypatch.setattr(dataset, "dataset_class", lambda: None)
    monkeypatch.setattr(dataset, "_check_encoder", lambda: None)
    message = refused(*REAL, *emulated, "--out", str(run), "--dataset", str(tmp_path))
    assert "exists already; name a folder that does not exist yet for the dataset" in message
    assert not run.exists()


@pytest.mark.slow
def test_the_embedded_policy_reaches_on_the_emulated_arm(tmp_path: Path, clock: VirtualClock) -> None:
    """One command on a fresh clone: checks, motion, rest, table, report, trace; exit status 0."""
    out = tmp_path / "run"
    # The watchdog lives in real time, and waits for a machine that is busy.
    shipped = (Path("policy_port/assets/robots/so100.yaml")).read_text(encoding="utf-8")
    robot = tmp_path / "arm.yaml"
    robot.write_text(shipped.replace("heartbeat: 1.0", "heartbeat: 5.0"))
    command = ["play", "so100-reach", "--real", "--robot", str(robot), "--emulated", "--continuous"]
    done = CliRunner().invoke(app, [*command, "--episodes", "1", "--out", str(out), "--report"])
    assert done.exit_code == 0, done.output
    assert "at rest, torque off" in done.stdout
    assert f"wrote {out / 'report.html'}" in done.stdout
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Done. Success in 100.0 % (1 of 1" in page
    assert "The arm was emulated" in page
    assert hashlib.sha256(robot.read_bytes()).hexdigest() in page
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["metrics"]["success_rate"] == 1.0
    assert metrics["metrics"]["steps"] == 80
    trace = Trace(out / "trace.npz")
    assert trace.header["stopped"] is None
    assert trace["target_sent"].shape == (80, 1, 6)
    assert abs(trace["target_sent"] - trace["target"]).max() < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(("chunks", "steps"), [(0, 20), (2, 60), (3, 80)])
def test_a_full_disk_is_one_message(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, chunks: int, steps: int
) -> None:
    """Whenever it is full: the arm rests, what was written stays, one sentence says what is missing; exit status 1."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    flush, atomic, out = Recorder.flush, run.write_atomic, tmp_path / "run"
    monkeypatch.setattr(Recorder, "flush", lambda self: full() if self._chunks >= chunks else flush(self))
    monkeypatch.setattr(run, "write_atomic", lambda path, text: atomic(tmp_path / "no" / "room", text))
    words = [*REAL, "--emulated", "--continuous", "--episodes", "1", "--out", str(out), "--report", "--plot"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1, done.output
    assert "at rest, torque off" in done.stdout
    assert f"error: the run is not whole on disk: {out / 'trace.npz'}: the disk is full. trace.npz.parts" in done.stderr
    assert done.stderr.endswith("metrics.json, plot.png, report.html were not written.\n")
    assert done.stderr.count("error") == 1
    assert "Traceback" not in done.output
    if chunks:
        trace = Trace(out / "trace.npz")
        assert len(trace["target_sent"]) == 20 * chunks
    # A step or two may be on its way when the writing fails.
    sent = next(line for line in done.stdout.splitlines() if line.startswith("steps")).split()[1]
    assert steps <= int(sent) <= min(80, steps + 3)


@pytest.mark.slow
def test_steps_wait_for_enter(tmp_path: Path) -> None:
    """In a terminal each step is asked for; Ctrl-C at the question ends at rest, with a report and exit status 130."""
    pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")
    with at_a_terminal(*REAL, "--emulated", "--out", tmp_path / "run", "--report", "--plot") as person:
        person.reads("The arm will move")
        person.types()
        for step in (1, 2, 3):
            person.reads(f"step {step} ")
            person.types()
        person.reads("step 4 ")
        person.command.send_signal(2)
        output, _ = person.command.communicate(timeout=60)
    assert person.command.returncode == 130, output
    assert "stopped by SIGINT" in output
    assert "at rest, torque off" in output
    trace = Trace(tmp_path / "run" / "trace.npz")
    assert np.isfinite(trace["target_sent"]).all(axis=(1, 2)).tolist() == [True, True, True, False]
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Stopped: stopped by SIGINT. No episode came to its end. The arm: at rest, torque off." in page
    assert (tmp_path / "run" / "plot.png").is_file()
