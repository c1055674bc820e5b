"""The control table of an STS3215 servo: names, addresses and what each register holds after power-up."""

from __future__ import annotations

from dataclasses import dataclass

SIZE = 128
"""Bytes of a servo's address space; what lies beyond reads as zero."""

MODEL_NUMBER = 777
TICKS_PER_TURN = 4096
"""Steps of the position sensor in one turn of the output shaft."""

MULTI_TURN = 0x10
"""Bit of `Phase`: positions count on over several turns instead of staying within 0..4095."""

# Bits of the status byte, in register 65 and in every reply.
VOLTAGE, SENSOR, HEAT, CURRENT, OVERLOAD = 0x01, 0x02, 0x04, 0x08, 0x20


@dataclass(frozen=True)
class Register:
    """One entry of the control table, of one or two bytes, little-endian."""

    name: str
    address: int
    size: int
    initial: int = 0
    """Value from the factory (stored registers) or after power-up (the others)."""
    sign_bit: int | None = None
    """Bit that holds the sign; the bits below it are the magnitude. None: unsigned."""
    writable: bool = True
    stored: bool = False
    """Whether the value survives a loss of power when it is written with `Lock` open."""

    def encode(self, value: int) -> bytes:
        """Bytes of `value`; a magnitude that does not fit is cut to the largest that does."""
        if self.sign_bit is None:
            return min(max(value, 0), (1 << 8 * self.size) - 1).to_bytes(self.size, "little")
        magnitude = min(abs(value), (1 << self.sign_bit) - 1)
        return (magnitude | (int(value < 0) << self.sign_bit)).to_bytes(self.size, "little")

    def decode(self, data: bytes | bytearray) -> int:
        """Value of its bytes."""
        raw = int.from_bytes(data, "little")
        if self.sign_bit is None:
            return raw
        magnitude = raw & ((1 << self.sign_bit) - 1)
        return -magnitude if raw >> self.sign_bit & 1 else magnitude


def _stored(name: str, address: int, size: int, initial: int = 0, sign_bit: int | None = None) -> Register:
    return Register(name, address, size, initial, sign_bit, stored=True)


def _present(name: str, address: int, size: int, sign_bit: int | None = None) -> Register:
    return Register(name, address, size, sign_bit=sign_bit, writable=False)


# Feetech's memory table of the STS/SMS series, with the names that LeRobot gives the registers.
TABLE = (
    Register("Firmware_Major_Version", 0, 1, 3, writable=False, stored=True),
    Register("Firmware_Minor_Version", 1, 1, 10, writable=False, stored=True),
    Register("Model_Number", 3, 2, MODEL_NUMBER, writable=False, stored=True),
    _stored("ID", 5, 1, 1),
    _stored("Baud_Rate", 6, 1, 0),
    _stored("Return_Delay_Time", 7, 1, 250),
    _stored("Response_Status_Level", 8, 1, 1),
    _stored("Min_Position_Limit", 9, 2, 0),
    _stored("Max_Position_Limit", 11, 2, 4095),
    _stored("Max_Temperature_Limit", 13, 1, 70),
    _stored("Max_Voltage_Limit", 14, 1, 80),
    _stored("Min_Voltage_Limit", 15, 1, 40),
    _stored("Max_Torque_Limit", 16, 2, 1000),
    _stored("Phase", 18, 1, 12),
    _stored("Unloading_Condition", 19, 1, HEAT | CURRENT | OVERLOAD),
    _stored("LED_Alarm_Condition", 20, 1, VOLTAGE | SENSOR | HEAT | CURRENT | OVERLOAD),
    _stored("P_Coefficient", 21, 1, 32),
    _stored("D_Coefficient", 22, 1, 32),
    _stored("I_Coefficient", 23, 1, 0),
    _stored("Minimum_Startup_Force", 24, 2, 16),
    _stored("CW_Dead_Zone", 26, 1, 1),
    _stored("CCW_Dead_Zone", 27, 1, 1),
    _stored("Protection_Current", 28, 2, 500),
    _stored("Angular_Resolution", 30, 1, 1),
    _stored("Homing_Offset", 31, 2, 0, sign_bit=11),
    _stored("Operating_Mode", 33, 1, 0),
    _stored("Protective_Torque", 34, 1, 20),
    _stored("Protection_Time", 35, 1, 200),
    _stored("Overload_Torque", 36, 1, 80),
    _stored("Velocity_closed_loop_P_proportional_coefficient", 37, 1, 10),
    _stored("Over_Current_Protection_Time", 38, 1, 200),
    _stored("Velocity_closed_loop_I_integral_coefficient", 39, 1, 200),
    Register("Torque_Enable", 40, 1),
    Register("Acceleration", 41, 1),
    Register("Goal_Position", 42, 2, sign_bit=15),
    Register("Goal_Time", 44, 2),
    Register("Goal_Velocity", 46, 2, sign_bit=15),
    Register("Torque_Limit", 48, 2, 1000),
    Register("Lock", 55, 1, 1),
    _present("Present_Position", 56, 2, sign_bit=15),
    _present("Present_Velocity", 58, 2, sign_bit=15),
    _present("Present_Load", 60, 2, sign_bit=10),
    _present("Present_Voltage", 62, 1),
    _present("Present_Temperature", 63, 1),
    _present("Status", 65, 1),
    _present("Moving", 66, 1),
    _present("Present_Current", 69, 2, sign_bit=15),
    _present("Goal_Position_2", 71, 2, sign_bit=15),
    _stored("Moving_Velocity_Threshold", 80, 1, 1),
    _stored("DTs", 81, 1, 1),
    _stored("Velocity_Unit_factor", 82, 1, 1),
    _stored("Hts", 83, 1, 0),
    _stored("Maximum_Velocity_Limit", 84, 1, 68),
    _stored("Maximum_Acceleration", 85, 1, 254),
    _stored("Acceleration_Multiplier", 86, 1, 1),
)

