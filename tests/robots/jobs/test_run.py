"""Whatever ends a run, the arm ends at rest or without torque, and the wire has seen nothing outside the limits."""

from __future__ import annotations

import dataclasses
import errno
import json
import logging
import os
import random
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

from benchmarks.disturbed_arm import SoakArm
from policy_port.files import sha256
from policy_port.port.pilot import Pilot
from policy_port.robots.arm.console import Console
from policy_port.robots.arm.stop_signals import StopSignals
from policy_port.robots.arm.stops import OperatorStopError
from policy_port.robots.emulator.clock import VirtualClock
from policy_port.robots.jobs.run import _other_arm
from policy_port.robots.jobs.trace import RealTrace
from policy_port.trace import Recorder, Trace
from tests.robots.unhurried import unhurried

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def arm() -> Iterator[SoakArm]:
    robot = unhurried()
    with SoakArm(VirtualClock(), timing=robot.timing, approach_speed=robot.approach_speed) as arm:
        yield arm


def test_a_run_ends_at_rest(arm: SoakArm, pilot: Pilot) -> None:
    """Task done, arm at rest, torque off, every goal within the limits, a trace of every step."""
    outcome = arm.run(pilot)
    assert (outcome.ended, outcome.steps, outcome.at_rest) == ("task done", 20, True)
    assert outcome.good, outcome


