"""What the real LeRobot driver makes of each fault: what is written of real arms, on the emulated one."""

from __future__ import annotations

import contextlib
import termios
from collections.abc import Iterator
from typing import Any

import pytest

from policy_port.robots.emulator import EmulatedArm
from policy_port.robots.emulator.clock import VirtualClock
from policy_port.robots.emulator.fault_kinds import KINDS
from tests.robots.emulator.conftest import Connect


@pytest.fixture
def arm(clock: VirtualClock) -> Iterator[EmulatedArm]:
    with EmulatedArm(clock=clock) as arm:
        yield arm


@pytest.fixture
def robot(arm: EmulatedArm, follower: Connect) -> Any:
    return follower(arm)


def read_often(robot: Any, times: int) -> tuple[int, int]:
    """How many of so many observations succeed and fail."""
    failed = 0
    for _ in range(times):
        try:
            robot.get_observation()
        except ConnectionError:
            failed += 1
    return times - failed, failed


@pytest.mark.parametrize("fault", ["silent:elbow_flex", "absent:elbow_flex", "drop:elbow_flex:1", "deaf:elbow_flex"])
def test_a_servo_that_does_not_answer_is_a_connection_error(
    arm: EmulatedArm, robot: Any, clock: VirtualClock, fault: str
) -> None:
    """Three tries of 50 ms, then ConnectionError; once it is cleared, reading works again."""
    arm.inject(fault)
    start = clock.now()
    with pytest.raises(ConnectionError, match="There is no status packet"):
        robot.get_observation()
    assert 0.14 < clock.now() - start < 1.0
    arm.clear()
    assert robot.get_observation()


def test_a_silent_servo_obeys_and_an_absent_or_deaf_one_does_not(
    arm: EmulatedArm, robot: Any, clock: VirtualClock
) -> None:
    """LeRobot sends goals without asking for an answer: only the wire tells who has got them."""
    for fault, count in (("silent:gripper", 1), ("absent:gripper", 0), ("deaf:gripper", 0)):
        before = len(arm.goals("gripper"))
        arm.inject(fault)
        robot.send_action({"gripper.pos": 50.0})
        clock.sleep(0.1)
        assert len(arm.goals("gripper")) - before == count, fault
        arm.clear()


@pytest.mark.parametrize("fault", ["corrupt:wrist_flex:1", "truncate:wrist_flex:1", "wrong-id:wrist_flex"])
def test_broken_answers_end_in_a_connection_error(arm: EmulatedArm, robot: Any, fault: str) -> None:
    """An answer that is never right is given up after LeRobot's retries."""
    arm.inject(fault)
    with pytest.raises(ConnectionError, match=r"\[TxRxResult\]"):
        robot.get_observation()


def test_now_and_then_a_broken_answer_is_retried(arm: EmulatedArm, robot: Any) -> None:
    """One wrong checksum in twenty answers costs a retry, seldom an error."""
    arm.inject("corrupt:shoulder_pan:0.05")
    good, _ = read_often(robot, 60)
    assert good >= 55


def test_an_answer_that_is_a_little_late_is_taken_for_the_next_one(
    arm: EmulatedArm, robot: Any, clock: VirtualClock
) -> None:
    """0.1 s late is no error: the retry takes the answer to the first try, an old position, for its own."""
    arm.inject("late:wrist_flex:0.1")
    start = clock.now()
    assert robot.get_observation()
    assert clock.now() - start > 0.09


def test_an_answer_that_is_too_late_is_an_error(arm: EmulatedArm, robot: Any) -> None:
    """After three tries of 50 ms LeRobot gives up."""
    arm.inject("late:wrist_flex:1")
    with pytest.raises(ConnectionError, match="There is no status packet"):
        robot.get_observation()


def test_noise_before_answers_is_skipped(arm: EmulatedArm, robot: Any, clock: VirtualClock) -> None:
    """Random bytes in front of answers cost at most some of them; when they end, all is as before."""
    arm.inject("garbage")
    good, failed = read_often(robot, 5)
    assert good + failed == 5
    arm.clear()
    clock.sleep(0.05)
    robot.bus.port_handler.ser.reset_input_buffer()
    assert read_often(robot, 5) == (5, 0)


@pytest.mark.parametrize("fault", ["babble", "echo", "duplicate:1", "jitter:0.005", "lost:0.2", "latency:0.01"])
def test_a_bad_line_does_not_break_the_arm(arm: EmulatedArm, robot: Any, clock: VirtualClock, fault: str) -> None:
    """Whatever the driver makes of it, the arm answers as before once the line is good again."""
    arm.inject(fault)
    # LeRobot's parser fails on some of it, with an error of no particular class.
    with contextlib.suppress(Exception):
        read_often(robot, 3)
    arm.clear()
    clock.sleep(0.05)
    robot.bus.port_handler.is_using = False
    robot.bus.port_handler.ser.reset_input_buffer()
    assert read_often(robot, 5) == (5, 0)


