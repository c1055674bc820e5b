"""Changes in which a motion takes another time than the contract says, begins at another moment or ends otherwise."""

from __future__ import annotations

import numpy as np

from policy_port.contract.spec import Contract
from policy_port.contract.time_terms import ElapsedTerm
from policy_port.mistakes.changes import Changes
from policy_port.mistakes.edits import snapped, with_term
from policy_port.verdict.evidence import Evidence
from policy_port.verdict.fits import present
from policy_port.verdict.time_signals import since_reset

DOUBT = 1e-4
"""How close to a short decimal a length has to be, as a share of it, and a start in seconds."""


def elapsed_changes(contract: Contract, evidence: Evidence, failing: set[str]) -> Changes:
    """Length, start and end of every elapsed term that fails, read off what it shows; alone, then all at once."""
    together: Contract | None = contract
    said: list[str] = []
    for term in contract.observation.terms:
        if not isinstance(term, ElapsedTerm) or term.label not in failing:
            continue
        read = _read(contract, evidence, term)
        if read is None:
            continue
        length, start, end = read
        keys = {"length": length, "start": start or None, "end": end}
        words = f"{term.label}: {_words(term, length, start, end)}"
        yield with_term(contract, term.label, **keys), words
        together = None if together is None else with_term(together, term.label, **keys)
        said.append(words)
    if len(said) > 1:
        yield together, "; ".join(said)


def _read(contract: Contract, evidence: Evidence, term: ElapsedTerm) -> tuple[float, float, str] | None:
    """Length [s], start [s] and end as the recorded numbers show them; None where they don't count time."""
    (shown,) = present(contract, evidence, term)
    share = shown / term.scale if term.scale else shown
    time = since_reset(evidence, contract.control_dt)
    advance = np.diff(share, axis=0)
    inside = ~evidence.started[1:] & evidence.usable[1:] & evidence.usable[:-1]
    counting = inside & (advance > 0.0)
    if counting.sum() < 2:
        return None
    rate = float(np.median(advance[counting])) / contract.control_dt
    rows = np.zeros_like(inside, shape=share.shape)
    rows[1:] = counting & (share[1:] < 1.0)
    exact, *_ = np.linalg.lstsq(np.stack([time[rows], np.ones(int(rows.sum()))], axis=1), share[rows], rcond=None)
    whole = float(exact[0]) if abs(float(exact[0]) / rate - 1.0) < 0.01 else rate
    length = snapped(1.0 / whole, DOUBT / whole)
    start = snapped(float(np.median(share[rows] * length - time[rows])), DOUBT)
    falls = bool((inside & (advance < 0.0)).any())
    end = "repeat" if falls else "run" if float(share.max()) > 1.0 + DOUBT else "hold"
    if start < 0.0 or (float(share.max()) < 1.0 - DOUBT and not falls):
        end = term.end
    return length, max(start, 0.0), end


def _words(term: ElapsedTerm, length: float, start: float, end: str) -> str:
    told = []
    if abs(length / term.length - 1.0) > DOUBT:
        told.append(f"the motion takes {length:g} s, not {term.length:g} s")
    if abs(start - term.start) > DOUBT:
        told.append(f"it begins at {start:g} s, not {term.start:g} s")
    if end != term.end:
        told.append(f"after its end it is to {end}, not {term.end}")
    return ", ".join(told) or "the motion takes as long as stated"
