"""What a policy is told, element by element: trained range, value at rest, and how the control loop shapes it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from policy_port.contract.base_terms import VELOCITY_COMMAND
from policy_port.contract.command_terms import CommandTerm, GaitClockTerm, NamedTerm
from policy_port.contract.joints import Positive
from policy_port.contract.parsing import Parsing
from policy_port.contract.sensed_terms import HeadingErrorTerm
from policy_port.contract.term import Bounds, Term
from policy_port.contract.yaml_file import Strict
from policy_port.errors import closest

USUAL = {
    "lin_vel_x": "m/s, forward, base frame",
    "lin_vel_y": "m/s, left, base frame",
    "lin_vel_z": "m/s, up, base frame",
    "ang_vel_z": "rad/s, about the vertical",
    "heading": "rad, world",
    "base_height": "m, above the ground",
    "base_height_offset": "m, above the usual height",
    "base_roll": "rad",
    "base_pitch": "rad",
    "base_yaw": "rad",
    "torso_roll": "rad, torso against pelvis",
    "torso_pitch": "rad, torso against pelvis",
    "torso_yaw": "rad, torso against pelvis",
    "gait_frequency": "Hz, cycles per second",
    "gait_phase": "fraction of a cycle",
    "gait_offset": "fraction of a cycle",
    "gait_bound": "fraction of a cycle",
    "stance_share": "fraction of a cycle that a foot stands",
    "foot_clearance": "m, of a swinging foot",
    "stance_width": "m",
    "stance_length": "m",
    "stand": "1 to stand, 0 to walk",
    "walk": "1 to walk, 0 to stand",
}
"""Usual elements with unit and frame; an element of another name states its own."""


class CommandElement(Strict):
    """One number of the command. `[low, high]` alone is its range."""

    range: Bounds | None = None
    """Trained range; outside it the policy was never asked to go."""
    default: float = 0.0
    """Its value where nobody gives one, and at every reset where it has a slew limit."""
    slew: Positive | None = None
    """How fast what the network sees follows what it is told, from `default` at reset [unit per s]; at once, if not
    given. The first observation is a step away from `default` already."""
    dead_zone: Positive | None = None
    """Nearer to `default` than this, it counts as `default`; the slew limit comes after it."""
    unit: str | None = None
    """Unit and frame in words; required where the name is none of the usual ones."""

    @model_validator(mode="before")
    @classmethod
    def _range_alone(cls, data: Any) -> Any:
        return {"range": data} if isinstance(data, list | tuple) else data

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> Any:
        alone = (self.default, self.slew, self.dead_zone, self.unit) == (0.0, None, None, None)
        return list(self.range) if self.range is not None and alone else handler(self)


class Command(Strict):
    """Elements of the command by name: the three of the velocity, and any others in the order of the file."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, CommandElement] = Field(init=False)  # pyrefly: ignore[bad-override]  as pydantic has it written

    lin_vel_x: CommandElement | None = None
    """[m/s]"""
    lin_vel_y: CommandElement | None = None
    """[m/s]"""
    ang_vel_z: CommandElement | None = None
    """[rad/s]"""

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        """Any name will do, as long as its unit is known: that is what tells a slip of the pen from a new element."""
        for name, given in data.items() if isinstance(data, dict) else ():
            if not (isinstance(name, str) and name.isidentifier()):
                raise ValueError(f"an element of the command has a name such as base_height, given: {name}")
            if name not in USUAL and not (isinstance(given, CommandElement | dict) and _states_unit(given)):
                raise PydanticCustomError(
                    "unknown_key",
                    "command element '{key}' is none of the usual ones{hint}; they are {usual}. For another one state "
                    "its `unit` in words, beside its `range`",
                    {"key": name, "hint": closest(name, USUAL).rstrip("?"), "usual": ", ".join(USUAL)},
                )
        return data

    @model_validator(mode="after")
    def _defaults_are_inside(self) -> Command:
        for name in self.names:
            element = self.element(name)
            # A velocity is told in every replay, and ports of before named defaults state its range alone.
            stated = name not in VELOCITY_COMMAND or "default" in element.model_fields_set
            if stated and element.range is not None and not element.range[0] <= element.default <= element.range[1]:
                raise ValueError(
                    f"command element '{name}': its default {element.default:g} is outside its range "
                    f"{list(element.range)}; state a `default` inside it: it is what the policy is told where nobody "
                    "says otherwise"
                )
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Every element: the three of the velocity first, then the others as they are written."""
        return (*VELOCITY_COMMAND, *(self.__pydantic_extra__ or {}))

    def element(self, name: str) -> CommandElement:
        """What is stated of an element."""
        return getattr(self, name, None) or CommandElement()

    def bounds(self, name: str) -> Bounds | None:
        """Trained range of an element, where it is stated."""
        return self.element(name).range

    @property
    def shaped(self) -> bool:
        """Whether the network sees something else than it is told: a slew limit or a dead zone."""
        return any(self.element(name).slew or self.element(name).dead_zone for name in self.names)

    @property
    def defaults(self) -> tuple[float, ...]:
        """What is told where nobody says otherwise, in the order of `names`."""
        return tuple(self.element(name).default for name in self.names)

    def vector(self, told: Mapping[str, float] | Sequence[float]) -> tuple[float, ...]:
        """Every element in the order of `names`: what is told, by name or as a velocity of three, and the defaults."""
        given: Mapping[str, float] = (
            told if isinstance(told, Mapping) else dict(zip(VELOCITY_COMMAND, told, strict=True))
        )
        return tuple(given.get(name, value) for name, value in zip(self.names, self.defaults, strict=True))


def _states_unit(given: CommandElement | dict[str, Any]) -> bool:
    return (given.get("unit") if isinstance(given, dict) else given.unit) is not None


def unit_of(command: Command, name: str) -> str:
    """Unit and frame of an element in words."""
    return command.element(name).unit or USUAL[name]


def commanded(contract: Parsing, terms: Iterable[Term]) -> tuple[str, ...]:
    """The elements of the command that any of the terms reads, in the order of `command.names`."""
    read: set[str] = set()
    for term in terms:
        if term.term == "velocity_command":
            read |= set(VELOCITY_COMMAND)
        elif isinstance(term, CommandTerm):
            read |= set(term.names)
        elif isinstance(term, GaitClockTerm):
            read |= set(term.reads)
        elif isinstance(term, HeadingErrorTerm):
            read.add("heading")
    return tuple(name for name in contract.command.names if name in read)


def check_commands(contract: Parsing, terms: Iterable[Term]) -> None:
    """Hold what the terms read of the command against what it declares, and tables of their elements against them.

    Raises:
        ValueError: Naming term and element.
    """
    declared = contract.command.names
    for term in terms:
        if isinstance(term, GaitClockTerm):
            _check_clock(contract, term)
        read = term.names if isinstance(term, CommandTerm) else term.reads if isinstance(term, GaitClockTerm) else ()
        for name in read:
            if name not in declared:
                raise ValueError(
                    f"observation term '{term.label}' reads command element '{name}', which `command` does not "
                    f"declare{closest(name, declared) or '.'} It declares {', '.join(declared)}; declare it with its "
                    f"range and default: command: {{{name}: {{range: [-1, 1], default: 0}}}}"
                )
        for key in ("scale", "offset", "clip") if isinstance(term, NamedTerm) else ():
            table, names = getattr(term, key), term.elements(contract)
            if isinstance(table, dict) and set(table) != set(names):
                raise ValueError(
                    f"{term.label}.{key} names {', '.join(table)}; the term's elements are {', '.join(names)}: give "
                    "each of them a number"
                )


def _check_clock(contract: Parsing, term: GaitClockTerm) -> None:
    """Refuse shares of a cycle that are none, clocks that run backwards, and cycles that no control step shows."""
    if isinstance(term.stance, str):
        low, high = _reach(contract.command, term.stance)
        if not 0.0 < low <= high < 1.0:
            raise ValueError(
                f"stance of '{term.label}' is command element '{term.stance}', which goes from {low:g} to {high:g}: a "
                "share of a cycle lies between 0 and 1; state such a `range` and `default`"
            )
    if term.frequency is not None and _reach(contract.command, term.frequency)[0] < 0.0:
        raise ValueError(
            f"frequency of '{term.label}' is command element '{term.frequency}', which goes below zero: the clock "
            "would run backwards; state another `range` and `default`"
        )


def _reach(command: Command, name: str) -> tuple[float, float]:
    """What an element can be: its default and its range."""
    default, (low, high) = command.element(name).default, command.bounds(name) or (math.inf, -math.inf)
    return min(default, low), max(default, high)
