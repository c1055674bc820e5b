"""From measured signals to the network's input, as the contract lays it out.

Each element of a step is `gain * clip(signal) + bias`: unit, default joint position, scale and offset are folded into
gain and bias once, so that a step is one gather and at most one clip, one product and one sum, whatever the terms.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract.layout import Slot, observation_slots
from policy_port.contract.spec import Contract
from policy_port.contract.term import UNBOUNDED
from policy_port.control.base_terms import READERS
from policy_port.control.command_terms import ShapedCommand
from policy_port.control.signals import Signals
from policy_port.errors import ContractError


class ObservationBuilder:
    """Builds observations from signals; allocates nothing after its construction."""

    def __init__(self, contract: Contract, signals: Signals, observation: NDArray[np.float32] | None = None) -> None:
        """Plan the gather.

        Args:
            contract: The contract that lays the observation out.
            signals: Where the numbers are read from.
            observation: Array to build into, shape (num_envs, observation size), C-contiguous; a new one, if None.

        Raises:
            TaskError: When a term can only be computed by a task environment.
            ContractError: When a joint is in a unit that has no fixed ratio to SI.
        """
        size, rows = contract.observation_size, signals.num_envs
        self.observation = np.zeros((rows, size), np.float32) if observation is None else observation
        if self.observation.shape != (rows, size):
            raise ContractError(
                f"contract '{contract.name}' describes observations of shape {(rows, size)}, "
                f"the policy reads {self.observation.shape}: {contract.widths()}"
            )
        columns, numbers = _elements(contract, signals)
        unit, shift, scale, offset, low, high = numbers.T
        self._source = signals.row
        self._columns = np.array(columns, dtype=np.intp)
        self._raw = np.zeros((rows, len(columns)))
        # One row per environment although all are equal: NumPy takes a third of the time when nothing is broadcast.
        self._lower = np.tile((low - shift) / unit, (rows, 1))
        self._upper = np.tile((high - shift) / unit, (rows, 1))
        self._gain = np.tile(scale * unit, (rows, 1))
        self._bias = np.tile(offset + scale * shift, (rows, 1))
        self._clips = bool(np.isfinite(self._lower).any() or np.isfinite(self._upper).any())
        self._scales = bool((self._gain != 1.0).any())
        self._shifts = bool((self._bias != 0.0).any())
        self._clips_group = contract.observation.clip is not None
        self._group_lower, self._group_upper = (
            np.full_like(self._raw, bound) for bound in contract.observation.clip or UNBOUNDED
        )

        read = dict.fromkeys(r.signal for term in contract.observation.terms for r in term.readings(contract))
        readers = [READERS[name](signals) for name in read if name in READERS]
        # What the network is shown of the command comes first: gait clocks go by it.
        shaped = [ShapedCommand(signals)] if contract.command.shaped else []
        self._updates = tuple(reader.update for reader in (*shaped, *readers))
        self._history = _History(contract, self.observation) if self.observation.shape[1] > len(columns) else None
        self._step = self.observation if self._history is None else self._history.step

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        """The next observation of these environments is the first one after their reset; of all, if None."""
        if self._history is not None:
            self._history.reset(rows)

    def build(self) -> NDArray[np.float32]:
        """Build the observation of the present signals; call it once per control step.

        Returns:
            `self.observation`, shape (num_envs, observation size).
        """
        for update in self._updates:
            update()
        raw = self._raw
        # mode="clip" only because the other modes buffer `out`; the columns are in range by construction.
        self._source.take(self._columns, 1, raw, "clip")
        if self._clips:
            np.maximum(raw, self._lower, raw)
            np.minimum(raw, self._upper, raw)
        if self._scales:
            np.multiply(raw, self._gain, raw)
        if self._shifts:
            np.add(raw, self._bias, raw)
        if self._clips_group:
            np.maximum(raw, self._group_lower, raw)
            np.minimum(raw, self._group_upper, raw)
        self._step[...] = raw
        if self._history is not None:
            self._history.push()
        return self.observation


class _History:
    """Stacks steps: the old observation and the new step stand side by side, and one gather shifts all of it."""

    def __init__(self, contract: Contract, observation: NDArray[np.float32]) -> None:
        layout = contract.observation.history
        assert layout is not None, "the contract states a layout wherever a term has history"
        rows, size = observation.shape
        slots = observation_slots(contract)
        position = {slot: index for index, slot in enumerate(slots)}
        present = [
            Slot(term.label, element, 0)
            for term in contract.observation.terms
            for element in contract.term_elements(term)
        ]
        newest = {(slot.term, slot.element): size + index for index, slot in enumerate(present)}
        self._observation = observation
        self._window = np.zeros((rows, size + len(present)), np.float32)
        self._past = self._window[:, :size]
        self.step = self._window[:, size:]
        """Where the new step goes, shape (num_envs, step size)."""
        self._newest = np.array([newest[slot.term, slot.element] for slot in slots], dtype=np.intp)
        self._shift = np.array(
            [
                newest[slot.term, slot.element] if slot.age == 0 else position[slot._replace(age=slot.age - 1)]
                for slot in slots
            ],
            dtype=np.intp,
        )
        self._fill_first = layout.fill == "first"
        self._zero = np.float32(np.clip(0.0, *(contract.observation.clip or UNBOUNDED)))
        self._fresh = np.ones(rows, dtype=np.bool_)
        self._any_fresh = True

    def reset(self, rows: NDArray[np.bool_] | None) -> None:
        self._fresh[slice(None) if rows is None else rows] = True
        self._any_fresh = True

    def push(self) -> None:
        if self._any_fresh:
            self._fill()
        self._window.take(self._shift, 1, self._observation, "clip")
        self._past[...] = self._observation

    def _fill(self) -> None:
        fresh = np.flatnonzero(self._fresh)
        filling = self._window[np.ix_(fresh, self._newest)] if self._fill_first else self._zero
        self._past[fresh] = filling
        self._fresh[:] = False
        self._any_fresh = False


def _elements(contract: Contract, signals: Signals) -> tuple[list[int], Array]:
    """Column of each number of one step, and its unit, shift, scale, offset and bounds, shape (numbers, 6).

    The number is scale * clip(unit * signal + shift) + offset.
    """
    columns: list[int] = []
    numbers: list[tuple[float, ...]] = []
    taken: Counter[str] = Counter()
    for term in contract.observation.terms:
        for element, (signal, place, unit, shift) in zip(term.elements(contract), term.readings(contract), strict=True):
            index = signals.joint_index[place] if isinstance(place, str) else taken[signal] + place
            columns.append(signals.column[signal] + index)
            scale, offset = term.entry("scale", element), term.entry("offset", element)
            numbers.append((unit, shift, scale, offset, *(term.entry("clip", element) or UNBOUNDED)))
        taken.update(term.columns(contract))
    return columns, np.array(numbers)
