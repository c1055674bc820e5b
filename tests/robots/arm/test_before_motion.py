"""What is wrong is found before anything moves: no torque, no goal, on the wire."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

from policy_port.contract import Contract, RobotMapping, load_contract, load_mapping
from policy_port.errors import RobotError, TaskError
from policy_port.resources import assets_dir
from policy_port.robots.arm.confirmation import confirm, note_of
from policy_port.robots.arm.emulated import HELD
from policy_port.robots.arm.lerobot_arm import LeRobotArm
from policy_port.robots.arm.preflight import check_arm, check_contract
from policy_port.robots.arm.robot_file import RobotFile, load_robot_file
from policy_port.robots.emulator import EmulatedArm
from policy_port.robots.emulator.calibration import DEFAULT_CALIBRATION, write_calibration
from policy_port.robots.emulator.clock import Clock, VirtualClock

SHIPPED = load_robot_file("so100")
JOINTS = SHIPPED.joint_names


def with_map(robot: RobotFile, **joints: dict[str, Any]) -> RobotFile:
    """The robot file with other conversions."""
    mapping = robot.mapping.model_dump()
    for name, changes in joints.items():
        mapping["joints"][name] |= changes
    return robot.model_copy(update={"joint_map": RobotMapping.model_validate(mapping)})


def posed(key: Any) -> dict[str, float]:
    return dict(zip(JOINTS, SHIPPED.pose(key), strict=True))


@pytest.fixture
def resting(tmp_path: Path, clock: VirtualClock) -> Iterator[tuple[EmulatedArm, RobotFile]]:
    """An arm at rest, whose signs and zeros were confirmed, and a robot file that fits."""
    with EmulatedArm(pose=posed("rest"), faults=[HELD], clock=clock) as arm:
        arm.write_calibration(tmp_path / "so100.json")
        robot = SHIPPED.model_copy(update={"port": arm.port, "calibration_dir": tmp_path})
        note(robot)
        yield arm, robot


def note(robot: RobotFile) -> None:
    import numpy as np

    arm = LeRobotArm(robot, 0.05)
    confirm(robot, arm.calibration, arm.calibration_file, np.array(robot.pose("check")))


def checked(robot: RobotFile, clock: Clock) -> LeRobotArm:
    arm = LeRobotArm(robot, 0.05, clock)
    try:
        arm.open()
        check_arm(arm)
    finally:
        arm.close()
    return arm


def refused(arm: EmulatedArm, robot: RobotFile, message: str) -> None:
    with pytest.raises(RobotError, match=message):
        checked(robot, arm.clock)
    assert arm.wire_log == ()


def test_an_arm_that_is_right_is_accepted_and_only_read(resting: tuple[EmulatedArm, RobotFile]) -> None:
    """All checks pass, and not one register was written."""
    arm, robot = resting
    checked(robot, arm.clock)
    assert arm.wire_log == ()


def test_a_wrong_sign_is_seen_in_the_check_pose(tmp_path: Path, clock: VirtualClock) -> None:
    """Whichever joint's sign is wrong: held in the check pose, that joint is read as its mirror image."""
    with EmulatedArm(pose=posed("check"), faults=[HELD], clock=clock) as arm:
        arm.write_calibration(tmp_path / "so100.json")
        reached = LeRobotArm(SHIPPED.model_copy(update={"port": arm.port, "calibration_dir": tmp_path}), 0.05, clock)
        reached.open()
        reading = reached.reading
        reached.close()
        assert reading is not None
        assert arm.wire_log == ()
    for name in JOINTS:
        robot = with_map(reached.robot, **{name: {"sign": -1}})
        wrong = LeRobotArm(robot, 0.05)
        with pytest.raises(RobotError, match=f"{name} is read at") as caught:
            confirm(robot, wrong.calibration, wrong.calibration_file, wrong.scale.angles(reading.ticks))
        if name not in ("elbow_flex",):
            assert "mirror image" in str(caught.value)
        assert not note_of(wrong.calibration_file).exists()
    for name, offset in (("elbow_flex", -25.0), ("shoulder_pan", 30.0), ("wrist_roll", -90.0)):
        robot = with_map(reached.robot, **{name: {"offset": offset}})
        wrong = LeRobotArm(robot, 0.05)
        with pytest.raises(RobotError, match=f"{name} is read at.*mend zero or unit"):
            confirm(robot, wrong.calibration, wrong.calibration_file, wrong.scale.angles(reading.ticks))
    confirm(reached.robot, reached.calibration, reached.calibration_file, reached.angles)


@pytest.mark.parametrize("name", ["shoulder_lift", "elbow_flex", "wrist_flex", "gripper"])
def test_a_wrong_sign_is_seen_at_rest_even_if_it_was_confirmed(
    resting: tuple[EmulatedArm, RobotFile], name: str
) -> None:
    """Folded on its base, an arm with a joint mirrored is not at rest."""
    arm, robot = resting
    wrong = with_map(robot, **{name: {"sign": -1}})
    note(wrong)
    refused(arm, wrong, f"not in its rest pose(.|\n)*{name} is read at")


