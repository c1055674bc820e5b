"""Claims about `policy-port robot`: it shows, confirms and lets go, and never moves anything."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

from policy_port.cli.app import app
from policy_port.resources import assets_dir
from policy_port.robots.arm.emulated import HELD
from policy_port.robots.arm.raw_line import packet
from policy_port.robots.arm.robot_file import load_robot_file
from policy_port.robots.arm.watchdog import Watchdog, dismiss
from policy_port.robots.emulator import EmulatedArm
from policy_port.robots.emulator.clock import VirtualClock


@pytest.fixture
def arm(tmp_path: Path, clock: VirtualClock) -> Iterator[EmulatedArm]:
    """An arm that somebody holds in its check pose, and a robot file for it."""
    shipped = load_robot_file("so100")
    pose = dict(zip(shipped.joint_names, shipped.pose("check"), strict=True))
    with EmulatedArm(pose=pose, faults=[HELD], port_link=tmp_path / "port", clock=clock) as arm:
        arm.write_calibration(tmp_path / "calibration" / "so100.json")
        text = (assets_dir() / "robots" / "so100.yaml").read_text(encoding="utf-8")
        text = text.replace("port: null", f"port: {tmp_path / 'port'}")
        (tmp_path / "arm.yaml").write_text(text.replace("calibration_dir: null", "calibration_dir: calibration"))
        yield arm


def robot(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["robot", *arguments, "--robot", str(tmp_path / "arm.yaml")])


def test_check_shows_every_joint_and_writes_nothing(arm: EmulatedArm, tmp_path: Path) -> None:
    """Ticks, LeRobot's number, radians, limits; and that nobody has confirmed them yet."""
    shown = robot(tmp_path, "check")
    assert shown.exit_code == 0, shown.output
    lines = {line.split()[0]: line.split() for line in shown.output.splitlines() if line}
    ticks, number, unit, angle, degrees = lines["elbow_flex"][2:7]
    # Nobody holds an arm quite still; the elbow's zero is 6.8 degrees away from LeRobot's.
    assert unit == "deg"
    assert float(angle) == pytest.approx(0.9, abs=0.06)
    assert float(number) == pytest.approx(float(degrees) + 6.8, abs=0.11)
    assert float(number) == pytest.approx((float(ticks) - 1990.0) * 360.0 / 4095.0, abs=0.06)
    assert lines["gripper"][4] == "%"
    assert "torque: off on all servos" in shown.output
    assert "nobody has confirmed" in shown.output
    assert arm.wire_log == ()


def test_confirm_notes_what_it_saw_and_a_wrong_sign_is_refused(arm: EmulatedArm, tmp_path: Path) -> None:
    """Confirmed once, it says so; with another sign in the joint map it does not confirm."""
    assert "signs and zeros confirmed" in robot(tmp_path, "check", "--confirm").output
    assert "signs and zeros were confirmed" in robot(tmp_path, "check").output
    shipped = Path("mappings/so100_maniskill_to_lerobot.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(shipped.replace("wrist_roll: {unit: deg}", "wrist_roll: {unit: deg, sign: -1}"))
    file = tmp_path / "arm.yaml"
    file.write_text(file.read_text().replace("joint_map: so100_maniskill_to_lerobot", "joint_map: mine.yaml"))
    assert "changed since they were confirmed" in robot(tmp_path, "check").output
    wrong = robot(tmp_path, "check", "--confirm")
    assert wrong.exit_code == 2
    assert "wrist_roll is read at -0.70 rad instead of 0.70; its mirror image" in wrong.output
    assert arm.wire_log == ()


def test_release_switches_torque_off(tmp_path: Path) -> None:
    """For an arm that a program has left under torque; it needs no calibration, and no servo waits for a silent one."""
    text = (assets_dir() / "robots" / "so100.yaml").read_text(encoding="utf-8")
    (tmp_path / "arm.yaml").write_text(text.replace("port: null", f"port: {tmp_path / 'port'}"))
    assert "the port can't be used: No such file" in robot(tmp_path, "release").output
    with EmulatedArm(port_link=tmp_path / "port", process=True) as arm:

        def power() -> None:
            with open(arm.port, "r+b", buffering=0) as line:
                for servo in range(1, 7):
                    line.write(packet(servo, 3, [40, 1]))
                while not all(servo.torque for servo in arm.servos):
                    time.sleep(0.01)

        power()
        done = robot(tmp_path, "release")
        assert (done.exit_code, done.output) == (0, "torque is off\n")
        power()
        arm.inject("silent:gripper")
        # A watchdog that tries the same lets it in.
        dog = Watchdog(arm.port, [1, 2, 3, 4, 5, 6], 5.0)
        dog.take_over()
        done = robot(tmp_path, "release")
        dismiss(arm.port)
        assert (done.exit_code, done.output) == (1, "not confirmed by gripper: switch the power off\n")
        assert not any(servo.torque for servo in arm.servos)
        with open(arm.port, "r+b", buffering=0) as line:
            fcntl.flock(line, fcntl.LOCK_EX)
            done = robot(tmp_path, "release")
        assert done.exit_code == 2
        assert "another program is using this port; end it first" in done.output


@pytest.mark.slow
def test_check_draws_the_poses_to_compare(tmp_path: Path, clock: VirtualClock) -> None:
    """Beside the arm as it is read: check pose, rest pose, and the contract's default pose."""
    pytest.importorskip("mujoco")
    pytest.importorskip("mani_skill")
    picture = tmp_path / "poses.png"
    done = CliRunner().invoke(app, ["robot", "check", "--robot", "so100", "--emulated", "--picture", str(picture)])
    assert done.exit_code == 0, done.output
    assert picture.read_bytes().startswith(b"\x89PNG")
