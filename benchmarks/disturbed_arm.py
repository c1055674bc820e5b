"""Runs on an emulated arm that are disturbed, and what the arm itself saw of them. For real_soak.py and tests."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from policy_port.errors import PolicyPortError
from policy_port.port.pilot import Pilot
from policy_port.robots.arm.confirmation import fingerprint, note_of
from policy_port.robots.arm.console import Console
from policy_port.robots.arm.emulated import HELD, lay_down
from policy_port.robots.arm.lerobot_arm import LeRobotArm
from policy_port.robots.arm.robot_file import RobotFile, load_robot_file
from policy_port.robots.arm.session import without_torque
from policy_port.robots.emulator import EmulatedArm
from policy_port.robots.emulator.bus import WireWrite
from policy_port.robots.emulator.calibration import DEFAULT_CALIBRATION
from policy_port.robots.emulator.clock import REAL, Clock, VirtualClock
from policy_port.robots.emulator.tick_map import tick_scales
from policy_port.robots.jobs.reach_job import ReachJob
from policy_port.robots.jobs.run import Keep, play_real
from policy_port.tasks.reach import SO100_REACH
from policy_port.trace import Trace

PERIOD = 0.05
"""Control period of the embedded policy [s]."""
AT_REST = 0.25
"""How far a joint may be from its rest when its torque goes off [rad]."""


@dataclass(frozen=True)
class Outcome:
    """How a disturbed run ended."""

    ended: str
    """What the report says, or the error."""
    steps: int
    """Steps in the trace; -1 where no motion began."""
    at_rest: bool
    """Every servo was at rest when its torque went off."""
    torque_on: tuple[str, ...]
    """Servos that still have torque."""
    violations: tuple[str, ...]
    """Goals on the wire outside limits."""

    @property
    def good(self) -> bool:
        """No torque where it could be taken away, and nothing outside the limits."""
        return not self.torque_on and not self.violations


class SoakArm:
    """An emulated arm that many runs use one after the other; its robot file fits it."""

    def __init__(self, clock: Clock = REAL, **changes: Any) -> None:
        self._stack = contextlib.ExitStack()
        self.clock = clock
        self._changes = changes

    def __enter__(self) -> SoakArm:
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        shipped = load_robot_file("so100")
        pose = dict(zip(shipped.joint_names, shipped.pose("rest"), strict=True))
        link = self.folder / "port"
        self.arm = self._stack.enter_context(
            EmulatedArm(
                pose=pose,
                latency=0.001,
                process=self.clock is REAL,
                faults=[HELD],
                port_link=link,
                clock=self.clock,
            )
        )
        self.arm.write_calibration(self.folder / "so100.json")
        self.robot: RobotFile = shipped.model_copy(
            update={"port": str(link), "calibration_dir": self.folder} | self._changes
        )
        arm = LeRobotArm(self.robot, PERIOD)
        note_of(arm.calibration_file).write_text(fingerprint(self.robot, arm.calibration))
        self._runs = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def run(
        self,
        pilot: Pilot,
        *,
        episode_steps: int = 20,
        signals: tuple[tuple[float, int], ...] = (),
        fault: str | None = None,
        seed: int = 0,
    ) -> Outcome:
        """One run of one episode.

        Args:
            pilot: The policy.
            episode_steps: Steps of the episode.
            signals: Signals to this process: seconds after the start, and number.
            fault: Fault of the arm, timed from when torque is on.
            seed: Seed of the episode.
        """
        self._runs += 1
        self.lay_down()
        folder = self.folder / f"run{self._runs}"
        folder.mkdir()
        before = len(self.arm.wire_log)

        def on_torque() -> None:
            self.arm.clear(HELD)
            if fault is not None:
                self.arm.inject(fault)

        late = [signal.signal(number, signal.SIG_IGN) for _, number in signals[:1]]
        timers = [send_later(number, after, self.clock) for after, number in signals]
        try:
            done = play_real(
                pilot,
                self.robot,
                ReachJob(dataclasses.replace(SO100_REACH, episode_steps=episode_steps)),
                seeds=range(seed, seed + 1),
                keep=Keep(folder=folder),
                console=Console(continuous=True),
                on_torque=on_torque,
                time=self.clock,
            )
            ended = done.result.setting["ended"]
        except PolicyPortError as error:
            ended = f"error: {error}"
        finally:
            # A signal that comes after the run has ended is for nobody.
            for take_back in timers:
                take_back()
            for handler in late:
                signal.signal(signals[0][1], handler)
        return self._outcome(ended, folder, self.arm.wire_log[before:], fault)

    def lay_down(self) -> None:
        """A person mends what was broken, lays the arm down to rest, and holds it there."""
        self.arm.clear()
        if any(servo.torque for servo in self.arm.servos):
            with without_torque(self.robot, time=self.clock) as arm:
                arm.line.torque_off()
        lay_down(self.arm, self.robot)

    def _outcome(self, ended: str, folder: Path, log: tuple[WireWrite, ...], fault: str | None) -> Outcome:
        deaf = fault is not None and fault.split(":")[0].split("@")[0] in ("absent", "deaf")
        unplugged = fault is not None and fault.startswith("unplug")
        target = fault.split("@")[0].split(":")[1] if deaf and fault is not None else None
        on = [servo.name for servo in self.arm.servos if servo.torque and servo.name != target and not unplugged]
        steps = -1
        if any(folder.iterdir()):
            trace = Trace(folder / "trace.npz")
            steps = len(trace["clock"]) if "clock" in trace else 0
            assert trace.complete
        return Outcome(ended, steps, self._rested(log), tuple(on), tuple(self._violations(log)))

    def _rested(self, log: tuple[WireWrite, ...]) -> bool:
        scales = tick_scales(DEFAULT_CALIBRATION)
        rest = dict(zip(self.robot.joint_names, self.robot.pose("rest"), strict=True))
        powered: set[str] = set()
        for item in log:
            if item.register != "Torque_Enable":
                continue
            if item.value == 1:
                powered.add(item.joint)
            elif item.joint in powered:
                powered.discard(item.joint)
                if abs(scales[item.joint].angle(item.present) - rest[item.joint]) > AT_REST:
                    return False
        return not powered

    def _violations(self, log: tuple[WireWrite, ...]) -> list[str]:
        """Goals on the wire beyond the robot file's position, speed and acceleration, by its numbers alone."""
        found = []
        for name, scale in tick_scales(DEFAULT_CALIBRATION).items():
            bounds, tick = self.robot.joints[name], abs(scale.slope)
            powered, before, goals = False, 0.0, []
            for item in log:
                if item.joint == name and item.register == "Torque_Enable":
                    powered = item.value == 1
                if item.joint != name or item.register != "Goal_Position":
                    continue
                angle = scale.angle(item.value)
                if not bounds.lower - 1e-6 <= angle <= bounds.upper + 1e-6:
                    found.append(f"{name}: {angle:.4f} rad is outside {bounds.lower:g} to {bounds.upper:g}")
                # A goal that got lost on the way leaves the one before in force for another period.
                missed = max(round((item.time - before) / PERIOD) - 1, 0) if goals else 0
                held = goals[-1:] * min(missed, 2)
                goals = [*goals, *held, angle] if powered else [angle]
                before = item.time
                steps = np.diff(goals[-3:])
                # A goal is a whole tick: each difference is off by one at most, each second one by two.
                if len(steps) and abs(steps[-1]) > bounds.speed * PERIOD + tick + 1e-9:
                    found.append(f"{name}: {steps[-1] / PERIOD:.3f} rad/s")
                if len(steps) > 1 and abs(steps[-1] - steps[-2]) > bounds.acceleration * PERIOD**2 + 2 * tick + 1e-9:
                    found.append(f"{name}: {abs(steps[-1] - steps[-2]) / PERIOD**2:.1f} rad/s^2")
        return found


def send_later(number: int, after: float, clock: Clock) -> Callable[[], None]:
    """Send this process a signal after so many seconds; returns what takes it back."""
    if not isinstance(clock, VirtualClock):
        timer = threading.Timer(after, os.kill, (os.getpid(), number))
        timer.start()

        def cancel() -> None:
            timer.cancel()
            timer.join()

        return cancel
    due = clock.now() + after

    def live() -> None:
        if clock.now() >= due:
            clock.leave(live)
            os.kill(os.getpid(), number)

    clock.follow(live)
    return lambda: clock.leave(live)
