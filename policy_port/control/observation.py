"""From measured signals to the network's input, as the contract lays it out.

Each element of a step is `gain * clip(signal) + bias`: unit, default joint position, scale and offset are folded into
gain and bias once, so that a step is one gather and at most one clip, one product and one sum, whatever the terms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy_port.contract.spec import Contract
from policy_port.contract.term import UNBOUNDED
from policy_port.control.derived import updates
from policy_port.control.history import HistoryRing, nothing
from policy_port.control.shaping import Delay
from policy_port.control.signals import Signals
from policy_port.deploy.layout import affine, observed
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
        places, numbers = observed(contract)
        columns = [
            signals.column[signal] + (signals.joint_index[at] if isinstance(at, str) else at) for signal, at in places
        ]
        gain, bias, lower, upper = affine(numbers)
        self._source = signals.row
        self._columns = np.array(columns, dtype=np.intp)
        self._raw = np.zeros((rows, len(columns)))
        # One row per environment although all are equal: NumPy takes a third of the time when nothing is broadcast.
        self._lower = np.tile(lower, (rows, 1))
        self._upper = np.tile(upper, (rows, 1))
        self._gain = np.tile(gain, (rows, 1))
        self._bias = np.tile(bias, (rows, 1))
        self._clips = bool(np.isfinite(self._lower).any() or np.isfinite(self._upper).any())
        self._scales = bool((self._gain != 1.0).any())
        self._shifts = bool((self._bias != 0.0).any())
        self._clips_group = contract.observation.clip is not None
        self._group_lower, self._group_upper = (
            np.full_like(self._raw, bound) for bound in contract.observation.clip or UNBOUNDED
        )

        self.updates = updates(signals)
        """What computes the signals that nobody measures, to be called in this order."""
        self._delays, self._nothing = _delays(contract, self._raw.shape), nothing(contract)
        past = any(contract.observation.stack(term).ages != (0,) for term in contract.observation.terms)
        self._history = HistoryRing(contract, self.observation) if past else None

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        """The next observation of these environments is the first one after their reset; of all, if None."""
        for delay in self._delays:
            delay.reset(rows, self._nothing)
        if self._history is not None:
            self._history.reset(rows)

    def build(self) -> NDArray[np.float32]:
        """Build the observation of the present signals; call it once per control step.

        Returns:
            `self.observation`, shape (num_envs, observation size).
        """
        for update in self.updates:
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
        for delay in self._delays:
            delay(raw)
        if self._history is None:
            self.observation[...] = raw
        else:
            self._history.push(raw)
        return self.observation


def _delays(contract: Contract, shape: tuple[int, int]) -> list[Delay]:
    """The delays of a step's numbers: of those that show the first one before, and of those that show nothing."""
    late = [term.late for term in contract.observation.terms for _ in term.elements(contract)]
    found = []
    for fill in ("first", "zero"):
        lags = [delay.steps if delay.fill == fill else 0 for delay in late]
        if any(lags):
            found.append(Delay(shape, lags, first=fill == "first"))
    return found
