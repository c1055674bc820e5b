"""One time for the arm and those who drive it, which a busy machine does not change."""

from __future__ import annotations

import threading
import time

import pytest

from policy_port.errors import EmulatorError
from policy_port.robots.emulator import EmulatedArm
from policy_port.robots.emulator.bus import WireWrite
from policy_port.robots.emulator.clock import LOOK, REAL, STRIDE, VirtualClock
from tests.robots.emulator.conftest import Connect


def test_virtual_time_passes_only_on_request(clock: VirtualClock) -> None:
    """Sleeping and looking take what they say, computing takes nothing, and no sleep goes back."""
    assert clock.now() == clock.now()
    began = clock.now()
    clock.sleep(3.5)
    assert clock.now() == began + 3.5
    assert clock.look() == pytest.approx(began + 3.5 + LOOK)
    clock.sleep_until(began)
    assert clock.now() == pytest.approx(began + 3.5 + LOOK)


def test_who_follows_is_told_before_the_sleeper_wakes(clock: VirtualClock) -> None:
    """First the moment at which the sleep began, then in strides to its end; whoever left is told nothing more."""
    told: list[float] = []
    clock.sleep(1.0)

    def live() -> None:
        told.append(clock.now())

    clock.follow(live)
    clock.sleep(0.05)
    assert told == pytest.approx([1.0, 1.0 + STRIDE, 1.0 + 2 * STRIDE, 1.05])
    clock.leave(live)
    clock.sleep(1.0)
    assert len(told) == 4


def test_sleepers_of_two_threads_share_one_time(clock: VirtualClock) -> None:
    """Whoever sleeps to a moment finds that moment or a later one, and followers see no time that goes back."""
    told: list[float] = []
    clock.follow(lambda: told.append(clock.now()))
    late: list[float] = []

    def sleep() -> None:
        for step in range(200):
            moment = 0.01 * step
            clock.sleep_until(moment)
            late.append(clock.now() - moment)

    threads = [threading.Thread(target=sleep) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(late) == 400
    assert min(late) >= 0.0
    assert told == sorted(told)


def test_real_time_is_the_machines(clock: VirtualClock) -> None:
    """Nobody wakes up early."""
    assert time.monotonic() <= REAL.now() <= REAL.look() <= time.monotonic()
    end = REAL.now() + 0.02
    REAL.sleep_until(end)
    assert time.monotonic() >= end


def test_an_arm_on_a_virtual_clock_has_no_thread_and_no_process(clock: VirtualClock) -> None:
    """It lives on the threads of its users; another process would not know the time."""
    before = threading.active_count()
    with EmulatedArm(clock=clock):
        assert threading.active_count() == before
    with pytest.raises(EmulatorError, match="leave out process or clock"):
        EmulatedArm(clock=clock, process=True)


def moved(connect: Connect) -> tuple[tuple[WireWrite, ...], dict[str, float], float]:
    """What the wire, the joints and the clock are after a second of motion under a driver on a bad line."""
    clock = VirtualClock()
    with EmulatedArm(clock=clock, latency=0.001) as arm:
        robot = connect(arm)
        for fault in ("jitter:0.003", "lost:0.05", "silent:gripper@0.5+0.02"):
            arm.inject(fault)
        for step in range(40):
            robot.send_action({"shoulder_pan.pos": 0.5 * step, "elbow_flex.pos": 80.0 - step})
            clock.sleep(0.025)
            robot.bus.sync_read("Present_Position", num_retry=5)
        robot.bus.port_handler.closePort()
        return arm.wire_log, arm.angles(), clock.now()


def test_what_happens_on_it_happens_again(follower: Connect) -> None:
    """Two runs with the same seed are the same to the last bit and moment, faults that strike at random included."""
    first, second = moved(follower), moved(follower)
    assert len(first[0]) > 100
    assert first == second


def test_time_that_nobody_waits_for_does_not_move_the_arm(follower: Connect, clock: VirtualClock) -> None:
    """However long a test takes to look, the arm stands where it was; it moves on once somebody sleeps."""
    with EmulatedArm(clock=clock) as arm:
        follower(arm).send_action({"shoulder_pan.pos": 40.0})
        clock.sleep(0.1)
        there = arm.angles()["shoulder_pan"]
        time.sleep(0.1)
        assert arm.angles()["shoulder_pan"] == there
        clock.sleep(1.0)
        assert arm.angles()["shoulder_pan"] > there + 0.3
