"""What a failed comparison looks like, in words."""

from __future__ import annotations

import numpy as np

from policy_port.contract.layout import observation_slots
from policy_port.contract.spec import Contract
from policy_port.verdict.checks import Check
from policy_port.verdict.evidence import Evidence, Values
from policy_port.verdict.fits import fit, match, settled_rows
from policy_port.verdict.rebuild import rebuild
from policy_port.verdict.search import Scored, explain


def what_it_looks_like(contract: Contract, evidence: Evidence, checks: list[Check]) -> dict[str, str]:
    """A sentence by the label of each failed check.

    Args:
        contract: The contract that fails.
        evidence: The trace.
        checks: The comparisons.
    """
    failing = [check for check in checks if check.status == "wrong"]
    chain: list[Scored] = []
    if any(check.label != "action" for check in failing):
        chain, _ = explain(contract, evidence)
    looks = {}
    if _normalised(contract, evidence, failing):
        words = "recorded behind the network's normaliser: every element has mean 0 and deviation 1"
        return {check.label: words for check in failing}
    for check in failing:
        if check.label == "action":
            looks["action"] = _action(contract, evidence)
            continue
        words = [scored.explanation.words for scored in chain if check.label in scored.explained]
        # "joint_vel: factor 20" needs no label beside joint_vel's own line.
        plain = [word.removeprefix(f"{check.label}: ") for word in words]
        looks[check.label] = "; ".join(plain) if plain else _unexplained(contract, evidence, check)
    return looks


def _normalised(contract: Contract, evidence: Evidence, failing: list[Check]) -> bool:
    """Whether nearly every number of the observation is centred and of unit size, where the raw state is not."""
    terms = {term.label for term in contract.observation.terms}
    if len(terms & {check.label for check in failing}) < 0.7 * len(terms):
        return False
    rows = settled_rows(evidence)
    seen, expected = evidence.arrays["observation"][rows], rebuild(contract, evidence).values[rows]

    def usual(values: Values) -> float:
        centred = (np.abs(values.mean(axis=0)) < 0.3) & (np.abs(values.std(axis=0) - 1.0) < 0.5)
        return float(centred.mean())

    return usual(seen) > 0.7 > usual(expected) + 0.2


def _unexplained(contract: Contract, evidence: Evidence, check: Check) -> str:
    """What can be said where no usual mistake explains a term."""
    first = check.first
    places = [place for place, term in enumerate(contract.observation.terms) if term.label == check.label]
    if not places or first is None or first.step is None:
        return "none of the usual mistakes"
    if contract.observation.terms[places[0]].term == "joint_vel" and _differences(evidence):
        return "the trace's joint_vel are finite differences of its joint_pos, the source's are not: record its own"
    rebuilt = rebuild(contract, evidence)
    mine = [index for index, slot in enumerate(observation_slots(contract)) if slot.term == check.label]
    rows = settled_rows(evidence)
    gap = (evidence.arrays["observation"] - rebuilt.values)[:, :, mine][rows]
    steady = np.abs(np.diff(gap, axis=0)).mean() if len(gap) > 1 else 0.0
    spread, mean = float(gap.std()), float(np.abs(gap.mean(axis=0)).max())
    if spread > 0 and mean < 0.2 * spread and steady > 0.8 * spread:
        return f"noise of {spread:.2g}: record without the training's observation noise"
    return f"none of the usual mistakes; {first.element} is off by {first.error:.3g} at most"


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


def _action(contract: Contract, evidence: Evidence) -> str:
    """What actions of another network look like."""
    if evidence.answers is None:
        return "another network"
    actions = evidence.answers.values
    recorded = evidence.arrays["action"]
    names = contract.action_joint_names
    wrong = np.abs(actions - recorded) > 1e-4 * np.maximum(1.0, np.abs(recorded).max(axis=(0, 1)))
    begun = evidence.started & evidence.whole
    if begun.any() and not wrong[begun].any():
        return "right at the start of each episode and wrong after it: memory that is lost or not reset"
    rows = settled_rows(evidence) & evidence.answers.known
    columns = [recorded[:, :, place] for place in range(len(names))]
    shown = [actions[:, :, place] for place in range(len(names))]
    found = match(columns, shown, rows, rounding=1e-5)
    if all(place is not None for place in found) and found != list(range(len(names))):
        moved = [f"{name} is the port's {names[place or 0]}" for name, place in zip(names, found, strict=True)]
        wrong_places = [text for place, text in enumerate(moved) if found[place] != place]
        return f"actions in another order: {', '.join(wrong_places[:4])}"
    if all(place is not None for place in found):
        lines = [fit(a, b, rows, rounding=1e-5) for a, b in zip(columns, shown, strict=True)]
        scaled = [
            f"action of joint {name} scaled {1.0 / line.gain:.2f}"
            for name, line in zip(names, lines, strict=True)
            if line.gain and abs(line.gain - 1.0) > 1e-3
        ]
        if scaled:
            return ", ".join(scaled[:4])
    return "another network, another normaliser or another checkpoint: every step differs"
