"""Commands that drive an emulated arm, by a time that passes only while they wait for it; and ports to judge."""

from __future__ import annotations

import pytest

from policy_port.robots.emulator.clock import VirtualClock
from tests.cli import verdict_port
from tests.cli.person import drive_by_a_virtual_clock
from tests.cli.verdict_port import Judged


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    """What commands of this process drive arms by: however busy the machine is, the same happens."""
    pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")
    return drive_by_a_virtual_clock(monkeypatch.setattr)


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """What the commands that judge ports are given, which they only read."""
    return verdict_port.make(tmp_path_factory.mktemp("judged"))
