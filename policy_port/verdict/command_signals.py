"""What a trace says the network was told, and gait clocks over a whole trace: a second way to what the loop shows.

Phases are sums over the steps of an episode here, not one step after the other; only a slew limit has to go step by
step.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from policy_port.contract.command_terms import GaitClockTerm, StandingPhase, StandingValue
from policy_port.contract.spec import Contract
from policy_port.errors import EvidenceError, closest
from policy_port.verdict.evidence import COMMAND, Evidence, Mask, Values
from policy_port.verdict.time_signals import since_reset


class CommandSignals:
    """Elements of the command as the network sees them, and the waves of gait clocks."""

    def __init__(self, contract: Contract, evidence: Evidence) -> None:
        self._contract, self._evidence = contract, evidence
        self._kept: dict[str, tuple[Values, Mask]] = {}

    def element(self, name: str, where: str) -> tuple[Values, Mask]:
        """An element after dead zone and slew limit, and where it is known, both (steps, environments).

        Raises:
            EvidenceError: When the trace does not hold what was told.
        """
        if name not in self._kept:
            self._kept[name] = self._in_force(name, self._told(name, where))
        return self._kept[name]

    def size(self, name: str) -> float:
        """Largest magnitude of what was told."""
        return float(np.abs(self._told(name, name)).max(initial=0.0))

    def wave(self, term: GaitClockTerm, element: str) -> tuple[Values, Mask]:
        """A wave of a gait clock, and where it is known, both (steps, environments).

        Raises:
            EvidenceError: When the trace does not hold the command that the clock goes by.
        """
        wave = term.waves[term.elements(self._contract).index(element)]
        where = f"'{term.label}' of contract '{self._contract.name}'"
        known = np.ones(self._evidence.shape, dtype=np.bool_)
        for name in term.reads:
            known &= self.element(name, where)[1]
        turns, told = self._turns(term, wave.offset, where)
        turns = turns + sum(self.element(name, where)[0] for name in wave.plus)
        turns = turns - np.floor(turns + 1e-9)
        if term.stance != 0.5:
            share = term.stance if isinstance(term.stance, float) else self.element(str(term.stance), where)[0]
            rest = turns - share
            turns = 0.5 + 0.5 * rest / np.where(rest < 0.0, share, 1.0 - share)
        match wave.wave:
            case "sin":
                values = np.sin(math.tau * turns)
            case "cos":
                values = np.cos(math.tau * turns)
            case _:
                values = turns
        if term.standing == "zero" or isinstance(term.standing, StandingValue):
            rest = term.standing.value if isinstance(term.standing, StandingValue) else 0.0
            values = np.where(self._standing(term, where), rest, values)
        return values, known & told

    def turns(self, term: GaitClockTerm) -> float:
        """The largest angle that a clock may have turned by [rad]: rounding is relative to that."""
        seconds = float(self._evidence.age.max(initial=0)) * self._contract.control_dt + abs(term.start)
        fastest = 1.0 / term.period if term.period is not None else self.size(term.frequency or "")
        return math.tau * seconds * fastest

    def _told(self, name: str, where: str) -> Values:
        evidence = self._evidence
        command = evidence.array(COMMAND, wanted_by=where)
        if name not in evidence.command_names:
            raise EvidenceError(
                f"{evidence.path}: the trace's command has no element '{name}' of {where}"
                f"{closest(name, evidence.command_names) or '.'} Its elements are {', '.join(evidence.command_names)}; "
                "record it as well, and name the columns in the header's command_names"
            )
        return command[:, :, evidence.command_names.index(name)]

    def _in_force(self, name: str, told: Values) -> tuple[Values, Mask]:
        evidence, element = self._evidence, self._contract.command.element(name)
        known = np.ones(evidence.shape, dtype=np.bool_)
        if element.dead_zone is not None:
            told = np.where(np.abs(told - element.default) < element.dead_zone, element.default, told)
        if element.slew is None:
            return told, known
        most, started, found = element.slew * self._contract.control_dt, evidence.started, np.empty_like(told)
        for step, wanted in enumerate(told):
            before = np.where(started[step], element.default, found[step - 1])
            found[step] = np.clip(wanted, before - most, before + most)
        return found, known & evidence.whole

    def _standing(self, term: GaitClockTerm, where: str) -> Mask:
        squares = sum(self.element(name, where)[0] ** 2 for name in term.norm_of)
        return np.sqrt(squares) < (term.below or 0.0)

    def _turns(self, term: GaitClockTerm, offset: float, where: str) -> tuple[Values, Mask]:
        """Phase of a wave before it is wrapped [cycles], and where the trace reaches back to the start of the clock."""
        evidence, dt = self._evidence, self._contract.control_dt
        sets = isinstance(term.standing, StandingPhase)
        if term.period is not None and term.standing != "freeze" and not sets:
            known = evidence.counted if evidence.time is None else np.ones(evidence.shape, dtype=np.bool_)
            return (since_reset(evidence, dt) + term.start) / term.period + offset, known
        if term.period is not None:
            rate = np.full(evidence.shape, 1.0 / term.period)
        else:
            rate = self.element(term.frequency or "", where)[0]
        began = term.start * rate + offset
        moved = dt * rate
        stood = np.zeros(evidence.shape, dtype=np.bool_)
        if term.standing == "freeze" or sets:
            stood = self._standing(term, where)
            moved = np.where(stood, 0.0, moved)
        # What was moved since some step is what was moved since the trace's beginning, less what had been by then.
        way = np.cumsum(moved, axis=0)

        def since(at: NDArray[np.intp], values: Values) -> Values:
            return np.take_along_axis(values, at, axis=0) + way - np.take_along_axis(way, at, axis=0)

        turns = since(evidence.since, began)
        if isinstance(term.standing, StandingPhase):
            rows = np.arange(evidence.shape[0])[:, None]
            last = np.maximum.accumulate(np.where(stood, rows, -1), axis=0)
            after = np.where(stood, rows, np.minimum(last + 1, rows))
            again = began if term.standing.then == "restart" else term.standing.phase + moved
            resumed = since(after, np.where(stood, term.standing.phase, again))
            turns = np.where(last >= evidence.since, resumed, turns)
        return turns, evidence.whole
