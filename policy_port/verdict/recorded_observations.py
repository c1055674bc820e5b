"""Explanations in which the contract is right and the trace's observation, or its raw state, is not what it should be.

The network is the witness: shown what the contract makes of the raw state, it does what was recorded, and shown the
recorded observation it does not. Then the observation was recorded otherwise than the network saw it.
"""

from __future__ import annotations

import numpy as np

from policy_port.contract.layout import observation_slots
from policy_port.contract.spec import Contract
from policy_port.contract.terms import ObservationTerm
from policy_port.mistakes.orders import listed
from policy_port.verdict.answers import action_errors, shown
from policy_port.verdict.evidence import Evidence, Values
from policy_port.verdict.explanations import INEXACT, PROVEN, Explanation, Explanations
from policy_port.verdict.fits import fit, match, settled_rows
from policy_port.verdict.noise import noise_words
from policy_port.verdict.rebuild import rebuild
from policy_port.verdict.units import unit_of

NORMALISED = "recorded behind the network's normaliser: every element has mean 0 and deviation 1"

LOOSE = 10.0
"""Times what is allowed of an action: what is rebuilt was rounded otherwise, which a network may enlarge."""


def recorded_observations(contract: Contract, evidence: Evidence, failing: set[str]) -> Explanations:
    """What the recorded observation is of what the network saw, and raw state that was made up by the recorder."""
    wrong = [term for term in contract.observation.terms if term.label in failing and term.term != "external"]
    if not wrong:
        return
    rebuilt = rebuild(contract, evidence)
    seen = evidence.arrays["observation"]
    expected = np.where(rebuilt.known, rebuilt.values, seen)
    if _normalised(evidence, expected, len(wrong) / len(contract.observation.terms)):
        words, remedy = NORMALISED, "record the observation before the network's normaliser"
    else:
        words, remedy = "", "record the observation as the network is shown it"
    if "action" in failing and evidence.network is not None and witnessed(contract, evidence, expected):
        said = words or "; ".join(f"{term.label}: {_term_words(contract, evidence, term, expected)}" for term in wrong)
        yield Explanation(
            contract=contract,
            evidence=shown(contract, evidence, expected),
            words=said,
            remedy=f"the contract is right, as what the network does shows: {remedy}",
            weight=PROVEN,
        )
        return
    if words:
        blind = evidence
        for label in failing & {*(term.label for term in wrong), "action"}:
            blind = blind.unable(label, words)
        yield Explanation(contract=contract, evidence=blind, words=words, remedy=remedy, weight=INEXACT)
        return
    for term in wrong:
        yield from _single(contract, evidence, term, expected)


def witnessed(contract: Contract, evidence: Evidence, observation: Values) -> bool:
    """Whether the network, shown these observations, does what was recorded.

    Raises:
        EvidenceError: When the network can't be run on them.
    """
    other = shown(contract, evidence, observation)
    if other.answers is None or not other.answers.known.any():
        return False
    error, allowed = action_errors(contract, other, other.answers.values)
    return bool((error <= LOOSE * allowed)[other.answers.known & evidence.usable].all())


def _single(contract: Contract, evidence: Evidence, term: ObservationTerm, expected: Values) -> Explanations:
    """One term whose recorded numbers nothing explains exactly, though it can be told why."""
    if term.term == "joint_vel" and _differences(evidence):
        words = "the trace's joint_vel are finite differences of its joint_pos, the source's are not: record its own"
        remedy = "record joint_vel as the source's simulator gives it; until then its scale and order are not compared"
    else:
        noise = noise_words(contract, evidence, term)
        if noise is None:
            return
        words = f"{noise}: record without the training's observation noise"
        remedy = "record without observation noise (Isaac Lab: enable_corruption = False), which can't be rebuilt"
    if not _alike(contract, evidence, term, expected):
        return
    yield Explanation(
        contract=contract,
        evidence=evidence.unable(term.label, words),
        words=f"{term.label}: {words}",
        remedy=remedy,
        weight=INEXACT,
    )


