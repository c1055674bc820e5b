"""What the person who looks on wants; views write it, the loop reads it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from policy_port.control.relay import Handover
from policy_port.replay.schedule import Impulse, Push

PUSH, PUSH_LASTS = (0.0, 10.0, 0.0), 0.1
"""The push of a key or button, at the base link in its axes [N s], and how long it lasts [s]."""
UNSTATED = (-1.0, 1.0)
"""Range of a slider whose element has none in the contract."""


@dataclass(frozen=True, kw_only=True)
class Element:
    """One number of the command, as a slider shows it."""

    name: str
    """Its name in the contract."""
    low: float
    """Smallest value in training."""
    high: float
    """Largest."""
    value: float
    """What it is at first."""


class Wishes:
    """Command, pushes and flags; every method may be called from any thread."""

    def __init__(self, elements: Sequence[Element], links: Sequence[str], ports: Sequence[str]) -> None:
        """Begin without any wish but the command's first values."""
        self._lock = threading.Lock()
        self.elements = tuple(elements)
        """What can be commanded."""
        self.links = tuple(links)
        """What can be pushed, the base link first."""
        self.ports = tuple(ports)
        """Which ports can play."""
        self._told = {element.name: element.value for element in elements}
        self.touched = False
        """Whether a person has told a command, so that a schedule no longer does."""
        self.paused = False
        """Whether time stands still."""
        self.speed = 1.0
        """Simulated seconds per second."""
        self.rises = True
        """Whether a robot that fell is reset."""
        self.over = False
        """Whether to end."""
        self._resets = self._steps = 0
        self._pushes: list[Push] = []
        self._handovers: list[Handover] = []

    def told(self) -> dict[str, float]:
        """The command by element."""
        with self._lock:
            return dict(self._told)

    def tell(self, name: str, value: float, *, person: bool = True) -> None:
        """Set an element, within its range; `person` is False where a schedule does."""
        element = next(element for element in self.elements if element.name == name)
        with self._lock:
            self._told[name] = min(max(float(value), element.low), element.high)
            self.touched |= person

    def nudge(self, name: str, tenths: int) -> None:
        """Move an element by so many tenths of its range, if the policy has it."""
        for element in self.elements:
            if element.name == name:
                self.tell(name, self.told()[name] + tenths * 0.1 * (element.high - element.low))

    def halt(self) -> None:
        """Command each element to zero, or what of its range is nearest."""
        for element in self.elements:
            self.tell(element.name, 0.0)

    def reset(self) -> None:
        """Start again."""
        with self._lock:
            self._resets += 1

    def step(self) -> None:
        """Do one control step although time stands still."""
        with self._lock:
            self._steps += 1

    def push(self, link: str, impulse: Impulse, lasts: float) -> None:
        """Push at a link, in the base's axes [N s], over `lasts` seconds."""
        if any(impulse) and lasts > 0.0:
            with self._lock:
                self._pushes.append(Push(at=0.0, link=link, impulse=impulse, frame="base", lasts=lasts))

    def hand_over(self, port: str, blend: float) -> None:
        """Let another port play."""
        with self._lock:
            self._handovers.append(Handover(to=port, blend=blend))

    def take_reset(self) -> bool:
        """Whether a reset was wanted since the last call."""
        with self._lock:
            wanted, self._resets = self._resets > 0, 0
            return wanted

    def take_step(self) -> bool:
        """Whether time may go on for one control step."""
        with self._lock:
            wanted = self._steps > 0
            self._steps -= wanted
            return wanted or self._resets > 0 or self.over

    def take_push(self) -> Push | None:
        """The next push that was wanted."""
        with self._lock:
            return self._pushes.pop(0) if self._pushes else None

    def take_handover(self) -> Handover | None:
        """The next handover that was wanted."""
        with self._lock:
            return self._handovers.pop(0) if self._handovers else None
