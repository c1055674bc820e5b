"""Where the numbers of each group and term stand in the flat observation."""

from __future__ import annotations

from policy_port.contract.layout import observation_slots
from policy_port.contract.spec import Contract


def named_columns(contract: Contract) -> dict[str, tuple[tuple[int, int], ...]]:
    """Column and age [control steps] of each number, in the order of the observation, by name of a group or a term.

    A name that a group and a term share stands for neither, unless both are the same numbers.
    """
    groups = {term.label: term.group for term in contract.observation.terms}
    by_term: dict[str, list[tuple[int, int]]] = {}
    by_group: dict[str, list[tuple[int, int]]] = {}
    for column, slot in enumerate(observation_slots(contract)):
        by_term.setdefault(slot.term, []).append((column, slot.age))
        if (group := groups[slot.term]) is not None:
            by_group.setdefault(group, []).append((column, slot.age))
    shared = {name for name in by_term.keys() & by_group.keys() if by_term[name] != by_group[name]}
    named = {**by_group, **by_term}
    return {name: tuple(slots) for name, slots in named.items() if name not in shared}
