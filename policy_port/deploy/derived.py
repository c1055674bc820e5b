"""Signals that are computed, not measured: gravity in the base frame, gait clocks, the base at another point."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from policy_port.contract.base_terms import BaseLinVelTerm, MeasuredTerm
from policy_port.contract.command_terms import GaitClockTerm, StandingPhase, StandingValue
from policy_port.contract.place import place_signal
from policy_port.contract.task_terms import GaitPhaseTerm
from policy_port.contract.time_terms import ElapsedTerm
from policy_port.deploy import places
from policy_port.deploy.program import Value
from policy_port.deploy.reference import MOTION
from policy_port.deploy.sensed import sensed
from policy_port.deploy.source import Source, conjugate, cross, rotate

EXACT = 1e-9
"""A phase nearer than this below a whole cycle is at its start: rounding must not show the end instead [cycles]."""


def projected_gravity(source: Source) -> Value:
    """The world's (0, 0, -1) in the base frame, from a wxyz unit quaternion of base in world."""
    columns = list(source.layout.columns("base_quat"))
    w, x, y, _ = columns
    left = source.row[[x, w, y, w, x, y]]
    right = source.row[[columns[3], y, columns[3], x, x, y]]
    # Rows are the products xz, wy, yz, wx, xx, yy; columns are the components of the result.
    parts = np.array([[-2, 2, 0, 0, 0, 0], [0, 0, -2, -2, 0, 0], [0, 0, 0, 0, 2, 2]], dtype=np.float64).T
    return (left * right).times(parts) + np.array([0.0, 0.0, -1.0])


def gait_phase(source: Source, function: str) -> Value:
    """Sines or cosines of 2 pi (t / period + offset) for every offset of every gait_phase term."""
    terms = [term for term in source.contract.observation.terms if isinstance(term, GaitPhaseTerm)]
    rates = [math.tau / term.period for term in terms for _ in term.offsets]
    starts = [math.tau * offset for term in terms for offset in term.offsets]
    return (source.time * np.array(rates) + np.array(starts)).call(function)


def elapsed(source: Source) -> Value:
    """The share of its motion that has passed, of every elapsed term."""
    terms = [term for term in source.contract.observation.terms if isinstance(term, ElapsedTerm)]
    share = (source.time + np.array([term.start for term in terms])) * np.array([1.0 / term.length for term in terms])
    hold = [1.0 if term.end == "hold" else math.inf for term in terms]
    share = share.clip([-math.inf] * len(terms), hold)
    turns = np.array([term.end == "repeat" for term in terms])
    if not turns.any():
        return share
    return source.program.choose(turns, share - share.call("Floor"), share)


def moved(source: Source) -> Value:
    """Vectors of the base at another point or in other axes, of every term that reads one."""
    terms = [term for term in source.contract.observation.terms if isinstance(term, MeasuredTerm) and term.moved]
    return source.program.concat([_moved(term, source) for term in terms])


def _moved(term: MeasuredTerm, source: Source) -> Value:
    """A velocity at another point is v + w x r."""
    contract, told, vector = source.contract, source.layout.sizes, source.found(term.term)
    if isinstance(term, BaseLinVelTerm) and term.point not in (None, "link"):
        name = "" if isinstance(term.point, tuple) else place_signal(term.point, "pos")
        at = source.signal(name) if name in told else places.point(term, contract, source.mountings)
        vector = vector + cross(source.signal("base_ang_vel"), at)
    if term.axes_of is None:
        return vector
    name = place_signal(term.axes_of, "quat")
    if name in told:
        return rotate(conjugate(source.signal(name)), vector)
    return vector.times(places.rotation(term, contract, source.mountings))


def command_in_force(source: Source) -> Value:
    """The command as the network sees it: dead zone first, then the slew limit, from the defaults at reset."""
    command, program, states = source.contract.command, source.program, source.states
    elements, rest = [command.element(name) for name in command.names], np.array(command.defaults)
    zone = np.array([element.dead_zone or 0.0 for element in elements])
    period = source.contract.control_dt
    most = np.array([math.inf if element.slew is None else element.slew * period for element in elements])
    before = program.where(states.fresh, rest, states.take("command_in_force", len(elements)))
    told = source.signal("velocity_command")
    wanted = program.where((told - rest).call("Abs") < zone, rest, told)
    way = wanted - before
    limited = program.where(way < 0.0, before - most, before + most)
    shown = program.where((way.call("Abs") > most), limited, wanted)
    states.put("command_in_force", shown)
    return shown


