"""A gamepad at the wire: the bytes that Linux's joystick interface writes, through a pipe."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.errors import TaskError
from policy_port.live import gamepad
from policy_port.live.gamepad import DEAD_ZONE, Gamepad, commanded, find_gamepad, holding
from policy_port.live.wishes import Element, Wishes

RANGES = {"lin_vel_x": (-0.5, 1.0), "lin_vel_y": (-0.4, 0.4), "ang_vel_z": (-1.0, 1.0), "base_height": (0.2, 0.4)}
AXIS, BUTTON, INITIAL = 2, 1, 0x80


class Pad:
    """The driver's end: what it writes is what a pad of four axes and four buttons sends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._end = os.open(path, os.O_RDWR)
        self.said: list[str] = []
        elements = [Element(name=n, low=low, high=high, value=max(0.0, low)) for n, (low, high) in RANGES.items()]
        self.wishes = Wishes(elements, ("base", "foot"), ("walk",))

    def send(self, kind: int, number: int, value: int, *, cut: int = 8) -> None:
        os.write(self._end, struct.pack("=IhBB", 1, value, kind, number)[:cut])

    def rest(self, kind: int, number: int, value: int, *, cut: int) -> None:
        os.write(self._end, struct.pack("=IhBB", 1, value, kind, number)[cut:])

    def unplug(self) -> None:
        os.close(self._end)


@pytest.fixture
def pad(tmp_path: Path) -> Iterator[Pad]:
    """A pad whose events reach wishes."""
    made = Pad(tmp_path / "js7")
    with holding(Gamepad(find_gamepad(str(made.path))), made.wishes, made.said.append):
        yield made


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 5.0
    while not true():
        assert time.monotonic() < end, "it did not arrive"
        time.sleep(0.002)


def test_sticks_command_over_the_contracts_ranges(pad: Pad) -> None:
    """Forward is away from oneself, left is left, the middle is zero whatever a worn stick says, and bytes that arrive
    in pieces are one event.
    """
    for number, name in ((1, "lin_vel_x"), (0, "lin_vel_y"), (3, "ang_vel_z"), (4, "base_height")):
        low, high = RANGES[name]
        for value, wanted in ((-32767, high), (32767, low), (int(0.9 * DEAD_ZONE * 32767), max(0.0, low))):
            pad.send(AXIS, number, value)
            until(lambda name=name, wanted=wanted: abs(pad.wishes.told()[name] - wanted) < 1e-9)
    pad.send(AXIS, 1, -32767, cut=3)
    time.sleep(0.01)
    pad.rest(AXIS, 1, -32767, cut=3)
    until(lambda: pad.wishes.told()["lin_vel_x"] == 1.0)
    half = commanded(Element(name="x", low=-0.5, high=1.0, value=0.0), DEAD_ZONE + 0.5 * (1.0 - DEAD_ZONE))
    assert half == pytest.approx(0.5)


def test_buttons_pause_reset_push_and_step(pad: Pad) -> None:
    """On the way down alone; a button that nothing is known of does nothing."""
    for number in (0, 1, 2, 3, 9):
        pad.send(BUTTON, number, 1)
        pad.send(BUTTON, number, 0)
    until(pad.wishes.take_reset)
    until(lambda: (push := pad.wishes.take_push()) is not None and push.link == "base")
    until(pad.wishes.take_step)
    assert pad.wishes.paused
    assert not pad.wishes.take_reset()


def test_a_pad_at_rest_takes_no_command_from_a_schedule(pad: Pad) -> None:
    """The events that say how it stands at first, all in the middle and unpressed, are no wish."""
    for number in range(5):
        pad.send(AXIS | INITIAL, number, 0)
        pad.send(BUTTON | INITIAL, number, 1)
    pad.send(BUTTON, 1, 1)
    until(pad.wishes.take_reset)
    assert not pad.wishes.touched
    assert not pad.wishes.paused


def test_an_unplugged_pad_commands_zero_and_says_so(pad: Pad) -> None:
    """What it told last must not go on."""
    pad.send(AXIS, 1, -32767)
    until(lambda: pad.wishes.told()["lin_vel_x"] == 1.0)
    pad.unplug()
    until(lambda: any("is gone: the command is zero" in words for words in pad.said))
    assert pad.wishes.told() == {"lin_vel_x": 0.0, "lin_vel_y": 0.0, "ang_vel_z": 0.0, "base_height": 0.2}


def test_what_is_no_gamepad_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absent, several, not readable, a file, another interface, another device: each with what to do."""
    monkeypatch.setattr(gamepad, "FOLDER", tmp_path)
    with pytest.raises(TaskError, match="0 gamepads under .*none.*plug one in"):
        find_gamepad(None)
    for name in ("js0", "event3"):
        (tmp_path / name).write_text("")
    assert find_gamepad(None) == tmp_path / "js0"
    (tmp_path / "js1").write_text("")
    with pytest.raises(TaskError, match=r"2 gamepads under .*js0, .*js1\); say which with --gamepad DEVICE"):
        find_gamepad(None)
    for name, words in (("js5", "no such device; plugged in are: .*js0"), ("event3", "Linux's other interface; give"),
                        ("js0", "is no device")):  # fmt: skip
        with pytest.raises(TaskError, match=words):
            find_gamepad(str(tmp_path / name))
    with pytest.raises(TaskError, match="is no joystick of Linux's"):
        Gamepad(find_gamepad("/dev/null"))

    def forbidden(*_: Any) -> int:
        raise PermissionError

    monkeypatch.setattr(gamepad.os, "open", forbidden)
    with pytest.raises(TaskError, match="group of the device, usually input"):
        Gamepad(tmp_path / "js0")


def test_the_option_takes_a_device_or_none(tmp_path: Path) -> None:
    """`--gamepad` before a port or another option is the only pad; it goes with --view, and its errors exit with 2."""
    os.mkfifo(tmp_path / "pad")
    for words, said in (
        (("--gamepad", "port"), "--gamepad goes with --view"),
        (("port", "--gamepad", "/dev/input/js99"), "--gamepad goes with --view"),
        (("--gamepad", tmp_path / "pad", "port"), "--gamepad goes with --view"),
    ):
        given = ["play", *words, "--plant", "mujoco", "--command", "0,0,0", "--out", tmp_path / "out"]
        done = CliRunner().invoke(app, [str(word) for word in given])
        assert (done.exit_code, said in " ".join(done.output.split())) == (2, True), done.output
