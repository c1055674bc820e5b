"""Commands that drive an emulated arm, by a time that passes only while they wait for it."""

from __future__ import annotations

import pytest

from policy_port.robots.emulator.clock import VirtualClock
from tests.cli.person import drive_by_a_virtual_clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    """What commands of this process drive arms by: however busy the machine is, the same happens."""
    pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")
    return drive_by_a_virtual_clock(monkeypatch.setattr)
