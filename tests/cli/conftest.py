"""Commands that drive an emulated arm, by a time that passes only while they wait for it."""

from __future__ import annotations

import functools

import pytest

from policy_port.robots.emulator.clock import VirtualClock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    """What commands of this process drive arms by: however busy the machine is, the same happens."""
    pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")
    from policy_port.robots.arm import emulated, session
    from policy_port.robots.jobs import run

    clock = VirtualClock()
    for module, name, key in (
        (emulated, "emulate", "clock"),
        (session, "without_torque", "time"),
        (run, "play_real", "time"),
    ):
        monkeypatch.setattr(module, name, functools.partial(getattr(module, name), **{key: clock}))
    return clock
