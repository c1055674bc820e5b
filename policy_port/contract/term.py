"""What every observation term is: named elements, where each is read, what training might have shown."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from policy_port.arrays import Array
from policy_port.contract.draws import Draws
from policy_port.contract.parsing import Parsing
from policy_port.contract.sensing import Sensing
from policy_port.contract.shaping import ObservationDelay, Steps, observation_delay
from policy_port.contract.yaml_file import Strict


def in_order(bounds: tuple[float, float]) -> tuple[float, float]:
    """Bounds the wrong way round clip every number to the same one."""
    if bounds[0] > bounds[1]:
        raise ValueError(f"the lower bound {bounds[0]} is above the upper bound {bounds[1]}")
    return bounds


Bounds = Annotated[tuple[float, float], AfterValidator(in_order)]


def _plain_name(name: str) -> str:
    """Names of terms and images become those of arrays and files, and stand in lines of reports."""
    if not name or name != name.strip() or not name.isprintable() or name.startswith(".") or set("/\\") & set(name):
        raise ValueError(
            f"{name!r} can't be a name: it becomes that of an array, a file and a line of a report. Write one of "
            "printable characters without / or \\ that neither begins with a dot nor with a space"
        )
    return name


PlainName = Annotated[str, AfterValidator(_plain_name)]


UNBOUNDED: Bounds = (-math.inf, math.inf)


Key = Literal["scale", "offset", "clip"]


NEUTRAL: dict[Key, Any] = {"scale": 1.0, "offset": 0.0, "clip": None}
"""What stands for a number that a term does not have."""


class Reading(NamedTuple):
    """Where an element's raw value comes from: unit * signal + shift."""

    signal: str
    """Name of the signal in `control.signals.Signals`."""
    place: str | int
    """Joint name, or number among the signal's columns; among those of this term, where it has its own."""
    unit: float = 1.0
    """Contract units per unit of the signal."""
    shift: float = 0.0
    """Added to it [contract unit]."""


class Elementwise(Strict):
    """A term whose numbers are written once for all elements or element by element."""

    def entry(self, key: Key, element: str) -> Any:
        """Scale, offset or clip of one element: 1, 0 and None, if the term has none."""
        value = getattr(self, key, NEUTRAL[key])
        return value[element] if isinstance(value, dict) else value


class Term(Elementwise):
    """An observation term. What it declares as `scale`, `offset` and `clip` is applied to its raw values."""

    holds_quaternion: ClassVar[bool] = False
    """True for elements that are a quaternion, whose order the contract must state then."""
    keeps_time: ClassVar[bool] = False
    """True for what follows from the time since reset."""

    name: PlainName | None = None
    """Name of the term in the observation; the kind, if not given. Names are unique."""
    history: Annotated[int, Field(ge=1, le=1000)] = 1
    """Number of stacked steps, the present one included."""
    group: str | None = None
    """Name of the history in `observation.groups` that says which steps are seen, in the place of `history`."""
    clip_after_scale: bool = False
    """Whether `clip` bounds what the network sees, scale * raw + offset, and not the raw value."""
    delay: Steps | ObservationDelay = 0
    """How late the term is shown [control steps], the first observation before; see `ObservationDelay`."""
    term: str
    """The kind: each class has its own."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.group is not None and self.history != 1:
            raise ValueError(f"group '{self.group}' says which steps are seen; leave out history {self.history}")
        scales = getattr(self, "scale", 1.0)
        if self.clip_after_scale and getattr(self, "clip", None) is None:
            raise ValueError("clip_after_scale says what clip bounds, and there is no clip; leave it out")
        if self.clip_after_scale and 0.0 in (scales.values() if isinstance(scales, dict) else np.ravel(scales)):
            raise ValueError("clip_after_scale with scale 0 leaves a constant; write a constant term")
        return self

    def raw_clip(self, element: str) -> Bounds:
        """Bounds of an element's raw value: what `clip` says, taken back through scale and offset where it is after."""
        bounds = self.entry("clip", element)
        if bounds is None or not self.clip_after_scale:
            return bounds or UNBOUNDED
        scale, offset = self.entry("scale", element), self.entry("offset", element)
        low, high = sorted((end - offset) / scale for end in bounds)
        return low, high

    @property
    def label(self) -> str:
        """Name under which reports, mappings and traces know the term."""
        return self.name or self.term

    @property
    def late(self) -> ObservationDelay:
        """How late it is shown."""
        return observation_delay(self.delay)

    @property
    def where(self) -> str:
        """Where on the robot it is measured, in words; empty where nothing is stated."""
        return ""

    def elements(self, contract: Parsing) -> tuple[str, ...]:
        """Name of each element of one step: indices, where the class does not say joint names or axes."""
        return tuple(map(str, range(len(self.readings(contract)))))

    def columns(self, contract: Parsing) -> dict[str, int]:
        """Columns that the term has to itself, by the signal's name; it shares all other signals."""
        return {}

    def senses(self) -> Sensing:
        """What a plant measures for it beside joints and base."""
        return Sensing()

    def readings(self, contract: Parsing) -> tuple[Reading, ...]:
        """Where each element is read from: the term's own columns, where the class does not say otherwise.

        Raises:
            ContractError: When a joint is in a unit that has no fixed ratio to SI.
            TaskError: When only a task environment can compute the term.
        """
        return tuple(Reading(name, index) for name, size in self.columns(contract).items() for index in range(size))

    @abstractmethod
    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Raw values as they might be in training, shape (length, batch, elements)."""