BY_NAME = {register.name: register for register in TABLE}

BAUD_RATES = (1_000_000, 500_000, 250_000, 128_000, 115_200, 57_600, 38_400, 19_200)
"""Bits per second by the value of register `Baud_Rate`."""


class RegisterFile:
    """A servo's memory: what it works with, and the part of it that survives a loss of power."""

    def __init__(self, stored: dict[str, int]) -> None:
        """Fill in the factory's values.

        Args:
            stored: Values of stored registers that differ from the factory's, by name.
        """
        self._store = bytearray(SIZE)
        self.data = bytearray(SIZE)
        """All registers, as they are read."""
        for register in TABLE:
            if register.stored:
                value = stored.get(register.name, register.initial)
                self._store[register.address : register.address + register.size] = register.encode(value)
        self.power_up()

    def power_up(self) -> None:
        """Take the stored registers from the store, and the others' power-up values."""
        self.data[:] = self._store
        for register in TABLE:
            if not register.stored:
                self.put(register.name, register.initial)

    def get(self, name: str) -> int:
        """Value of a register."""
        register = BY_NAME[name]
        return register.decode(self.data[register.address : register.address + register.size])

    def put(self, name: str, value: int) -> None:
        """Set a register, read-only or not, without storing it."""
        register = BY_NAME[name]
        self.data[register.address : register.address + register.size] = register.encode(value)

    def write(self, address: int, data: bytes) -> tuple[Register, ...]:
        """Write bytes as they come over the wire.

        With `Lock` closed a stored register takes the value too, until power is lost. Read-only registers and
        addresses that hold none keep what they have.

        Returns:
            The registers of which at least one byte was written, in the order of their addresses.
        """
        end = min(address + len(data), SIZE)
        unlocked = self.data[BY_NAME["Lock"].address] == 0
        touched = []
        for register in TABLE:
            low, high = max(register.address, address), min(register.address + register.size, end)
            if low >= high or not register.writable:
                continue
            self.data[low:high] = data[low - address : high - address]
            if register.stored and unlocked:
                self._store[low:high] = data[low - address : high - address]
            touched.append(register)
        return tuple(touched)

    def stored(self, name: str) -> int:
        """Value of a stored register after the next power-up."""
        register = BY_NAME[name]
        return register.decode(self._store[register.address : register.address + register.size])
