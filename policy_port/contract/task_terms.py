"""Observation terms that a task sets: clocks, goals, constants, and what only its environment computes."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from policy_port.arrays import Array
from policy_port.contract.draws import Draws
from policy_port.contract.parsing import Parsing
from policy_port.contract.term import Reading, Term
from policy_port.errors import TaskError


class GaitPhaseTerm(Term):
    """A gait clock: all sines, then all cosines, of 2 pi (t / period + offset), per offset."""

    keeps_time = True
    term: Literal["gait_phase"]
    period: Annotated[float, Field(gt=0.0)]
    """Period of the gait [s]; t counts from reset."""
    offsets: Annotated[tuple[float, ...], Field(min_length=1, max_length=64)] = (0.0,)
    """Phase offset of each clock, as a fraction of the period."""

    def elements(self, contract: Parsing) -> tuple[str, ...]:
        """sin0, sin1, ..., cos0, cos1, ..."""
        return tuple(f"{wave}{i}" for wave in ("sin", "cos") for i in range(len(self.offsets)))

    def columns(self, contract: Parsing) -> dict[str, int]:
        """A sine and a cosine per clock."""
        return {"gait_sin": len(self.offsets), "gait_cos": len(self.offsets)}

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """The clocks from some moment on."""
        time = draws.time(self.period)
        phases = [2.0 * math.pi * (time / self.period + offset) for offset in self.offsets]
        return np.stack([np.sin(p) for p in phases] + [np.cos(p) for p in phases], axis=-1)


class GoalTerm(Term):
    """What the task commands beside a velocity: a point, a pose, a joint configuration."""

    term: Literal["goal"]
    size: Annotated[int, Field(ge=1, le=4096)]
    """Number of elements."""
    frame: str
    """Frame and unit in words, for example "base link, m"."""
    scale: float = 1.0
    """Factor."""
    low: tuple[float, ...] | None = None
    """Smallest raw value in training, per element."""
    high: tuple[float, ...] | None = None
    """Largest raw value in training, per element."""

    @model_validator(mode="after")
    def _ranges_fit(self) -> GoalTerm:
        for key, values in (("low", self.low), ("high", self.high)):
            if values is not None and len(values) != self.size:
                raise ValueError(f"{key} has {len(values)} entries, size says {self.size}")
        for low, high in zip(self.low or (), self.high or (), strict=False):
            if low > high:
                raise ValueError(f"low {low} is above high {high}")
        return self

    def columns(self, contract: Parsing) -> dict[str, int]:
        """Goals stand one after the other."""
        return {"goal": self.size}

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Between `low` and `high`; +-1 where they are not stated."""
        low, high = self.low or (-1.0,) * self.size, self.high or (1.0,) * self.size
        return draws.held(list(zip(low, high, strict=True)))


class ConstantTerm(Term):
    """Numbers that never change."""

    term: Literal["constant"]
    value: Annotated[tuple[float, ...], Field(min_length=1)]
    """The numbers, as the network sees them."""

    def readings(self, contract: Parsing) -> tuple[Reading, ...]:
        """The numbers, on top of a signal that is always zero."""
        return tuple(Reading("zero", 0, shift=value) for value in self.value)

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """The numbers, for ever."""
        return np.broadcast_to(self.value, (*draws.shape, len(self.value)))


class ExternalTerm(Term):
    """Numbers that only a task environment computes; they pass through a remap untouched.

    `name` is required and names the quantity, for example "obj_pose".
    """

    term: Literal["external"]
    size: Annotated[int, Field(ge=1, le=1_000_000)]
    """Number of elements."""

    @model_validator(mode="after")
    def _is_named(self) -> ExternalTerm:
        if self.name is None:
            raise ValueError("an external term needs a `name`, such as obj_pose")
        return self

    def elements(self, contract: Parsing) -> tuple[str, ...]:
        """Indices."""
        return tuple(map(str, range(self.size)))

    def readings(self, contract: Parsing) -> tuple[Reading, ...]:
        """None: the error names the term."""
        raise TaskError(
            f"observation term '{self.label}' of contract '{contract.name}' can only be computed by the task "
            "environment that the policy was trained in; play it with --env, not with --plant"
        )

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Noise."""
        return draws.noise(self.size)