def test_a_flipped_bit_is_believed(arm: EmulatedArm, robot: Any) -> None:
    """A wrong position with the right checksum is read as a position: nothing in LeRobot doubts it."""
    true = robot.get_observation()["shoulder_pan.pos"]
    arm.inject("flip:shoulder_pan:1")
    read = [robot.get_observation()["shoulder_pan.pos"] for _ in range(5)]
    assert all(value != true for value in read)


@pytest.mark.parametrize("fault", ["overload:gripper", "overheat:gripper", "overcurrent:gripper", "undervoltage"])
def test_protections_are_hidden_by_observation_and_action(
    arm: EmulatedArm, robot: Any, clock: VirtualClock, fault: str
) -> None:
    """The status bits of a servo in distress reach neither get_observation nor send_action; single reads raise."""
    arm.inject(fault)
    clock.sleep(0.05)
    observation = robot.get_observation()
    robot.send_action(observation)
    with pytest.raises(RuntimeError, match=r"\[RxPacketError\]"):
        robot.bus.read("Present_Temperature", "gripper")


def test_one_servo_in_distress_keeps_disconnect_from_the_rest(
    arm: EmulatedArm, robot: Any, clock: VirtualClock
) -> None:
    """disconnect() gives up at the first servo that reports an error: those behind it keep torque, the port is open."""
    arm.inject("overload:elbow_flex")
    clock.sleep(0.05)
    with pytest.raises(RuntimeError, match="Overload"):
        robot.disconnect()
    assert [servo.name for servo in arm.servos if servo.torque] == ["wrist_flex", "wrist_roll", "gripper"]
    assert robot.is_connected


def test_after_a_brownout_actions_go_nowhere(arm: EmulatedArm, robot: Any, clock: VirtualClock) -> None:
    """Reading works, actions are sent and accepted, and torque is off on every servo, silently."""
    arm.inject("brownout")
    observation = robot.get_observation()
    assert robot.send_action(observation | {"shoulder_pan.pos": 20.0})["shoulder_pan.pos"] == 20.0
    clock.sleep(0.5)
    assert robot.get_observation()["shoulder_pan.pos"] == pytest.approx(0.0, abs=0.3)
    assert len(arm.goals("shoulder_pan")) == 1
    assert not any(servo.torque for servo in arm.servos)


def test_unplugging_raises_what_is_no_oserror_and_stays_connected(arm: EmulatedArm, robot: Any) -> None:
    """The driver's flush fails with termios.error, and is_connected is True ever after."""
    arm.inject("unplug")
    with pytest.raises(termios.error) as caught:
        robot.get_observation()
    assert not isinstance(caught.value, OSError)
    assert robot.is_connected


def test_plugged_in_again_the_arm_is_the_same(
    arm: EmulatedArm, robot: Any, clock: VirtualClock, follower: Connect
) -> None:
    """Clearing the fault makes a new port; servos have not noticed anything, torque included."""
    robot.send_action({"shoulder_pan.pos": 10.0})
    clock.sleep(0.1)
    arm.inject("unplug")
    # The path is no witness: its number may be another terminal's already.
    with pytest.raises(termios.error):
        robot.get_observation()
    arm.clear("unplug")
    assert all(servo.torque for servo in arm.servos)
    assert follower(arm).get_observation()


@pytest.mark.parametrize("fault", ["stuck:shoulder_pan", "torque-loss:shoulder_pan", "weak:shoulder_pan:0.0"])
def test_a_joint_that_does_not_move_is_only_seen_in_its_position(
    arm: EmulatedArm, robot: Any, clock: VirtualClock, fault: str
) -> None:
    """The action is accepted and no status says anything; the joint stays."""
    arm.inject(fault)
    robot.send_action({"shoulder_pan.pos": 30.0})
    clock.sleep(0.4)
    assert robot.get_observation()["shoulder_pan.pos"] == pytest.approx(0.0, abs=1.0)


def test_a_fault_ends_by_itself(arm: EmulatedArm, robot: Any, clock: VirtualClock) -> None:
    """silent@0.1+0.3 starts after 0.1 s and lasts for 0.3 s."""
    arm.inject("silent:gripper@0.1+0.3")
    assert robot.get_observation()
    clock.sleep(0.15)
    assert [str(fault) for fault in arm.faults] == ["silent:gripper@0.1+0.3"]
    with pytest.raises(ConnectionError):
        robot.get_observation()
    clock.sleep(0.4)
    assert robot.get_observation()
    assert arm.faults == ()


def test_there_are_more_than_twenty_kinds() -> None:
    """The table has kinds for the wire, the servos, the mechanics and the cameras."""
    assert len(KINDS) > 30
