"""The emulated arm in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from policy_port.errors import EmulatorError
from policy_port.robots.emulator import EmulatedArm
from tests.robots.emulator.test_port import PING_1, PONG_1, Line, descriptors


def test_it_is_the_same_arm_from_outside() -> None:
    """Port, servos, log, faults, cameras and errors are as in this process, and nothing is left at the end."""
    threads, files = threading.active_count(), descriptors()
    with EmulatedArm(process=True, cameras=["front=64x48@5"], pose={"shoulder_pan": 0.3}) as arm:
        line = Line(arm.port)
        assert line.ask(PING_1, 6) == PONG_1
        line.ask(bytes.fromhex("ff ff 01 04 03 28 01 ce"), 6)
        assert arm.servo("shoulder_pan").torque
        assert [(write.joint, write.value) for write in arm.torque_commands()] == [("shoulder_pan", 1)]
        assert arm.wire_log[0].time <= time.monotonic()
        assert arm.angles()["shoulder_pan"] == pytest.approx(0.3, abs=0.01)
        assert arm.camera_url("front").startswith("http://127.0.0.1:")
        fault = arm.inject("silent:shoulder_pan")
        assert arm.faults == (fault,)
        assert line.ask(PING_1, 6, wait=0.1) == b""
        arm.clear(fault)
        assert line.ask(PING_1, 6) == PONG_1
        with pytest.raises(EmulatorError, match="no servo 'elbow'"):
            arm.servo("elbow")
        with pytest.raises(EmulatorError, match="no fault is called 'silnt'"):
            arm.inject("silnt")
    # Nobody is at the other end; the terminal's number may be another one's already.
    with pytest.raises(OSError, match="Input/output error"):
        os.write(line.end, PING_1)
    os.close(line.end)
    assert (threading.active_count(), descriptors()) == (threads, files)
    with pytest.raises(EmulatorError, match="no fault is called"), EmulatedArm(process=True, faults=["nonsense"]):
        pass


def test_it_outlives_ctrl_c_and_ends_with_its_starter(tmp_path: Path) -> None:
    """A client group that gets SIGINT leaves the arm alone; one that is killed takes the port and the link with it."""
    link = tmp_path / "arm"
    code = f"""
        import signal, sys, time
        from policy_port.robots.emulator import EmulatedArm
        signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
        with EmulatedArm(process=True, port_link={str(link)!r}) as arm:
            print("ready", flush=True)
            time.sleep(60)
    """
    starter = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == "ready\n"
    os.killpg(starter.pid, signal.SIGINT)
    assert starter.stdout.readline() == "interrupted\n"
    line = Line(str(link))
    assert line.ask(PING_1, 6) == PONG_1
    starter.kill()
    starter.wait()
    starter.stdout.close()
    end = time.monotonic() + 10.0
    while link.is_symlink() and time.monotonic() < end:
        time.sleep(0.05)
    assert not link.is_symlink()
    os.close(line.end)
