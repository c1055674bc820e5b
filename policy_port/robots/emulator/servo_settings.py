"""What a servo's registers tell its firmware to do."""

from __future__ import annotations

import math
from dataclasses import dataclass

from policy_port.robots.emulator.registers import MULTI_TURN, RegisterFile

REFERENCE_GAIN = 16.0
"""The P_Coefficient that LeRobot sets."""


@dataclass(frozen=True)
class Settings:
    """What the registers that a host writes say, decoded once per write: the rest runs hundreds of times a second."""

    servo_id: int
    """Its id on the bus."""
    torque: bool
    """Torque is on, in the one mode that is emulated: position control."""
    offset: int
    """Homing offset [ticks]."""
    multi_turn: bool
    """Positions count on over turns."""
    limits: tuple[int, int]
    """Least and greatest goal [ticks]; both 0 for none."""
    share: float
    """Share of the stall torque that may be used."""
    protected_share: float
    """The same once the overload protection has tripped."""
    strain: float
    """Share of the stall torque that counts as overload."""
    patience: float
    """How long it may last [s]."""
    top_speed: float
    """[ticks/s]."""
    speed: float
    """Speed asked for [ticks/s]."""
    acceleration: float
    """[ticks/s^2]."""
    stiffness: float
    """Position gain relative to LeRobot's."""
    integrates: bool
    """Whether there is an integral term."""
    dead_zone: float
    """[ticks]."""
    unloads: int
    """Bits of the status that take the torque away."""
    voltages: tuple[int, int]
    """Least and greatest supply voltage [0.1 V]."""
    hottest: int
    """Greatest temperature [C]."""

    @staticmethod
    def of(registers: RegisterFile) -> Settings:
        """Decode them."""
        get = registers.get
        top = get("Maximum_Velocity_Limit") * 50.0
        return Settings(
            servo_id=get("ID"),
            torque=get("Torque_Enable") == 1 and get("Operating_Mode") == 0,
            offset=get("Homing_Offset"),
            multi_turn=get("Phase") & MULTI_TURN != 0,
            limits=(get("Min_Position_Limit"), get("Max_Position_Limit")),
            share=min(get("Torque_Limit"), get("Max_Torque_Limit"), 1000) / 1000.0,
            protected_share=get("Protective_Torque") / 100.0,
            strain=get("Overload_Torque") / 100.0,
            patience=get("Protection_Time") * 0.01,
            top_speed=top,
            speed=abs(get("Goal_Velocity")) or top,
            acceleration=get("Acceleration") * 100.0 or math.inf,
            stiffness=max(get("P_Coefficient"), 1) / REFERENCE_GAIN,
            integrates=get("I_Coefficient") > 0,
            dead_zone=float(get("CW_Dead_Zone")),
            unloads=get("Unloading_Condition"),
            voltages=(get("Min_Voltage_Limit"), get("Max_Voltage_Limit")),
            hottest=get("Max_Temperature_Limit"),
        )
