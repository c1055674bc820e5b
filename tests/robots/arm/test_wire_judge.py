"""The soak's judge of the wire finds what it is there for: made by hand, packet by packet."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks.wire import Joint, Judgement, decode, in_trace, joints, judge, torque
from policy_port.resources import assets_dir
from policy_port.robots.arm.raw_line import packet
from policy_port.robots.emulator.calibration import DEFAULT_CALIBRATION

PERIOD = 0.05
START = (2045, 1100, 3000, 2400, 2048, 2100)


@pytest.fixture
def limits(tmp_path: Path) -> list[Joint]:
    calibration = tmp_path / "cal.json"
    calibration.write_text(json.dumps({n: dataclasses.asdict(c) for n, c in DEFAULT_CALIBRATION.items()}))
    return joints(assets_dir() / "robots" / "so100.yaml", calibration, PERIOD)


def goal(*ticks: int) -> bytes:
    blocks = [number for servo, tick in enumerate(ticks, 1) for number in (servo, tick & 0xFF, tick >> 8)]
    return packet(0xFE, 0x83, [42, 2, *blocks])


def heard(pans: list[int], period: float = PERIOD) -> list[tuple[float, bytes]]:
    on = [(0.0, packet(servo, 3, [40, 1])) for servo in range(1, 7)]
    return on + [(1.0 + period * at, goal(START[0] + pan, *START[1:])) for at, pan in enumerate(pans)]


def judged(limits: list[Joint], pans: list[int], period: float = PERIOD) -> Judgement:
    return judge(decode(heard(pans, period)), limits, PERIOD)


def test_what_keeps_the_limits_passes(limits: list[Joint]) -> None:
    """39 ticks in a period are 1.2 rad/s; from standstill in one step, and to a stand in another."""
    found = judged(limits, [0, 39, 78, 117, 117, 78, 78])
    assert found.violations == []
    assert len(found.goals) == 7


@pytest.mark.parametrize(
    ("pans", "period", "what"),
    [
        ([0, 45], PERIOD, "45 ticks in a period"),
        ([0, 39, 0], PERIOD, "speed changed by -78 ticks"),
        ([0] * 30, 0.01, "goals in"),
        ([-1400], PERIOD, "is outside"),
    ],
)
def test_what_breaks_a_limit_is_found(limits: list[Joint], pans: list[int], period: float, what: str) -> None:
    """Speed, acceleration, targets in a hurry, position."""
    assert any(what in violation for violation in judged(limits, pans, period).violations)


def test_torque_is_what_was_told_last() -> None:
    """Joint by joint or all at once, in pieces and among noise; a wrong checksum tells nothing."""
    data = b"\xff\x00" + b"".join(packet(servo, 3, [40, 1]) for servo in range(1, 7))
    data += packet(0xFE, 0x83, [40, 1, 1, 0, 2, 0]) + packet(3, 3, [40, 0]) + packet(4, 3, [40, 0])[:-1] + b"\x00"
    pieces = [(float(at), data[at : at + 1]) for at in range(len(data))]
    assert torque(decode(pieces)) == {1: False, 2: False, 3: False, 4: True, 5: True, 6: True}


def test_a_goal_that_nobody_noted_is_missed(limits: list[Joint], tmp_path: Path) -> None:
    """After a kill the watchdog's log has to hold the last goals of the wire, all of them."""
    goals = [(START[0] + at, *START[1:]) for at in range(20)]
    lines = [f"goal {at}.0 {' '.join(map(str, row))}" for at, row in enumerate(goals)]
    for kept, missing in ((lines, False), ([*lines, lines[-1]], False), (lines[:9] + lines[12:], True), ([], True)):
        (tmp_path / "watchdog.log").write_text("\n".join([*kept, "2026-01-01 00:00:00 torque is off"]))
        assert (in_trace(tmp_path, goals, limits, killed=True)[0] > 0) is missing
