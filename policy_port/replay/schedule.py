"""A schedule: commands over time, pushes, and which port plays when; strict YAML."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from policy_port import counts
from policy_port.arrays import Array
from policy_port.contract.joints import NonNegative, Positive
from policy_port.contract.yaml_file import Strict, parse, read_yaml
from policy_port.control.relay import Before, Handover, LastAction
from policy_port.errors import TaskError

Impulse = tuple[float, float, float]
LASTS = 0.1
"""How long a push lasts that does not say so [s]."""
ROUNDING = 1e-9
"""What sums of decimal times are off [s]."""


class CommandEntry(Strict):
    """Elements of the command from some moment on."""

    at: NonNegative
    """Time since reset [s]."""
    to: Annotated[dict[str, float], Field(min_length=1)]
    """Values by the element's name; elements that are not named keep theirs."""
    ramp: NonNegative = 0.0
    """Time over which each goes there from what it is, linearly [s]."""


class Push(Strict):
    """An impulse at a link's centre of mass."""

    at: NonNegative
    """Time since reset [s]."""
    link: str
    """Link of the robot file."""
    impulse: Impulse
    """Force times time [N s]."""
    frame: Literal["world", "base"] = "world"
    """Whose axes the impulse is in; the base's as they are when it begins."""
    lasts: Positive = LASTS
    """Time over which its force is spread evenly, in whole control steps [s]."""

    @model_validator(mode="after")
    def _pushes(self) -> Push:
        if not any(self.impulse):
            raise ValueError(f"the push at {self.at:g} s has no impulse; give one that is not zero, or leave it out")
        return self


class PortEntry(Strict):
    """The port that plays from some moment on, and how the controls pass to it."""

    at: NonNegative
    """Time since reset [s]."""
    port: str
    """Name of the port's folder."""
    blend: NonNegative = 0.5
    """Time over which targets and gains go over, linearly [s]; 0 for at once."""
    before: Before = "runs"
    """What is faded out: the port before, which runs on, or its last targets, held."""
    last_action: LastAction = "zero"
    """What the port sees as its last action at first: zeros, or the one that holds the targets in force."""
    largest_jump: Positive | None = None
    """Largest change of a joint's target per control step until the port's own targets are reached [rad or m]."""

    @property
    def handover(self) -> Handover:
        """The same for the relay."""
        return Handover(
            to=self.port,
            blend=self.blend,
            before=self.before,
            last_action=self.last_action,
            largest_jump=self.largest_jump,
        )


class Schedule(Strict):
    """What happens in each episode; times are counted from its reset."""

    schedule_version: Literal[1] = 1
    seconds: Annotated[float, Field(gt=0.0, le=counts.DAY)] | None = None
    """Length of an episode [s]."""
    command: tuple[CommandEntry, ...] = ()
    """The command; the first entry is at 0."""
    pushes: tuple[Push, ...] = ()
    """Pushes; none begins before the one before has ended."""
    ports: tuple[PortEntry, ...] = ()
    """Which port plays; the first entry is at 0."""

    @field_validator("command", "pushes", "ports")
    @classmethod
    def _in_order[Entries: tuple[CommandEntry, ...] | tuple[Push, ...] | tuple[PortEntry, ...]](
        cls, entries: Entries
    ) -> Entries:
        if entries and entries[0].at != 0.0 and not isinstance(entries[0], Push):
            raise ValueError(f"the first entry is at {entries[0].at:g} s; say what holds from 0 on")
        for one, other in pairwise(entries):
            if other.at <= one.at:
                raise ValueError(
                    f"the entry at {other.at:g} s stands after that at {one.at:g} s; write them in the order of their "
                    "times, one for each"
                )
        return entries

    @field_validator("pushes")
    @classmethod
    def _one_at_a_time(cls, pushes: tuple[Push, ...]) -> tuple[Push, ...]:
        if text := _overlap(pushes):
            raise ValueError(f"{text}; move it, or shorten `lasts`")
        return pushes

    @field_validator("ports")
    @classmethod
    def _one_after_the_other(cls, ports: tuple[PortEntry, ...]) -> tuple[PortEntry, ...]:
        stray = sorted(ports[0].model_fields_set - {"at", "port"}) if ports else ()
        if stray:
            raise ValueError(f"the first port begins at the reset, with nothing to pass on: leave {stray[0]} out")
        for one, other in pairwise(ports):
            if one.port == other.port:
                raise ValueError(f"'{one.port}' plays already when it is to begin at {other.at:g} s")
            if one.at and other.at < one.at + one.blend - ROUNDING:
                raise ValueError(
                    f"at {other.at:g} s '{one.port}' is still being blended in, until {one.at + one.blend:g} s; "
                    "shorten `blend`"
                )
        return ports

    def with_pushes(self, pushes: tuple[Push, ...]) -> Schedule:
        """The same with more pushes.

        Raises:
            TaskError: When two overlap.
        """
        every = tuple(sorted((*self.pushes, *pushes), key=lambda push: push.at))
        if text := _overlap(every):
            raise TaskError(text)
        return self.model_copy(update={"pushes": every})

    def check_length(self, seconds: float) -> None:
        """Hold the times against the length of an episode.

        Raises:
            TaskError: When an entry would never come, or a push not end.
        """
        for what, entries in (("command", self.command), ("push", self.pushes), ("port", self.ports)):
            for entry in entries:
                end = entry.at + (entry.lasts if isinstance(entry, Push) else 0.0)
                if entry.at >= seconds or end > seconds + ROUNDING:
                    raise TaskError(
                        f"the schedule's {what} at {entry.at:g} s comes too late: an episode is {seconds:g} s long; "
                        f"give more --seconds, or `seconds` in the schedule"
                    )

    def commands(self, names: tuple[str, ...], defaults: Array, dt: float, steps: int) -> Array:
        """The command of each control step, shape (steps, elements).

        Args:
            names: The elements in the order of the columns.
            defaults: What they are until an entry says otherwise, shape (elements,).
            dt: Control period [s].
            steps: How many control steps.
        """
        table = np.tile(np.asarray(defaults, dtype=np.float64), (steps, 1))
        time = dt * np.arange(steps)
        for entry in self.command:
            first = step_of(entry.at, dt)
            for name, value in entry.to.items():
                column = names.index(name)
                begin = float(table[min(max(first, 0), steps - 1), column]) if first else value
                share = np.clip((time[first:] - first * dt) / entry.ramp, 0.0, 1.0) if entry.ramp else 1.0
                table[first:, column] = begin + share * (value - begin)
        return table

    def due_pushes(self, dt: float) -> dict[int, Push]:
        """The pushes by the control step at which they begin."""
        return {step_of(push.at, dt): push for push in self.pushes}

    def due_handovers(self, dt: float) -> dict[int, Handover]:
        """The handovers by the control step at which the port begins."""
        return {step_of(entry.at, dt): entry.handover for entry in self.ports[1:]}

    def names(self) -> Iterator[str]:
        """Every element of the command that is named."""
        for entry in self.command:
            yield from entry.to


