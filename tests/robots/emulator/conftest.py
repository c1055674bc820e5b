"""The real LeRobot driver, opened on an emulated arm."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from policy_port.robots.emulator import EmulatedArm

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
        # The 50 ms that LeRobot gives an answer go by the arm's clock, in its milliseconds.
        monkeypatch.setattr(robot.bus.port_handler, "getCurrentTime", lambda: 1000.0 * arm.clock.look())
        robot.connect(calibrate)
        return robot

    yield connect
    for robot in opened:
        # What a test has done to the arm may keep LeRobot from closing the port itself.
        with contextlib.suppress(Exception):
            robot.bus.port_handler.closePort()
        robot.bus.port_handler.is_open = False
