"""Observation terms of named elements: the command in any order, and gait clocks wave by wave."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from policy_port.arrays import Array
from policy_port.contract.base_terms import VELOCITY_COMMAND
from policy_port.contract.draws import Draws
from policy_port.contract.joints import Positive
from policy_port.contract.parsing import Parsing
from policy_port.contract.term import Bounds, Reading, Term
from policy_port.contract.yaml_file import Strict


class NamedTerm(Term):
    """A term whose elements have names of their own, under which its numbers may stand."""

    model_config = ConfigDict(serialize_by_alias=True)

    scale: float | dict[str, float] = 1.0
    """Factor, one for all or by element."""
    offset: float | dict[str, float] = 0.0
    """Added after scaling, one for all or by element."""
    clip: Bounds | dict[str, Bounds] | None = None
    """Bounds of the raw value, applied before scale, one for all or by element."""


class CommandTerm(NamedTerm):
    """Elements of the command in any order: what the policy is told, after slew limit and dead zone.

    Units and frames are those of the elements; see `contract.command`.
    """

    term: Literal["command"]
    names: Annotated[tuple[str, ...], Field(alias="elements", min_length=1)]
    """Names of elements that `command` declares, in the order in which the network sees them."""

    @model_validator(mode="after")
    def _once_each(self) -> CommandTerm:
        for name in self.names:
            if self.names.count(name) > 1:
                raise ValueError(f"command element '{name}' stands twice in elements; name it once")
        return self

    def elements(self, contract: Parsing) -> tuple[str, ...]:
        """The names."""
        return self.names

    def readings(self, contract: Parsing) -> tuple[Reading, ...]:
        """The command in force."""
        signal = "command_in_force" if contract.command.shaped else "velocity_command"
        return tuple(Reading(signal, contract.command.names.index(name)) for name in self.names)

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Within the trained ranges; +-1 where they are not stated."""
        return draws.held([contract.command.bounds(name) or (-1.0, 1.0) for name in self.names])


class Wave(Strict):
    """One number of a gait clock."""

    wave: Literal["sin", "cos", "phase"]
    """sin or cos of 2 pi p, or p itself, wrapped to [0, 1), of the phase p + offset [cycles]."""
    offset: float = 0.0
    """Added to the clock's phase [cycles]: 0.5 for the other leg."""
    plus: tuple[str, ...] = ()
    """Elements of the command that are added to the offset [cycles]."""
    foot: str | None = None
    """Whose it is; needed where two elements would have the same name."""

    @property
    def name(self) -> str:
        """sin0.5, or sin_left where a foot is named."""
        return f"{self.wave}{self.offset:g}" if self.foot is None else f"{self.wave}_{self.foot}"


class StandingPhase(Strict):
    """While the robot stands, all waves are at one phase, whatever their offset."""

    phase: float
    """The phase [cycles]."""
    then: Literal["continue", "restart"] = "continue"
    """From when it moves again: on from this phase with every wave, or from the start, each with its offset."""


class StandingValue(Strict):
    """While the robot stands, the term shows one number; the clock runs on unseen."""

    value: float
    """The number, before scale."""


class GaitClockTerm(NamedTerm):
    """A gait clock, wave by wave: phase p [cycles] is `start` at reset and advances by control period times frequency.

    Each step after the first advances by the frequency in force in that step, so that a frequency from the command
    does not make the phase jump. Source: the control loop's time, and the command.
    """

    keeps_time = True
    term: Literal["gait_clock"]
    waves: Annotated[tuple[Wave, ...], Field(alias="elements", min_length=1)]
    """What the network sees, in order."""
    period: Positive | None = None
    """Length of a cycle [s]; exactly one of period and frequency."""
    frequency: str | None = None
    """Element of the command that is the frequency [cycles per s]."""
    stance: Annotated[float, Field(gt=0.0, lt=1.0)] | str = 0.5
    """Share of a cycle that a foot stands, or the element of the command that is it: each wave's phase is stretched so
    that its first half takes this share of the cycle."""
    start: float = 0.0
    """Time that the clock shows at reset [s]; below zero for a clock that is late."""
    standing: Literal["run", "freeze", "zero"] | StandingPhase | StandingValue = "run"
    """What it does while the robot is told to stand: run on, freeze the phase, show zeros (the clock runs on unseen),
    show a number, or go to a phase."""
    below: Positive | None = None
    """The robot is told to stand where the norm of the command in force is below this."""
    norm_of: Annotated[tuple[str, ...], Field(min_length=1)] = VELOCITY_COMMAND
    """Elements of the command whose norm that is."""

    @model_validator(mode="after")
    def _is_whole(self) -> GaitClockTerm:
        if (self.period is None) == (self.frequency is None):
            raise ValueError("give exactly one of period [s] and frequency (the name of a command element)")
        if (self.standing == "run") != (self.below is None):
            raise ValueError(
                "standing (freeze, zero, {value: 1.0} or {phase: 0.5}) and below (the norm of the command under which "
                "the robot stands) go together; standing: run needs neither"
            )
        names = [wave.name for wave in self.waves]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two elements of the clock are both {name}: give each of them its `foot`")
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        """The elements of the command that it depends on."""
        shifts = (name for wave in self.waves for name in wave.plus)
        paced = () if self.frequency is None else (self.frequency,)
        shares = (self.stance,) if isinstance(self.stance, str) else ()
        return tuple(dict.fromkeys((*paced, *shares, *shifts, *(self.norm_of if self.below is not None else ()))))

    def elements(self, contract: Parsing) -> tuple[str, ...]:
        """Wave and offset, or wave and foot."""
        return tuple(wave.name for wave in self.waves)

    def columns(self, contract: Parsing) -> dict[str, int]:
        """A column per wave."""
        return {"gait_clock": len(self.waves)}

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """The clock from some moment on, at some frequency of the range."""
        low, high = (1.0, 3.0) if self.frequency is None else contract.command.bounds(self.frequency) or (1.0, 3.0)
        pace = 1.0 / self.period if self.period is not None else draws.held([(low, high)])[..., 0]
        cycles = draws.time(self.period or 2.0 / max(low + high, 1e-3)) * pace
        shapes = {
            "sin": lambda p: np.sin(math.tau * p),
            "cos": lambda p: np.cos(math.tau * p),
            "phase": lambda p: np.mod(p, 1.0),
        }
        return np.stack([shapes[wave.wave](cycles + wave.offset) for wave in self.waves], axis=-1)
