"""Which block of the observation moves which action, which numbers move none, and which move them far too much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from policy_port.arrays import Array
from policy_port.closed_loop.symmetry import split
from policy_port.contract.joint_terms import JointVelTerm
from policy_port.contract.layout import Slot, observation_slots
from policy_port.contract.spec import Contract
from policy_port.contract.task_terms import ConstantTerm
from policy_port.contract.term import Term
from policy_port.probe.network import Response

DEAD = 1e-6
"""Share of its block's usual effect below which a number counts as dead."""
LOUD = 30.0
"""Effect, in those of its block's middle number of the same age, from which a number stands out."""
LATE = 2.0
"""Effect of a rad/s over that of a rad [s] from which velocities are none: right contracts have up to 0.08."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """One term of the observation, and what it does to the actions."""

    label: str
    """The term."""
    shares: tuple[float, ...]
    """Share of each action's movement that comes from it, in the action's order."""
    newest: float
    """Share of its effect that its newest step has; 1 without a history."""
    per_unit: float
    """Raw action per unit of the raw value, all steps moved together: root mean square over actions and elements."""

    @property
    def share(self) -> float:
        """Its share of the movement of the average action."""
        return float(np.mean(self.shares))


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """The blocks, and the numbers in them that are odd."""

    blocks: tuple[Block, ...]
    """In the observation's order."""
    dead: tuple[Slot, ...]
    """Numbers that move no action; those of constant terms aside."""
    loud: tuple[tuple[Slot, float], ...]
    """Numbers that move the actions many times as much as their block's middle one, and how many times."""
    still: tuple[str, ...]
    """Actions that nothing moves, by joint name."""
    exchanged: tuple[str, str, float] | None
    """A position and a velocity term that look exchanged, and the ratio of their effects [s]."""

    def groups(self, contract: Contract) -> dict[str, tuple[int, ...]]:
        """Places of the actions of joints of one kind, by kind."""
        found: dict[str, list[int]] = {}
        for place, name in enumerate(contract.action_joint_names):
            found.setdefault(split(name)[1], []).append(place)
        return {kind: tuple(places) for kind, places in found.items()}


def measure_blocks(contract: Contract, response: Response) -> Blocks:
    """Share the actions' movement out among the terms, and look for dead and loud numbers."""
    slots = observation_slots(contract)
    moved = response.square * response.spread**2
    total = moved.sum(axis=1)
    scale = np.where(total > 0.0, total, 1.0)
    blocks = []
    for term in contract.observation.terms:
        columns = [i for i, slot in enumerate(slots) if slot.term == term.label]
        newest = [i for i in columns if slots[i].age == min(contract.observation.stack(term).ages)]
        part = moved[:, columns].sum()
        blocks.append(
            Block(
                label=term.label,
                shares=tuple(float(x) for x in moved[:, columns].sum(axis=1) / scale),
                newest=float(moved[:, newest].sum() / part) if part > 0.0 else 0.0,
                per_unit=_per_unit(contract, term, columns, slots, response.mean),
            )
        )
    dead, loud = _odd(contract, response, slots)
    names = contract.action_joint_names
    return Blocks(
        blocks=tuple(blocks),
        dead=tuple(dead),
        loud=tuple(loud),
        still=tuple(name for name, amount in zip(names, total, strict=True) if amount == 0.0),
        exchanged=_exchanged(contract, tuple(blocks)),
    )


def _per_unit(contract: Contract, term: Term, columns: list[int], slots: tuple[Slot, ...], mean: Array) -> float:
    """Effect of a raw unit, all steps of the history moved together."""
    together = []
    for element in contract.term_elements(term):
        of_element = [i for i in columns if slots[i].element == element]
        together.append(mean[:, of_element].sum(axis=1) * term.entry("scale", element))
    return float(np.sqrt(np.mean(np.square(together))))


def _odd(
    contract: Contract, response: Response, slots: tuple[Slot, ...]
) -> tuple[list[Slot], list[tuple[Slot, float]]]:
    effect = np.sqrt(response.square.sum(axis=0))
    usual = np.median(effect[effect > 0.0]) if (effect > 0.0).any() else 0.0
    dead, loud = [], []
    for term in contract.observation.terms:
        if isinstance(term, ConstantTerm):
            continue
        columns = [i for i, slot in enumerate(slots) if slot.term == term.label]
        dead += [slots[i] for i in columns if effect[i] <= DEAD * usual]
        # A network may well hear the newest step alone, so each number is held against those of its own age.
        for age in dict.fromkeys(slots[i].age for i in columns):
            alike = [i for i in columns if slots[i].age == age]
            middle = float(np.median(effect[alike]))
            if middle > DEAD * usual:
                loud += [(slots[i], float(effect[i] / middle)) for i in alike if effect[i] > LOUD * middle]
    return dead, loud


def _exchanged(contract: Contract, blocks: tuple[Block, ...]) -> tuple[str, str, float] | None:
    """The first position term that moves the actions less, per rad, than a velocity term does per rad/s."""
    effect = {block.label: block.per_unit for block in blocks}
    terms = contract.observation.terms
    for position in (term.label for term in terms if term.term in ("joint_pos", "joint_pos_rel")):
        for velocity in (term.label for term in terms if isinstance(term, JointVelTerm)):
            if 0.0 < LATE * effect[position] < effect[velocity]:
                return position, velocity, effect[velocity] / effect[position]
    return None
