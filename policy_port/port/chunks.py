"""Answers that hold many steps: which of them is performed when, as LeRobot's select_action does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Float32
from policy_port.errors import PortError
from policy_port.port.format import CHUNK, CHUNK_STEPS, TEMPORAL_ENSEMBLE

Rows = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Chunking:
    """How the chunks of a policy are performed."""

    length: int
    """Steps of one answer."""
    steps: int
    """Steps that are performed before the network is asked again."""
    ensemble: float | None
    """Coefficient of temporal ensembling: every step asks, and what all answers said of this step is averaged with
    weights exp(-coefficient * i), i = 0 for the oldest answer. None: the steps are performed as they are."""

    @classmethod
    def of(cls, metadata: Mapping[str, str], where: object) -> Chunking | None:
        """Read a graph's metadata; None for a policy that answers with one action.

        Raises:
            PortError: When it does not say how many steps are performed, or says what can't be.
        """
        if CHUNK not in metadata:
            return None
        if CHUNK_STEPS not in metadata:
            raise PortError(
                f"{where}: answers with chunks of {metadata[CHUNK]} actions and does not say how many are performed "
                "before it is asked again; an older version wrote it. Export it again"
            )
        ensemble = float(metadata[TEMPORAL_ENSEMBLE]) if TEMPORAL_ENSEMBLE in metadata else None
        chunking = cls(length=int(metadata[CHUNK]), steps=int(metadata[CHUNK_STEPS]), ensemble=ensemble)
        if not 1 <= chunking.steps <= chunking.length or (ensemble is not None and chunking.steps != 1):
            raise PortError(f"{where}: its metadata is no chunking that LeRobot knows: {chunking}; export it again")
        return chunking

    def plan(self, num_envs: int, action_size: int) -> Plan:
        """What keeps the answers between steps."""
        if self.ensemble is not None:
            return Ensemble(self.ensemble, self.length, num_envs, action_size)
        return Queue(self, num_envs, action_size)


class Plan(Protocol):
    """Answers under way, one per environment."""

    @property
    def is_due(self) -> bool:
        """True when some environment needs an answer for this step."""
        ...

    def answer(self, chunks: Float32) -> None:
        """Take the network's answers, shape (num_envs, length, action size); they are copied."""
        ...

    def step(self) -> Float32:
        """The action of this step, shape (num_envs, action size); the next call overwrites it."""
        ...

    def reset(self, rows: Rows | None = None) -> None:
        """Forget the answers of environments; of all, if `rows` is None."""
        ...


class Queue:
    """The first steps of each answer, one after the other; each environment is asked for at its own time."""

    def __init__(self, chunking: Chunking, num_envs: int, action_size: int) -> None:
        """Start with no answer."""
        self._steps = chunking.steps
        self._answers = np.zeros((num_envs, chunking.steps, action_size), np.float32)
        self._action = np.zeros((num_envs, action_size), np.float32)
        self._rows = np.arange(num_envs)
        self._next = np.full(num_envs, chunking.steps)
        """Step of its answer that each environment performs next; past the last one it has to be asked for."""

    @property
    def is_due(self) -> bool:
        """True when some environment needs an answer for this step."""
        return bool((self._next >= self._steps).any())

    def answer(self, chunks: Float32) -> None:
        """Take the network's answers; environments that are still performing theirs keep it."""
        due = self._next >= self._steps
        self._answers[due] = chunks[due, : self._steps]
        self._next[due] = 0

    def step(self) -> Float32:
        """The action of this step."""
        self._action[...] = self._answers[self._rows, self._next]
        self._next += 1
        return self._action

    def reset(self, rows: Rows | None = None) -> None:
        """Forget the answers of environments."""
        self._next[slice(None) if rows is None else rows] = self._steps


class Ensemble:
    """The average of all answers on the present step, computed online as LeRobot's ACTTemporalEnsembler does."""

    is_due = True

    def __init__(self, coefficient: float, length: int, num_envs: int, action_size: int) -> None:
        """Start with no answer."""
        self._weights = np.exp(-coefficient * np.arange(length)).astype(np.float32)
        self._sums = np.cumsum(self._weights, dtype=np.float32)
        self._averages = np.zeros((num_envs, length, action_size), np.float32)
        self._action = np.zeros((num_envs, action_size), np.float32)
        self._counts = np.zeros((num_envs, length), np.int64)
        """Number of answers behind each step that is still to come; 0 for none."""

    def answer(self, chunks: Float32) -> None:
        """Average the network's answers into those before."""
        counts = self._counts
        before = np.where(counts > 0, self._sums[counts - 1], np.float32(0.0))[..., None]
        # The oldest answer has the weight of rank 0, the newest one that of the number of those before it.
        mixed = (self._averages * before + chunks * self._weights[counts][..., None]) / self._sums[counts][..., None]
        self._averages[...] = np.where(counts[..., None] > 0, mixed, chunks)
        counts += 1

    def step(self) -> Float32:
        """The average on the present step; the steps to come move up."""
        self._action[...] = self._averages[:, 0]
        self._averages[:, :-1] = self._averages[:, 1:]
        self._counts[:, :-1] = self._counts[:, 1:]
        self._counts[:, -1] = 0
        return self._action

    def reset(self, rows: Rows | None = None) -> None:
        """Forget the answers of environments."""
        self._counts[slice(None) if rows is None else rows] = 0
