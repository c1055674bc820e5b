"""What a servo's registers tell its firmware to do."""

from __future__ import annotations

import math

from policy_port.robots.emulator.registers import MULTI_TURN, RegisterFile

REFERENCE_GAIN = 16.0
"""The P_Coefficient that LeRobot sets."""


class Settings:
    """What the registers that a host writes say, decoded once per write: the rest runs hundreds of times a second."""

    def __init__(self, registers: RegisterFile) -> None:
        get = registers.get
        self.servo_id = get("ID")
        """Its id on the bus."""
        self.torque = get("Torque_Enable") == 1 and get("Operating_Mode") == 0
        """Torque is on, in the one mode that is emulated: position control."""
        self.offset = get("Homing_Offset")
        """Homing offset [ticks]."""
        self.multi_turn = get("Phase") & MULTI_TURN != 0
        """Positions count on over turns."""
        self.limits = (get("Min_Position_Limit"), get("Max_Position_Limit"))
        """Least and greatest goal [ticks]; both 0 for none."""
        self.share = min(get("Torque_Limit"), get("Max_Torque_Limit"), 1000) / 1000.0
        """Share of the stall torque that may be used."""
        self.protected_share = get("Protective_Torque") / 100.0
        """The same once the overload protection has tripped."""
        self.strain = get("Overload_Torque") / 100.0
        """Share of the stall torque that counts as overload."""
        self.patience = get("Protection_Time") * 0.01
        """How long it may last [s]."""
        self.top_speed = get("Maximum_Velocity_Limit") * 50.0
        """[ticks/s]."""
        self.speed = abs(get("Goal_Velocity")) or self.top_speed
        """Speed asked for [ticks/s]."""
        self.acceleration = get("Acceleration") * 100.0 or math.inf
        """[ticks/s^2]."""
        self.stiffness = max(get("P_Coefficient"), 1) / REFERENCE_GAIN
        """Position gain relative to LeRobot's."""
        self.integrates = get("I_Coefficient") > 0
        """Whether there is an integral term."""
        self.dead_zone = float(get("CW_Dead_Zone"))
        """[ticks]."""
        self.unloads = get("Unloading_Condition")
        """Bits of the status that take the torque away."""
        self.voltages = (get("Min_Voltage_Limit"), get("Max_Voltage_Limit"))
        """Least and greatest supply voltage [0.1 V]."""
        self.hottest = get("Max_Temperature_Limit")
        """Greatest temperature [C]."""
