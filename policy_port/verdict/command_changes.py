"""Changes of a contract's command and gait clocks: order of elements, slew limits, dead zones, waves, pace and rest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from policy_port.contract.base_terms import VelocityCommandTerm
from policy_port.contract.command_terms import CommandTerm, GaitClockTerm
from policy_port.contract.spec import Contract
from policy_port.contract.task_terms import GaitPhaseTerm
from policy_port.errors import EvidenceError
from policy_port.mistakes.changes import Changes, swapped
from policy_port.mistakes.edits import plain, snapped, validated, with_new_term, with_term
from policy_port.verdict.command_signals import CommandSignals
from policy_port.verdict.evidence import COMMAND, Evidence, Values
from policy_port.verdict.fits import present, settled_rows
from policy_port.verdict.layouts import OTHERWISE

MOST_PAIRS = 28
"""Exchanges of two elements that are tried: all, up to eight elements."""
SHARES = (0.5, 0.6, 0.55, 0.65, 0.7, 0.4, 0.45)
"""Shares of a cycle that feet usually stand."""
PACES = np.geomspace(0.5, 2.0, 401)
"""Periods that are tried, as shares of the stated one."""


def command_changes(contract: Contract, evidence: Evidence, failing: set[str]) -> Changes:
    """Other commands and other clocks for the terms that fail."""
    for term in contract.observation.terms:
        if term.label not in failing:
            continue
        if isinstance(term, CommandTerm | VelocityCommandTerm):
            yield from _shaped(contract, evidence, term)
            yield from _ordered(contract, term)
        elif isinstance(term, GaitClockTerm):
            yield from _waves(contract, term)
            yield from _rest(contract, evidence, term)
            yield from _pace(contract, evidence, term)
        elif isinstance(term, GaitPhaseTerm):
            yield from _cosine_first(contract, term)


def _ordered(contract: Contract, term: CommandTerm | VelocityCommandTerm) -> Changes:
    """Two elements exchanged, or all of them moved on; the scales go with their names, or stay in their places."""
    names = term.elements(contract)
    orders = [swapped(names, i, j) for i, j in itertools.combinations(range(len(names)), 2)][:MOST_PAIRS]
    if isinstance(term, VelocityCommandTerm):
        # Two exchanged are told as a reading of the trace; a turn rate before the velocity is not.
        orders = []
    orders += [(*names[k:], *names[:k]) for k in range(1, len(names)) if len(names) > 2]
    scales = {name: term.entry("scale", name) for name in names}
    for order in orders:
        words = f"{term.label}: elements in another order in the source, {', '.join(order)}"
        places = dict(zip(order, scales.values(), strict=True))
        for given in (scales, places) if len(set(scales.values())) > 1 else (scales,):
            new: dict[str, Any] = {"term": "command", "elements": list(order)}
            if set(given.values()) != {1.0}:
                same = next(iter(given.values())) if len(set(given.values())) == 1 else None
                new["scale"] = same if same is not None else {name: given[name] for name in order}
            if isinstance(term, CommandTerm):
                yield with_term(contract, term.label, elements=list(order), scale=new.get("scale")), words
            else:
                yield with_new_term(contract, term.label, new), words


def _with_element(contract: Contract, name: str, **changes: Any) -> Contract | None:
    """A contract whose command element has other keys; None takes one out."""
    data = plain(contract)
    command = data.setdefault("command", {})
    stated = command.get(name) or {}
    stated = dict(stated) if isinstance(stated, dict) else {"range": stated}
    stated |= changes
    command[name] = {key: value for key, value in stated.items() if value is not None}
    if not command[name]:
        del command[name]
    return validated(data)


def _shaped(contract: Contract, evidence: Evidence, term: CommandTerm | VelocityCommandTerm) -> Changes:
    """A slew limit or a dead zone too many, missing, or of another size."""
    for name, seen in zip(term.elements(contract), present(contract, evidence, term), strict=True):
        element, scale = contract.command.element(name), term.entry("scale", name)
        if name not in evidence.command_names or COMMAND not in evidence.arrays or not scale:
            continue
        if element.slew is not None:
            yield _with_element(contract, name, slew=None), f"{name}: slew limit {element.slew:g} too many"
        if element.dead_zone is not None:
            yield _with_element(contract, name, dead_zone=None), f"{name}: dead zone {element.dead_zone:g} too many"
        told = evidence.arrays[COMMAND][:, :, evidence.command_names.index(name)]
        shown = (seen - term.entry("offset", name)) / scale
        slew, zone = _slew(contract, evidence, shown), _zone(told, shown, element.default)
        for key, words, value in (("slew", "slew limit", slew), ("dead_zone", "dead zone", zone)):
            before = getattr(element, key)
            if value is not None and value != before:
                said = f"{words} {value:g} missing" if before is None else f"{words} {before:g} instead of {value:g}"
                yield _with_element(contract, name, **{key: value}), f"{name}: {said}"


def _slew(contract: Contract, evidence: Evidence, shown: Values) -> float | None:
    """The pace that several steps of what is shown share, and none exceeds [per s]."""
    steps = np.abs(np.diff(shown, axis=0))[~evidence.started[1:]]
    most = float(steps.max(initial=0.0))
    if most == 0.0 or (steps > 0.999 * most).sum() < 3:
        return None
    return snapped(most / contract.control_dt, 1e-3 * most / contract.control_dt)


def _zone(told: Values, shown: Values, rest: float) -> float | None:
    """The shortest number between what is told and not shown, and what is both."""
    away, still = np.abs(told - rest), np.abs(shown - rest) < 1e-6
    hidden, seen = away[still & (away > 1e-6)], away[~still & (np.abs(shown - told) < 1e-5)]
    low = float(hidden.max(initial=0.0))
    high = float(seen.min(initial=math.inf))
    return _between(low, high) if hidden.size else None


def _between(low: float, high: float) -> float | None:
    """The shortest number above one and not above the other."""
    if not low < high or high == math.inf:
        return None
    return next((v for d in range(1, 7) if low < (v := math.ceil(low * 10**d + 1e-9) / 10**d) <= high), high)


def _waves(contract: Contract, term: GaitClockTerm) -> Changes:
    """Waves in another order, sines for cosines, or half a turn off."""
    waves = [wave.model_dump(mode="json", exclude_none=True, exclude_defaults=True) for wave in term.waves]

    def put(other: list[dict[str, Any]], words: str) -> tuple[Contract | None, str]:
        return with_term(contract, term.label, elements=other), f"{term.label}: {words}"

    for i, j in itertools.combinations(range(len(waves)), 2):
        a, b = term.waves[i], term.waves[j]
        kinds = {a.wave, b.wave} == {"sin", "cos"} and a.offset == b.offset
        words = "sine and cosine exchanged" if kinds else f"waves {a.name} and {b.name} exchanged"
        yield put(list(swapped(waves, i, j)), words)
    other = {"sin": "cos", "cos": "sin", "phase": "phase"}
    yield put([wave | {"wave": other[wave["wave"]]} for wave in waves], "sine and cosine exchanged in every wave")
    half = [wave | {"offset": (wave.get("offset", 0.0) + 0.5) % 1.0} for wave in waves]
    yield put(half, "half a turn off")


def _threshold(contract: Contract, evidence: Evidence, term: GaitClockTerm) -> float | None:
    """The norm of the command between steps in which the clock stands still and those in which it moves."""
    signals, columns = CommandSignals(contract, evidence), np.stack(present(contract, evidence, term))
    try:
        told = [signals.element(name, term.label)[0] for name in term.norm_of]
    except EvidenceError:
        return None
    norm = np.sqrt(np.sum(np.square(told), axis=0))[1:]
    held = (np.abs(np.diff(columns, axis=1)) < 1e-6).all(axis=0)
    inside = ~evidence.started[1:]
    if not (held & inside).any():
        return None
    return _between(float(norm[held & inside].max()), float(norm[~held & inside].min(initial=math.inf)))


def _rest(contract: Contract, evidence: Evidence, term: GaitClockTerm) -> Changes:
    """What the clock does while the robot stands."""
    read = _threshold(contract, evidence, term)
    if term.below is not None:
        yield with_term(contract, term.label, standing=None, below=None), f"{term.label}: {OTHERWISE} (run)"
    if read is None:
        return
    for below in dict.fromkeys(limit for limit in (term.below, read) if limit is not None):
        for standing in (
            "freeze",
            "zero",
            {"phase": 0.5},
            {"phase": 0.0},
            {"phase": 0.5, "then": "restart"},
            {"value": 1.0},
        ):
            new = with_term(contract, term.label, standing=standing, below=below)
            if new is not None and new != contract:
                how = standing if isinstance(standing, str) else ", ".join(f"{k} {v}" for k, v in standing.items())
                yield new, f"{term.label}: {OTHERWISE} ({how})"


def _pace(contract: Contract, evidence: Evidence, term: GaitClockTerm) -> Changes:
    """Another period, and another start of the clock."""
    for share in SHARES:
        if share != term.stance:
            words = f"a foot stands {share:g} of a cycle in the source, not {term.stance}"
            yield with_term(contract, term.label, stance=share), f"{term.label}: {words}"
    if term.period is None:
        return
    for period, start in _fitted(contract, evidence, term):
        late = abs(start - term.start) > 1e-4
        words = f"period {term.period:g} s instead of {period:g} s" if period != term.period else "its period is right"
        if period != term.period:
            yield with_term(contract, term.label, period=period), f"{term.label}: {words}"
        if late:
            for turns in (0, -1):
                told = snapped(start + turns * period, 1e-4)
                side = "behind" if told < term.start else "ahead"
                said = f"the source's clock is {abs(told - term.start):g} s {side}"
                both = f"{words}, and {said}" if period != term.period else said
                yield with_term(contract, term.label, period=period, start=told or None), f"{term.label}: {both}"


def _fitted(contract: Contract, evidence: Evidence, term: GaitClockTerm) -> Iterator[tuple[float, float]]:
    """Period and start [s] of the first wave that is a sine or cosine, by least squares over the stated one's range."""
    rows = settled_rows(evidence) & evidence.counted
    index = next((k for k, wave in enumerate(term.waves) if wave.wave != "phase"), None)
    assert term.period is not None
    if index is None or rows.sum() < 8:
        return
    wave = term.waves[index]
    seen = present(contract, evidence, term)[index][rows]
    seen = (seen - term.entry("offset", wave.name)) / (term.entry("scale", wave.name) or 1.0)
    time = (evidence.age * contract.control_dt)[rows].astype(np.float64)
    shares = PACES
    best = term.period
    for _ in range(3):
        trials = best * shares
        angle = math.tau * time[None, :] / trials[:, None]
        sine, cosine = np.sin(angle), np.cos(angle)
        # What a sum of both explains of what was seen: b' G^-1 b of the normal equations.
        ss, cc, sc = (sine * sine).sum(1), (cosine * cosine).sum(1), (sine * cosine).sum(1)
        b, d = sine @ seen, cosine @ seen
        explained = (cc * b * b - 2.0 * sc * b * d + ss * d * d) / np.maximum(ss * cc - sc * sc, 1e-9)
        best = float(trials[int(explained.argmax())])
        shares = np.linspace(1.0 - 3.0 * (shares[1] / shares[0] - 1.0), 1.0 + 3.0 * (shares[1] / shares[0] - 1.0), 121)
    if term.stance != 0.5:
        # A stretched wave is no sine: what is best for one is near the truth, which somebody wrote as a round number.
        for share in (3e-2, 1e-2, 3e-3, 1e-3):
            yield snapped(best, share * best), term.start
            yield 1.0 / snapped(1.0 / best, share / best), term.start
        yield term.period, _stretched_start(term, time, seen, wave.offset)
        return
    period = snapped(best, 1e-4 * best, prefer=term.period)
    angle = math.tau * time / period
    (a, b), *_ = np.linalg.lstsq(np.stack([np.sin(angle), np.cos(angle)], axis=1), seen, rcond=None)
    turned = math.atan2(b, a) if wave.wave == "sin" else math.atan2(-a, b)
    start = (turned / math.tau - wave.offset) % 1.0 * period
    yield period, snapped(0.0 if start > (1.0 - 1e-4) * period else start, 1e-3 * period)


