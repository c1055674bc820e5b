"""The real LeRobot driver, opened on an emulated arm."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from policy_port.robots.emulator import EmulatedArm

TRIES = 12
Connect = Callable[..., Any]


@pytest.fixture
def follower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Opens LeRobot's SOFollower on an arm; a question to the user fails the test."""
    module = pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")
    monkeypatch.setattr("builtins.input", lambda text="": pytest.fail(f"LeRobot asked the user: {text}"))
    opened = []

    def connect(arm: EmulatedArm, *, calibrate: bool = True, **config: Any) -> Any:
        path = tmp_path / "emulated.json"
        if not path.exists():
            arm.write_calibration(path)
        config = {"port": arm.port, "id": "emulated", "calibration_dir": tmp_path} | config
        robot = module.SOFollower(module.SOFollowerRobotConfig(**config))
        opened.append(robot)
        # LeRobot gives an answer 50 ms and does not ask again while it connects: too few on a machine that is busy
        # with other tests.
        for attempt in range(TRIES):
            try:
                robot.connect(calibrate)
                break
            except (RuntimeError, ConnectionError, IndexError):
                robot.bus.port_handler.closePort()
                if attempt == TRIES - 1:
                    raise
                # An answer to the try before, which LeRobot would take for one of the next, has come by then.
                time.sleep(0.1)
        return robot

    yield connect
    for robot in opened:
        # What a test has done to the arm may keep LeRobot from closing the port itself.
        with contextlib.suppress(Exception):
            robot.bus.port_handler.closePort()
        robot.bus.port_handler.is_open = False
