"""Past steps of the observation, kept in a ring from which one gather lays all of them out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy_port.contract.layout import observation_slots
from policy_port.contract.spec import Contract
from policy_port.contract.term import UNBOUNDED


class HistoryRing:
    """The last steps of every environment; allocates nothing after its construction but at a reset."""

    def __init__(self, contract: Contract, observation: NDArray[np.float32]) -> None:
        """Make room for the oldest step that the contract lays out.

        Args:
            contract: The contract that lays the observation out.
            observation: What `push` fills, shape (num_envs, observation size).
        """
        terms, rows = contract.observation.terms, len(observation)
        slots, stacks = observation_slots(contract), [contract.observation.stack(term) for term in terms]
        columns = [(term.label, element) for term in terms for element in contract.term_elements(term)]
        place = {column: index for index, column in enumerate(columns)}
        width = len(columns)
        self._depth = 1 + max(max(stack.ages) for stack in stacks)
        self._observation = observation
        self._ring = np.zeros((rows, self._depth * width), np.float32)
        # A view per place of the ring: making one at each step would allocate.
        self._steps = [self._ring[:, at * width : (at + 1) * width] for at in range(self._depth)]
        back = [place[slot.term, slot.element] - slot.age * width for slot in slots]
        self._index = (np.array(back) + width * np.arange(self._depth)[:, None]) % self._ring.shape[1]
        self._rows = list(self._index)
        self._at = -1
        self._fill_first = np.repeat([stack.fill == "first" for stack in stacks], [*map(contract.term_size, terms)])
        self._zero = np.float32(nothing(contract))
        self._fresh = np.ones(rows, dtype=np.bool_)
        self._any_fresh = True

    def reset(self, rows: NDArray[np.bool_] | None) -> None:
        """The next step of these environments is the first one after their reset; of all, if None."""
        self._fresh[slice(None) if rows is None else rows] = True
        self._any_fresh = True

    def push(self, step: NDArray[np.float64]) -> None:
        """Add a step, shape (num_envs, step size), and lay out the observation."""
        self._at = at = (self._at + 1) % self._depth
        if self._any_fresh:
            self._fill(step)
        self._steps[at][...] = step
        # mode="clip" only because the other modes buffer `out`; the columns are in range by construction.
        self._ring.take(self._rows[at], 1, self._observation, "clip")

    def _fill(self, step: NDArray[np.float64]) -> None:
        fresh = np.flatnonzero(self._fresh)
        self._ring[fresh] = np.tile(np.where(self._fill_first, step[fresh], self._zero), self._depth)
        self._fresh[:] = False
        self._any_fresh = False


def nothing(contract: Contract) -> float:
    """What an element shows that shows nothing yet: zero, or the bound of the observation's clip next to it."""
    return float(np.clip(0.0, *(contract.observation.clip or UNBOUNDED)))