def _stretched_start(term: GaitClockTerm, time: Values, seen: Values, offset: float) -> float:
    """Start [s] at which a stretched wave of the stated period is what was seen, within half a millisecond."""
    assert term.period is not None
    share = term.stance if isinstance(term.stance, float) else 0.5
    starts = np.arange(0.0, term.period, 5e-4)
    phase = ((time[None, :] + starts[:, None]) / term.period + offset) % 1.0
    bent = 0.5 + 0.5 * (phase - share) / np.where(phase < share, share, 1.0 - share)
    kind = term.waves[0].wave
    shown = np.sin(math.tau * bent) if kind == "sin" else np.cos(math.tau * bent)
    return snapped(float(starts[int(np.abs(shown - seen).max(axis=1).argmin())]), 1e-6)


def _cosine_first(contract: Contract, term: GaitPhaseTerm) -> Changes:
    """Cosines before sines, or clock by clock, where a gait_phase has all sines first."""
    sines, cosines = (
        [{"wave": wave, **({"offset": offset} if offset else {})} for offset in term.offsets] for wave in ("sin", "cos")
    )
    paired = [list(pair) for pair in zip(sines, cosines, strict=True)]
    orders = {
        "sine and cosine exchanged": [*cosines, *sines],
        "sine and cosine exchanged, clock by clock": [wave for pair in paired for wave in pair[::-1]],
        "sine and cosine of each clock side by side": [wave for pair in paired for wave in pair],
    }
    for words, waves in orders.items():
        new = {"term": "gait_clock", **({"name": term.name} if term.name else {}), "elements": waves}
        if len(term.offsets) > 1 or words == "sine and cosine exchanged":
            yield with_new_term(contract, term.label, new | {"period": term.period}), f"{term.label}: {words}"
