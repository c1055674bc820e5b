"""Signals that follow from the time since reset alone."""

from __future__ import annotations

import numpy as np

from policy_port.contract.time_terms import ElapsedTerm
from policy_port.control.signals import Signals


class Elapsed:
    """The share of its motion that has passed, of every elapsed term."""

    def __init__(self, signals: Signals) -> None:
        terms = [term for term in signals.contract.observation.terms if isinstance(term, ElapsedTerm)]
        self._time, self._out = signals.time, signals.view("elapsed")
        self._start = np.array([term.start for term in terms])
        self._rate = np.array([1.0 / term.length for term in terms])
        self._most = np.array([1.0 if term.end == "hold" else np.inf for term in terms])
        self._turn = np.array([1.0 if term.end == "repeat" else np.inf for term in terms])

    def update(self) -> None:
        """Recompute from the time as it stands."""
        np.add(self._time, self._start, self._out)
        np.multiply(self._out, self._rate, self._out)
        np.minimum(self._out, self._most, self._out)
        np.fmod(self._out, self._turn, self._out)