def test_a_policy_of_another_arms_dynamics_is_told_before_it_moves(
    arm: SoakArm, pilot: Pilot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Both calibrations are named; of this arm's dynamics, and of a policy that learned under none, nothing is said."""
    asked: list[str] = []
    monkeypatch.setattr(Console, "confirm", lambda self, question, *_: asked.append(question))
    arm.run(dataclasses.replace(pilot, learned_on="b" * 64), episode_steps=1)
    (said,) = [one for one in asked if "dynamics" in one]
    assert f"another calibration ({'b' * 12}...) than this one's" in said
    assert "The arm will move" in said
    file = tmp_path / "calibration.json"
    file.write_text("{}")
    session: Any = SimpleNamespace(arm=SimpleNamespace(calibration_file=file))
    assert _other_arm(pilot, session) == ""
    assert _other_arm(dataclasses.replace(pilot, learned_on=sha256(file)), session) == ""


@pytest.mark.parametrize("seed", range(2))
def test_ctrl_c_at_any_time_ends_at_rest(arm: SoakArm, pilot: Pilot, seed: int) -> None:
    """Before, during and after the motion; the port is free for the next run."""
    after = random.Random(seed).uniform(0.2, 3.0)
    outcome = arm.run(pilot, signals=((after, signal.SIGINT),))
    assert outcome.good, outcome
    assert outcome.at_rest, outcome


def test_sigterm_ends_at_rest(arm: SoakArm, pilot: Pilot) -> None:
    """`kill` is Ctrl-C for those who are not at the terminal."""
    outcome = arm.run(pilot, episode_steps=100, signals=((3.0, signal.SIGTERM),))
    assert outcome.good, outcome
    assert outcome.ended == "stopped by SIGTERM"
    assert outcome.at_rest


def test_a_second_ctrl_c_cuts_torque_at_once(arm: SoakArm, pilot: Pilot) -> None:
    """No way back to rest: torque goes off where the arm is."""
    outcome = arm.run(pilot, episode_steps=100, signals=((3.0, signal.SIGINT), (3.4, signal.SIGINT)))
    assert outcome.good, outcome
    assert outcome.ended == "stopped by SIGINT"


@pytest.mark.parametrize(
    ("fault", "reason", "rests"),
    [
        ("overload:elbow_flex@1.2", "elbow_flex: overload", False),
        ("brownout@1.1", "all servos: the supply has broken down", False),
        ("silent:gripper@1.3", "no valid answer from gripper", False),
        ("overheat:gripper:65@1.3", "gripper is at 65 C", True),
        ("unplug@1.3", "the port is gone|targets can't be sent", False),
        ("lost:0.15@0.5", "", None),
        ("flip:0.1@0.5", "", None),
    ],
)
def test_faults_end_in_safety(arm: SoakArm, pilot: Pilot, fault: str, reason: str, rests: bool | None) -> None:
    """Torque is off on every servo that can hear, at rest where the fault allows, and the next run finds the port."""
    outcome = arm.run(pilot, episode_steps=30, fault=fault)
    assert outcome.good, outcome
    assert re.search(reason, outcome.ended), outcome
    if rests is not None:
        assert outcome.at_rest is rests


def test_a_blocked_joint_is_noticed(arm: SoakArm, pilot: Pilot) -> None:
    """A joint that stays behind its target for too long ends the run."""
    outcome = arm.run(pilot, episode_steps=100, fault="stuck:shoulder_lift@1.5")
    assert outcome.good, outcome
    assert "shoulder_lift stays" in outcome.ended


def test_an_error_in_recording_ends_at_rest(arm: SoakArm, pilot: Pilot, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in what only looks on, also while the last step is taken over: torque is off before anybody hears of it."""

    def broken(self: RealTrace) -> None:
        if self._pending is not None:
            self._pending = None
            raise ZeroDivisionError("no row")

    monkeypatch.setattr(RealTrace, "complete", broken)
    outcome = arm.run(pilot)
    assert outcome.ended == "ZeroDivisionError: no row"
    assert outcome.good, outcome
    assert outcome.at_rest


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_ends_the_run_at_rest_and_keeps_what_was_written(
    arm: SoakArm, pilot: Pilot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room for the third second: the arm stops at rest, says why in a sentence, and two seconds are readable."""
    flush = Recorder.flush
    monkeypatch.setattr(Recorder, "flush", lambda self: full() if self._chunks >= 2 else flush(self))
    logged: list[logging.LogRecord] = []
    monkeypatch.setattr(logging.Logger, "handle", lambda self, record: logged.append(record))
    run: dict[str, Any] = {}
    monkeypatch.setattr(arm, "_outcome", lambda ended, folder, *_: run.update(ended=ended, folder=folder))
    arm.run(pilot, episode_steps=200)
    assert run["ended"] == "the run can't be recorded: the disk is full"
    assert not any(servo.torque for servo in arm.arm.servos)
    metrics = json.loads((run["folder"] / "metrics.json").read_text())
    assert metrics["setting"]["arm"] == "at rest, torque off"
    assert metrics["setting"]["trace"] == f"not whole: {run['folder'] / 'trace.npz'}: the disk is full"
    assert len(Trace(run["folder"] / "trace.npz")["target_sent"]) == 40
    assert metrics["metrics"]["steps"] < 80
    assert [record for record in logged if record.levelno >= logging.WARNING] == []


def test_what_fails_at_the_end_fails_after_the_arm(arm: SoakArm, pilot: Pilot, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last chunk does not fit, or the last step can't be taken over: by then the arm rests without torque."""
    torque: list[bool] = []

    def close(self: RealTrace, **_: object) -> None:
        torque.extend(servo.torque for servo in arm.arm.servos)
        full()

    monkeypatch.setattr(RealTrace, "close", close)
    run: dict[str, Any] = {}
    monkeypatch.setattr(arm, "_outcome", lambda ended, folder, *_: run.update(ended=ended, folder=folder))
    for stop in ((), ((3.0, signal.SIGINT),)):
        arm.run(pilot, episode_steps=100, signals=stop)
        assert json.loads((run["folder"] / "metrics.json").read_text())["setting"]["arm"] == "at rest, torque off"
    assert torque == [False] * 12


def test_signals_are_questions_not_exceptions() -> None:
    """Between two questions nothing happens; afterwards the old handlers are back."""
    before = signal.getsignal(signal.SIGINT)
    with StopSignals() as signals:
        signals.check()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(OperatorStopError, match="stopped by SIGINT"):
            signals.check()
        signal.raise_signal(signal.SIGINT)
        assert not signals.cut
    assert signal.getsignal(signal.SIGINT) == before
