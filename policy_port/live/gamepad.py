"""A gamepad at the controls, through Linux's joystick interface: /dev/input/js*, events of eight bytes."""

from __future__ import annotations

import array
import contextlib
import os
import select
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from policy_port.errors import TaskError
from policy_port.live.wishes import PUSH, PUSH_LASTS, Element, Wishes

FOLDER = Path("/dev/input")
DEAD_ZONE = 0.12
"""Share of a stick's way about its middle that counts as the middle: worn sticks don't return further."""
_EVENT = struct.Struct("=IhBB")
"""Milliseconds, value, kind, number; see linux/joystick.h."""
_BUTTON, _AXIS, _INITIAL = 0x01, 0x02, 0x80
_FULL = 32767.0
_AXIS_MAP, _BUTTON_MAP, _VERSION = 0x80406A32, 0x84006A34, 0x80046A01
"""JSIOCGAXMAP of 64 bytes, JSIOCGBTNMAP of 512 words, JSIOCGVERSION."""
_STICKS = {0x00: "left_x", 0x01: "left_y", 0x03: "right_x", 0x04: "right_y"}
"""ABS_X, ABS_Y, ABS_RX, ABS_RY, which gamepads number 0, 1, 3 and 4 where the driver names none."""
_ACTS = {0x130: "pause", 0x131: "reset", 0x133: "push", 0x134: "step"}
"""BTN_SOUTH, BTN_EAST, BTN_NORTH, BTN_WEST: A, B, X and Y of an Xbox pad, whose numbers are 0, 1, 2 and 3."""
_TOLD = {"left_y": "lin_vel_x", "left_x": "lin_vel_y", "right_x": "ang_vel_z"}
LEGEND = (
    "left stick walks, right stick turns (up and down: the first other element of the command); A pauses, B resets, X "
    "pushes, Y does one step"
)


def find_gamepad(given: str | None) -> Path:
    """The device that is given, or the only one that there is.

    Raises:
        TaskError: When there is none, or are several, or the path is no joystick device.
    """
    there = sorted(FOLDER.glob("js*"))
    listed = ", ".join(map(str, there)) or "none"
    if given is not None:
        path = Path(given)
        if not path.exists():
            raise TaskError(f"--gamepad {given}: no such device; plugged in are: {listed}")
        if path.name.startswith("event"):
            raise TaskError(f"--gamepad {given}: is Linux's other interface; give /dev/input/js*. Here are: {listed}")
        if not (stat.S_ISCHR(mode := path.stat().st_mode) or stat.S_ISFIFO(mode)):
            raise TaskError(f"--gamepad {given}: is no device; plugged in are: {listed}")
        return path
    if len(there) != 1:
        why = "say which with --gamepad DEVICE" if there else "plug one in (Linux's driver is joydev: modprobe joydev)"
        raise TaskError(f"--gamepad: {len(there)} gamepads under {FOLDER} ({listed}); {why}")
    return there[0]


