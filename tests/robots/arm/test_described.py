"""A robot description with the right joint names and other signs or zeros."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import pytest
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

pytest.importorskip("mujoco", reason="MuJoCo is not installed")
pytest.importorskip("mani_skill", reason="ManiSkill is not installed")
pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

from policy_port.cli.app import app
from policy_port.robot_models.find import find_robot
from policy_port.robots.arm.described import misfits
from policy_port.robots.arm.robot_file import MOTORS, RobotFile, find_robot_file, load_robot_file
from tests.cli.person import drive_by_a_virtual_clock


@pytest.fixture
def described(tmp_path: Path) -> Path:
    """The SO100's own description with boxes for its meshes, and a robot file that names it."""
    root = ElementTree.parse(find_robot("so100")).getroot()
    for geometry in root.iter("geometry"):
        if (mesh := geometry.find("mesh")) is not None:
            geometry.remove(mesh)
            ElementTree.SubElement(geometry, "box", size="0.02 0.02 0.02")
    (tmp_path / "arm.urdf").write_text(ElementTree.tostring(root, encoding="unicode"))
    text = find_robot_file("so100").read_text().replace("calibration_dir: null", "calibration_dir: .")
    (tmp_path / "arm.yaml").write_text(text + "\ndescription: arm.urdf\n")
    return tmp_path / "arm.urdf"


def changed(urdf: Path, joint: str, *, sign: float = 1.0, zero: float = 0.0, limits: float = 0.0) -> RobotFile:
    """The robot file, a joint of its description turned about, or its zero or limits shifted [rad]."""
    tree = ElementTree.parse(urdf)
    found = tree.find(f"joint[@name='{joint}']")
    assert found is not None
    origin, axis, limit = (found.find(name) for name in ("origin", "axis", "limit"))
    assert origin is not None
    assert axis is not None
    assert limit is not None
    way = [float(part) for part in axis.get("xyz", "").split()]
    turned = Rotation.from_euler("xyz", [float(part) for part in origin.get("rpy", "").split()])
    turned *= Rotation.from_rotvec([zero * part for part in way])
    origin.set("rpy", " ".join(map(str, turned.as_euler("xyz"))))
    axis.set("xyz", " ".join(str(sign * part) for part in way))
    for key in ("lower", "upper"):
        limit.set(key, str(float(limit.get(key, "")) + limits))
    tree.write(urdf)
    return load_robot_file(urdf.with_suffix(".yaml"))


def test_what_is_the_robot_files_own_passes(described: Path) -> None:
    """Of the jaw limits tell another zero, and they alone."""
    assert misfits(load_robot_file(described.with_suffix(".yaml"))) == []
    (told,) = misfits(changed(described, "gripper", zero=0.2, limits=-0.2))
    assert "joint 'gripper' goes from" in told


@pytest.mark.parametrize("zero", [0.1, -0.6, 1.571])
def test_another_zero_of_the_pan_is_told_as_a_base_that_is_turned(described: Path, zero: float) -> None:
    """From 6 degrees on: a view that was found with such a description is one of another camera elsewhere."""
    (told,) = misfits(changed(described, "shoulder_pan", zero=zero))
    assert f"is turned by {abs(math.degrees(zero)):.0f} degrees and shifted by" in told
    assert "zero of joint 'shoulder_pan'" in told


@pytest.mark.parametrize("joint", MOTORS)
def test_another_sign_is_told_with_the_joint(described: Path, joint: str) -> None:
    """Of each joint, though its limits are the same both ways."""
    assert f"axis of joint '{joint}'" in misfits(changed(described, joint, sign=-1.0))[0]


@pytest.mark.parametrize(
    ("joint", "after"),
    [
        ("shoulder_lift", "elbow_flex"),
        ("elbow_flex", "wrist_flex"),
        ("wrist_flex", "wrist_roll"),
        ("wrist_roll", "gripper"),
    ],
)
def test_another_zero_is_told_by_the_joint_after_it(described: Path, joint: str, after: str) -> None:
    """From 6 degrees on; with limits that went along, those are told too."""
    assert f"axis of joint '{after}'" in misfits(changed(described, joint, zero=0.105))[0]
    assert f"joint '{joint}' goes from" in misfits(changed(described, joint, limits=0.2))[0]


def test_zeros_that_nothing_tells_are_said_to_be_unseen(described: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without kinematics limits alone are compared, which robot check says, and a person has to look."""
    drive_by_a_virtual_clock(monkeypatch.setattr)
    changed(described, "elbow_flex", zero=0.5)
    file = described.with_suffix(".yaml")
    text = file.read_text()
    start = text.index("kinematics:")
    file.write_text(text[:start] + text[text.index("description:") :])
    said = CliRunner().invoke(app, ["robot", "check", "--robot", str(file), "--emulated"])
    assert said.exit_code == 0, said.output
    assert "zeros of arm.urdf were held against limits alone" in said.output


def test_robot_check_says_it_and_confirms_nothing(described: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the joint map was confirmed for is not what would be drawn."""
    drive_by_a_virtual_clock(monkeypatch.setattr)
    changed(described, "elbow_flex", sign=-1.0)
    given = ["robot", "check", "--robot", str(described.with_suffix(".yaml")), "--emulated"]
    said = CliRunner().invoke(app, given)
    assert (said.exit_code, "description: the axis of joint 'elbow_flex' is" in said.output) == (0, True), said.output
    said = CliRunner().invoke(app, [*given, "--confirm"])
    assert (said.exit_code, "nothing was confirmed" in said.output) == (2, True), said.output
