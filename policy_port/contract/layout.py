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
    terms = contract.observation.terms
    history = contract.observation.history
    newest_first = history is not None and history.order == "newest_first"

    def ages(length: int) -> range:
        return range(length) if newest_first else range(length - 1, -1, -1)

    together = [terms] if history is not None and history.layout == "time_major" else [(term,) for term in terms]
    return tuple(
        Slot(term.label, element, age)
        for group in together
        for age in ages(group[0].history)
        for term in group
        for element in contract.term_elements(term)
    )
