"""Servos on a bench: the emulated arm without port, threads or real time."""

from __future__ import annotations

import random

from policy_port.robots.emulator.build import build_arm
from policy_port.robots.emulator.bus import Bus
from policy_port.robots.emulator.calibration import DEFAULT_CALIBRATION
from policy_port.robots.emulator.faults import FaultList, parse_fault
from policy_port.robots.emulator.options import ArmOptions
from policy_port.robots.emulator.packets import Packet
from policy_port.robots.emulator.registers import BY_NAME
from policy_port.robots.emulator.servo import Servo
from policy_port.robots.emulator.strike import Strikes

JOINTS = tuple(DEFAULT_CALIBRATION)
WRITE, READ, PING, REG_WRITE, ACTION, SYNC_READ, SYNC_WRITE = 3, 2, 1, 4, 5, 0x82, 0x83


class Bench:
    """An arm whose clock the test turns."""

    def __init__(self, **options: object) -> None:
        self.parts = build_arm(ArmOptions(**({"calibration": dict(DEFAULT_CALIBRATION)} | options)))  # type: ignore[arg-type]
        self.faults = FaultList()
        self.bus = Bus(self.parts.servos, self.faults, latency=0.0, random_source=random.Random(0))
        self.strikes = Strikes(self.parts.servos, self.parts.mechanics, self.faults)
        self.now = 0.0

    def servo(self, name: str) -> Servo:
        return self.parts.servos[JOINTS.index(name)]

    def inject(self, spec: str) -> None:
        self.faults.add(parse_fault(spec, joints=JOINTS), self.now)
        self.strikes.update(self.now)

    def clear(self) -> None:
        for fault in self.faults.known:
            self.faults.remove(fault)
        self.strikes.update(self.now)

    def send(self, servo_id: int, instruction: int, *parameters: int) -> list[bytes]:
        return [data for _, data in self.send_timed(servo_id, instruction, *parameters)]

    def send_timed(self, servo_id: int, instruction: int, *parameters: int) -> list[tuple[float, bytes]]:
        answers = self.bus.receive(Packet(servo_id, instruction, bytes(parameters)), self.now)
        return [(answer.due - self.now, answer.data) for answer in answers]

    def write(self, name: str, register: str, value: int) -> list[bytes]:
        entry = BY_NAME[register]
        return self.send(self.servo(name).servo_id, WRITE, entry.address, *entry.encode(value))

    def read(self, name: str, register: str) -> int:
        entry = BY_NAME[register]
        (answer,) = self.send(self.servo(name).servo_id, READ, entry.address, entry.size)
        return entry.decode(answer[5:-1])

    def stored(self, name: str, register: str) -> int:
        return self.servo(name).registers.stored(register)

    def pass_time(self, seconds: float) -> None:
        step = self.parts.mechanics.step_time
        for _ in range(round(seconds / step)):
            self.now += step
            self.strikes.update(self.now)
            for servo in self.parts.servos:
                servo.control(self.now, step)
            self.parts.mechanics.step([servo.drive for servo in self.parts.servos])
            for servo in self.parts.servos:
                servo.measure(step)