class Gamepad:
    """An open gamepad; `begin` lets it tell wishes until `close`."""

    def __init__(self, path: Path) -> None:
        """Open the device.

        Raises:
            TaskError: When it can't be opened, or is no joystick.
        """
        self.path = path
        try:
            self._device: int | None = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except PermissionError:
            raise TaskError(
                f"--gamepad {path}: may not be read by this user; add yourself to the group of the device, usually "
                "input (sudo usermod -aG input $USER, then log in again)"
            ) from None
        except OSError as cause:
            raise TaskError(f"--gamepad {path}: can't be opened: {cause.strerror}") from None
        self._sticks, self._acts = self._layout()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._rest = b""
        self._told: dict[str, float] = {}

    def begin(self, wishes: Wishes, say: Callable[[str], None]) -> None:
        """Tell wishes what sticks and buttons do, from a thread of its own.

        Args:
            wishes: Where to write it.
            say: Told in words what it does, and when it is gone.
        """
        say(f"gamepad {self.path}: {LEGEND}")
        self._thread = threading.Thread(target=self._read, args=(wishes, say), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading. Calling it twice is harmless."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(2.0)
        device, self._device = self._device, None
        if device is not None:
            os.close(device)

    def _layout(self) -> tuple[dict[int, str], dict[int, str]]:
        """Sticks and acts by the numbers of events, as the driver names them; the usual ones without a driver."""
        assert self._device is not None
        usual = dict(_STICKS), dict(enumerate(_ACTS.values()))
        if not stat.S_ISCHR(os.fstat(self._device).st_mode) or os.isatty(self._device):
            return usual
        import fcntl

        axes, buttons = array.array("B", bytes(64)), array.array("H", bytes(1024))
        try:
            fcntl.ioctl(self._device, _VERSION, array.array("I", [0]))
            fcntl.ioctl(self._device, _AXIS_MAP, axes)
            fcntl.ioctl(self._device, _BUTTON_MAP, buttons)
        except OSError:
            os.close(self._device)
            raise TaskError(f"--gamepad {self.path}: is no joystick of Linux's; give one of {FOLDER}/js*") from None
        # Unused numbers are 0 like the first axis, which therefore counts where it comes first.
        sticks = {axes.index(code): name for code, name in _STICKS.items() if code in axes}
        return sticks, {buttons.index(code): act for code, act in _ACTS.items() if code in buttons}

    def _read(self, wishes: Wishes, say: Callable[[str], None]) -> None:
        device = self._device
        assert device is not None
        while not self._closing.is_set():
            try:
                if not select.select([device], [], [], 0.1)[0]:
                    continue
                data = os.read(device, 64 * _EVENT.size)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                if not self._closing.is_set():
                    wishes.halt()
                    say(f"gamepad {self.path} is gone: the command is zero; use the view, or start again with it")
                return
            self._rest += data
            whole = len(self._rest) - len(self._rest) % _EVENT.size
            events, self._rest = self._rest[:whole], self._rest[whole:]
            for _, value, kind, number in _EVENT.iter_unpack(events):
                self._take(wishes, value, kind, number)

    def _take(self, wishes: Wishes, value: int, kind: int, number: int) -> None:
        """One event. How the pad stands at first moves no robot that a schedule commands, unless a stick is held."""
        if kind & ~_INITIAL == _AXIS and number in self._sticks:
            element = self._element(wishes, self._sticks[number])
            if element is not None:
                wanted = commanded(element, -value / _FULL)
                if wanted != self._told.get(element.name, commanded(element, 0.0)):
                    self._told[element.name] = wanted
                    wishes.tell(element.name, wanted)
        elif kind == _BUTTON and value:
            self._act(wishes, self._acts.get(number))

    def _element(self, wishes: Wishes, stick: str) -> Element | None:
        """What a stick commands, where the policy has it; the right one's up and down is the first other element."""
        others = [element for element in wishes.elements if element.name not in _TOLD.values()]
        if stick == "right_y":
            return others[0] if others else None
        return next((element for element in wishes.elements if element.name == _TOLD[stick]), None)

    def _act(self, wishes: Wishes, act: str | None) -> None:
        match act:
            case "pause":
                wishes.paused = not wishes.paused
            case "reset":
                wishes.reset()
            case "step":
                wishes.step()
            case "push":
                wishes.push(wishes.links[0], PUSH, PUSH_LASTS)


def commanded(element: Element, share: float) -> float:
    """What a stick says to an element, whose middle is zero, or what of its range is nearest.

    Args:
        element: The element.
        share: How far the stick is from its middle, from -1 to 1; its dead zone counts as the middle.
    """
    rest = min(max(0.0, element.low), element.high)
    way = max(abs(share) - DEAD_ZONE, 0.0) / (1.0 - DEAD_ZONE)
    end = element.high if share > 0.0 else element.low
    return rest + min(way, 1.0) * (end - rest)


@contextlib.contextmanager
def holding(gamepad: Gamepad | None, wishes: Wishes, say: Callable[[str], None]) -> Iterator[None]:
    """A gamepad at the controls, if there is one."""
    if gamepad is None:
        yield
        return
    gamepad.begin(wishes, say)
    try:
        yield
    finally:
        gamepad.close()
