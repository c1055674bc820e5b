"""Faults: how they are written, and which of them are there at a moment."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from policy_port.errors import EmulatorError, closest
from policy_port.robots.emulator.fault_kinds import BY_NAME, FaultKind

_TIMING = re.compile(r"(?P<rest>[^@+]*)(?:@(?P<start>[^@+]*))?(?:\+(?P<duration>[^@+]*))?")
GRAMMAR = "KIND[:TARGET][:NUMBER][@START][+DURATION], times in seconds"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong, from a time on, for a time."""

    kind: str
    """Name of its kind."""
    target: str | None = None
    """Joint or camera; None strikes all of them."""
    value: float = 0.0
    """Its number; what it means is the kind's."""
    start: float = 0.0
    """Seconds after it was injected."""
    duration: float = math.inf
    """Seconds until it clears itself; infinite: until it is cleared."""

    def __str__(self) -> str:
        kind = BY_NAME[self.kind]
        target = "" if self.target is None else f":{self.target}"
        value = "" if kind.value is None else f":{self.value:g}"
        start = "" if self.start == 0.0 else f"@{self.start:g}"
        return f"{self.kind}{target}{value}{start}" + ("" if math.isinf(self.duration) else f"+{self.duration:g}")


def parse_fault(spec: str, *, joints: Sequence[str], cameras: Sequence[str] = ()) -> Fault:
    """Read a fault such as "late:wrist_flex:0.2@3+1": 0.2 s late, from the 3rd second on, for one second.

    Args:
        spec: The fault as it is written.
        joints: Names of the joints there are.
        cameras: Names of the cameras there are.

    Raises:
        EmulatorError: When the fault can't be understood, saying what is valid.
    """
    match = _TIMING.fullmatch(spec.strip())
    if match is None:
        raise EmulatorError(f"fault '{spec}': can't be read; write {GRAMMAR}")
    name, *parts = match["rest"].split(":")
    kind = BY_NAME.get(name)
    if kind is None:
        raise EmulatorError(
            f"fault '{spec}': no fault is called '{name}'{closest(name, BY_NAME) or '.'} "
            f"There are: {', '.join(BY_NAME)}"
        )
    target, value = _target(spec, kind, parts, joints, cameras), kind.default or 0.0
    if parts and kind.value is not None:
        value = _number(spec, parts.pop(0), f"{kind.value} of {name}", kind.least, kind.most)
    if parts:
        raise EmulatorError(f"fault '{spec}': '{parts[0]}' is one too many; write {kind.usage}[@START][+DURATION]")
    start, duration = match["start"], match["duration"]
    if duration is not None and kind.at_once:
        raise EmulatorError(f"fault '{spec}': {name} happens at once and has no duration; leave out +{duration}")
    return Fault(
        kind=name,
        target=target,
        value=value,
        start=0.0 if start is None else _number(spec, start, "start, in seconds,", 0.0, 1e6),
        duration=math.inf if duration is None else _number(spec, duration, "duration, in seconds,", 0.0, 1e6),
    )


def _target(spec: str, kind: FaultKind, parts: list[str], joints: Sequence[str], cameras: Sequence[str]) -> str | None:
    if kind.target is None:
        return None
    known = joints if kind.target == "joint" else cameras
    if parts and parts[0] in known:
        return parts.pop(0)
    named = bool(parts) and not (kind.value is not None and _is_number(parts[0]))
    if named or kind.one_joint or (kind.target == "camera" and not cameras):
        problem = f"no {kind.target} is called '{parts[0]}'" if named else f"{kind.name} needs a {kind.target}"
        hint = closest(parts[0], known) if named else ""
        raise EmulatorError(
            f"fault '{spec}': {problem}{hint or '.'} The {kind.target}s are: {', '.join(known) or 'none'}. "
            f"Write {kind.usage}[@START][+DURATION]"
        )
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(spec: str, text: str, what: str, least: float, most: float) -> float:
    # A range that NaN is not in.
    if not _is_number(text) or not least <= float(text) <= most:
        raise EmulatorError(f"fault '{spec}': the {what} is '{text}'; give a number from {least:g} to {most:g}")
    return float(text)


class FaultList:
    """The faults that were injected, by the time at which they start and end."""

    def __init__(self) -> None:
        self._planned: list[tuple[float, Fault]] = []
        self._active: list[tuple[float, Fault]] = []
        self.version = 0
        """Counts the changes of what is active."""

    @property
    def active(self) -> tuple[Fault, ...]:
        """The faults that are there."""
        return tuple(fault for _, fault in self._active)

    @property
    def known(self) -> tuple[Fault, ...]:
        """The faults that are there or are still to come."""
        return tuple(fault for _, fault in (*self._active, *self._planned))

    def add(self, fault: Fault, now: float) -> None:
        """Plan a fault; its start counts from `now`."""
        self._planned.append((now + fault.start, fault))

    def remove(self, fault: Fault) -> None:
        """Clear a fault, also one that has not started."""
        self._planned = [item for item in self._planned if item[1] != fault]
        self._active = [item for item in self._active if item[1] != fault]
        self.version += 1

    def update(self, now: float) -> tuple[Fault, ...]:
        """Start and end what is due; returns the events that happen now, each once."""
        due = [item for item in self._planned if item[0] <= now]
        ended = [item for item in self._active if item[0] + item[1].duration <= now]
        if not due and not ended:
            return ()
        self._planned = [item for item in self._planned if item[0] > now]
        self._active = [item for item in self._active if item not in ended]
        self._active += [item for item in due if not BY_NAME[item[1].kind].at_once and item[0] + item[1].duration > now]
        self.version += 1
        return tuple(fault for _, fault in sorted(due, key=lambda item: item[0]) if BY_NAME[fault.kind].at_once)

    def find(self, kind: str, target: str | None = None) -> float | None:
        """Number of the newest active fault of this kind that strikes the target; None when there is none."""
        for _, fault in reversed(self._active):
            if fault.kind == kind and (fault.target is None or fault.target == target):
                return fault.value
        return None
