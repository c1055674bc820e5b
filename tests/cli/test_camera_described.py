"""An arm whose robot description ships nowhere, before a camera and in the preview of a plan."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

from policy_port.camera.stills import read_still
from policy_port.camera.view import View, view_fields
from policy_port.cli.app import app
from policy_port.dynamics.document import Dynamics, RobotOf
from policy_port.errors import RobotError
from policy_port.plants.mujoco_file import carrier
from policy_port.robot_models.find import find_robot
from policy_port.robots.arm.emulated import emulate
from policy_port.robots.arm.robot_file import MOTORS, find_robot_file, load_robot_file
from policy_port.robots.emulator.clock import VirtualClock

VIEW = View.looking_at((0.45, -0.7, 0.4), (0.0, 0.0, 0.12), fov=0.9, size=(240, 320))
PLAN = """policy_port_plan: 1
control_frequency: 30
margin: 0.1
clearance: 0.015
seed: 1
segments:
  - {kind: steps, joints: all, seconds: 2.0, amplitude: 0.2, hold: 0.5}
  - {kind: steps, joints: all, seconds: 2.0, amplitude: 0.2, hold: 0.5, use: held_out}
"""
CAMERA = "cameras: {base_camera: {source: 0, width: 320, height: 240, fps: 5}}"


def arm(joints: tuple[str, ...] = MOTORS) -> str:
    """An MJCF file: a chain of boxes, each turned on the one before it."""
    inner = ""
    for number, name in reversed([*enumerate(joints)]):
        axis, colour = ("0 0 1", "0.9 0.5 0.1 1") if number == 0 else ("1 0 0", f"{0.2 * (number % 2)} 0.2 0.7 1")
        inner = (
            f'<body name="{name}_link" pos="0 0 0.07"><joint name="{name}" axis="{axis}" range="-3 3"/>'
            f'<geom type="box" size="0.02 0.03 0.03" pos="0 0 0.035" rgba="{colour}"/>{inner}</body>'
        )
    base = '<geom type="box" size="0.05 0.05 0.03" rgba="0.9 0.5 0.1 1"/>'
    return f'<mujoco><compiler angle="radian"/><worldbody><body name="base">{base}{inner}</body></worldbody></mujoco>'


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: VirtualClock) -> Path:
    """The shipped file of an SO101 with a camera, an environment file with its view, and a description."""
    text = find_robot_file("so101").read_text().replace("cameras: {}", CAMERA)
    (tmp_path / "bare.yaml").write_text(text)
    (tmp_path / "mine.yaml").write_text(text.replace("description: null", "description: so101/arm.xml"))
    (tmp_path / "lost.yaml").write_text(text.replace("description: null", "description: so101/arm.urdf"))
    (tmp_path / "so101").mkdir()
    (tmp_path / "so101" / "arm.xml").write_text(arm())
    image = {"size": [48, 48], "camera_size": [240, 320]}
    given = {"env": "PolicyPortSO100Reach-v1", "camera": view_fields(VIEW), "image": image}
    (tmp_path / "env.yaml").write_text(yaml.safe_dump(given))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(command: str, robot: str, *more: str) -> tuple[int, str]:
    given = ["camera", command, "--config", "env.yaml", "--robot", robot, "--emulated", *more]
    done = CliRunner().invoke(app, given)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, " ".join(done.output.split())


def test_an_so101_is_looked_at_by_the_description_that_its_robot_file_names(desk: Path) -> None:
    """Without one each command says what to write; with it check and background find the arm that is there."""
    background = "--out", "bg.png", "--no-compare", "--frames", "3"
    for command, more in (("check", ()), ("align", ()), ("background", background)):
        code, text = said(command, "bare.yaml", *more)
        assert (code, "Write description: FILE into the robot file" in text) == (2, True), text
    # A machine that is busy draws late.
    code, text = said("check", "mine.yaml", "--accept", "rate", "--accept", "age")
    assert code == 0, text
    code, text = said("background", "mine.yaml", *background)
    assert (code, "the arm covers" in text) == (0, True), text
    assert read_still(desk / "bg.png").shape == (48, 48, 3)


def test_a_description_that_is_not_there_is_said(desk: Path) -> None:
    """With its path, before anything is reached."""
    code, text = said("check", "lost.yaml")
    assert (code, "arm.urdf is no file; give the arm's URDF or MJCF file" in text) == (2, True), text


def test_the_description_of_another_arm_is_named(desk: Path) -> None:
    """With its joints, those that it includes from another file too."""
    described = desk / "so101" / "arm.xml"
    described.write_text(arm(("shoulder_pn", *MOTORS[1:])))
    with pytest.raises(RobotError, match=r"has no joint 'shoulder_pan'; did you mean 'shoulder_pn'\? Its joints"):
        load_robot_file(desk / "mine.yaml")
    (desk / "so101" / "whole.xml").write_text(arm())
    described.write_text('<mujoco><include file="whole.xml"/></mujoco>')
    assert load_robot_file(desk / "mine.yaml").described == described
    assert carrier(described, "gripper") == "wrist_roll_link"
    (desk / "so101" / "whole.xml").write_text(arm(("shoulder_pn", *MOTORS[1:])))
    with pytest.raises(RobotError, match=r"arm\.xml has no joint 'shoulder_pan'; did you mean 'shoulder_pn'\?"):
        load_robot_file(desk / "mine.yaml")
    (desk / "so101" / "whole.xml").unlink()
    with pytest.raises(RobotError, match=r"arm\.xml: can't be loaded as MJCF: .*whole\.xml"):
        load_robot_file(desk / "mine.yaml")
    described.write_text("no xml")
    with pytest.raises(RobotError, match=r"arm\.xml: is no URDF or MJCF file"):
        load_robot_file(desk / "mine.yaml")


def test_the_description_of_an_so100_may_be_given_too(desk: Path) -> None:
    """What ships with ManiSkill is taken where the robot file names no other, and moved in too."""
    assert load_robot_file("so100").described == "so100"
    text = find_robot_file("so100").read_text() + "\ndescription: so101/arm.xml\n"
    (desk / "other.yaml").write_text(text)
    assert load_robot_file(desk / "other.yaml").described == desk / "so101" / "arm.xml"
    # An emulated one would move in the links of an SO100.
    dynamics = Dynamics(policy_port_dynamics=1, robot=RobotOf(file="so100.urdf"))
    with (
        pytest.raises(RobotError, match="ships with nothing here, and the arm can't be drawn and moves in no simul"),
        emulate(load_robot_file("so101"), dynamics=dynamics, clock=VirtualClock()),
    ):
        pass
    own = Dynamics(policy_port_dynamics=1, robot=RobotOf(file="arm.xml"))
    with emulate(load_robot_file(desk / "mine.yaml"), dynamics=own, clock=VirtualClock()) as rehearsal:
        assert rehearsal.arm.options.description == desk / "so101" / "arm.xml"


def test_a_plan_is_previewed_with_the_description(desk: Path) -> None:
    """Played, and weighed with a payload on the link before the gripper; without one it is said what to write."""
    (desk / "plan.yaml").write_text(PLAN)
    for robot, code, words in (("bare.yaml", 2, "Write description: FILE"), ("mine.yaml", 0, "payload_mass")):
        given = ["collect", "--preview", "--no-video", "--plan", "plan.yaml", "--robot", robot, "--out", "seen"]
        done = CliRunner().invoke(app, given)
        assert (done.exit_code, words in done.output) == (code, True), done.output
        assert (desk / "seen").exists() == (code == 0)


def test_who_carries_a_joint(desk: Path) -> None:
    """In an MJCF and in the URDF of the SO100; a link without a name is none that a payload can be put on."""
    described = desk / "so101" / "arm.xml"
    assert carrier(described, "gripper") == "wrist_roll_link"
    assert carrier(find_robot("so100"), "gripper") == "Fixed_Jaw"
    framed = arm().replace('<body name="gripper_link"', '<frame pos="0 0 0.01"><body name="gripper_link"')
    described.write_text(framed.replace("</body>", "</body></frame>", 1))
    assert carrier(described, "gripper") == "wrist_roll_link"
    described.write_text(arm().replace('name="wrist_roll_link" ', ""))
    with pytest.raises(RobotError, match="has no named link on which joint 'gripper' turns; give the link"):
        carrier(described, "gripper")
