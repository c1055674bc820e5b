"""Where the clock leaves open whether an episode begins at a reset, its first row tells: what only a reset shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from policy_port.contract.layout import observation_slots
from policy_port.contract.spec import Contract
from policy_port.mistakes.edits import plain, with_observation
from policy_port.verdict.evidence import Evidence, Mask
from policy_port.verdict.rebuild import rebuild
from policy_port.verdict.sides import check_widths

REMEMBER = ("last_action", "joint_target")
"""Kinds of terms that show a step before; so does every history."""


def settled(contract: Contract, evidence: Evidence) -> Evidence:
    """The evidence with every start told: a reset, or the middle of a run, of whose past nothing is known.

    A loop that counts before it infers begins at one period, a recording that was cut begins anywhere, and some have
    no clock. A first row that shows zero as last action, and a history that was just filled, is a reset all the same.

    Raises:
        EvidenceError: When the trace lacks what a term is made of.
    """
    check_widths(contract, evidence)
    first, total = evidence.started, int(evidence.started.sum())
    if evidence.unsure.any():
        opened = first & evidence.unsure
        shown = opened & _shows_reset(contract, evidence)
        counted = opened & _counts_from_first(contract, evidence)
        if evidence.time is None:
            counted |= shown
        evidence = replace(
            evidence,
            whole=evidence.whole | evidence.all_along(shown),
            counted=evidence.counted | evidence.all_along(counted),
            unsure=np.zeros_like(evidence.unsure),
        )
    torn = int((first & ~evidence.whole).sum())
    if not torn:
        return evidence
    does, its = ("does", "its") if torn == 1 else ("do", "their")
    note = (
        f"{torn} of {total} episode{'' if total == 1 else 's'} {does} not begin at a reset, but in the middle of a run "
        f"or after missing rows: what {its} past decides is left out in {its} first rows"
    )
    return replace(evidence, notes=(*evidence.notes, note))


def _as_if_reset(contract: Contract, evidence: Evidence, labels: Mask) -> Mask:
    """Whether the slots agree with what the contract says, were every start a reset; shape (steps, environments)."""
    rebuilt = rebuild(contract, evidence)
    gap = np.abs(rebuilt.values - evidence.arrays["observation"]) <= rebuilt.allowed
    return np.asarray((gap | ~labels).all(axis=2))


def _shows_reset(contract: Contract, evidence: Evidence) -> Mask:
    kinds = {term.label: term.term for term in contract.observation.terms}
    slots = observation_slots(contract)
    tells = np.array(
        [kinds[slot.term] != "external" and (slot.age > 0 or kinds[slot.term] in REMEMBER) for slot in slots]
    )
    found = np.zeros(evidence.shape, dtype=np.bool_)
    if not tells.any():
        return found
    every = np.ones(evidence.shape, dtype=np.bool_)
    # A contract with the wrong fill is told from a trace that was cut: the first row has one fill or the other.
    for fill in ("first", "zero"):
        found |= _as_if_reset(_filled(contract, fill), replace(evidence, whole=every), tells)
    return found


def _filled(contract: Contract, fill: str) -> Contract:
    """The contract with every history filled so."""
    observation = plain(contract)["observation"]
    histories = {"history": observation.get("history"), "groups": observation.get("groups")}
    for layout in filter(None, (histories["history"], *(histories["groups"] or {}).values())):
        layout["fill"] = fill
    return with_observation(contract, **histories) or contract


def _counts_from_first(contract: Contract, evidence: Evidence) -> Mask:
    """Whether clocks stand at zero in a row, and not where the trace's clock would put them."""
    clocks = {term.label for term in contract.observation.terms if term.term in ("gait_phase", "gait_clock", "elapsed")}
    mine = np.array([slot.term in clocks and slot.age == 0 for slot in observation_slots(contract)])
    none, every = np.zeros(evidence.shape, dtype=np.bool_), np.ones(evidence.shape, dtype=np.bool_)
    if not clocks:
        return none
    at_zero = _as_if_reset(contract, replace(evidence, counted=every), mine)
    if evidence.time is None:
        return at_zero
    return at_zero & ~_as_if_reset(contract, replace(evidence, counted=none), mine)
