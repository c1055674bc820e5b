"""Joint orders that somebody uses, and what another order looks like in words."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import yaml

from policy_port.contract.mapping import load_mapping
from policy_port.contract.spec import Contract
from policy_port.errors import MappingError
from policy_port.resources import mappings_dir

Names = tuple[str, ...]

TRACE = "the trace's joint_names"
"""Whose order the columns of a trace have."""


def known_orders(contract: Contract, seen: Names, who_saw: str = TRACE) -> dict[Names, str]:
    """Orders of exactly the contract's joints that somebody uses, and who.

    Args:
        contract: The contract.
        seen: Order of a trace's or a simulator's joints; it counts where it names exactly the contract's.
        who_saw: Whose that is.
    """
    found = {}
    names = set(contract.joint_names)
    if set(seen) == names:
        found[seen] = who_saw
    for order, who in _shipped_orders().items():
        if set(order) == names:
            found.setdefault(order, who)
    for order in (contract.joint_names, *list(found)):
        swapped = tuple(_other_side(name) for name in order)
        if set(swapped) == names:
            found.setdefault(swapped, "left and right exchanged")
    return found


def exchanged(old: Sequence[str], new: Sequence[str]) -> tuple[str, str] | None:
    """The two entries that changed places; None where it is another change."""
    moved = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
    return moved[0] if len(moved) == 2 and moved[0] == moved[1][::-1] else None


def order_words(old: Names, new: Names, seen: Names) -> str:
    """What another order looks like: two joints exchanged, left and right, or somebody's order; see `known_orders`."""
    two = exchanged(old, new)
    if two is not None:
        return f"{two[0]} and {two[1]} exchanged"
    if tuple(_other_side(name) for name in old) == new:
        return "left and right exchanged"
    who = _shipped_orders().get(new, TRACE if new == seen else "")
    return f"joints in another order; the source has {listed(new, 6)}" + (f" ({who})" if who else "")


def listed(texts: Sequence[str], most: int = 4) -> str:
    """The texts on one line, cut short where they are many."""
    return ", ".join(texts[:most]) + (", ..." if len(texts) > most else "")


@functools.cache
def _shipped_orders() -> dict[Names, str]:
    found: dict[Names, str] = {}
    for file in sorted(mappings_dir().glob("*.yaml")):
        try:
            mapping = load_mapping(file)
        except (MappingError, yaml.YAMLError):
            continue
        found.setdefault(mapping.source_joint_names, mapping.source or f"source of {file.stem}")
        found.setdefault(mapping.target_joint_names, mapping.target or f"target of {file.stem}")
    return found


def _other_side(name: str) -> str:
    for left, right in (("left", "right"), ("LF_", "RF_"), ("LH_", "RH_"), ("FL_", "FR_"), ("RL_", "RR_")):
        if name.startswith(left):
            return right + name.removeprefix(left)
        if name.startswith(right):
            return left + name.removeprefix(right)
    return name
