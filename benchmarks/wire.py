"""A tap on the servo line, and a judge of what went over it, who knows nothing of the program that is judged.

Nothing here comes from policy_port.robots.arm: packets are decoded anew, limits are read from the robot file's text.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import termios
import threading
import time
import tty
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

MOTORS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
WRITE, SYNC_WRITE, EVERYBODY = 0x03, 0x83, 0xFE
TORQUE, GOAL = 40, 42
"""Registers: Torque_Enable, one byte; Goal_Position, two."""
JITTER = 0.06
"""How late a byte may be seen here [s]: the tap shares two cores with what it listens to."""


class Tap:
    """A port in front of another one; every byte that passes is kept with its time."""

    def __init__(self, link: Path, behind: str) -> None:
        self._link, self._turn = link, threading.Lock()
        self._servos = os.open(behind, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        _raw(self._servos)
        self._near = self._far = -1
        self.heard: list[tuple[float, bytes]] = []
        """What was said to the servos, and when [s]."""
        self._stop = False
        self.plug()
        self._thread = threading.Thread(target=self._run, name="tap")
        self._thread.start()

    def plug(self) -> None:
        """Put the cable in: another device, at the same path."""
        with self._turn:
            self._near, self._far = os.openpty()
            _raw(self._far)
            os.set_blocking(self._near, False)
            self._link.unlink(missing_ok=True)
            self._link.symlink_to(os.ttyname(self._far))

    def unplug(self) -> None:
        """Pull the cable out: whoever has the port open gets errors."""
        with self._turn:
            self._link.unlink(missing_ok=True)
            for end in (self._near, self._far):
                if end >= 0:
                    os.close(end)
            self._near = self._far = -1

    def close(self) -> None:
        """Leave nothing behind."""
        self._stop = True
        self._thread.join()
        self.unplug()
        os.close(self._servos)

    def _run(self) -> None:
        while not self._stop:
            with self._turn:
                near = self._near
                sources = [self._servos] + [near] * (near >= 0)
                ready = select.select(sources, (), (), 0.002)[0]
                if near in ready:
                    data = _read(near)
                    if data:
                        self.heard.append((time.monotonic(), data))
                        with contextlib.suppress(OSError):
                            os.write(self._servos, data)
                if self._servos in ready:
                    data = _read(self._servos)
                    if near >= 0 and data:
                        with contextlib.suppress(OSError):
                            os.write(near, data)
            # Whoever waits to pull the cable gets its turn.
            time.sleep(0.0002)


def _raw(terminal: int) -> None:
    tty.setraw(terminal)
    settings = termios.tcgetattr(terminal)
    settings[4] = settings[5] = termios.B1000000
    termios.tcsetattr(terminal, termios.TCSANOW, settings)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""


@dataclass(frozen=True)
class Write:
    """Registers of one servo, as they were written."""

    time: float
    servo: int
    address: int
    data: bytes


def decode(heard: list[tuple[float, bytes]]) -> list[Write]:
    """The writes among what was said to the servos."""
    found, rest = [], b""
    for moment, data in heard:
        rest += data
        while len(rest) >= 6:
            length = rest[3] if rest[:2] == b"\xff\xff" else 0
            if length < 2 or rest[2] == 0xFF:
                rest = rest[1:]
                continue
            if len(rest) < length + 4:
                break
            body, check = rest[2 : length + 3], rest[length + 3]
            if ~sum(body) & 0xFF != check:
                rest = rest[1:]
                continue
            found += _writes(moment, body)
            rest = rest[length + 4 :]
    return found


def _writes(moment: float, body: bytes) -> list[Write]:
    servo, instruction, parameters = body[0], body[2], body[3:]
    if instruction == WRITE:
        servos = range(1, len(MOTORS) + 1) if servo == EVERYBODY else (servo,)
        return [Write(moment, one, parameters[0], parameters[1:]) for one in servos]
    if instruction != SYNC_WRITE:
        return []
    address, size = parameters[:2]
    blocks = [parameters[at : at + size + 1] for at in range(2, len(parameters), size + 1)]
    return [Write(moment, block[0], address, block[1:]) for block in blocks]


def torque(writes: list[Write]) -> dict[int, bool]:
    """Whether each servo was told last to have torque."""
    state = dict.fromkeys(range(1, len(MOTORS) + 1), False)
    for write in writes:
        if write.address <= TORQUE < write.address + len(write.data):
            state[write.servo] = write.data[TORQUE - write.address] == 1
    return state


@dataclass
class Joint:
    """A joint's limits in ticks: of a degree in LeRobot's numbers, of a percent for the gripper."""

    least: float
    greatest: float
    per_period: float
    """Most ticks from goal to goal."""
    change: float
    """Most that this changes by from one to the next [ticks]."""
    scale: float
    """Ticks per radian."""
    zero: float
    """Ticks at 0 rad."""


def joints(robot_file: Path, calibration: Path, period: float) -> list[Joint]:
    """The limits of the shipped joint map: the elbow's zero is 6.8 degrees off, the gripper counts in percent."""
    robot, held = yaml.safe_load(robot_file.read_text()), json.loads(calibration.read_text())
    found = []
    for name in MOTORS:
        bounds, sweep = robot["joints"][name], held[name]
        low, high = sweep["range_min"], sweep["range_max"]
        if name == "gripper":
            scale, zero = (high - low) / 2.2, low + 0.5 * (high - low)
        else:
            scale = 4095 / (2.0 * math.pi)
            zero = 0.5 * (low + high) + (6.8 if name == "elbow_flex" else 0.0) * 4095 / 360.0
        found.append(
            Joint(
                least=zero + scale * bounds["lower"],
                greatest=zero + scale * bounds["upper"],
                per_period=bounds["speed"] * period * scale,
                change=bounds["acceleration"] * period * period * scale,
                scale=scale,
                zero=zero,
            )
        )
    return found


