"""The real, unmodified LeRobot driver on the emulated arm, as on a healthy one."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import pytest

from policy_port.contract.mapping import load_mapping
from policy_port.robots.emulator import EmulatedArm
from policy_port.robots.emulator.calibration import DEFAULT_CALIBRATION
from policy_port.robots.emulator.clock import VirtualClock
from tests.robots.emulator.conftest import Connect

JOINTS = tuple(DEFAULT_CALIBRATION)
MAPPING = load_mapping("so100_maniskill_to_lerobot")


def lerobot_units(name: str, angle: float) -> float:
    """LeRobot's number for a joint angle [rad], by the shipped mapping."""
    conversion = MAPPING.conversion(name)
    return conversion.slope * angle + conversion.offset


def settle(arm: EmulatedArm, clock: VirtualClock, within: float = 10.0) -> None:
    """Wait until nothing has moved for a while."""
    end = clock.now() + within
    still = 0
    while still < 8:
        assert clock.now() < end, "the arm does not come to rest"
        clock.sleep(0.03)
        still = still + 1 if all(abs(servo.velocity) < 1.0 for servo in arm.servos) else 0


def test_lerobot_connects_without_a_question(follower: Connect, clock: VirtualClock) -> None:
    """Calibration file and servos agree, so connecting asks nothing, and leaves torque on on every joint."""
    with EmulatedArm(clock=clock) as arm:
        robot = follower(arm)
        assert robot.is_connected
        assert robot.is_calibrated
        assert all(servo.torque for servo in arm.servos)
        robot.disconnect()
        assert not any(servo.torque for servo in arm.servos)
        assert [write.joint for write in arm.torque_commands()[-6:]] == list(JOINTS)


def test_what_lerobot_reads_is_where_the_joints_are(follower: Connect, clock: VirtualClock) -> None:
    """Degrees and percent are the joints' true angles through the shipped mapping, elbow offset included."""
    pose = {"shoulder_pan": 0.4, "shoulder_lift": -0.6, "elbow_flex": 0.5, "wrist_flex": -0.3, "gripper": 0.2}
    with EmulatedArm(pose=pose, clock=clock) as arm:
        robot = follower(arm)
        # Under torque the arm sags a little: what is compared has to stand still between the two looks.
        settle(arm, clock)
        observation, angles = robot.get_observation(), arm.angles()
        for name, angle in angles.items():
            assert observation[f"{name}.pos"] == pytest.approx(lerobot_units(name, angle), abs=0.1), name
        assert angles["shoulder_pan"] == pytest.approx(0.4, abs=0.001)


def test_an_action_is_carried_out_within_the_dead_band(follower: Connect, clock: VirtualClock) -> None:
    """Each joint comes to its goal, but for the dead band, and for what gravity bends."""
    goal = {"shoulder_pan": 25.0, "shoulder_lift": -60.0, "elbow_flex": 50.0, "wrist_flex": -20.0, "wrist_roll": 90.0}
    with EmulatedArm(clock=clock) as arm:
        robot = follower(arm)
        robot.send_action({f"{name}.pos": value for name, value in goal.items()} | {"gripper.pos": 60.0})
        clock.sleep(0.2)
        settle(arm, clock)
        reached = robot.get_observation()
        assert reached["shoulder_pan.pos"] == pytest.approx(25.0, abs=0.3)
        assert reached["wrist_roll.pos"] == pytest.approx(90.0, abs=0.3)
        assert reached["gripper.pos"] == pytest.approx(60.0, abs=0.4)
        for name in ("shoulder_lift", "elbow_flex", "wrist_flex"):
            assert reached[f"{name}.pos"] == pytest.approx(goal[name], abs=math.degrees(0.05)), name
        assert reached["shoulder_lift.pos"] > -60.0 + 0.3
        last = {write.joint: write.value for write in arm.goals()}
        assert last["shoulder_pan"] == int(2045 + 25.0 * 4095 / 360)
        assert list(last) == list(JOINTS)


def test_disconnecting_lets_the_arm_sink(follower: Connect, clock: VirtualClock) -> None:
    """Without torque a raised arm falls to its stop, as a real one does."""
    with EmulatedArm(pose={"shoulder_lift": 0.4}, clock=clock) as arm:
        robot = follower(arm)
        clock.sleep(0.2)
        held = arm.angles()["shoulder_lift"]
        robot.disconnect()
        clock.sleep(1.0)
        assert arm.angles()["shoulder_lift"] - held > 0.25


def test_a_calibration_of_another_arm_is_seen(follower: Connect, clock: VirtualClock, tmp_path: Path) -> None:
    """One changed offset is enough for LeRobot to say that file and servos do not match."""
    with EmulatedArm(clock=clock) as arm:
        path = arm.write_calibration(tmp_path / "emulated.json")
        data = json.loads(path.read_text())
        data["elbow_flex"]["homing_offset"] += 20
        path.write_text(json.dumps(data))
        assert not follower(arm, calibrate=False).is_calibrated


def test_a_calibration_is_written_into_the_servos_for_good(
    follower: Connect, clock: VirtualClock, tmp_path: Path
) -> None:
    """What LeRobot writes with torque off and the lock open survives a power loss."""
    with EmulatedArm(clock=clock) as arm:
        robot = follower(arm)
        robot.bus.disable_torque()
        changed = dict(robot.calibration)
        changed["shoulder_pan"].homing_offset = -20
        changed["shoulder_pan"].range_max = 3300
        robot.bus.write_calibration(changed)
        arm.inject("brownout")
        again = robot.bus.read_calibration()
        assert (again["shoulder_pan"].homing_offset, again["shoulder_pan"].range_max) == (-20, 3300)


def test_lerobot_can_calibrate_the_arm_anew(follower: Connect, clock: VirtualClock) -> None:
    """Half-turn homing makes the present pose 2047 on every servo."""
    with EmulatedArm(clock=clock) as arm:
        robot = follower(arm)
        robot.bus.disable_torque()
        robot.bus.set_half_turn_homings()
        positions = robot.bus.sync_read("Present_Position", normalize=False)
        assert all(abs(position - 2047) <= 3 for position in positions.values()), positions


def test_a_scan_finds_all_servos(follower: Connect, clock: VirtualClock) -> None:
    """A ping to all is answered by the six ids; at another speed nobody answers."""
    with EmulatedArm(clock=clock) as arm:
        bus = follower(arm).bus
        assert bus.broadcast_ping() == dict.fromkeys(range(1, 7), 777)
        bus.set_baudrate(115_200)
        assert bus.ping("gripper") is None
        bus.set_baudrate(1_000_000)
        assert bus.ping("gripper") == 777


@pytest.mark.real_time
@pytest.mark.parametrize("latency", [0.0, 0.001])
def test_the_rate_of_reading_and_writing(follower: Connect, latency: float) -> None:
    """Reading and writing as fast as LeRobot can, with and without the time that a USB adapter takes."""
    with EmulatedArm(latency=latency, process=True) as arm:
        robot = follower(arm)
        action = robot.get_observation()
        spent = []
        for _ in range(150):
            start = time.perf_counter()
            robot.get_observation()
            robot.send_action(action)
            spent.append(time.perf_counter() - start)
        spent.sort()
        print(f"latency {latency * 1000:g} ms: {1.0 / spent[75]:.0f} Hz at the median, {1.0 / spent[142]:.0f} at 95 %")
        assert len(arm.goals("gripper")) == 150