def _overlap(pushes: tuple[Push, ...]) -> str:
    """Which push begins before the one before it has ended; "" for none."""
    for one, other in pairwise(pushes):
        if other.at < one.at + one.lasts - ROUNDING:
            return f"the push at {other.at:g} s begins before that at {one.at:g} s ends, at {one.at + one.lasts:g} s"
    return ""


def step_of(time: float, dt: float) -> int:
    """The control step at which something happens: the nearest."""
    return round(time / dt)


def load_schedule(path: Path) -> Schedule:
    """Read a schedule.

    Raises:
        TaskError: With file, line and key, when it is missing or malformed.
    """
    document = read_yaml(path, TaskError)
    if "schedule_version" not in document.data:
        raise TaskError(f"{path}: is no schedule: the key schedule_version is missing; write schedule_version: 1")
    schedule = parse(Schedule, document, TaskError)
    if not (schedule.command or schedule.pushes or schedule.ports):
        raise TaskError(f"{path}: nothing happens in it; give it command, pushes or ports")
    return schedule


def parse_push(text: str) -> Push:
    """A push as the command line writes it: `AT LINK X Y Z [world|base] [SECONDS]`.

    Raises:
        TaskError: When it is written otherwise.
    """
    words = text.replace(",", " ").split()
    wrong = TaskError(
        f'--push takes "AT LINK X Y Z", such as "2.0 torso_link 0 30 0": when [s], where, and the impulse [N s]; after '
        f"it, if need be, world or base (whose axes) and how long it lasts [s]; given: {text}"
    )
    if not 5 <= len(words) <= 7:
        raise wrong
    at, link, *rest = words
    frame = "world"
    if len(rest) > 3 and rest[3] in ("world", "base"):
        frame = rest.pop(3)
    try:
        numbers = [float(word) for word in (at, *rest)]
    except ValueError:
        raise wrong from None
    if len(rest) > 4 or not all(map(math.isfinite, numbers)) or not any(numbers[1:4]) or numbers[0] < 0.0:
        raise wrong
    lasts = numbers[4] if len(numbers) > 4 else LASTS
    if lasts <= 0.0:
        raise wrong
    impulse = (numbers[1], numbers[2], numbers[3])
    return Push(at=numbers[0], link=link, impulse=impulse, frame="base" if frame == "base" else "world", lasts=lasts)


def played_ports[Port](schedule: Schedule, given: Mapping[str, Port]) -> dict[str, Port]:
    """The ports by name, the one that starts first.

    Raises:
        TaskError: When one is given and never plays, or plays and is not given.
    """
    wanted = list(dict.fromkeys(entry.port for entry in schedule.ports)) or list(given)[:1]
    for name in wanted:
        if name not in given:
            raise TaskError(
                f"the schedule plays port '{name}', and the ports given are {', '.join(given)}: give it too"
            )
    idle = [name for name in given if name not in wanted]
    if idle:
        raise TaskError(
            f"port {', '.join(idle)} never plays: leave it out, or say in the file of --schedule when, under `ports`: "
            f"- {{at: 0, port: {next(iter(given))}}}, - {{at: 5, port: {idle[0]}}}"
        )
    return {name: given[name] for name in wanted}
