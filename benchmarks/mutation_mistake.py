"""A mistake of the mutation score, and the words that several of them are named by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mutation_kinds import Data
from mutation_recordings import Arrays

Fill = Callable[[Data], dict[str, str] | None]
"""Writes a mistake into a contract's data; returns what to fill into the words that it is named by."""
Trace = Callable[[Arrays, Data], dict[str, str] | None]
"""Makes a mistake in the recorded arrays and the header."""


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One mistake."""

    key: str
    """Its name."""
    group: str
    """1 falls, 2 does not follow, 3 walks almost normally: as facts on failing ports group them; + for further ones."""
    names: tuple[str, ...]
    """Words of which verify must say one in one of its lines; {a}, {b} are filled in."""
    contract: Fill | None = None
    trace: Trace | None = None
    other_weights: bool = False
    """Whether the port holds another network of the same widths."""

    @property
    def of_the_trace(self) -> bool:
        """Whether the contract is right, so that no edit may be offered."""
        return self.contract is None


STATE = ("joint_pos", "joint_vel", "base_quat", "base_lin_vel", "base_ang_vel")
ORDER = (r"joint order: ", r"joints in another order", r"exchanged", r"joint names, the values")


def wrote(key: str, group: str, contract: Fill, *names: str, trace: Trace | None = None) -> Mutation:
    """A mistake in a contract; `names` as in Mutation."""
    return Mutation(key=key, group=group, names=names, contract=contract, trace=trace)


def recorded(key: str, group: str, trace: Trace, *names: str) -> Mutation:
    """A mistake in a recording."""
    return Mutation(key=key, group=group, names=names, trace=trace)