@pytest.mark.parametrize("change", [{"sign": -1}, {"offset": 6.0}, {"scale": 1.2}])
def test_a_map_that_was_changed_since_it_was_confirmed_is_refused(
    resting: tuple[EmulatedArm, RobotFile], change: dict[str, Any]
) -> None:
    """Where neither rest nor the hand is exact enough, nobody has confirmed this map."""
    arm, robot = resting
    refused(arm, with_map(robot, shoulder_pan=change), "were changed since they were confirmed")


def test_a_wrong_unit_is_refused() -> None:
    """Radians where LeRobot has degrees never get as far as an arm."""
    file = assets_dir() / "robots" / "so100.yaml"
    with pytest.raises(RobotError, match="not 'rad'|in rad -> rad|is in deg"):
        from policy_port.robots.arm.robot_file import _check

        _check(with_map(SHIPPED, shoulder_pan={"unit": "rad"}), file)


def test_a_port_made_with_another_map_is_refused() -> None:
    """6.8 degrees of the elbow that only one side knows of are named."""
    contract = load_contract(assets_dir() / "so100_reach" / "contract.yaml")
    mapping = load_mapping("so100_maniskill_to_lerobot")
    check_contract(contract, SHIPPED, mapping)
    robot = with_map(SHIPPED, elbow_flex={"offset": 0.0})
    with pytest.raises(RobotError, match=r"'elbow_flex': the port was made with .* offset 6.8.* and 0$"):
        check_contract(contract, robot, mapping)


@pytest.mark.parametrize("term", ["joint_velocity", "joint_effort"])
def test_servos_take_positions(term: str) -> None:
    """A policy that drives by velocity or effort is refused by name before anything moves."""
    data = load_contract(assets_dir() / "so100_reach" / "contract.yaml").model_dump(mode="json", exclude_none=True)
    seen = [each for each in data["observation"]["terms"] if each["term"] != "joint_target"]
    driven = {"terms": [{"term": term, "scale": 1.0}]}
    data["observation"]["terms"], data["action"] = seen, driven
    for joint in data["joints"].values():
        joint["stiffness"] = 0.0
    with pytest.raises(TaskError, match=f"action term '{term}' .* the servos of .* take positions"):
        check_contract(Contract.model_validate(data), SHIPPED, None)


def test_a_stale_calibration_is_refused(resting: tuple[EmulatedArm, RobotFile]) -> None:
    """The servos hold other numbers than the file: every difference is named, and nothing is written to them."""
    arm, robot = resting
    assert robot.calibration_dir is not None
    old = dict(DEFAULT_CALIBRATION)
    old["elbow_flex"] = dataclasses.replace(old["elbow_flex"], homing_offset=-400)
    write_calibration(robot.calibration_dir / "so100.json", old)
    note(robot)
    refused(arm, robot, "elbow_flex: homing_offset is -45 in the servo and -400 in")


@pytest.mark.parametrize(
    "pair",
    [
        ("shoulder_pan", "gripper"),
        ("shoulder_pan", "wrist_flex"),
        ("shoulder_pan", "wrist_roll"),
        ("wrist_flex", "gripper"),
        ("wrist_flex", "wrist_roll"),
    ],
)
def test_two_exchanged_ids_are_not_confirmed(tmp_path: Path, pair: tuple[str, str]) -> None:
    """Joints that stand alike in the check pose: each was swept as the other one, which does not reach its limits."""
    import numpy as np

    one, other = pair
    swept = dict(DEFAULT_CALIBRATION)
    swept[one] = dataclasses.replace(DEFAULT_CALIBRATION[other], id=DEFAULT_CALIBRATION[one].id)
    swept[other] = dataclasses.replace(DEFAULT_CALIBRATION[one], id=DEFAULT_CALIBRATION[other].id)
    file = write_calibration(tmp_path / "so100.json", swept)
    with pytest.raises(RobotError, match=r"calibrated sweep is .*ids were exchanged, it is another joint's sweep"):
        confirm(SHIPPED, swept, file, np.array(SHIPPED.pose("check")))
    assert not note_of(file).exists()


def test_a_missing_calibration_says_how_to_make_one(tmp_path: Path) -> None:
    """No question to the user, as LeRobot's connect asks it."""
    with pytest.raises(RobotError, match="lerobot-calibrate"):
        LeRobotArm(SHIPPED.model_copy(update={"port": "/dev/null", "calibration_dir": tmp_path}), 0.05)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("absent:wrist_roll", "no answer from wrist_roll"),
        ("overheat:gripper", "gripper is at 85 C"),
        ("undervoltage:gripper:3.5", "gripper has 3.5 V"),
        ("overload:elbow_flex", "elbow_flex: overload"),
        ("unplug", "the port can't be opened"),
    ],
)
def test_a_sick_arm_is_not_moved(resting: tuple[EmulatedArm, RobotFile], fault: str, message: str) -> None:
    """Silence, heat, low voltage, a tripped protection, no cable: named before torque is on."""
    arm, robot = resting
    arm.inject(fault)
    refused(arm, robot, message)


