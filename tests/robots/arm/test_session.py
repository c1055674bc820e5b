"""The one way to an arm: whoever drives it, the same checks come before motion and the same end after it."""

from __future__ import annotations

import ast
import gc
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

import policy_port
from policy_port.errors import RobotError
from policy_port.robots.arm import servo_line
from policy_port.robots.arm.console import Console
from policy_port.robots.arm.emulated import Rehearsal, emulate
from policy_port.robots.arm.session import ArmSession
from policy_port.robots.arm.stops import ArmStopError
from policy_port.robots.emulator.clock import VirtualClock
from tests.robots.unhurried import unhurried

pytestmark = pytest.mark.slow

PERIOD = 0.05


@pytest.fixture
def rehearsal(clock: VirtualClock) -> Iterator[Rehearsal]:
    """The shipped arm."""
    with emulate(unhurried(), clock=clock) as rehearsal:
        yield rehearsal


def made(rehearsal: Rehearsal, **timing: float) -> ArmSession:
    robot = rehearsal.robot
    robot = robot.model_copy(update={"timing": robot.timing.model_copy(update=timing)})
    return ArmSession(robot, PERIOD, Console(continuous=True), rehearsal.let_go, rehearsal.arm.clock)


def powered(rehearsal: Rehearsal) -> list[str]:
    return [servo.name for servo in rehearsal.arm.servos if servo.torque]


def test_nothing_else_makes_an_arm() -> None:
    """In the whole package only the session's file builds a driver or a supervisor."""
    package = Path(policy_port.__file__).parent
    builders = {
        str(file.relative_to(package))
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in ("LeRobotArm", "Supervisor", "ServoLine")
    }
    # The driver itself makes the line that it holds.
    assert builders == {"robots/arm/session.py", "robots/arm/lerobot_arm.py"}


def test_an_error_of_any_kind_ends_at_rest_and_gives_back_what_was_taken(rehearsal: Rehearsal) -> None:
    """SystemExit too; collections stay on, and thread switching, signals and frozen objects are as before."""
    before, handler = sys.getswitchinterval(), signal.getsignal(signal.SIGINT)
    gc.unfreeze()
    session = made(rehearsal)
    with pytest.raises(SystemExit) as stop, session:
        session.open()
        session.power()
        assert len(powered(rehearsal)) == 6
        assert (gc.isenabled(), gc.get_freeze_count() > 0) == (True, True)
        assert sys.getswitchinterval() < before
        with session.driving():
            raise SystemExit(3)
    assert str(session.ending) == "at rest, torque off"
    assert stop.value.__notes__ == ["The arm: at rest, torque off."]
    assert not powered(rehearsal)
    assert (sys.getswitchinterval(), signal.getsignal(signal.SIGINT)) == (before, handler)
    assert (gc.isenabled(), gc.get_freeze_count()) == (True, 0)
    with pytest.raises(RobotError, match="the arm was stopped: 3; make a new one"), session.driving():
        pass


def test_what_the_program_froze_stays_frozen(rehearsal: Rehearsal) -> None:
    """A program that left its objects out of collections has them left out afterwards, and none of the session's."""
    gc.freeze()
    frozen = gc.get_freeze_count()
    with made(rehearsal) as session:
        session.open()
        session.power()
        assert 0 < gc.get_freeze_count() <= frozen
    assert 0 < gc.get_freeze_count() <= frozen


def test_a_signal_while_something_is_written_is_a_question(rehearsal: Rehearsal) -> None:
    """After the arm has ended, within the block, Ctrl-C interrupts nothing; outside of it, it does again."""
    with made(rehearsal) as session:
        session.open()
        session.close()
        signal.raise_signal(signal.SIGINT)
        assert session.signals.received == "SIGINT"
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    session = made(rehearsal)
    session.open()
    session.close()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_second_signal_breaks_into_no_packet(rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that attends to the arm is waiting for answers when torque is to be cut: the cut comes after them."""
    with made(rehearsal) as session:
        session.open()
        line, said = session.arm.line, list[str]()
        measure = line._reader.txRxPacket
        monkeypatch.setattr(servo_line, "write_now", lambda *_: said.append("cut"))

        def slow() -> Any:
            said.append("asked")
            cutter.start()
            time.sleep(0.05)
            answer = measure()
            said.append("answered")
            return answer

        cutter = threading.Thread(target=line.cut)
        monkeypatch.setattr(line._reader, "txRxPacket", slow)
        line.read()
        cutter.join()
        assert said == ["asked", "answered", "cut"]
        monkeypatch.setattr(line._reader, "txRxPacket", measure)


def test_a_policy_that_asks_for_a_thousand_radians_is_stopped(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To and fro in each step: warned of, stopped within two seconds, led to rest; a passing jump is not."""
    told: list[str] = []
    monkeypatch.setattr(Console, "say", lambda self, text: told.append(text))
    session = made(rehearsal)
    session.open()
    begin = 0.0
    advice = "out of reach.*look at units, action scale and joint order of its contract .policy-port verify, diagnose"
    with pytest.raises(ArmStopError, match=advice), session.driving() as supervisor:
        session.power()
        supervisor.reset(session.supervisor.sent[None].copy())
        supervisor.read(session.state)
        for step in range(200):
            session.clock.wait()
            wild = 30 <= step < 33 or step >= 60
            begin = begin or (rehearsal.arm.clock.now() if step >= 60 else 0.0)
            supervisor.write(np.full((1, 6), 1000.0 * (-1) ** step) if wild else supervisor.sent[None].copy())
            supervisor.step(1)
            supervisor.read(session.state)
    assert rehearsal.arm.clock.now() - begin < 5.0
    assert len(told) == 1
    assert str(session.ending) == "at rest, torque off"


def test_a_network_that_is_asked_now_and_then_is_timed(rehearsal: Rehearsal) -> None:
    """Slow in every eighth step: refused before torque, whether or not the policy can be begun anew."""
    steps = [0]

    def step() -> None:
        session.supervisor.read(session.state)
        if steps[0] % 8 == 0:
            rehearsal.arm.clock.sleep(0.2)
        steps[0] += 1

    def begin() -> None:
        steps[0] = 0

    for more in ((), (begin,)):
        steps[0] = 0
        session = made(rehearsal, stale=0.1)
        session.open()
        with pytest.raises(
            ArmStopError, match=r"the network is asked takes 0\.2.* s, for which timing\.stale \(0\.1\)"
        ):
            session.rehearse(step, *more)
        assert str(session.ending) == "at rest, torque off"
    assert all(item.value == 0 for item in rehearsal.arm.torque_commands())


def test_the_person_is_warned_once(rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one wording, before torque, by `warn` or else by `power`."""
    asked: list[str] = []

    def confirm(self: Console, question: str, idle: Any) -> None:
        assert not powered(rehearsal)
        asked.append(question)

    monkeypatch.setattr(Console, "confirm", confirm)
    warning = "The arm will move. Keep clear of it, a hand at its power switch."
    with made(rehearsal) as session:
        session.open()
        session.warn("Look. ")
        session.power()
        session.power()
    assert asked == [f"Look. {warning}"]
    asked.clear()
    rehearsal.arm.inject("stuck")
    with made(rehearsal) as session:
        session.open()
        session.power()
    assert asked == [warning]
