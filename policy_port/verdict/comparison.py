"""A comparison of a verdict: what agrees, what differs and where, what could not be compared, and the tally of all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from policy_port.mistakes.numbers import counted

Status = Literal["equal", "wrong", "unchecked"]


@dataclass(frozen=True, kw_only=True)
class Bad:
    """One element that differs."""

    element: str
    """Joint name, axis or slot."""
    error: float
    """Largest difference."""
    allowed: float
    """Difference that rounding explains."""
    step: int | None = None
    """First step that differs; None for what does not change from step to step."""
    env: int | None = None
    """Its environment."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One comparison."""

    label: str
    """Term of the observation, or "action", "target", "stiffness", ..., "control_dt"."""
    status: Status
    """Whether it agrees."""
    elements: int
    """Number of elements compared."""
    error: float = 0.0
    """Largest difference."""
    allowed: float = 0.0
    """What rounding explains of it."""
    bad: tuple[Bad, ...] = ()
    """The elements that differ."""
    rows: int = 0
    """Rows compared of the element that is known least; nothing for what does not change from step to step."""
    rows_left_out: int = 0
    """Rows at which that element is not known."""
    required: bool = True
    """Whether a port is not verified without it."""
    note: str = ""
    """Why it could not be compared, or what the comparison can't see."""

    @property
    def first(self) -> Bad | None:
        """The element that differs first."""
        timed = [bad for bad in self.bad if bad.step is not None]
        return min(timed, key=lambda bad: bad.step or 0) if timed else (self.bad[0] if self.bad else None)


def unmade(checks: Iterable[Check]) -> list[Check]:
    """The comparisons that could not be made."""
    return [check for check in checks if check.status == "unchecked"]


def all_equal(checks: Sequence[Check]) -> bool:
    """True when every comparison that a verdict needs was made, and nothing differs."""
    return not any(check.status == "wrong" or (check.status == "unchecked" and check.required) for check in checks)


def tally(checks: Sequence[Check], equal: str) -> str:
    """The comparisons in one sentence, those that could not be made by name.

    Args:
        checks: The comparisons.
        equal: What to say where nothing differs: "equal", or "nothing differs".
    """
    left = unmade(checks)
    wrong, made = sum(check.status == "wrong" for check in checks), len(checks) - len(left)
    why = ", ".join(f"{check.label} ({check.note.partition(';')[0]})" for check in left)
    if not made:
        return f"not verified: none of {counted(len(checks), 'comparison')} could be made: {why}"
    words = f"{wrong} of {counted(made, 'comparison')} wrong" if wrong else f"{equal} in "
    if not wrong:
        words += f"{made} of {counted(len(checks), 'comparison')}" if left else counted(made, "comparison")
    if left:
        words += f"; {len(left)} could not be made: {why}"
    return words if wrong or all_equal(checks) else f"not verified: {words}"
