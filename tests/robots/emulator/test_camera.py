"""The emulated cameras, seen by LeRobot's OpenCVCamera and by anyone who speaks HTTP."""

from __future__ import annotations

import contextlib
import http.client
import io
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from policy_port.errors import EmulatorError
from policy_port.robots.emulator import EmulatedArm
from policy_port.robots.emulator.options import CameraSpec, parse_camera
from policy_port.robots.emulator.pictures import dials


class Viewer:
    """Reads frames as they come."""

    def __init__(self, url: str) -> None:
        self._stream: Any = urllib.request.urlopen(url, timeout=60.0)

    def frame(self) -> bytes:
        length = 0
        while (line := self._stream.readline()) != b"\r\n":
            if not line:
                raise EOFError
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        jpeg = self._stream.read(length)
        self._stream.readline()
        return jpeg

    def picture(self) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(self.frame())))

    def close(self) -> None:
        self._stream.close()


def see(viewer: Viewer, shows: Callable[[np.ndarray], bool], tries: int = 100) -> None:
    """Look until a picture shows something; those before it may have been on their way already."""
    assert any(shows(viewer.picture()) for _ in range(tries)), "no picture shows it"


@pytest.fixture
def arm() -> Iterator[EmulatedArm]:
    with EmulatedArm(cameras=["front=160x120@40"], pose={"wrist_flex": 1.57}) as arm:
        yield arm


@pytest.fixture
def viewer(arm: EmulatedArm) -> Iterator[Viewer]:
    viewer = Viewer(arm.camera_url("front"))
    yield viewer
    viewer.close()


def test_the_camera_shows_what_the_arm_does(arm: EmulatedArm, viewer: Viewer) -> None:
    """A joint that moves changes the picture, one that rests does not, but for a sensor's noise, which always does."""
    still = viewer.picture().astype(int)
    assert still.shape == (120, 160, 3)
    again = viewer.picture()
    assert 0 < abs(again - still).max() < 60
    arm.inject("push:shoulder_pan:800")
    see(viewer, lambda picture: abs(picture - still).max() > 100)


@pytest.mark.real_time
def test_frames_come_at_the_rate(viewer: Viewer) -> None:
    """40 frames per second take no less than 25 ms each."""
    viewer.frame()
    start = time.monotonic()
    for _ in range(8):
        viewer.frame()
    assert 0.17 < time.monotonic() - start < 3.0


def test_a_frozen_camera_repeats_itself_and_a_black_one_is_black(arm: EmulatedArm, viewer: Viewer) -> None:
    """Frames go on coming, and show nothing of what the arm does."""
    viewer.frame()
    arm.inject("freeze-camera")
    time.sleep(0.1)
    for _ in range(4):
        viewer.frame()
    arm.inject("push:shoulder_pan:800")
    time.sleep(0.1)
    assert len({viewer.frame() for _ in range(6)}) == 1
    arm.clear()
    arm.inject("black-camera:front")
    see(viewer, lambda picture: picture.max() < 8)


@pytest.mark.real_time
def test_a_stalled_camera_sends_nothing_until_it_is_cleared(arm: EmulatedArm, viewer: Viewer) -> None:
    """The connection stays open; the next frame is a new one."""
    viewer.frame()
    arm.inject("stall-camera+0.6")
    time.sleep(0.1)
    start = time.monotonic()
    for _ in range(6):
        viewer.frame()
    assert time.monotonic() - start > 0.4


def test_an_unplugged_camera_closes_the_stream_and_takes_no_other(arm: EmulatedArm, viewer: Viewer) -> None:
    """A viewer sees the end of the stream; a new one is turned away until the fault is cleared."""
    viewer.frame()
    arm.inject("unplug-camera")
    with pytest.raises((EOFError, OSError, ValueError)):
        for _ in range(50):
            viewer.frame()
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        Viewer(arm.camera_url("front"))
    arm.clear("unplug-camera")
    again = Viewer(arm.camera_url("front"))
    assert again.picture().shape == (120, 160, 3)
    again.close()


@pytest.mark.real_time
def test_lerobot_s_camera_opens_stalls_and_recovers(arm: EmulatedArm) -> None:
    """OpenCVCamera takes the address as a str; read_latest refuses frames older than 500 ms while it is stalled."""
    module = pytest.importorskip("lerobot.cameras.opencv", reason="lerobot is not installed")
    camera = module.OpenCVCamera(module.OpenCVCameraConfig(index_or_path=arm.camera_url("front")))
    camera.connect()
    try:
        assert camera.read_latest().shape == (120, 160, 3)
        arm.inject("stall-camera")
        time.sleep(0.8)
        with pytest.raises(TimeoutError, match="too old"):
            camera.read_latest()
        arm.clear()
        # Not async_read: its first frame after a stall is the old one that nobody had read.
        camera.read()
        assert camera.read_latest().shape == (120, 160, 3)
    finally:
        arm.clear()
        camera.disconnect()


def test_every_dial_shows_its_joint() -> None:
    """Each joint's angle changes the picture in its own sixth and nowhere else."""
    names = [f"joint{i}" for i in range(6)]
    still = dials(dict.fromkeys(names, 0.0), 120, 180)
    for index, name in enumerate(names):
        moved = dials(dict.fromkeys(names, 0.0) | {name: 1.0}, 120, 180)
        rows, columns = np.nonzero((moved != still).any(axis=2))
        assert len(rows) > 0
        assert {(row // 60, column // 60) for row, column in zip(rows, columns, strict=True)} == {divmod(index, 3)}


def test_a_camera_is_read_as_it_is_written() -> None:
    """NAME=WIDTHxHEIGHT@FPS, and nothing else."""
    assert parse_camera("front=640x480@30") == CameraSpec(name="front", width=640, height=480, fps=30.0)
    for wrong in ("front", "front=640x480", "=640x480@30", "a b=640x480@30", "front=640x480@-1"):
        with pytest.raises(EmulatorError, match="NAME=WIDTHxHEIGHT@FPS"):
            parse_camera(wrong)
    for wrong in ("front=9000x480@30", "front=640x480@0"):
        with pytest.raises(EmulatorError, match="out of range"):
            parse_camera(wrong)
    with pytest.raises(EmulatorError, match="two cameras have the same name"):
        EmulatedArm(cameras=["a=64x48@5", "a=64x48@5"])


def test_a_viewer_that_goes_away_is_no_trouble(arm: EmulatedArm) -> None:
    """Viewers come and go, and the arm closes while one still looks."""
    for _ in range(5):
        viewer = Viewer(arm.camera_url("front"))
        viewer.frame()
        viewer.close()
    stays = Viewer(arm.camera_url("front"))
    stays.frame()
    arm.close()
    with contextlib.suppress(EOFError, OSError, ValueError):
        for _ in range(100):
            stays.frame()
    stays.close()
