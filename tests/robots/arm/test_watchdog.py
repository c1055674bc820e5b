"""A process that is dead or hangs leaves no torque behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from policy_port.resources import assets_dir
from policy_port.robots.emulator import EmulatedArm

PARENT = """
import sys, time
from policy_port.robots.arm.raw_line import packet
from policy_port.robots.arm.watchdog import Watchdog
port, how = sys.argv[1:]
dog = Watchdog(port, [1, 2, 3, 4, 5, 6], 0.5)
with open(port, "r+b", buffering=0) as line:
    for servo in range(1, 7):
        line.write(packet(servo, 3, [40, 1]))
    print("torque", flush=True)
    for _ in range(10 if how == "hang" else 600):
        dog.beat()
        time.sleep(0.05)
    time.sleep(30)
"""


@pytest.fixture
def arm(tmp_path: Path) -> Iterator[EmulatedArm]:
    with EmulatedArm(port_link=tmp_path / "port") as arm:
        yield arm


def start(arm: EmulatedArm, how: str) -> subprocess.Popen[str]:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, arm.port, how], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "torque\n"
    wait_for(lambda: all(servo.torque for servo in arm.servos))
    return parent


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def end(parent: subprocess.Popen[str]) -> int:
    assert parent.stdout is not None
    parent.stdout.close()
    return parent.wait(10)


def test_a_killed_process_leaves_no_torque(arm: EmulatedArm) -> None:
    """SIGKILL: nobody is left to clean up but the watchdog."""
    parent = start(arm, "beat")
    time.sleep(0.8)
    assert all(servo.torque for servo in arm.servos)
    parent.kill()
    wait_for(lambda: not any(servo.torque for servo in arm.servos))
    end(parent)


def test_a_hanging_process_is_ended_first(arm: EmulatedArm) -> None:
    """Heartbeats end while the process lives: it is killed, and only then the port is used."""
    parent = start(arm, "hang")
    wait_for(lambda: not any(servo.torque for servo in arm.servos))
    assert end(parent) == -signal.SIGKILL


def test_one_silent_servo_does_not_save_the_others(arm: EmulatedArm) -> None:
    """Torque goes off on every servo that can hear, also on those that say nothing or are in distress."""
    arm.inject("silent:shoulder_pan")
    arm.inject("overload:shoulder_lift")
    parent = start(arm, "beat")
    parent.kill()
    wait_for(lambda: not any(servo.torque for servo in arm.servos))
    end(parent)


@pytest.mark.slow
def test_a_killed_run_leaves_no_torque_and_a_readable_trace(tmp_path: Path) -> None:
    """SIGKILL in the middle of a run: torque goes off, and the trace ends at most a second before."""
    pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")
    from benchmarks.soak_arm import HELD, SoakArm
    from policy_port.trace import Trace

    with SoakArm() as soak:
        file = tmp_path / "arm.yaml"
        shipped = (assets_dir() / "robots" / "so100.yaml").read_text(encoding="utf-8")
        for old, new in (
            ("port: null", f"port: {soak.robot.port}"),
            ("calibration_dir: null", f"calibration_dir: {soak.folder}"),
            ("deadline: 0.1", "deadline: 2.0"),
            ("stale: 0.1", "stale: 2.0"),
        ):
            assert old in shipped
            shipped = shipped.replace(old, new)
        file.write_text(shipped, encoding="utf-8")
        code = "from policy_port.cli.app import main; main()"
        words = ["play", "so100-reach", "--real", "--robot", str(file), "--continuous", "--out", str(tmp_path / "run")]
        with subprocess.Popen([sys.executable, "-c", code, *words], stdin=subprocess.DEVNULL) as run:
            wait_for(lambda: all(servo.torque for servo in soak.arm.servos), 40.0)
            soak.arm.clear(HELD)
            wait_for(lambda: len(soak.arm.goals("gripper")) > 90, 20.0)
            run.kill()
            run.wait()
            wait_for(lambda: not any(servo.torque for servo in soak.arm.servos))
    trace = Trace(tmp_path / "run" / "trace.npz")
    assert not trace.complete
    assert len(trace["target_sent"]) >= 20
