"""What faults do to servos and joints; those of the wire and of cameras act where bytes and frames are made."""

from __future__ import annotations

from collections.abc import Sequence

from policy_port.robots.emulator.faults import Fault, FaultList
from policy_port.robots.emulator.mechanics import Mechanics
from policy_port.robots.emulator.servo import Disturbance, Servo


class Strikes:
    """Carries faults out on the servos of one arm."""

    def __init__(self, servos: Sequence[Servo], mechanics: Mechanics, faults: FaultList) -> None:
        self._servos = tuple(servos)
        self._mechanics = mechanics
        self._faults = faults
        self._version = faults.version
        self._absent: frozenset[str] = frozenset()

    def update(self, now: float) -> None:
        """Start and end what is due."""
        for event in self._faults.update(now):
            self._happen(event)
        if self._version == self._faults.version:
            return
        self._version = self._faults.version
        absent = frozenset(s.name for s in self._servos if self._faults.find("absent", s.name) is not None)
        for index, servo in enumerate(self._servos):
            before, servo.disturbance = servo.disturbance, self._disturbance(servo.name)
            if servo.disturbance.shift != before.shift:
                # What slips is the joint: the sensor goes on to read what it read.
                self._mechanics.push(index, before.shift - servo.disturbance.shift)
            if servo.name in self._absent - absent:
                servo.power_up()
            # An answer may leave before the mechanics move on, and must know of it.
            servo.measure(0.0)
        self._absent = absent

    def _happen(self, event: Fault) -> None:
        struck = [index for index, servo in enumerate(self._servos) if event.target in (None, servo.name)]
        for index in struck:
            match event.kind:
                case "brownout" | "reboot":
                    self._servos[index].power_up()
                case "push":
                    self._mechanics.push(index, event.value)

    def _disturbance(self, name: str) -> Disturbance:
        def there(kind: str) -> bool:
            return self._faults.find(kind, name) is not None

        def number(kind: str, otherwise: float) -> float:
            value = self._faults.find(kind, name)
            return otherwise if value is None else value

        low, high = self._faults.find("undervoltage", name), self._faults.find("overvoltage", name)
        return Disturbance(
            temperature=self._faults.find("overheat", name),
            voltage=high if low is None else low,
            overload=there("overload"),
            current=there("overcurrent"),
            sensor=there("sensor"),
            frozen=there("frozen"),
            shift=number("slip", 0.0),
            no_torque=there("torque-loss") or there("absent"),
            torque=number("weak", 1.0),
            speed=number("slow", 1.0),
            stuck=there("stuck"),
        )
