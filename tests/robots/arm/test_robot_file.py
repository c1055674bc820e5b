"""The robot file: strict, complete, and its geometry is the robot description's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from policy_port.errors import MappingError, RobotError
from policy_port.resources import assets_dir
from policy_port.robots.arm.kinematics import LinkPositions
from policy_port.robots.arm.robot_file import MOTORS, find_robot_file, load_robot_file

SHIPPED = assets_dir() / "robots" / "so100.yaml"


TIMING = (("control_frequency", 30), ("stale", 0.1), ("stale_frame", 0.25), ("deadline", 0.1), ("heartbeat", 1.0))


def edited(tmp_path: Path, text: str, replacement: str) -> Path:
    original = SHIPPED.read_text(encoding="utf-8")
    assert text in original
    file = tmp_path / "arm.yaml"
    file.write_text(original.replace(text, replacement), encoding="utf-8")
    return file


@pytest.mark.parametrize("name", ["so100", "so101"])
def test_shipped_files_name_every_motor_and_no_port(name: str) -> None:
    """Both load, know LeRobot's six motors, and lead to no arm until somebody writes a port."""
    robot = load_robot_file(name)
    assert (robot.name, robot.port, len(robot.joint_names)) == (name, None, len(MOTORS))
    for key in ("rest", "check"):
        assert len(robot.pose(key)) == 6


def test_the_check_pose_is_nobodys_mirror_image() -> None:
    """In the check pose each joint is farther from its own mirror image than two tolerances."""
    for name in ("so100", "so101"):
        robot = load_robot_file(name)
        assert all(abs(2 * angle) > 2 * robot.check_tolerance for angle in robot.pose("check"))


def test_the_elbow_offset_is_data() -> None:
    """ManiSkill's 6.8 degrees stand in the joint map, not in code."""
    assert load_robot_file("so100").mapping.conversion("elbow_flex").offset == 6.8


@pytest.mark.parametrize(
    ("text", "replacement", "message"),
    [
        ("id: so100", "idd: so100", "unknown key 'idd'; did you mean 'id'"),
        ("deadline: 0.1", "deadline: -0.1", "-0.1 is not above 0.0"),
        ("rest: 0.66", "rest: 2.66", "rest 2.66 is not within -1.8 to 1.8"),
        ("  gripper: {lower", "  griper: {lower", "joints has no 'gripper', which the joint map names"),
        ("joint: elbow_flex", "joint: elbow", "kinematics names joint 'elbow'; did you mean 'elbow_flex'"),
        ("use_degrees: true", "use_degrees: false", "LeRobot's shoulder_pan is in percent"),
        ("parent: Lower_Arm", "parent: Lowest_Arm", "stands on 'Lowest_Arm', which is not above it"),
        ("id: so100", "id: ../../so100", "id: string should match pattern"),
        ("id: so100", "id: a/b", "id: string should match pattern"),
        ("id: so100", "id: .hidden", "id: string should match pattern"),
        ("speed: 4.2", "speed: 1000", "speed: 1000.0 is not above 0.0 and up to 5.5: an STS3215"),
        ("speed: 4.2", "speed: true", "speed: input should be a valid number"),
        ("speed: 4.2", "speed: 2:00", "speed|means one thing to YAML 1.1"),
        ("acceleration: 84.0", "acceleration: 1e6", "acceleration: 1000000.0 is not"),
        ("tracking_error: 0.8", "tracking_error: 10", "tracking_error: 10.0 is not above 0.0 and up to 1.0"),
        ("upper: 2.0", "upper: 7.0", "upper: input should be less than or equal to 6.28"),
        ("lower: -3.14159, upper: 3.14159", "lower: -3.2, upper: 3.2", "more than the one turn"),
        ("approach_speed: 0.5", "approach_speed: 5", "approach_speed: 5.0 is not"),
        ("rest_tolerance: 0.2", "rest_tolerance: 3", "rest_tolerance: 3.0 is not"),
        ("check_tolerance: 0.25", "check_tolerance: 1", "check_tolerance: 1.0 is not"),
        ("first_target: 0.3", "first_target: 3", "first_target: 3.0 is not"),
        ("voltage: [4.6, 8.4]", "voltage: [8.4, 4.6]", "the least, 8.4, is not below the greatest, 4.6"),
        ("voltage: [4.6, 8.4]", "voltage: [0.0, 100.0]", "0.0 is not above 3.9"),
        ("max_temperature: 60", "max_temperature: 200", "max_temperature: 200.0 is not"),
        *((f"{key}: {value}", f"{key}: 1000000000.0", f"timing.{key}: 1000000000.0 is not") for key, value in TIMING),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, replacement: str, message: str) -> None:
    """A wrong key, number, joint, link or unit is an error with the file in it."""
    with pytest.raises(RobotError, match=message) as caught:
        load_robot_file(edited(tmp_path, text, replacement))
    assert "arm.yaml" in str(caught.value)


def test_a_joint_map_may_lie_beside_the_robot_file(tmp_path: Path) -> None:
    """A user's own signs and zeros are a copy of the mapping, named in the robot file."""
    mapping = yaml.safe_load((Path("mappings") / "so100_maniskill_to_lerobot.yaml").read_text(encoding="utf-8"))
    mapping["joints"]["shoulder_pan"]["sign"] = -1
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mapping), encoding="utf-8")
    file = edited(tmp_path, "joint_map: so100_maniskill_to_lerobot", "joint_map: mine.yaml")
    assert load_robot_file(file).mapping.conversion("shoulder_pan").sign == -1
    with pytest.raises(MappingError, match="no such file"):
        load_robot_file(edited(tmp_path, "joint_map: so100_maniskill_to_lerobot", "joint_map: other.yaml"))


def test_a_missing_file_names_what_ships(tmp_path: Path) -> None:
    """The message says what to start from."""
    with pytest.raises(RobotError, match="did you mean 'so101'.*Shipped: so100, so101"):
        find_robot_file("so10")


def test_links_are_where_mujoco_has_them() -> None:
    """Forward kinematics of the robot file's numbers equals MuJoCo's of the robot description."""
    pytest.importorskip("mujoco")
    pytest.importorskip("mani_skill")
    from policy_port.plants.registry import make_plant
    from policy_port.robots.emulator.simulated import so100_setup

    robot = load_robot_file("so100")
    assert robot.kinematics is not None
    ours = LinkPositions(robot.kinematics)
    plant = make_plant("mujoco", "so100", so100_setup(dict.fromkeys(robot.joint_names, 0.0)), meshes=False)
    rng = np.random.default_rng(0)
    for _ in range(20):
        angles = rng.uniform(-1.0, 1.0, 6)
        plant.reset(angles[None])
        by_name = dict(zip(plant.joint_names, angles.tolist(), strict=True))
        for link in ("Fixed_Jaw_tip", "Moving_Jaw_tip"):
            np.testing.assert_allclose(ours.position(link, by_name), plant.link_position(link)[0], atol=1e-12)
    plant.close()
    with pytest.raises(RobotError, match="no link 'Fixed_Jaw_tap'; did you mean"):
        ours.position("Fixed_Jaw_tap", by_name)
