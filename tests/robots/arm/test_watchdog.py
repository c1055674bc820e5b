"""A process that is dead or hangs leaves no torque behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from policy_port.resources import assets_dir
from policy_port.robots.arm.raw_line import cut_torque, packet, write_now
from policy_port.robots.arm.watchdog import Watchdog, dismiss
from policy_port.robots.emulator import EmulatedArm

pytestmark = pytest.mark.real_time

PARENT = """
import sys, time
from pathlib import Path
from policy_port.robots.arm.raw_line import packet
from policy_port.robots.arm.watchdog import Watchdog
port, how, log = sys.argv[1:]
dog = Watchdog(port, [1, 2, 3, 4, 5, 6], 0.5, Path(log))
print(dog._process.pid, flush=True)
with open(port, "r+b", buffering=0) as line:
    for servo in range(1, 7):
        line.write(packet(servo, 3, [40, 1]))
    print("torque", flush=True)
    for _ in range(10 if how == "hang" else 600):
        dog.beat()
        dog.note(time.monotonic(), [2048.0] * 6)
        if dog.problem:
            print(dog.problem, flush=True)
        time.sleep(0.05)
    time.sleep(30)
"""


WATCHDOGS: dict[int, int] = {}
"""Process of the watchdog, by its parent's."""


@pytest.fixture
def arm(tmp_path: Path) -> Iterator[EmulatedArm]:
    """An arm; whatever watchdog is left over has nothing to do any more."""
    with EmulatedArm(port_link=tmp_path / "port") as arm:
        yield arm
    for process in WATCHDOGS.values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    WATCHDOGS.clear()


def start(arm: EmulatedArm, how: str, log: Path | None = None, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PARENT, arm.port, how, str(log or Path(arm.port).with_name("watchdog.log"))]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
    assert parent.stdout is not None
    WATCHDOGS[parent.pid] = int(parent.stdout.readline())
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


def test_a_cable_that_comes_back_later_is_used(arm: EmulatedArm, tmp_path: Path) -> None:
    """Out for five seconds while the program is killed: the port, another device by then, is opened anew."""
    parent = start(arm, "beat")
    time.sleep(0.3)
    arm.inject("unplug")
    parent.kill()
    end(parent)
    time.sleep(5.0)
    assert all(servo.torque for servo in arm.servos)
    arm.clear()
    wait_for(lambda: not any(servo.torque for servo in arm.servos))
    log = tmp_path / "watchdog.log"
    wait_for(lambda: "torque is off on all servos" in log.read_text())
    assert "the program that drives the arm has ended; torque is not off yet" in log.read_text()
    assert "goal " in log.read_text()
    assert log.read_text().splitlines()[0].endswith(" 2048" * 6)


def test_of_an_emulated_arm_that_is_gone_nothing_is_tried(tmp_path: Path) -> None:
    """The arm's end of a pseudo-terminal is closed and its driver killed: the watchdog has ended within two seconds."""
    with EmulatedArm() as arm:
        port = arm.port
        parent = start(arm, "kill", log=tmp_path / "log")
    watchdog = os.pidfd_open(WATCHDOGS.pop(parent.pid))
    parent.kill()
    parent.communicate()
    ended = select.select([watchdog], (), (), 2.0)[0]
    os.close(watchdog)
    assert ended
    assert f"so has the emulated arm at {port}" in (tmp_path / "log").read_text()


