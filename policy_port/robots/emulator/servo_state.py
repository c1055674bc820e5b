"""A snapshot of an emulated servo, for whoever looks on."""

from __future__ import annotations

from dataclasses import dataclass

from policy_port.robots.emulator.servo import Servo


@dataclass(frozen=True, kw_only=True)
class ServoState:
    """A servo at one moment, seen from inside."""

    name: str
    """Name of the servo."""
    id: int
    """Id on the bus."""
    torque: bool
    """Whether torque is enabled in the registers."""
    goal: int | None
    """The goal that it follows [ticks], within its limits; None when it was given none since power-up."""
    position: int
    """What it reads [ticks]."""
    angle: float
    """Where the joint truly is [rad], whatever the sensor reads."""
    velocity: float
    """Speed of the shaft [ticks/s]."""
    load: float
    """Torque of the motor as a share of its stall torque."""
    temperature: int
    """[C]."""
    voltage: float
    """[V]."""
    status: int
    """Status byte."""
    registers: bytes
    """All registers."""

    @staticmethod
    def of(servo: Servo, angle: float) -> ServoState:
        """Look at a servo whose joint is at `angle` [rad]."""
        registers = servo.publish()
        return ServoState(
            name=servo.name,
            id=servo.servo_id,
            torque=registers.get("Torque_Enable") != 0,
            goal=servo.goal,
            position=registers.get("Present_Position"),
            angle=angle,
            velocity=servo.shaft.velocity,
            load=servo.shaft.load,
            temperature=registers.get("Present_Temperature"),
            voltage=registers.get("Present_Voltage") / 10.0,
            status=servo.status,
            registers=bytes(registers.data),
        )
