"""Changes in which the same numbers are laid out otherwise: history, the order of terms, terms that are others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from policy_port.contract.base_terms import VELOCITY_COMMAND, BaseLinVelTerm
from policy_port.contract.command_terms import GaitClockTerm
from policy_port.contract.spec import Contract
from policy_port.contract.task_terms import GaitPhaseTerm
from policy_port.contract.terms import ObservationTerm
from policy_port.errors import EvidenceError
from policy_port.mistakes.changes import Changes, clock, kinds_of_width, term_order_changes
from policy_port.mistakes.edits import snapped, unlike_others, with_new_term, with_observation, with_term
from policy_port.mistakes.histories import history_changes
from policy_port.verdict.elapsed import elapsed_changes
from policy_port.verdict.evidence import Evidence, Values
from policy_port.verdict.fits import PLATEAU, fit, moves, present, settled_rows
from policy_port.verdict.recorded_arrays import COM
from policy_port.verdict.signals import RecordedSignals, Signal

USUAL_CLIPS = (1.0, 3.0, 5.0, 10.0, 18.0, 20.0, 100.0)
"""Bounds that trainers put on whole observations."""


HELD = ("velocity_command", "goal", "joint_target", "last_action")
"""Kinds of terms that stand still where nobody asks for anything else."""

OTHERWISE = "while the robot stands the source's clock does otherwise"


def layout_changes(contract: Contract, evidence: Evidence, failing: set[str]) -> Changes:
    """Another history, another clip, or another term in the place of one that fails."""
    if failing & {term.label for term in contract.observation.terms}:
        yield from history_changes(contract)
        yield from _clips(contract, evidence, failing)
    for term in contract.observation.terms:
        if term.label in failing:
            yield from _replaced(contract, evidence, term)
    yield from elapsed_changes(contract, evidence, failing)


def place_changes(contract: Contract, evidence: Evidence, failing: set[str]) -> Changes:
    """Two terms exchanged, or one term moved."""
    if len(failing & {term.label for term in contract.observation.terms}) >= 2:
        unseen = {term.label for term in contract.observation.terms if term.term == "external"} | {*evidence.blind}
        yield from term_order_changes(contract, {term.label for term in contract.observation.terms} - failing - unseen)


def _clips(contract: Contract, evidence: Evidence, failing: set[str]) -> Changes:
    """A clip of the whole observation, or of one term."""
    bounds = {(-value, value) for value in USUAL_CLIPS}
    bounds |= {pair for pair in [_plateaus(list(np.moveaxis(evidence.arrays["observation"], 2, 0)))] if pair}
    if contract.observation.clip is not None:
        yield with_observation(contract, clip=None), f"clip to {list(contract.observation.clip)} too many"
    for low, high in sorted(bounds):
        yield with_observation(contract, clip=[low, high]), f"clip to [{low:g}, {high:g}] missing"
    for term in contract.observation.terms:
        if term.label not in failing or term.term in ("gait_phase", "constant", "external", "goal"):
            continue
        if getattr(term, "clip", None) is not None:
            words = f"{term.label}: clip too many"
            yield with_term(contract, term.label, clip=None), words
        pair = _plateaus(present(contract, evidence, term))
        scale = getattr(term, "scale", 1.0)
        if pair and isinstance(scale, int | float) and scale:
            low, high = sorted(float(f"{value / scale:.6g}") for value in pair)
            words = f"{term.label}: clip to [{low:g}, {high:g}] missing"
            yield with_term(contract, term.label, clip=[low, high]), words


def _plateaus(columns: list[Values]) -> tuple[float, float] | None:
    """The bounds that several rows stand at exactly, where there are any."""
    every = np.stack(columns)
    low, high = float(every.min()), float(every.max())
    at_low, at_high = int((every == low).sum()), int((every == high).sum())
    if max(at_low, at_high) < PLATEAU or low >= high:
        return None
    if at_low < PLATEAU or at_high < PLATEAU:
        bound = high if at_high >= PLATEAU else -low
        return (-bound, bound) if bound > 0 else None
    return low, high


def _replaced(contract: Contract, evidence: Evidence, term: ObservationTerm) -> Changes:
    """Another kind of term where this one stands."""
    recorded = present(contract, evidence, term)
    rows = settled_rows(evidence)

    def put(kind: str, words: str, **keys: Any) -> Changes:
        new = {"term": kind, **unlike_others(contract, term.label, kind), **keys}
        yield with_new_term(contract, term.label, new), f"{term.label}: {words}"

    if not any(moves(column, rows, rounding=evidence.rounding) for column in recorded):
        scale = _shows_command(evidence, recorded) if term.term == "constant" else None
        if scale is not None:
            scaled = {} if scale == 1.0 else {"scale": scale}
            yield from put("velocity_command", "it is velocity_command, not constant", **scaled)
        if term.term in HELD and not _held_moves(contract, evidence, term):
            return
        value = [snapped(float(column[rows].mean()), 1e-6) for column in recorded]
        words = "zeroed in the source" if not any(value) else "constant in the source"
        yield from put("constant", words, value=value)
        return
    for kind, elements in kinds_of_width(contract, len(recorded)):
        if kind == term.term:
            continue
        for keys in ({}, {"point": "com"}) if kind == "base_lin_vel" and COM in evidence.arrays else ({},):
            try:
                raw = [_raw(contract, evidence, kind, element, keys) for element in elements]
            except EvidenceError:
                continue
            lines = [
                fit(column, signal.values, rows & signal.known, rounding=evidence.rounding, size=signal.size)
                for column, signal in zip(recorded, raw, strict=True)
            ]
            gains = [line.gain for line in lines if np.isfinite(line.gain_uncertainty)]
            if not gains or not all(line.explains for line in lines):
                continue
            doubt = min(line.gain_uncertainty for line in lines)
            scale = snapped(float(np.median(gains)), doubt, prefer=1.0)
            instead = f"it is {kind}" + (" that the source shows" if term.term != "constant" else ", not constant")
            yield from put(kind, instead, **keys, **({} if scale == 1.0 else {"scale": scale}))
    yield from _gait(contract, evidence, term, recorded)


def _raw(contract: Contract, evidence: Evidence, kind: str, element: str, keys: dict[str, str]) -> Signal:
    """A signal by its kind; that of a base velocity at the point that the keys name."""
    signals = RecordedSignals(contract, evidence)
    if not keys:
        return signals.raw(kind, element)
    return signals.of(BaseLinVelTerm.model_validate({"term": kind, "name": kind, **keys}), element)


def _held_moves(contract: Contract, evidence: Evidence, term: ObservationTerm) -> bool:
    """Whether what the term is made of moves in the trace: what is held there says nothing of being constant."""
    signals, rows = RecordedSignals(contract, evidence), settled_rows(evidence)
    return any(
        moves(signals.of(term, element).values, rows, rounding=evidence.rounding)
        for element in contract.term_elements(term)
    )


def _shows_command(evidence: Evidence, recorded: list[Values]) -> float | None:
    """The scale at which columns that never move are a command that never changes; None where they are not."""
    command, names = evidence.arrays.get("command"), evidence.command_names
    if command is None or len(recorded) != len(VELOCITY_COMMAND) or not {*VELOCITY_COMMAND} <= {*names}:
        return None
    command = command[:, :, [names.index(name) for name in VELOCITY_COMMAND]]
    shown, told = np.stack([column.flat[0] for column in recorded]), command[0, 0]
    largest = int(np.abs(told).argmax())
    scale = snapped(float(shown[largest] / told[largest]), 1e-6) if told[largest] else 0.0
    same = all(np.allclose(column, scale * command[:, :, place], atol=1e-6) for place, column in enumerate(recorded))
    return scale if scale and same else None


def _gait(contract: Contract, evidence: Evidence, term: ObservationTerm, recorded: list[Values]) -> Changes:
    """A gait clock whose period and offsets are read off its angle."""
    count = len(recorded) // 2
    if len(recorded) % 2 or not all(
        np.allclose(recorded[i] ** 2 + recorded[count + i] ** 2, 1.0, atol=1e-3) for i in range(count)
    ):
        return
    time = evidence.age * contract.control_dt
    period, offsets = math.inf, []
    for i in range(count):
        turns = np.arctan2(recorded[i], recorded[count + i]) / math.tau
        inside = ~evidence.started[1:]
        advance = np.mod(np.diff(turns, axis=0)[inside] + 0.5, 1.0) - 0.5
        rate = float(np.median(advance)) / contract.control_dt
        if rate <= 0.0:
            return
        period = snapped(1.0 / rate, 1e-4 / rate)
        start = np.exp(1j * math.tau * (turns - time / period)).mean()
        offset = float(np.angle(start)) / math.tau % 1.0
        offsets.append(snapped(offset, 1e-4) % 1.0)
    old = term.period if isinstance(term, GaitPhaseTerm | GaitClockTerm) else None
    stands = isinstance(term, GaitClockTerm) and term.below is not None
    words = (
        f"{OTHERWISE} (run)"
        if stands and old == period
        else f"gait clock of period {period:g} s"
        if old is None
        else f"gait period {old:g} s instead of {period:g} s"
        if old != period
        else "gait clock offset or swapped sine and cosine"
    )
    yield clock(contract, term, period, offsets), f"{term.label}: {words}"
