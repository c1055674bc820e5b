"""Whether the servos are still set as they were: another program on the same port is noticed within a second."""

from __future__ import annotations

import math

from policy_port.robots.arm.judge import foreign
from policy_port.robots.arm.robot_file import MOTORS
from policy_port.robots.arm.servo_line import STORED, ServoLine
from policy_port.robots.emulator.clock import Clock

ROUND = 0.7
"""Time in which every servo is looked at once [s]."""
PAUSE = 0.3
"""After an answer that did not come, the line is left alone for so long [s]."""


class StoredRegisters:
    """What the servos store (offsets, limits, gains, modes, ids), read back in turns between two targets."""

    def __init__(self, line: ServoLine, clock: Clock) -> None:
        self._line, self._clock = line, clock
        self._known: dict[str, bytes] = {}
        self._next, self._due, self._seen = 0, math.inf, 0.0

    def start(self) -> None:
        """Take what the servos hold now for right."""
        self._known.clear()
        for motor in MOTORS:
            self._agrees(motor)
        self._seen = self._due = self._clock.now()

    def look(self) -> None:
        """Look at as many servos as it is time for.

        Raises:
            ArmStopError: When one is not set as it was.
        """
        now = self._clock.now()
        if now < self._due:
            return
        count = min(len(MOTORS), math.ceil((now - self._seen) / ROUND * len(MOTORS)))
        for _ in range(count):
            motor = MOTORS[self._next % len(MOTORS)]
            self._next += 1
            if not self._agrees(motor):
                self._due = now + PAUSE
                break
        self._seen = now

    def _agrees(self, motor: str) -> bool:
        """Whether a servo answered; a difference has to be read twice."""
        before, strange = self._known.get(motor), None
        for _ in range(3):
            held = self._line.stored(motor)
            if held is None:
                return False
            if held == before:
                return True
            if held == strange:
                break
            strange = held
        else:
            return False
        if before is None:
            self._known[motor] = held
            return True
        at = next(index for index, pair in enumerate(zip(held, before, strict=True)) if pair[0] != pair[1])
        name, first, size = self._line.register(motor, STORED + at)
        values = [data[first - STORED : first - STORED + size] for data in (held, before)]
        raise foreign(motor, name, *(str(int.from_bytes(value, "little")) for value in values))
