"""A second program on the same port is noticed within a second, and the arm is stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

from policy_port.robots.arm.console import Console
from policy_port.robots.arm.emulated import Rehearsal, emulate
from policy_port.robots.arm.raw_line import packet
from policy_port.robots.arm.session import ArmSession
from policy_port.robots.arm.stops import ArmStopError
from policy_port.robots.arm.supervisor import Supervisor
from policy_port.robots.emulator.clock import VirtualClock
from policy_port.robots.emulator.registers import BY_NAME
from tests.robots.unhurried import unhurried

pytestmark = pytest.mark.slow

PERIOD = 0.05


@pytest.fixture
def rehearsal(clock: VirtualClock) -> Iterator[Rehearsal]:
    """The shipped arm, on a virtual clock."""
    with emulate(unhurried(), clock=clock) as rehearsal:
        yield rehearsal


def write(rehearsal: Rehearsal, servo: int, register: str, value: int) -> None:
    """As another program does it: bytes on the same line; the servo's answer goes to whoever reads."""
    line = os.open(rehearsal.robot.port or "", os.O_WRONLY | os.O_NOCTTY)
    entry = BY_NAME[register]
    os.write(line, packet(servo, 3, [entry.address, *entry.encode(value)]))
    os.close(line)


def hold(session: ArmSession, supervisor: Supervisor, meanwhile: Callable[[], None] = lambda: None) -> None:
    session.clock.wait()
    supervisor.write(session.supervisor.sent[None].copy())
    session.arm.clock.sleep(0.01)
    meanwhile()
    supervisor.step(1)
    supervisor.read(session.state)


CHANGES = [
    ("Homing_Offset", 12, "Homing_Offset of elbow_flex"),
    ("Min_Position_Limit", 0, "Min_Position_Limit of elbow_flex"),
    ("Max_Position_Limit", 4095, "Max_Position_Limit of elbow_flex"),
    ("P_Coefficient", 64, "P_Coefficient of elbow_flex"),
    ("D_Coefficient", 1, "D_Coefficient of elbow_flex"),
    ("I_Coefficient", 9, "I_Coefficient of elbow_flex"),
    ("Operating_Mode", 1, "Operating_Mode of elbow_flex"),
    ("Max_Torque_Limit", 300, "Max_Torque_Limit of elbow_flex"),
    ("Overload_Torque", 33, "Overload_Torque of elbow_flex"),
    ("Torque_Limit", 300, "Torque_Limit of elbow_flex"),
    ("Acceleration", 10, "Acceleration of elbow_flex"),
    ("Goal_Velocity", 100, "Goal_Velocity of elbow_flex"),
    ("Lock", 0, "Lock of elbow_flex"),
    ("Torque_Enable", 0, "torque was found off on elbow_flex"),
    ("Goal_Position", 2200, "elbow_flex has a goal that nobody sent"),
]


@pytest.mark.parametrize("waiting", [False, True], ids=["moving", "waiting"])
@pytest.mark.parametrize(("register", "value", "message"), CHANGES, ids=[change[0] for change in CHANGES])
def test_what_another_program_writes_is_noticed_within_a_second(
    rehearsal: Rehearsal, clock: VirtualClock, register: str, value: int, message: str, waiting: bool
) -> None:
    """Whichever register it is, in the loop and while somebody is waited for; torque goes off where the arm is."""
    session = ArmSession(rehearsal.robot, PERIOD, Console(continuous=True), rehearsal.let_go, clock)
    session.open()
    with session, pytest.raises(ArmStopError, match=message) as stop, session.driving() as supervisor:
        begin = 0.0
        session.power()
        supervisor.reset(session.supervisor.sent[None].copy())
        supervisor.read(session.state)
        for _ in range(20):
            hold(session, supervisor)
        hold(session, supervisor, lambda: write(rehearsal, 3, register, value))
        begin = clock.now()
        while clock.now() - begin < 5.0:
            if waiting:
                clock.sleep(0.05)
                supervisor.watch()
            else:
                hold(session, supervisor)
    assert begin == 0.0 or clock.now() - begin < 1.5
    assert not stop.value.may_move
    assert not any(servo.torque for servo in rehearsal.arm.servos)


def test_what_was_written_while_the_arm_waited_for_torque_is_noticed(rehearsal: Rehearsal, clock: VirtualClock) -> None:
    """Between the check and Enter minutes may pass: nothing that was changed then gets torque."""
    session = ArmSession(rehearsal.robot, PERIOD, Console(continuous=True), rehearsal.let_go, clock)
    session.open()
    clock.sleep(30.0)
    write(rehearsal, 3, "Max_Position_Limit", 2500)
    clock.sleep(0.1)
    with session, pytest.raises(ArmStopError, match="Max_Position_Limit of elbow_flex is 2500, it was 3120"):
        session.power()
    assert all(item.value == 0 for item in rehearsal.arm.torque_commands())


def test_a_disturbed_line_is_no_other_program(rehearsal: Rehearsal, clock: VirtualClock) -> None:
    """Bits that turn over now and then, lost and torn answers: two readings that agree are needed."""
    session = ArmSession(rehearsal.robot, PERIOD, Console(continuous=True), rehearsal.let_go, clock)
    session.open()
    with session, session.driving() as supervisor:
        session.power()
        supervisor.reset(session.supervisor.sent[None].copy())
        supervisor.read(session.state)
        ended = ""
        for fault in ("flip:0.03", "truncate:0.02", "drop:0.02"):
            rehearsal.arm.inject(fault)
        try:
            for _ in range(100):
                hold(session, supervisor)
        except ArmStopError as stop:
            ended = str(stop)
        rehearsal.arm.clear()
    assert "another program" not in ended