def gait_clock(source: Source) -> Value:
    """Every wave of every gait_clock term."""
    terms = [term for term in source.contract.observation.terms if isinstance(term, GaitClockTerm)]
    return source.program.concat([_clock(term, source, number) for number, term in enumerate(terms)])


def _clock(term: GaitClockTerm, source: Source, number: int) -> Value:
    program, states, dt, waves = source.program, source.states, source.contract.control_dt, len(term.waves)
    column = {name: index for index, name in enumerate(source.contract.command.names)}
    offsets = np.array([wave.offset for wave in term.waves])
    phase = states.take(f"gait_phase_{number}", waves)
    if term.frequency is None:
        assert term.period is not None
        rate, began = None, term.start / term.period + offsets
        forward: Value | float = dt / term.period
    else:
        rate = source.command[column[term.frequency]]
        began, forward = rate * term.start + offsets, rate * dt
    standing = _standing(term, source, column)
    held = standing is not None and (term.standing == "freeze" or isinstance(term.standing, StandingPhase))
    if held:
        assert standing is not None
        forward = program.where(standing, 0.0, forward) if isinstance(forward, Value) else _still(standing, forward)
    again = states.fresh
    if isinstance(term.standing, StandingPhase) and term.standing.then == "restart":
        assert standing is not None
        stood = states.take(f"gait_stood_{number}", 1) > 0.5
        again = program.apply("Or", again, stood.both(standing.inverted()))
        states.put(f"gait_stood_{number}", standing.cast("float64"))
    phase = program.where(again, began, program.apply("Add", phase, forward))
    if isinstance(term.standing, StandingPhase):
        assert standing is not None
        phase = program.where(standing, term.standing.phase, phase)
    phase = phase - phase.call("Floor")
    states.put(f"gait_phase_{number}", phase)
    return _shown(term, source, phase, column, standing)


def _still(standing: Value, forward: float) -> Value:
    """How far a clock goes that stands still with the robot."""
    return standing.inverted().cast("float64") * forward


def _standing(term: GaitClockTerm, source: Source, column: Mapping[str, int]) -> Value | None:
    """Whether the robot is told to stand."""
    if term.below is None:
        return None
    told = source.command[[column[name] for name in term.norm_of]]
    length = (told * told).times(np.ones((told.width, 1))).call("Sqrt")
    return length < term.below


def _shown(
    term: GaitClockTerm, source: Source, phase: Value, column: Mapping[str, int], standing: Value | None
) -> Value:
    """What the waves show of their phases."""
    program, shown = source.program, phase
    plus = np.zeros((len(column), phase.width))
    for place, wave in enumerate(term.waves):
        for name in wave.plus:
            plus[column[name], place] += 1.0
    if plus.any():
        shown = shown + source.command.times(plus)
    shown = shown - (shown + EXACT).call("Floor")
    if term.stance != 0.5:
        share: Value | float = source.command[column[term.stance]] if isinstance(term.stance, str) else term.stance
        first = shown * 0.5 / share
        rest = program.apply("Sub", shown, share) * 0.5
        rest = rest / (share * -1.0 + 1.0 if isinstance(share, Value) else 1.0 - share) + 0.5
        shown = program.where(shown < share, first, rest)
    angle = shown * math.tau
    for kind, function in (("sin", "Sin"), ("cos", "Cos")):
        mine = np.array([wave.wave == kind for wave in term.waves])
        if mine.any():
            turned = angle.call(function)
            shown = turned if mine.all() else program.choose(mine, turned, shown)
    if isinstance(term.standing, StandingValue) or term.standing == "zero":
        assert standing is not None
        number = term.standing.value if isinstance(term.standing, StandingValue) else 0.0
        shown = program.where(standing, number, shown)
    return shown


DERIVED: dict[str, Callable[[Source], Value]] = {
    "projected_gravity": projected_gravity,
    "gait_sin": partial(gait_phase, function="Sin"),
    "gait_cos": partial(gait_phase, function="Cos"),
    "gait_clock": gait_clock,
    "moved": moved,
    "sensed": sensed,
    "elapsed": elapsed,
    "command_in_force": command_in_force,
    **MOTION,
}
"""What computes a signal, by its name."""
