"""Whether episodes succeeded, as somebody says after each: asked, kept, counted."""

from __future__ import annotations

import dataclasses
import os
import pty
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

from policy_port.errors import RobotError
from policy_port.port.pilot import Pilot
from policy_port.robots.arm.console import Console
from policy_port.robots.arm.emulated import emulate
from policy_port.robots.emulator.clock import VirtualClock
from policy_port.robots.jobs.answers import Answered
from policy_port.robots.jobs.dataset import SUCCESS, _told, features
from policy_port.robots.jobs.reach_job import ReachJob
from policy_port.robots.jobs.run import Keep, RealRun, play_real
from policy_port.tasks.reach import SO100_REACH
from policy_port.trace import Trace
from tests.robots.unhurried import unhurried


class Told(Console):
    """Somebody who answers from a list, and presses Ctrl-C when it is over."""

    def __init__(self, answers: list[str]) -> None:
        super().__init__(continuous=True)
        self.answers, self.asked = answers, list[str]()

    def answer(self, question: str, words: tuple[str, ...], idle: Callable[[], None]) -> str:
        self.asked.append(question)
        if not self.answers:
            os.kill(os.getpid(), signal.SIGINT)
        idle()
        return self.answers.pop(0)


def run(folder: Path, pilot: Pilot, answers: list[str], episodes: int) -> tuple[RealRun, Trace, Told]:
    clock, console = VirtualClock(), Told(answers)
    with emulate(unhurried(), clock=clock) as rehearsal:
        done = play_real(
            pilot,
            rehearsal.robot,
            ReachJob(dataclasses.replace(SO100_REACH, episode_steps=4)),
            seeds=range(episodes),
            keep=Keep(folder=folder, answers=True),
            console=console,
            on_torque=rehearsal.let_go,
            time=clock,
        )
    return done, Trace(folder / "trace.npz"), console


def test_answers_are_counted_and_kept(tmp_path: Path, pilot: Pilot) -> None:
    """Asked once after each episode, the last one too; Ctrl-C in the middle of a question keeps those before it."""
    done, trace, console = run(tmp_path, pilot, ["y", "-"], 3)
    assert [f"episode {n} of 3" in question for n, question in enumerate(console.asked, 1)] == [True] * 3
    metrics = {metric.key: metric for metric in done.result.metrics}
    assert metrics["answered_success"].text == "1 of 1 (100%; 95 % interval 2% to 100%); 1 not counted"
    assert (done.exit_code, done.result.setting["arm"]) == (130, "at rest, torque off")
    assert "said after each episode" in done.result.setting["success"]
    assert [row["success"] for row in trace.header["episodes"]] == [True, None, None]
    told = _told(trace)
    assert told is not None
    assert np.array_equal(told, np.array([[1.0], [np.nan], [np.nan]], np.float32), equal_nan=True)
    assert SUCCESS in features(unhurried(), {}, 0, answered=True)
    assert SUCCESS not in features(unhurried(), {}, 0)


def test_none_of_none_is_no_rate() -> None:
    """Where nobody has answered, or no episode counts, there is no success rate, and no division by nothing."""
    over: Any = SimpleNamespace(rows={}, stops={}, judge=lambda *_: np.array([True]), done=True, begin=lambda *_: None)
    nothing = Answered(over, 2, lambda *_: "-")
    assert nothing.metrics()[0].value is None
    nothing.judge(over, over)
    (metric,) = nothing.metrics()
    assert (metric.value, metric.text) == (None, "nobody said of any episode whether it succeeded")


def test_an_empty_line_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter alone and other words are asked again; capitals and blanks are understood; no terminal is refused."""
    host, terminal = pty.openpty()
    typed = [b"\n", b"maybe\n", b" N \n"]
    with os.fdopen(terminal, "r+b", buffering=0) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        console, shown = Console(continuous=True), []

        def write(text: str, answers: int | None = None) -> Any:
            shown.append(text)
            os.write(host, typed.pop(0))
            return SimpleNamespace(wait=lambda _: True)

        monkeypatch.setattr(console, "_write", write)
        assert console.answer("well? ", ("y", "n"), lambda: None) == "n"
    os.close(host)
    assert shown == ["well? "] * 3
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(RobotError, match="nobody can answer here, as this is no terminal: leave --ask out"):
        Console(continuous=True).check_answers()
