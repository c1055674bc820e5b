"""The emulated arm as a program sees it: a path to open, and nothing left when it is gone."""

from __future__ import annotations

import json
import os
import select
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from policy_port.errors import EmulatorError
from policy_port.robots.emulator import EmulatedArm
from policy_port.robots.emulator.calibration import DEFAULT_CALIBRATION, read_calibration, write_calibration
from policy_port.robots.emulator.tick_map import tick_scales

PING_1 = bytes.fromhex("ff ff 01 02 01 fb")
PONG_1 = bytes.fromhex("ff ff 01 02 00 fc")


class Line:
    """A client that knows nothing but bytes."""

    def __init__(self, port: str) -> None:
        self.end = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        # Everything but the speed, which a client that does not set it finds as the servos have it.
        tty.setraw(self.end)

    def ask(self, data: bytes, length: int, wait: float = 3.0) -> bytes:
        os.write(self.end, data)
        return self.listen(length, wait)

    def listen(self, length: int, wait: float) -> bytes:
        heard, end = b"", time.monotonic() + wait
        while len(heard) < length and (rest := end - time.monotonic()) > 0:
            if select.select([self.end], (), (), rest)[0]:
                heard += os.read(self.end, 4096)
        return heard


@pytest.fixture
def line() -> Iterator[Line]:
    with EmulatedArm() as arm:
        line = Line(arm.port)
        yield line
        os.close(line.end)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_bytes_are_answered_with_bytes(line: Line) -> None:
    """A ping, a synchronous read of three positions and a write, to the last bit."""
    assert line.ask(PING_1, 6) == PONG_1
    # shoulder_pan reads 2045, wrist_roll 2047, gripper 2010: the rest pose through the calibration.
    asked = bytes.fromhex("ff ff fe 07 82 38 02 06 01 05 32")
    assert line.ask(asked, 24) == bytes.fromhex(
        "ff ff 06 04 00 da 07 14 ff ff 01 04 00 fd 07 f6 ff ff 05 04 00 ff 07 f0"
    )
    assert line.ask(bytes.fromhex("ff ff 02 04 03 28 01 cd"), 6) == bytes.fromhex("ff ff 02 02 00 fb")


def test_noise_does_not_kill_the_arm(line: Line) -> None:
    """Kilobytes of garbage, and headers that promise more than comes, are survived."""
    noise = bytes(range(256)) * 8 + b"\xff\xff\x01\xff" * 20 + b"\xff" * 50
    for start in range(0, len(noise), 512):
        os.write(line.end, noise[start : start + 512])
    time.sleep(0.2)
    line.listen(10_000, 0.1)
    assert line.ask(PING_1, 6) == PONG_1


def test_a_client_that_does_not_read_holds_nothing_up() -> None:
    """Answers that nobody takes are lost, and the arm goes on obeying."""
    with EmulatedArm() as arm:
        line = Line(arm.port)
        for _ in range(1500):
            try:
                os.write(line.end, bytes.fromhex("ff ff fe 0a 82 38 10 01 02 03 04 05 06 1a"))
            except BlockingIOError:
                time.sleep(0.001)
        os.write(line.end, bytes.fromhex("ff ff fe 04 03 28 01 d1"))
        end = time.monotonic() + 5.0
        while not arm.torque_commands() and time.monotonic() < end:
            time.sleep(0.02)
        assert {write.joint for write in arm.torque_commands()} == set(DEFAULT_CALIBRATION)
        os.close(line.end)


def test_the_log_has_every_goal_at_its_time() -> None:
    """Goals and torque commands are logged with joint, value, reading and monotonic time, in order."""
    with EmulatedArm() as arm:
        line = Line(arm.port)
        before = time.monotonic()
        line.ask(bytes.fromhex("ff ff 01 04 03 28 01 ce"), 6)
        line.ask(bytes.fromhex("ff ff 01 05 03 2a 00 09 c3"), 6)
        log = arm.wire_log
        os.close(line.end)
    assert [(write.joint, write.register, write.value, write.present) for write in log] == [
        ("shoulder_pan", "Torque_Enable", 1, 2045),
        ("shoulder_pan", "Goal_Position", 0x0900, 2045),
    ]
    assert before <= log[0].time <= log[1].time <= time.monotonic()


