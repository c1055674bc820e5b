"""The servo line without a driver: torque off, with nothing but Python's own library, and without ever waiting long.

For the moments in which the driver can't be used: in a signal handler, and in the watchdog.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import termios
import time
import tty
from collections.abc import Sequence

TORQUE_ENABLE = 40
WRITE, SYNC_WRITE, BROADCAST = 0x03, 0x83, 0xFE
ANSWER_TIME = 0.03
"""How long an answer may take [s]."""
WRITE_TIME = 0.05
"""How long a line may take to accept a packet [s]."""
ROUNDS = 3
"""How often torque is switched off, whatever was answered."""


def packet(servo_id: int, instruction: int, parameters: Sequence[int]) -> bytes:
    """An instruction as it goes over the line."""
    body = bytes([servo_id, len(parameters) + 2, instruction, *parameters])
    return b"\xff\xff" + body + bytes([~sum(body) & 0xFF])


def torque_off_for_all(ids: Sequence[int]) -> bytes:
    """One instruction that switches torque off on every servo and is not answered."""
    return packet(BROADCAST, SYNC_WRITE, [TORQUE_ENABLE, 1, *(number for servo in ids for number in (servo, 0))])


def write_now(line: int, data: bytes) -> None:
    """Write within `WRITE_TIME`.

    Raises:
        OSError: When the line is gone or does not take it.
    """
    end = time.monotonic() + WRITE_TIME
    while data:
        left = end - time.monotonic()
        if left <= 0.0 or not select.select((), [line], (), left)[1]:
            raise OSError(errno.ETIMEDOUT, "the line takes nothing")
        with contextlib.suppress(BlockingIOError):
            data = data[os.write(line, data) :]


def cut_torque(port: str, ids: Sequence[int]) -> list[int]:
    """Open a port that nobody else has open, and switch torque off joint by joint.

    Args:
        port: Path of the serial port.
        ids: Ids of the servos on the line.

    Returns:
        Ids of the servos that have not confirmed it.

    Raises:
        OSError: When the port can't be opened or written to, or another program has it.
        termios.error: When it is not a terminal any more.
    """
    line = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        fcntl.flock(line, fcntl.LOCK_EX | fcntl.LOCK_NB)
        tty.setraw(line, termios.TCSANOW)
        settings = termios.tcgetattr(line)
        settings[4] = settings[5] = termios.B1000000
        settings[2] |= termios.CLOCAL | termios.CREAD
        termios.tcsetattr(line, termios.TCSANOW, settings)
        silent = list(ids)
        for _ in range(ROUNDS):
            write_now(line, torque_off_for_all(ids))
            silent = [servo for servo in silent if not _switch_off(line, servo)]
        return silent
    finally:
        # A dead line would keep the system waiting for what it never took.
        with contextlib.suppress(termios.error):
            termios.tcflush(line, termios.TCOFLUSH)
        os.close(line)


def _switch_off(line: int, servo: int) -> bool:
    termios.tcflush(line, termios.TCIFLUSH)
    write_now(line, packet(servo, WRITE, [TORQUE_ENABLE, 0]))
    heard, end = b"", time.monotonic() + ANSWER_TIME
    while (left := end - time.monotonic()) > 0.0:
        if not select.select([line], (), (), left)[0]:
            break
        heard += os.read(line, 256)
        # The status byte may report a fault: obeyed it was all the same.
        if bytes([0xFF, 0xFF, servo, 2]) in heard:
            return True
    return False
