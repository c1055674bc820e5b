"""The embedded policy, exported once, and the time in which emulated arms move."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy_port.port.pilot import Pilot
from policy_port.robots.emulator.clock import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    """A time that passes only while a test sleeps on it: however busy the machine is, the same happens."""
    return VirtualClock()


@pytest.fixture(scope="session")
def pilot(tmp_path_factory: pytest.TempPathFactory) -> Pilot:
    pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")
    from policy_port.cli.play_real import embedded

    folder: Path = tmp_path_factory.mktemp("embedded")
    return embedded(folder / "port")