def test_a_line_that_takes_nothing_is_not_waited_for(tmp_path: Path) -> None:
    """A line that accepts no byte, and a port that is no terminal or in use, are errors within a moment."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(write, b"x" * 4096)
    begin = time.monotonic()
    with pytest.raises(OSError, match="takes nothing"):
        write_now(write, b"torque off")
    (tmp_path / "file").touch()
    with pytest.raises((OSError, termios.error)):
        cut_torque(str(tmp_path / "file"), [1])
    near, far = pty.openpty()
    fcntl.flock(far, fcntl.LOCK_EX)
    with pytest.raises(BlockingIOError):
        cut_torque(os.ttyname(far), [1])
    assert time.monotonic() - begin < 1.0
    for descriptor in (read, write, near, far):
        os.close(descriptor)


def test_a_watchdog_that_does_not_answer_is_noticed_and_blocks_nobody(arm: EmulatedArm) -> None:
    """Stopped, with its pipe full as after half an hour: beats go on, and it is told within seconds."""
    parent = start(arm, "beat")
    assert parent.stdout is not None
    os.kill(WATCHDOGS[parent.pid], signal.SIGSTOP)
    begin = time.monotonic()
    assert parent.stdout.readline() == "the watchdog does not answer\n"
    assert time.monotonic() - begin < 4.0
    parent.kill()
    end(parent)
    os.kill(WATCHDOGS[parent.pid], signal.SIGCONT)
    wait_for(lambda: not any(servo.torque for servo in arm.servos))


def test_a_full_pipe_blocks_nobody() -> None:
    """A hundred thousand beats that nobody reads take no time, and the end is as quick."""
    dog = Watchdog("/dev/null", [1], 60.0)
    os.kill(dog._process.pid, signal.SIGSTOP)
    begin = time.monotonic()
    for _ in range(100_000):
        dog.beat()
    assert time.monotonic() - begin < 5.0
    dog.close()
    assert time.monotonic() - begin < 8.0
    assert dog.problem == "the watchdog has died"


def test_nothing_in_the_working_folder_is_run_in_its_place(
    arm: EmulatedArm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor in PYTHONPATH, nor a sitecustomize: the watchdog starts by its path, with the standard library alone."""
    trap = tmp_path / "trap"
    (trap / "policy_port" / "robots" / "arm").mkdir(parents=True)
    for name in ("signal", "serial", "json", "select", "termios", "raw_line", "sitecustomize", "usercustomize"):
        (trap / f"{name}.py").write_text(
            f"open({str(tmp_path / 'caught')!r}, 'a').write('{name} ')\nraise SystemExit(3)\n"
        )
    (trap / "policy_port" / "__init__.py").write_text(f"open({str(tmp_path / 'caught')!r}, 'a').write('package')\n")
    monkeypatch.chdir(trap)
    monkeypatch.setenv("PYTHONPATH", str(trap))
    dog = Watchdog(arm.port, [1, 2, 3, 4, 5, 6], 0.5)
    dog.beat()
    dog.take_over()
    # The emulated arm's process is a part of the package: of the environment it takes what the package takes.
    monkeypatch.delenv("PYTHONPATH")
    with EmulatedArm(process=True) as other:
        assert other.servo("gripper").torque is False
    wait_for(lambda: dog._process.poll() is not None)
    dismiss(arm.port)
    assert not (tmp_path / "caught").exists()


def test_it_goes_on_after_a_program_that_gave_up(arm: EmulatedArm, tmp_path: Path) -> None:
    """Servos that did not confirm: asked to take over, it tries until they do; dismissed, it ends at once."""
    log = tmp_path / "watchdog.log"
    with open(arm.port, "r+b", buffering=0) as line:
        for servo in range(1, 7):
            line.write(packet(servo, 3, [40, 1]))
        wait_for(lambda: all(servo.torque for servo in arm.servos))
    arm.inject("absent:gripper")
    dog = Watchdog(arm.port, [1, 2, 3, 4, 5, 6], 0.5, log)
    dog.take_over()
    wait_for(lambda: log.exists() and "no answer from servo 6" in log.read_text())
    arm.clear()
    wait_for(lambda: "torque is off on all servos" in log.read_text())
    arm.inject("absent:gripper")
    again = Watchdog(arm.port, [1, 2, 3, 4, 5, 6], 0.5)
    os.kill(again._process.pid, signal.SIGKILL)
    again._process.wait()
    again.take_over()
    assert not again.problem
    dismiss(arm.port)
    assert again.problem
    dog.close()


def test_what_happened_is_said_in_the_terminal(arm: EmulatedArm) -> None:
    """Also in one that is stopped, which holds nothing up."""
    near, far = pty.openpty()
    parent = start(arm, "beat", stderr=far)
    termios.tcflow(far, termios.TCOOFF)
    parent.kill()
    end(parent)
    wait_for(lambda: not any(servo.torque for servo in arm.servos))
    termios.tcflow(far, termios.TCOON)
    parent = start(arm, "beat", stderr=far)
    parent.kill()
    end(parent)
    heard = bytearray()

    def told() -> bool:
        if select.select([near], (), (), 0.1)[0]:
            heard.extend(os.read(near, 4096))
        return b"torque is off on all servos" in heard

    wait_for(told)
    os.close(near)
    os.close(far)


def running(word: str) -> list[str]:
    """Command lines of processes that name a word."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in found if word in line]


@pytest.mark.slow
def test_a_killed_run_leaves_no_torque_and_a_readable_trace(tmp_path: Path) -> None:
    """SIGKILL in the middle of a run: torque goes off, and the trace ends at most a second before."""
    pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")
    from benchmarks.disturbed_arm import HELD, SoakArm
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
            # It has its confirmation while the arm is still there, and does not look for it afterwards.
            wait_for(lambda: not running(str(tmp_path / "run")), 20.0)
    trace = Trace(tmp_path / "run" / "trace.npz")
    assert not trace.complete
    assert len(trace["target_sent"]) >= 20
