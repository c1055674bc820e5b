"""Commands that drive an emulated arm, by a time that passes only while they wait for it."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from policy_port.robots.arm.robot_file import RobotFile
from policy_port.robots.emulator.clock import VirtualClock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    """What commands of this process drive arms by: however busy the machine is, the same happens."""
    pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")
    from policy_port.robots.arm import emulated, robot_file, session
    from policy_port.robots.jobs import run

    clock, load = VirtualClock(), robot_file.load_robot_file

    def unhurried(path: Path | str) -> RobotFile:
        return emulated.on_its_own_clock(load(path))

    monkeypatch.setattr(robot_file, "load_robot_file", unhurried)
    for module, name, key in (
        (emulated, "emulate", "clock"),
        (session, "without_torque", "time"),
        (run, "play_real", "time"),
    ):
        monkeypatch.setattr(module, name, functools.partial(getattr(module, name), **{key: clock}))
    return clock
