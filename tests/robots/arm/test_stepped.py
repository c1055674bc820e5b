"""The stepped mode, and what happens while somebody is waited for: no key is quicker than the limits."""

from __future__ import annotations

import os
import pty
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

from policy_port.robots.arm.console import Console
from policy_port.robots.arm.emulated import Rehearsal, emulate
from policy_port.robots.arm.session import ArmSession
from policy_port.robots.arm.stops import ArmStopError
from policy_port.robots.emulator.calibration import DEFAULT_CALIBRATION
from policy_port.robots.emulator.clock import VirtualClock
from policy_port.robots.emulator.tick_map import tick_scales
from tests.robots.unhurried import unhurried

pytestmark = pytest.mark.slow

PERIOD = 0.05
MOTOR = "shoulder_pan"


@pytest.fixture
def rehearsal(clock: VirtualClock) -> Iterator[Rehearsal]:
    """The shipped arm, on a virtual clock."""
    with emulate(unhurried(), clock=clock) as rehearsal:
        yield rehearsal


def opened(rehearsal: Rehearsal, clock: VirtualClock) -> ArmSession:
    session = ArmSession(rehearsal.robot, PERIOD, Console(continuous=True), rehearsal.let_go, clock)
    session.open()
    return session


def stepped(monkeypatch: pytest.MonkeyPatch, wait: Callable[[Callable[[], None]], bool]) -> None:
    monkeypatch.setattr(Console, "wait", lambda self, idle: wait(idle))


@pytest.mark.parametrize("pause", [0.0, 0.01, 0.07, 0.3])
def test_enter_held_down_is_no_faster_than_the_limits(
    rehearsal: Rehearsal, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    """However quickly Enter comes, goals on the wire keep the speed limit against the time between them."""

    def enter(idle: Callable[[], None]) -> bool:
        idle()
        clock.sleep(pause)
        return True

    stepped(monkeypatch, enter)
    with opened(rehearsal, clock) as session, session.driving() as supervisor:
        session.power()
        first = len(rehearsal.arm.goals(MOTOR))
        for _ in range(30):
            supervisor.read(session.state)
            target = session.state.joint_pos.copy()
            target[0, 0] = session.supervisor.sent[0] + 0.25
            supervisor.write(target)
        sent = rehearsal.arm.goals(MOTOR)[first:]
    scale = tick_scales(DEFAULT_CALIBRATION)[MOTOR]
    angles = np.array([scale.angle(item.value) for item in sent])
    times = np.array([item.time for item in sent])
    speed = np.abs(np.diff(angles)) / np.diff(times)
    tick = 2.0 * np.pi / 4096
    assert len(sent) == 30
    assert speed.max() <= rehearsal.robot.joints[MOTOR].speed + tick / PERIOD
    assert np.abs(angles - angles[0]).max() > 0.2
    assert np.diff(times).min() >= PERIOD - 1e-3


@pytest.mark.parametrize("ticks", [80, 200])
def test_an_arm_that_was_moved_while_enter_was_waited_for_is_stopped(
    rehearsal: Rehearsal, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, ticks: int
) -> None:
    """Also where the arm was looked at meanwhile: what counts is where the policy saw it."""

    def pushed(idle: Callable[[], None]) -> bool:
        rehearsal.arm.inject(f"push:{MOTOR}:{ticks}")
        idle()
        return True

    stepped(monkeypatch, pushed)
    stop = pytest.raises(ArmStopError, match="the arm moved while it was waiting for Enter")
    with opened(rehearsal, clock) as session, stop, session.driving() as arm:
        session.power()
        arm.read(session.state)
        arm.write(session.state.joint_pos.copy())
    assert not any(servo.torque for servo in rehearsal.arm.servos)


def test_an_arm_that_was_moved_after_its_check_gets_no_torque(rehearsal: Rehearsal, clock: VirtualClock) -> None:
    """Lifted out of its rest pose between the check and Enter: nothing is switched on."""
    with opened(rehearsal, clock) as session:
        rehearsal.arm.inject(f"push:{MOTOR}:200")
        with pytest.raises(ArmStopError, match="was moved since it was checked"):
            session.power()
    assert all(item.value == 0 for item in rehearsal.arm.torque_commands())


def test_what_was_typed_before_a_question_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter pressed during start-up does not let the arm move: the question waits for one of its own."""
    host, terminal = pty.openpty()
    with os.fdopen(terminal, "r+b", buffering=0) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        console, asked = Console(continuous=False), 0
        os.write(host, b"\n\n\n")

        def idle() -> None:
            nonlocal asked
            asked += 1
            if asked == 3:
                os.write(host, b"\n")

        console.confirm("The arm will move.", idle)
    os.close(host)
    assert asked >= 3