def test_a_calibration_is_believed_once_it_reads_the_same_twice(
    resting: tuple[EmulatedArm, RobotFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """LeRobot takes a late answer for that of the next register; such a reading is not held against the arm."""
    emulated, robot = resting
    arm = LeRobotArm(robot, 0.05, emulated.clock)
    try:
        arm.open()
        right = arm.line.calibration()
        shifted = {motor: dataclasses.replace(held, range_min=held.range_max) for motor, held in right.items()}
        readings = iter([shifted, right, right])
        monkeypatch.setattr(arm.line._bus, "read_calibration", lambda: next(readings))
        assert arm.line.calibration() == right
        noise = iter(range(100))
        monkeypatch.setattr(
            arm.line._bus,
            "read_calibration",
            lambda: {"gripper": dataclasses.replace(right["gripper"], range_min=next(noise))},
        )
        with pytest.raises(RobotError, match="reads differently each time"):
            arm.line.calibration()
    finally:
        arm.close()


def test_a_servo_that_falls_sick_during_the_check_is_named(resting: tuple[EmulatedArm, RobotFile]) -> None:
    """Too hot only after the measurement, when its calibration is read: the heat is said, not the failed read."""
    emulated, robot = resting
    arm = LeRobotArm(robot, 0.05, emulated.clock)
    try:
        arm.open()
        emulated.inject("overheat:gripper")
        with pytest.raises(RobotError, match="gripper is at 85 C"):
            check_arm(arm)
    finally:
        arm.close()
    assert emulated.wire_log == ()


def test_an_arm_that_lies_elsewhere_is_not_moved(resting: tuple[EmulatedArm, RobotFile]) -> None:
    """A run starts at rest; the arm has no torque, so a person can put it there."""
    arm, robot = resting
    arm.inject("push:shoulder_pan:300")
    refused(arm, robot, "put it there by hand(.|\n)*shoulder_pan is read at")


def test_an_arm_under_torque_is_not_touched(resting: tuple[EmulatedArm, RobotFile]) -> None:
    """Torque that somebody else switched on is a reason to ask, not to take over."""
    arm, robot = resting
    other = LeRobotArm(robot, 0.05, arm.clock)
    other.open()
    assert other.reading is not None
    other.line.torque_on(other.reading.ticks)
    with pytest.raises(RobotError, match="another program is using this port"):
        LeRobotArm(robot, 0.05, arm.clock).open()
    other.close()
    with pytest.raises(RobotError, match="has torque already"):
        checked(robot, arm.clock)


def test_torque_comes_on_where_the_arm_is(resting: tuple[EmulatedArm, RobotFile]) -> None:
    """A goal that a servo still has from before does not make it jump: the present position goes first."""
    arm, robot = resting
    reached = LeRobotArm(robot, 0.05, arm.clock)
    reached.open()
    assert reached.reading is not None
    away = reached.reading.ticks.copy()
    away[0] += 300
    reached.line.send(away)
    arm.clear(HELD)
    reached.line.torque_on(reached.reading.ticks)
    arm.clock.sleep(0.4)
    assert abs(arm.servo("shoulder_pan").position - reached.reading.ticks[0]) < 8
    assert reached.line.torque_off() == []
    reached.close()


def test_policies_that_an_arm_can_not_feed_are_refused() -> None:
    """A walking robot's terms, wider limits, missing limits and a faster rate are each named."""
    text = (assets_dir() / "so100_reach" / "contract.yaml").read_text(encoding="utf-8")
    contract = load_contract(assets_dir() / "so100_reach" / "contract.yaml")
    assert "gripper" in text
    data = json.loads(contract.model_dump_json(exclude_none=True))
    walking = data | {"quaternion_order": "wxyz", "observation": {"terms": [{"term": "base_ang_vel"}]}}
    with pytest.raises(TaskError, match="base_ang_vel.*can't be measured"):
        check_contract(type(contract).model_validate(walking), SHIPPED, None)
    stepped = data["action"] | {"between": "interpolate", "delay": {"physics_steps": 2, "fill": "start"}}
    with pytest.raises(RobotError, match=r"action\.between, action\.delay\.physics_steps, and an arm is told its"):
        check_contract(type(contract).model_validate(data | {"action": stepped}), SHIPPED, None)
    for term in ({"term": "joint_effort"}, {"term": "base_euler"}, {"term": "contact", "links": ["gripper"]}):
        sensing = data | {"observation": {"terms": [term]}}
        with pytest.raises(TaskError, match=f"'{term['term']}'.*can't be measured.*it measures joint positions"):
            check_contract(type(contract).model_validate(sensing), SHIPPED, None)
    data["joints"]["gripper"]["upper"] = 1.5
    del data["joints"]["wrist_flex"]["lower"]
    data["joints"]["wrist_roll"]["unit"] = "deg"
    data["timestep"] = 0.005
    with pytest.raises(RobotError) as caught:
        check_contract(type(contract).model_validate(data), SHIPPED, None)
    for part in (
        "'gripper' goes from -1.1 to 1.5",
        "no limits for 'wrist_flex'",
        "runs at 40 Hz",
        "'wrist_roll' is in deg",
    ):
        assert part in str(caught.value)
