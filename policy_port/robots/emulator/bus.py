"""The wire between adapter and servos: instructions are carried out and answered, and faults come between."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from policy_port.robots.emulator.faults import FaultList
from policy_port.robots.emulator.packets import BROADCAST, Instruction, Packet, frame
from policy_port.robots.emulator.registers import Register
from policy_port.robots.emulator.servo import Servo

LOG_LENGTH = 1_000_000
"""Writes that are remembered: hours of control at 30 Hz."""
NOISE_LENGTH = 24
"""Most random bytes in front of an answer."""


@dataclass(frozen=True)
class WireWrite:
    """One register of one servo, as a host wrote it over the wire."""

    time: float
    """When it was received [s], on the arm's clock."""
    joint: str
    """Name of the servo."""
    register: str
    """Name of the register."""
    value: int
    """What was written, before any limit of the servo [ticks, for positions]."""
    present: int
    """What the servo read at that moment [ticks]."""


@dataclass(frozen=True)
class Answer:
    """Bytes towards the host."""

    due: float
    """When they leave [s]."""
    data: bytes


class Bus:
    """Six servos on one line."""

    def __init__(self, servos: Sequence[Servo], faults: FaultList, *, latency: float, random_source: random.Random):
        self._servos = tuple(servos)
        self._faults = faults
        self._latency = latency
        self._random = random_source
        self.log: deque[WireWrite] = deque(maxlen=LOG_LENGTH)

    def receive(self, packet: Packet, now: float) -> list[Answer]:
        """Carry out a packet; returns what the servos answer, in order."""
        if self._strikes("lost", None):
            return []
        parameters, answers, due = packet.parameters, [], now + self._delay()
        match packet.instruction:
            case Instruction.SYNC_READ if len(parameters) >= 2:
                # Each servo waits for the one before it, so that a late one holds up those behind.
                for servo_id in parameters[2:]:
                    for servo in self._heard_by(servo_id):
                        due = self._answer(answers, servo, servo.publish().data[parameters[0] :][: parameters[1]], due)
            case Instruction.SYNC_WRITE if len(parameters) >= 2:
                length = parameters[1]
                for start in range(2, len(parameters) - length, length + 1):
                    for servo in self._heard_by(parameters[start]):
                        data = parameters[start + 1 : start + 1 + length]
                        self._note(servo, servo.write(parameters[0], data, now), now)
            case _:
                for servo in self._heard_by(packet.servo_id):
                    data = self._obey(servo, packet, now)
                    if data is not None:
                        due = self._answer(answers, servo, data, due)
        return answers

    def _obey(self, servo: Servo, packet: Packet, now: float) -> bytes | None:
        """Let one servo carry out an instruction; what it answers, or None for no answer."""
        parameters, quiet = packet.parameters, packet.servo_id == BROADCAST
        match packet.instruction:
            case Instruction.PING:
                # Only this instruction is answered when it goes to all.
                return b""
            case Instruction.READ if len(parameters) == 2:
                return None if quiet else bytes(servo.publish().data[parameters[0] :][: parameters[1]])
            case Instruction.WRITE if len(parameters) >= 2:
                self._note(servo, servo.write(parameters[0], parameters[1:], now), now)
            case Instruction.REG_WRITE if len(parameters) >= 2:
                servo.stage(parameters[0], parameters[1:])
            case Instruction.ACTION:
                self._note(servo, servo.act(now), now)
            case _:
                return None
        return None if quiet or servo.registers.get("Response_Status_Level") == 0 else b""

    def _heard_by(self, servo_id: int) -> list[Servo]:
        return [
            servo
            for servo in self._servos
            if servo_id in (BROADCAST, servo.servo_id)
            and self._faults.find("absent", servo.name) is None
            and not self._strikes("deaf", servo.name)
        ]

    def _note(self, servo: Servo, touched: Sequence[Register], now: float) -> None:
        for register in touched:
            start = register.address
            value = register.decode(servo.registers.data[start : start + register.size])
            self.log.append(WireWrite(now, servo.name, register.name, value, servo.present))

    def _answer(self, answers: list[Answer], servo: Servo, data: bytes | bytearray, due: float) -> float:
        """Append a servo's answer, as faults leave it; returns when the line is free again."""
        name = servo.name
        if self._faults.find("silent", name) is not None:
            return due
        due += self._faults.find("late", name) or 0.0
        servo_id = servo.servo_id
        if self._strikes("wrong-id", name):
            servo_id = next((other.servo_id for other in self._servos if other is not servo), servo_id)
        read = bytearray(data)
        if read and self._strikes("flip", name):
            read[self._random.randrange(len(read))] ^= 1 << self._random.randrange(8)
        packet = bytearray(frame(servo_id, servo.status, bytes(read)))
        if self._strikes("drop", name):
            return due
        if self._strikes("corrupt", name):
            packet[-1] ^= self._random.randint(1, 255)
        if self._strikes("truncate", name):
            del packet[self._random.randint(1, len(packet) - 1) :]
        if self._strikes("duplicate", name):
            packet *= 2
        if self._strikes("garbage", None):
            packet = self._random.randbytes(self._random.randint(1, NOISE_LENGTH)) + packet
        answers.append(Answer(due, bytes(packet)))
        return due

    def _delay(self) -> float:
        extra = self._faults.find("latency") or 0.0
        return self._latency + extra + (self._faults.find("jitter") or 0.0) * self._random.random()

    def _strikes(self, kind: str, target: str | None) -> bool:
        probability = self._faults.find(kind, target)
        return probability is not None and self._random.random() < probability
