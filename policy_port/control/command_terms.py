"""Signals that follow from the command and from the time: the command in force, and gait clocks wave by wave."""

from __future__ import annotations

import math

import numpy as np

from policy_port.arrays import Array
from policy_port.contract.command_terms import GaitClockTerm, StandingPhase, StandingValue
from policy_port.control.signals import Signals

EXACT = 1e-9
"""A phase nearer than this below a whole cycle is at its start: rounding must not show the end instead [cycles]."""


class ShapedCommand:
    """The command as the network sees it: dead zone first, then the slew limit, from the defaults at reset."""

    def __init__(self, signals: Signals) -> None:
        command, period = signals.contract.command, signals.contract.control_dt
        elements = [command.element(name) for name in command.names]
        self._told, self._out = signals.command, signals.view("command_in_force")
        self._time = signals.time
        self._rest = np.array(command.defaults)
        self._zone = np.array([element.dead_zone or 0.0 for element in elements])
        self._most = np.array([math.inf if element.slew is None else element.slew * period for element in elements])

    def update(self) -> None:
        """Move one control step towards what is told."""
        out = self._out
        out[self._time[:, 0] == 0.0] = self._rest
        wanted = np.where(np.abs(self._told - self._rest) < self._zone, self._rest, self._told)
        # Added to the old value, a slew limit reached would miss what is told by a rounding.
        near = np.abs(wanted - out) <= self._most
        out[...] = np.where(near, wanted, out + np.copysign(self._most, wanted - out))


class GaitWaves:
    """Every wave of every gait_clock term."""

    def __init__(self, signals: Signals) -> None:
        terms = [term for term in signals.contract.observation.terms if isinstance(term, GaitClockTerm)]
        out, first = signals.view("gait_clock"), 0
        self._clocks: list[_Clock] = []
        for term in terms:
            self._clocks.append(_Clock(term, signals, out[:, first : first + len(term.waves)]))
            first += len(term.waves)

    def update(self) -> None:
        """Advance every clock by one control step; the first one after a reset starts it."""
        for clock in self._clocks:
            clock.update()


class _Clock:
    def __init__(self, term: GaitClockTerm, signals: Signals, out: Array) -> None:
        contract = signals.contract
        self._term, self._out, self._time, self._dt = term, out, signals.time, contract.control_dt
        self._command = signals.view("command_in_force" if contract.command.shaped else "velocity_command")
        column = {name: index for index, name in enumerate(contract.command.names)}
        self._pace = [] if term.frequency is None else [column[term.frequency]]
        self._share = [column[term.stance]] if isinstance(term.stance, str) else []
        self._norm_of = [column[name] for name in term.norm_of] if term.below is not None else []
        self._plus = np.zeros((len(column), len(term.waves)))
        for place, wave in enumerate(term.waves):
            for name in wave.plus:
                self._plus[column[name], place] += 1.0
        self._offsets = np.array([wave.offset for wave in term.waves])
        self._kinds = [(kind, [wave.wave == kind for wave in term.waves]) for kind in ("sin", "cos")]
        self._phase = np.zeros_like(out)
        self._stood = np.zeros(len(out), dtype=np.bool_)

    def update(self) -> None:
        term, phase = self._term, self._phase
        rate = 1.0 / term.period if term.period is not None else self._command[:, self._pace]
        fresh = self._time[:, 0] == 0.0
        began = np.broadcast_to(term.start * rate + self._offsets, phase.shape)
        standing = np.zeros(len(phase), dtype=np.bool_)
        if term.below is not None:
            standing = np.linalg.norm(self._command[:, self._norm_of], axis=1) < term.below
        held = ~standing if term.standing == "freeze" or isinstance(term.standing, StandingPhase) else None
        phase += self._dt * rate if held is None else self._dt * rate * held[:, None]
        phase[fresh] = began[fresh]
        if isinstance(term.standing, StandingPhase):
            if term.standing.then == "restart":
                again = self._stood & ~standing & ~fresh
                phase[again] = began[again]
            phase[standing] = term.standing.phase
            self._stood[:] = standing
        phase -= np.floor(phase)
        shown = phase + self._command @ self._plus
        shown -= np.floor(shown + EXACT)
        if term.stance != 0.5:
            share = term.stance if isinstance(term.stance, float) else self._command[:, self._share]
            shown = np.where(shown < share, 0.5 * shown / share, 0.5 + 0.5 * (shown - share) / (1.0 - share))
        self._out[...] = shown
        for kind, mine in self._kinds:
            angle = math.tau * shown[:, mine]
            self._out[:, mine] = np.sin(angle) if kind == "sin" else np.cos(angle)
        if isinstance(term.standing, StandingValue):
            self._out[standing] = term.standing.value
        elif term.standing == "zero":
            self._out[standing] = 0.0
