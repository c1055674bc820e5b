"""A mistake of the mutation score, and the words that several of them are named by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mutation_kinds import Data
from mutation_recordings import Arrays


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One mistake."""

    key: str
    """Its name."""
    group: str
    """1 falls, 2 does not follow, 3 walks almost normally: as facts on failing ports group them; + for further ones."""
    names: tuple[str, ...]
    """Words of which verify must say one in one of its lines; {a}, {b} are filled in."""
    contract: Callable[[Data], dict[str, str] | None] | None = None
    """Writes the mistake into the contract's data; returns what to fill into `names`."""
    trace: Callable[[Arrays, Data], dict[str, str] | None] | None = None
    """Makes the mistake in the recorded arrays and the header."""
    other_weights: bool = False
    """Whether the port holds another network of the same widths."""

    @property
    def of_the_trace(self) -> bool:
        """Whether the contract is right, so that no edit may be offered."""
        return self.contract is None


STATE = ("joint_pos", "joint_vel", "base_quat", "base_lin_vel", "base_ang_vel")
ORDER = (r"joint order: ", r"joints in another order", r"exchanged", r"joint names, the values")
