"""Which number stands where in the flat observation."""

from __future__ import annotations

import itertools
from typing import NamedTuple

from policy_port.contract.spec import Contract


class Slot(NamedTuple):
    """One element of the flat observation."""

    term: str
    """Label of the term."""
    element: str
    """Joint name, axis or index within the term."""
    age: int
    """Control steps ago; 0 is the present."""

    def __str__(self) -> str:
        """The slot as reports print it: "joint_vel[left_knee_joint]@-2"."""
        return f"{self.term}[{self.element}]" + (f"@-{self.age}" if self.age else "")


def observation_blocks(contract: Contract) -> tuple[tuple[str, int], ...]:
    """Label and width of each run of elements that belong to one term, in the order of the flat observation."""
    slots = observation_slots(contract)
    return tuple((term, len(list(group))) for term, group in itertools.groupby(slots, key=lambda slot: slot.term))


def observation_slots(contract: Contract) -> tuple[Slot, ...]:
    """Slots of the flat observation in order, shape (contract.observation_size,)."""
    return tuple(
        Slot(term.label, element, age)
        for run in contract.observation.laid_out()
        for age in contract.observation.stack(run[0]).ages
        for term in run
        for element in contract.term_elements(term)
    )
