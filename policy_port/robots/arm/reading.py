"""One measurement of all servos: what it holds, and how it is read out of their registers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policy_port.arrays import Array
from policy_port.robots.arm.robot_file import MOTORS

FIRST, LENGTH = 40, 26
"""Registers of one reading: from Torque_Enable to Status, so that one instruction tells all there is to know."""
SETTINGS = {
    "Acceleration": (41, 1),
    "Goal_Time": (44, 2),
    "Goal_Velocity": (46, 2),
    "Torque_Limit": (48, 2),
    "Lock": (55, 1),
}
"""Registers of a reading that stay as they were set: address and size."""
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
    settings: Array
    """What else the block holds that somebody has to write to change it: acceleration, time and speed of the way to a
    goal, torque limit, lock; shape (motors, 5), in the order of `SETTINGS`."""

    @property
    def velocity_limit(self) -> Array:
        """Speed of the way to a goal, as the servo limits it by itself [ticks/s]; 0: it does not."""
        return self.settings[:, list(SETTINGS).index("Goal_Velocity")]

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
        settings=np.stack([byte(a) if size == 1 else word(a, 15) for a, size in SETTINGS.values()], axis=1),
    )