def _mine(contract: Contract, term: ObservationTerm) -> list[int]:
    return [index for index, slot in enumerate(observation_slots(contract)) if slot.term == term.label]


def _alike(contract: Contract, evidence: Evidence, term: ObservationTerm, expected: Values) -> bool:
    """Whether what was recorded follows what is expected, noise and delay aside: with a slope of about one."""
    rows, mine = settled_rows(evidence), _mine(contract, term)
    seen, wanted = (array[:, :, mine][rows] for array in (evidence.arrays["observation"], expected))
    gap = (seen - wanted).std(axis=0)
    moving = wanted.std(axis=0) > 3.0 * gap
    if not moving.any():
        return True
    x, y = (array[:, moving] - array[:, moving].mean(axis=0) for array in (wanted, seen))
    slopes = (x * y).sum(axis=0) / (x * x).sum(axis=0)
    return bool((np.abs(slopes - 1.0) < 0.2).all())


def _normalised(evidence: Evidence, expected: Values, share: float) -> bool:
    """Whether nearly every number of the observation is centred and of unit size, where the raw state is not.

    A normaliser gives every number a scale and an offset of its own: what is recorded is a line of what is expected.
    """
    rows, seen = settled_rows(evidence), evidence.arrays["observation"]
    if share < 0.7 or not rows.any():
        return False
    moving = np.flatnonzero(expected[rows].std(axis=0) > 1e-6)
    lines = [fit(seen[:, :, place], expected[:, :, place], rows, rounding=1e-6).explains for place in moving]
    if sum(lines) < 0.6 * len(lines):
        return False

    def usual(values: Values) -> float:
        centred = (np.abs(values.mean(axis=0)) < 0.3) & (np.abs(values.std(axis=0) - 1.0) < 0.5)
        return float(centred.mean())

    return usual(seen[rows]) > 0.7 > usual(expected[rows]) + 0.2


def _differences(evidence: Evidence) -> bool:
    """Whether recorded joint velocities are the differences of recorded positions over one period."""
    period = evidence.header.get("control_dt")
    if not isinstance(period, int | float) or not {"joint_pos", "joint_vel"} <= evidence.arrays.keys():
        return False
    position, velocity = evidence.arrays["joint_pos"], evidence.arrays["joint_vel"]
    before, known = evidence.earlier(position, 1)
    gap = np.abs((position - before) / period - velocity)[known]
    # Float32 positions carry their rounding into the difference.
    rounding = 4.0 * evidence.rounding * float(np.abs(position).max()) / period
    return bool(gap.size) and float(gap.max()) <= rounding + 1e-4 * float(np.abs(velocity).max())


def _term_words(contract: Contract, evidence: Evidence, term: ObservationTerm, expected: Values) -> str:
    """How a term's recorded numbers differ from what the network saw."""
    rows, mine = settled_rows(evidence), _mine(contract, term)
    seen, wanted = ([array[:, :, place] for place in mine] for array in (evidence.arrays["observation"], expected))
    names = [str(observation_slots(contract)[place]) for place in mine]
    noise = noise_words(contract, evidence, term)
    if noise is not None:
        return f"{noise}: record without the training's observation noise"
    places = match(seen, wanted, rows, rounding=1e-6)
    moved = [place for place, source in enumerate(places) if source not in (None, place)]
    if moved:
        count = len(mine) // 2
        if term.term == "gait_phase" and all(places[place] == (place + count) % len(mine) for place in moved):
            return "sine and cosine exchanged where it was recorded"
        pairs = listed([f"{names[place]} holds {names[places[place] or 0]}" for place in moved])
        return f"recorded in another order: {pairs}"
    lines = [fit(a, b, rows, rounding=1e-6) for a, b in zip(seen, wanted, strict=True)]
    told = [line for line in lines if line.tells and line.gain]
    if not told:
        return "recorded otherwise than the network saw it"
    gain = float(np.median([line.gain for line in told]))
    unit = unit_of(gain)
    if unit is not None:
        return f"recorded in {unit.name}, and shown to the network in radians"
    return f"recorded after another scale: {gain:.4g} times what the network saw"