@dataclass
class Judgement:
    """What was wrong on the wire."""

    goals: list[tuple[int, ...]] = field(default_factory=list)
    """Goals of all joints [ticks], in order, from when torque came on."""
    violations: list[str] = field(default_factory=list)


def judge(writes: list[Write], limits: list[Joint], period: float) -> Judgement:
    """Hold goals against position, speed and acceleration limits; each goal is a whole tick, so off by half of one."""
    found = Judgement()
    on, times = False, []
    rows: dict[float, dict[int, int]] = {}
    for write in writes:
        if write.address <= TORQUE < write.address + len(write.data):
            on = on or write.data[TORQUE - write.address] == 1
        if write.address == GOAL and len(write.data) == 2:
            row = rows.setdefault(write.time, {})
            if write.servo in row or (row and on and len(row) == len(MOTORS)):
                found.violations.append(f"two goals of servo {write.servo} at once")
            row[write.servo] = int.from_bytes(write.data, "little")
            if len(row) == len(MOTORS):
                times.append(write.time)
                found.goals.append(tuple(row[servo] for servo in range(1, len(MOTORS) + 1)))
    for index, goal in enumerate(found.goals):
        for name, joint, value in zip(MOTORS, limits, goal, strict=True):
            if not joint.least - 1.0 <= value <= joint.greatest + 1.0:
                found.violations.append(f"{name}: goal {value} is outside {joint.least:.0f} to {joint.greatest:.0f}")
        if index:
            _motion(found, limits, times, index, period)
    for first in range(len(times)):
        # Nobody may send faster than once a period, whatever each single step is.
        last = min(first + 20, len(times) - 1)
        if (last - first) * period > times[last] - times[first] + JITTER:
            found.violations.append(f"{last - first} goals in {times[last] - times[first]:.2f} s")
    return found


def _motion(found: Judgement, limits: list[Joint], times: list[float], index: int, period: float) -> None:
    # A goal that has stood for longer than a period has led the joint to a stand; whether it was longer, the program
    # and the tap may see differently.
    stood = times[index] - times[index - 1] > 1.4 * period
    for at, (name, joint) in enumerate(zip(MOTORS, limits, strict=True)):
        moved = found.goals[index][at] - found.goals[index - 1][at]
        before = found.goals[index - 1][at] - found.goals[index - 2][at] if index > 1 else 0
        change = min((moved - before, moved) if stood else (moved - before,), key=abs)
        if abs(moved) > joint.per_period + 1.01:
            found.violations.append(f"{name}: {moved} ticks in a period, the limit is {joint.per_period:.1f}")
        if abs(change) > joint.change + 2.02:
            found.violations.append(f"{name}: speed changed by {change} ticks, the limit is {joint.change:.1f}")


def in_trace(folder: Path, goals: list[tuple[int, ...]], limits: list[Joint], *, killed: bool) -> tuple[int, str]:
    """How many goals of the wire are missing in what a run left, and which; a run without a policy's goal misses none.

    An orderly end leaves a trace of each goal of the policy. After a kill, the watchdog's log holds the last goals, and
    has to hold every one of them that went over the wire.
    """
    import numpy as np

    from policy_port.trace import Trace

    log, noted = folder / "watchdog.log", list[tuple[int, ...]]()
    if log.exists():
        lines = [line.split()[2:] for line in log.read_text().splitlines() if line.startswith("goal ")]
        noted = [tuple(map(int, line)) for line in lines]
    rows: list[tuple[int, ...]] = []
    # A run that is killed in its first second leaves the trace's header alone.
    if (folder / "trace.npz").exists() or list((folder / "trace.npz.parts").glob("*.npz")):
        trace = Trace(folder / "trace.npz")
        sent = trace["target_sent"][:, 0] if "target_sent" in trace else np.zeros((0, len(limits)))
        scale, zero = np.array([j.scale for j in limits]), np.array([j.zero for j in limits])
        rows = [tuple(map(int, np.rint(scale * row + zero))) for row in sent if np.isfinite(row).all()]
    missing = 0
    if rows:
        start = next((at for at in range(len(goals)) if _same(goals[at : at + len(rows)], rows)), None)
        if start is None:
            return len(rows), "the trace's goals are not those of the wire, one after the other"
    if killed:
        tail = goals[-len(noted) :] if noted else []
        # The last one may have been noted and not sent.
        if noted and not (_same(noted[-len(tail) :], tail) or _same(noted[-len(tail) : -1], tail[1:])):
            missing = sum(goal not in noted for goal in tail)
            return max(missing, 1), "goals of the wire are not in the watchdog's log"
        return (len(goals), "the watchdog left no goals") if goals[1:] and not noted else (0, "")
    metrics = folder / "metrics.json"
    steps = int(_steps(json.loads(metrics.read_text()))) if metrics.exists() else len(rows)
    return (
        (steps - len(rows), f"{steps} goals of the policy, {len(rows)} in the trace") if steps != len(rows) else (0, "")
    )


def _steps(document: dict[str, Any]) -> float:
    return document["metrics"]["steps"]


def _same(one: list[tuple[int, ...]], other: list[tuple[int, ...]]) -> bool:
    """Equal to the rounding of a tick."""
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) and all(abs(a - b) <= 1 for rows in pairs for a, b in zip(*rows, strict=True))
