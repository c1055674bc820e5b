"""One STS3215: what its firmware does with instructions, goals, sensors and protections."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from policy_port.robots.emulator.mechanics import Drive, Shaft
from policy_port.robots.emulator.profile import Profile
from policy_port.robots.emulator.registers import (
    CURRENT,
    HEAT,
    OVERLOAD,
    SENSOR,
    TICKS_PER_TURN,
    VOLTAGE,
    Register,
    RegisterFile,
)
from policy_port.robots.emulator.servo_settings import Settings

GOAL_DELAY = 0.02
"""From a goal on the wire to the first motion [s]."""
SUPPLY = 7.4
"""Supply voltage [V]."""
SUPPLY_DROP = 0.3
"""By how much it drops at full load [V]."""
AMBIENT, HEATING, THERMAL_TIME = 31.0, 45.0, 180.0
"""Temperature at rest [C], rise at full load [C], time constant [s]."""
STALL_CURRENT = 2.5
"""Current at full load [A]."""
CURRENT_UNIT = 0.0065
"""Unit of the current registers [A]."""
MOVING_SPEED = 10.0
"""Speed above which `Moving` is set [ticks/s]."""


@dataclass
class Disturbance:
    """What is wrong with a servo; faults set it."""

    temperature: float | None = None
    """Reading of the temperature sensor [C]."""
    voltage: float | None = None
    """Supply voltage [V]."""
    overload: bool = False
    """The overload protection has tripped."""
    current: bool = False
    """The current protection has tripped."""
    sensor: bool = False
    """The position sensor has failed: its reading stands still and the status says so."""
    frozen: bool = False
    """The reading stands still and nothing says so."""
    shift: float = 0.0
    """Error of the position sensor [ticks]."""
    no_torque: bool = False
    """The motor driver gives nothing, whatever the registers say."""
    torque: float = 1.0
    """Share of the torque that is left."""
    speed: float = 1.0
    """Share of the speed that is left."""
    stuck: bool = False
    """The joint is blocked."""


@dataclass(frozen=True, kw_only=True)
class ServoState:
    """A servo at one moment, seen from inside."""

    name: str
    """Name of the servo."""
    torque: bool
    """Whether torque is enabled in the registers."""
    goal: int | None
    """The goal that it follows [ticks], within its limits; None when it was given none since power-up."""
    position: int
    """What it reads [ticks]."""
    velocity: float
    """Speed of the shaft [ticks/s]."""
    load: float
    """Torque of the motor as a share of its stall torque."""
    registers: bytes
    """All registers."""


class Servo:
    """A servo's registers and what they do; `control` and `measure` enclose each step of the mechanics."""

    def __init__(self, name: str, shaft: Shaft, stored: dict[str, int]) -> None:
        """Power the servo up.

        Args:
            name: Name of the joint.
            shaft: What it drives.
            stored: Values of stored registers that differ from the factory's, by name.
        """
        self.name = name
        self.shaft = shaft
        self.registers = RegisterFile(stored)
        self.disturbance = Disturbance()
        self.drive = Drive()
        self.status = 0
        """Status byte of answers."""
        self._temperature = AMBIENT
        self.power_up()

    def power_up(self) -> None:
        """Lose what is not stored: torque, goals, turns and tripped protections."""
        self.registers.power_up()
        self._settings = Settings(self.registers)
        # The turn in which it wakes up is turn 0: the sensor itself knows no turns.
        self._origin = math.floor((self.shaft.position - self._settings.offset) / TICKS_PER_TURN) * TICKS_PER_TURN
        self._waiting: deque[tuple[float, int]] = deque()
        self._staged: tuple[int, bytes] | None = None
        self.goal: int | None = None
        """The goal that it follows, clamped to its limits [ticks as read]; None when none was given."""
        self._profile: Profile | None = None
        self._strained = 0.0
        self._tripped = 0.0
        self._sensed = self.shaft.position
        self.measure(0.0)

    @property
    def servo_id(self) -> int:
        """Its id on the bus."""
        return self._settings.servo_id

    def write(self, address: int, data: bytes, now: float) -> tuple[Register, ...]:
        """Write registers; returns those that were touched."""
        had_torque = self.registers.get("Torque_Enable") != 0
        touched = self.registers.write(address, data)
        names = {register.name for register in touched}
        if "Torque_Enable" in names:
            self._switch(had_torque)
        self._settings = Settings(self.registers)
        if "Goal_Position" in names:
            self._waiting.append((now + GOAL_DELAY, self.registers.get("Goal_Position")))
        return touched

    def stage(self, address: int, data: bytes) -> None:
        """Keep a write until `act`."""
        self._staged = (address, data)

    def act(self, now: float) -> tuple[Register, ...]:
        """Carry out the write that was kept; returns the registers that it touched."""
        if self._staged is None:
            return ()
        (address, data), self._staged = self._staged, None
        return self.write(address, data, now)

    def control(self, now: float, time_step: float) -> None:
        """Decide what the joint is to do during the next `time_step` seconds."""
        settings, drive, wrong = self._settings, self.drive, self.disturbance
        while self._waiting and self._waiting[0][0] <= now:
            self._take_goal(self._waiting.popleft()[1])
        drive.stuck = wrong.stuck
        unloads = self.status & settings.unloads
        if not settings.torque or self.goal is None or unloads & ~OVERLOAD or wrong.no_torque:
            drive.set_point = self._profile = None
            return
        share = min(settings.share, settings.protected_share) if unloads & OVERLOAD else settings.share
        drive.torque_limit = share * wrong.torque
        drive.stiffness, drive.integrates = settings.stiffness, settings.integrates
        drive.dead_zone = settings.dead_zone
        drive.top_speed = settings.top_speed * wrong.speed
        # The controller works on the reading: a joint that was pushed over the sensor's end takes the long way back.
        present = self.present
        if self._profile is None:
            self._profile = Profile(float(present))
        speed = min(settings.speed, drive.top_speed)
        wanted = self._profile.step(float(self.goal), speed, settings.acceleration, time_step)
        drive.set_point = wanted + (round(self._sensed) - present) + (self.shaft.position - self._sensed)

    def measure(self, time_step: float) -> None:
        """Let sensors and protections see what has become of the joint."""
        settings, shaft, wrong = self._settings, self.shaft, self.disturbance
        if not wrong.frozen and not wrong.sensor:
            self._sensed = shaft.position + wrong.shift
        load = abs(shaft.load)
        self._strained = self._strained + time_step if load >= settings.strain else 0.0
        if self._strained > settings.patience:
            self._tripped = math.copysign(1.0, shaft.load)
        self._temperature += (AMBIENT + HEATING * load * load - self._temperature) * time_step / THERMAL_TIME
        self._heat = self._temperature if wrong.temperature is None else wrong.temperature
        self._volts = round(10.0 * ((SUPPLY if wrong.voltage is None else wrong.voltage) - SUPPLY_DROP * load))
        status = VOLTAGE * (not settings.voltages[0] <= self._volts <= settings.voltages[1])
        status |= SENSOR * wrong.sensor
        status |= HEAT * (self._heat > settings.hottest)
        status |= CURRENT * wrong.current
        self.status = status | OVERLOAD * (wrong.overload or self._tripped != 0.0)

    def publish(self) -> RegisterFile:
        """The registers, those of present values brought up to date."""
        put, shaft = self.registers.put, self.shaft
        present = self.present
        put("Present_Position", present)
        put("Present_Velocity", round(shaft.velocity))
        put("Present_Load", round(shaft.load * 1000))
        put("Present_Voltage", self._volts)
        put("Present_Temperature", round(self._heat))
        put("Status", self.status)
        put("Moving", int(abs(shaft.velocity) > MOVING_SPEED))
        put("Present_Current", round(shaft.load * STALL_CURRENT / CURRENT_UNIT))
        put("Goal_Position_2", present if self.goal is None else self.goal)
        return self.registers

    def state(self) -> ServoState:
        """What it is at this moment."""
        registers = self.publish()
        return ServoState(
            name=self.name,
            torque=registers.get("Torque_Enable") != 0,
            goal=self.goal,
            position=registers.get("Present_Position"),
            velocity=self.shaft.velocity,
            load=self.shaft.load,
            registers=bytes(registers.data),
        )

    @property
    def present(self) -> int:
        """What it reads [ticks]."""
        corrected = round(self._sensed) - self._settings.offset
        return corrected - self._origin if self._settings.multi_turn else corrected % TICKS_PER_TURN

    def _take_goal(self, goal: int) -> None:
        low, high = self._settings.limits
        self.goal = goal if low == high == 0 else min(max(goal, low), high)
        if self._tripped and math.copysign(1.0, self.goal - self.present) != self._tripped:
            self._tripped = 0.0

    def _switch(self, had_torque: bool) -> None:
        value = self.registers.get("Torque_Enable")
        if value == 128:
            # "Here is the middle": the firmware writes the offset itself and leaves the torque off.
            self.registers.put("Torque_Enable", 0)
            half = TICKS_PER_TURN // 2
            self.registers.put("Homing_Offset", round(self._sensed) % TICKS_PER_TURN - half)
        elif value == 0:
            self._tripped = self._strained = 0.0
        elif not had_torque and self.goal is None and not self._waiting:
            # Never told where to go: it holds where it is.
            self.goal = self.present