def test_the_link_is_there_as_long_as_the_arm(tmp_path: Path) -> None:
    """port_link leads to the port, moves with it when it is plugged in again, and is gone at the end."""
    link = tmp_path / "arm"
    with EmulatedArm(port_link=link) as arm:
        assert arm.port == str(link)
        line = Line(arm.port)
        assert line.ask(PING_1, 6) == PONG_1
        arm.inject("unplug")
        assert not link.is_symlink()
        with pytest.raises(OSError, match="Input/output error"):
            os.write(line.end, PING_1)
        os.close(line.end)
        arm.clear("unplug")
        line = Line(arm.port)
        assert line.ask(PING_1, 6) == PONG_1
        os.close(line.end)
    assert not link.is_symlink()


def test_a_file_in_the_link_s_place_is_not_overwritten(tmp_path: Path) -> None:
    """A link can replace an old link, and nothing else."""
    link = tmp_path / "arm"
    link.write_text("mine")
    with pytest.raises(EmulatorError, match="is no symbolic link"), EmulatedArm(port_link=link):
        pass
    assert link.read_text() == "mine"


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """Threads, descriptors and links are as before, whether the block ends well, fails, or never began."""
    with EmulatedArm(cameras=["front=64x48@10"]):
        pass
    threads, files = threading.active_count(), descriptors()
    for _ in range(3):
        with EmulatedArm(port_link=tmp_path / "arm", cameras=["front=64x48@10"]) as arm:
            arm.inject("unplug")
        with pytest.raises(ZeroDivisionError), EmulatedArm() as arm:
            _ = 1 / 0
        with pytest.raises(EmulatorError), EmulatedArm(faults=["nonsense"]):
            pass
        with pytest.raises(EmulatorError), EmulatedArm(port_link=tmp_path / "absent" / "arm"):
            pass
    assert (threading.active_count(), descriptors()) == (threads, files)
    assert list(tmp_path.iterdir()) == []


def test_asking_for_what_is_not_there_says_what_is() -> None:
    """Unknown servos, cameras, poses and faults that are not there are errors that list those there are."""
    with EmulatedArm() as arm:
        with pytest.raises(EmulatorError, match=r"no servo 'elbow'; its servos are: shoulder_pan"):
            arm.servo("elbow")
        with pytest.raises(EmulatorError, match=r"no camera 'front'; its cameras are: none"):
            arm.camera_url("front")
        with pytest.raises(EmulatorError, match=r"fault 'echo' is not there; there are: none"):
            arm.clear("echo")
    with pytest.raises(RuntimeError, match="inside its `with` block"):
        _ = arm.port
    with pytest.raises(EmulatorError, match="pose: no servo is called 'elbow'"):
        EmulatedArm(pose={"elbow": 1.0})


def test_a_calibration_is_read_as_it_is_written(tmp_path: Path) -> None:
    """The file has LeRobot's keys and survives the way out and in."""
    path = write_calibration(tmp_path / "robots" / "so_follower" / "mine.json")
    assert read_calibration(path) == DEFAULT_CALIBRATION
    assert json.loads(path.read_text())["gripper"] == {
        "id": 6,
        "drive_mode": 0,
        "homing_offset": 77,
        "range_min": 2010,
        "range_max": 3490,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gripper": {"id": 6}}, "servo 'gripper' needs whole numbers for drive_mode, homing_offset, id, range_max"),
        ({"gripper": dict(id=1, drive_mode=0, homing_offset=0, range_min=0, range_max=9)}, "two servos have the same"),
        ({"gripper": dict(id=6, drive_mode=0, homing_offset=0, range_min=9, range_max=9)}, "that no STS3215 has"),
        ({"gripper": dict(id=6, drive_mode=0, homing_offset=3000, range_min=0, range_max=9)}, "it is within +-2047"),
    ],
)
def test_a_wrong_calibration_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """A calibration that no arm can have names the file, the servo and the reason."""
    path = write_calibration(tmp_path / "x.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(EmulatorError) as caught:
        EmulatedArm(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_ticks_and_angles_are_each_other_s_inverse() -> None:
    """The elbow's 6.8 degrees and the gripper's percent come from the mapping, zero and slope from the calibration."""
    scales = tick_scales(DEFAULT_CALIBRATION)
    assert scales["elbow_flex"].ticks(0.0) == pytest.approx((860 + 3120) / 2 + 6.8 * 4095 / 360)
    assert scales["gripper"].angle(2010) == pytest.approx(-1.1)
    assert scales["gripper"].angle(3490) == pytest.approx(1.1)
    for scale in scales.values():
        assert scale.angle(scale.ticks(0.7)) == pytest.approx(0.7)
