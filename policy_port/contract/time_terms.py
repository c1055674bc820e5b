"""Observation terms that count the time since reset."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from policy_port.arrays import Array
from policy_port.contract.draws import Draws
from policy_port.contract.parsing import Parsing
from policy_port.contract.term import Bounds, Term


class ElapsedTerm(Term):
    """How much of a motion of a stated length has passed: (t + start) / length, where t [s] counts from reset.

    For policies that were trained on one motion and see nothing of it but this number (ASAP's `ref_motion_phase`);
    `motion_phase` is the same of a clip that lies in the port.
    """

    keeps_time = True
    term: Literal["elapsed"]
    length: Annotated[float, Field(gt=0.0)]
    """How long the motion takes [s]."""
    start: Annotated[float, Field(ge=0.0)] = 0.0
    """Time that has passed at the first observation [s]; ASAP counts a control step before it observes."""
    end: Literal["hold", "run", "repeat"]
    """After 1: stay there, go on beyond it, or begin again at 0."""
    scale: float = 1.0
    """Factor."""
    clip: Bounds | None = None
    """Bounds of the raw value, applied before scale."""

    def columns(self, contract: Parsing) -> dict[str, int]:
        """One of its own."""
        return {"elapsed": 1}

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Some moment of it."""
        return (0.5 * (draws.smooth() + 1.0))[..., None]
