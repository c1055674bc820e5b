"""Raw numbers recorded in another unit than a trace's, such as degrees, named as what they are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from policy_port.contract.base_terms import BaseTerm
from policy_port.contract.joint_terms import JointTerm
from policy_port.contract.spec import Contract
from policy_port.verdict.evidence import Evidence
from policy_port.verdict.fits import fit, present, settled_rows
from policy_port.verdict.rebuild import factors
from policy_port.verdict.signals import RecordedSignals

CLOSE = 1e-3
"""Relative difference within which a factor is a unit's."""


class Unit(NamedTuple):
    """A unit that somebody records in."""

    name: str
    """Its name, for a position and for a rate."""
    si: float
    """What one of it is in a trace's unit."""
    rate: str


UNITS = (
    Unit("degrees", math.pi / 180.0, "degrees per second"),
    Unit("turns", math.tau, "turns per second"),
    Unit("revolutions per minute", math.tau / 60.0, "revolutions per minute"),
    Unit("encoder ticks (4096 a turn)", math.tau / 4096.0, "encoder ticks (4096 a turn) per second"),
)

TURNING = ("joint_pos", "joint_vel", "target", "base_ang_vel", "command")
"""Arrays that hold angles or their rates; of the command, ang_vel_z alone."""

RATES = ("joint_vel", "base_ang_vel", "command")

SI = {"joint_pos": "rad", "target": "rad", "joint_vel": "rad/s", "base_ang_vel": "rad/s", "command": "rad/s"}

UnitReadings = Iterator[tuple[Evidence, str, str]]


def unit_of(ratio: float) -> Unit | None:
    """The unit whose factor to SI this is, either way round."""
    size = abs(ratio)
    near = (unit for unit in UNITS if any(math.isclose(size, each, rel_tol=CLOSE) for each in (unit.si, 1 / unit.si)))
    return next(near, None) if size else None


def short(value: float) -> bool:
    """Whether somebody would have written the number: three digits at most."""
    return math.isclose(value, float(f"{value:.3g}"), rel_tol=1e-6)


def is_the_traces(old: Sequence[float], new: Sequence[float], *, out: bool = False) -> bool:
    """Whether scales that a trace asks for are those of the contract in another unit of the trace.

    What the contract states is a number that somebody wrote, what it would have to be is not, and the ratio of the two
    is what turns a unit into SI: then the raw numbers are in that unit, and the contract is right.

    Args:
        old: The scales that the contract states.
        new: Those that the trace asks for.
        out: They lead to what was recorded in that unit, a target, and not from it.
    """
    pairs = [(a, b) for a, b in zip(old, new, strict=True) if not math.isclose(a, b, rel_tol=1e-9)]
    factors_of = {1.0 / unit.si if out else unit.si for unit in UNITS}
    return bool(pairs) and all(
        a != 0.0
        and any(math.isclose(abs(b / a), factor, rel_tol=CLOSE) for factor in factors_of)
        and short(a)
        and not short(b)
        for a, b in pairs
    )


def unit_words(old: float, new: float) -> str:
    """What a scale is wrong by, where that is a unit: "; in degrees in the source", or nothing."""
    unit = unit_of(new / old) if old and new else None
    if unit is None:
        gravity = new and old and any(math.isclose(abs(new / old), g, rel_tol=2e-3) for g in (9.81, 1.0 / 9.81))
        return ": a factor of 9.81 m/s^2, where gravity is a unit vector (g)" if gravity else ""
    if abs(new) > abs(old):
        return f": the source shows {unit.name} where the contract has radians" if unit.si < 1.0 else ""
    return f": the contract has {unit.name} where the source shows radians" if unit.si < 1.0 else ""


def unit_readings(contract: Contract, evidence: Evidence, failing: set[str]) -> UnitReadings:
    """Arrays read in another unit; all arrays of the joints together as well, as drivers speak one unit."""
    arrays = [name for name in ("joint_pos", "joint_vel", "target") if name in evidence.arrays]
    seen = _suspected(contract, evidence, failing)
    for name, unit in seen:
        yield _read(evidence, (name,), unit)
    for unit in dict.fromkeys(unit for name, unit in seen if name in arrays):
        if len(arrays) > 1:
            yield _read(evidence, tuple(arrays), unit)
    if "target" in failing:
        for unit in UNITS:
            yield _read(evidence, ("target",), unit)
            yield _read(evidence, tuple(arrays), unit)


def _read(evidence: Evidence, names: tuple[str, ...], unit: Unit) -> tuple[Evidence, str, str]:
    changed = {}
    for name in names:
        changed[name] = evidence.arrays[name] * unit.si
        if name == "command":
            changed[name] = np.where(
                np.array(evidence.command_names) == "ang_vel_z", changed[name], evidence.arrays[name]
            )
    units = {name: unit.rate if name in RATES else unit.name for name in names}
    words = "; ".join(
        f"{'ang_vel_z of ' if name == 'command' else ''}{name}: recorded in {said}, not in {SI[name]}"
        for name, said in units.items()
    )
    remedy = f"the contract is right: record {', '.join(names)} in SI units (1 {unit.name} is {unit.si:.9g})"
    return evidence.with_arrays(changed), words, remedy


def _suspected(contract: Contract, evidence: Evidence, failing: set[str]) -> list[tuple[str, Unit]]:
    """Arrays whose failing terms are off by a unit's factor."""
    signals, rows = RecordedSignals(contract, evidence), settled_rows(evidence)
    array = {"joint_pos_rel": "joint_pos", "velocity_command": "command", "joint_target": "target"}
    found: dict[tuple[str, Unit], None] = {}
    for term in contract.observation.terms:
        name = array.get(term.term, term.term)
        if term.label not in failing or name not in TURNING or not isinstance(term, BaseTerm | JointTerm):
            continue
        for element, recorded in zip(contract.term_elements(term), present(contract, evidence, term), strict=True):
            if name == "command" and element != "ang_vel_z":
                continue
            raw, scale = signals.of(term, element), factors(contract, term, element)[0]
            line = fit(recorded, raw.values, rows & raw.known, rounding=evidence.rounding, size=raw.size)
            unit = unit_of(scale / line.gain) if line.tells and line.gain else None
            if unit is None and line.explains and not line.tells and name in ("command", "base_ang_vel"):
                # What never moves still has a ratio: a command is held.
                ratio = scale * float(raw.values.flat[0]) / (float(recorded.flat[0]) or np.inf)
                unit = unit_of(ratio)
            if unit is not None and line.explains:
                found[name, unit] = None
    return list(found)
