"""Which past steps a network sees, and how they are laid out."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Discriminator, Field, Tag

from policy_port.contract.yaml_file import Strict

LONGEST = 1000
"""Oldest step that can be asked for [control steps]."""

Layout = Literal["term_major", "time_major"]
Order = Literal["oldest_first", "newest_first"]
Fill = Literal["first", "zero"]


class History(Strict):
    """How stacked steps are laid out. Isaac Lab: term_major, oldest_first, first. Nothing here has a default."""

    layout: Layout
    """term_major: all steps of one term, then the next term. time_major: all terms of one step, then the next step."""
    order: Order
    """Order of the steps."""
    fill: Fill
    """What stands for the steps before reset: the first observation, or zero."""


class Steps(Strict):
    """Past steps at equal distances."""

    length: Annotated[int, Field(ge=1, le=LONGEST)]
    """Number of steps."""
    newest: Annotated[int, Field(ge=0, le=LONGEST)]
    """Age of the newest one [control steps]: 0 where the present is among them, 1 where it is not."""
    stride: Annotated[int, Field(ge=1, le=LONGEST)] = 1
    """From one to the next [control steps]."""
    order: Order
    """Order in which they stand."""

    @property
    def ages(self) -> tuple[int, ...]:
        """Ages as laid out [control steps]."""
        ages = range(self.newest, self.newest + self.length * self.stride, self.stride)
        return tuple(ages if self.order == "newest_first" else reversed(ages))


def _each_once(ages: tuple[int, ...]) -> tuple[int, ...]:
    repeated = sorted({age for age in ages if ages.count(age) > 1})
    if repeated:
        raise ValueError(f"age {repeated[0]} stands twice; list each age once, in the order in which they stand")
    return ages


def _form(value: Any) -> str:
    return "table" if isinstance(value, dict | Steps) else "list"


Ages = Annotated[
    tuple[Annotated[int, Field(ge=0, le=LONGEST)], ...], Field(min_length=1), AfterValidator(_each_once), Tag("list")
]


class Group(Strict):
    """A history of its own for the terms that name it, beside `observation.history`."""

    steps: Annotated[Ages | Annotated[Steps, Tag("table")], Discriminator(_form)]
    """Ages [control steps, 0 is the present] in the order in which they stand, or `length`, `newest`, `stride` and
    `order`."""
    layout: Layout
    """term_major: all steps of one term, then the next term. time_major: all terms of one step, then the next step; its
    terms stand together then."""
    fill: Fill
    """What stands for the steps before reset: the first observation, or zero."""

    @property
    def ages(self) -> tuple[int, ...]:
        """Ages as laid out [control steps]."""
        return self.steps.ages if isinstance(self.steps, Steps) else self.steps


class Stack(NamedTuple):
    """The steps of one term."""

    ages: tuple[int, ...]
    """As laid out [control steps]."""
    time_major: bool
    """Whether a step of all terms of the group stands before the next step."""
    fill: Fill
    """What stands for the steps before reset."""
    group: str | None
    """Name of the group; None for a term without one."""


PRESENT = Stack(ages=(0,), time_major=False, fill="zero", group=None)
"""Of a term without history."""
