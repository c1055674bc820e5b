"""One measurement of all servos: what it holds, and how it is read out of their registers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policy_port.arrays import Array
from policy_port.robots.arm.robot_file import MOTORS

FIRST, LENGTH = 40, 26
"""Registers of one reading: from Torque_Enable to Status, so that one instruction tells all there is to know."""
FAULTS = {
    0x01: "supply voltage",
    0x02: "position sensor",
    0x04: "overheated",
    0x08: "overcurrent",
    0x20: "overload",
}
"""Bits of the status byte."""


@dataclass(frozen=True)
class Reading:
    """All servos at one moment, in the order of `MOTORS`; each array has shape (motors,)."""

    time: float
    """When the answer was first asked for [s], on the arm's clock: the measurement is not older."""
    ticks: Array
    """Present position."""
    torque: Array
    """1 where torque is enabled."""
    goal: Array
    """Goal position that the servo holds."""
    load: Array
    """Share of the stall torque, signed."""
    voltage: Array
    """Supply voltage [V]."""
    temperature: Array
    """[C]."""
    status: Array
    """Status byte."""

    def faults(self) -> list[str]:
        """What the servos report, such as "elbow_flex: overload"."""
        return [
            f"{motor}: {', '.join(text for bit, text in FAULTS.items() if int(status) & bit) or hex(int(status))}"
            for motor, status in zip(MOTORS, self.status, strict=True)
            if status
        ]


def decode(asked: float, blocks: Sequence[Sequence[int]]) -> Reading:
    """Read a measurement out of the registers of each servo, from `FIRST` on."""

    def word(address: int, sign: int) -> Array:
        start = address - FIRST
        raw = np.array([block[start] | block[start + 1] << 8 for block in blocks])
        size = raw & ((1 << sign) - 1)
        return np.where(raw >> sign & 1, -size, size).astype(np.float64)

    def byte(address: int) -> Array:
        return np.array([block[address - FIRST] for block in blocks], dtype=np.float64)

    return Reading(
        time=asked,
        ticks=word(56, 15),
        torque=byte(40),
        goal=word(42, 15),
        load=word(60, 10) / 1000.0,
        voltage=byte(62) / 10.0,
        temperature=byte(63),
        status=byte(65),
    )
