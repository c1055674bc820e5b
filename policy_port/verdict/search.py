"""The search: which change explains most of what differs, then which one the rest, until nothing does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from policy_port.contract.spec import Contract
from policy_port.errors import EvidenceError
from policy_port.mistakes.edits import edits_between, weight
from policy_port.verdict.actions import action_changes
from policy_port.verdict.biases import bias_readings
from policy_port.verdict.checks import contract_checks
from policy_port.verdict.command_changes import command_changes
from policy_port.verdict.comparison import Check
from policy_port.verdict.drives import drive_changes
from policy_port.verdict.evidence import Evidence
from policy_port.verdict.explanations import READING_WEIGHT, Explanation, changed
from policy_port.verdict.layouts import layout_changes, place_changes
from policy_port.verdict.lines import line_changes
from policy_port.verdict.moments import moment_readings
from policy_port.verdict.motion_readings import motion_changes, motion_readings
from policy_port.verdict.orders import joint_order_changes
from policy_port.verdict.place_readings import place_readings
from policy_port.verdict.readings import readings
from policy_port.verdict.recorded_actions import recorded_actions
from policy_port.verdict.recorded_observations import recorded_observations
from policy_port.verdict.sensed_readings import sensed_changes, sensed_readings
from policy_port.verdict.shaping_changes import shaping_changes

ROUNDS = 8
"""Independent mistakes that are looked for, one after the other."""

KINDS = (
    recorded_actions,
    recorded_observations,
    changed(joint_order_changes),
    bias_readings,
    changed(line_changes),
    changed(command_changes),
    changed(layout_changes),
    changed(shaping_changes),
    changed(action_changes),
    place_readings,
    readings,
    moment_readings,
    changed(motion_changes),
    motion_readings,
    changed(sensed_changes),
    sensed_readings,
    changed(drive_changes),
    changed(place_changes),
)
"""The costly ones last: they are left out once a single changed number explains everything."""

PRICE = 1e-3
"""What one changed number costs, in terms explained: it decides between explanations that explain as much."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """One explanation, with what it explains."""

    explanation: Explanation
    """The explanation."""
    explained: tuple[str, ...]
    """Labels of the checks that it makes equal or better."""
    burden: float
    """What is left to explain: the sum over the checks of the share of their elements that differ."""
    cost: float
    """Burden and price of the edits; the search takes the lowest."""


def burden(checks: list[Check]) -> dict[str, float]:
    """Share of each check's elements that differ, by label; checks that agree are left out."""
    return {check.label: len(check.bad) / check.elements for check in checks if check.status == "wrong"}


def explain(contract: Contract, evidence: Evidence) -> tuple[list[Scored], list[Scored]]:
    """Search for what explains the differences.

    Args:
        contract: The contract that fails.
        evidence: The part of the trace that is searched.

    Returns:
        The chain of explanations, applied one after the other, and the others of the first round by rank.
    """
    left = burden(contract_checks(contract, evidence))
    chain: list[Scored] = []
    others: list[Scored] = []
    now, seen = contract, evidence
    for number in range(ROUNDS):
        if not left:
            break
        ranked = sorted(_scored(now, seen, left), key=lambda scored: scored.cost)
        if not ranked or ranked[0].burden >= sum(left.values()) - 1e-9:
            break
        if number == 0:
            others = ranked[1:]
        chain.append(ranked[0])
        now, seen = ranked[0].explanation.contract, ranked[0].explanation.evidence
        left = burden(contract_checks(now, seen))
    return chain, others


def _scored(contract: Contract, evidence: Evidence, left: dict[str, float]) -> Iterator[Scored]:
    whole = sum(left.values())
    cheapest = whole
    tried: set[str] = set()
    for explain_by in KINDS:
        if cheapest <= PRICE:
            return
        for explanation in explain_by(contract, evidence, set(left)):
            other_reading = explanation.evidence is not evidence
            if not other_reading:
                key = explanation.contract.model_dump_json()
                if key in tried:
                    continue
                tried.add(key)
            try:
                checks = contract_checks(explanation.contract, explanation.evidence)
            except EvidenceError:
                continue
            after = _renamed(burden(checks), contract, explanation.contract)
            total = sum(after.values())
            if total >= whole - 1e-9:
                continue
            price = PRICE * _weight(contract, explanation, other_reading)
            cheapest = min(cheapest, total + price)
            yield Scored(
                explanation=explanation,
                explained=tuple(label for label in left if after.get(label, 0.0) < left[label] - 1e-9),
                burden=total,
                cost=total + price,
            )


def _weight(contract: Contract, explanation: Explanation, other_reading: bool) -> float:
    if explanation.weight is not None:
        return explanation.weight
    return READING_WEIGHT if other_reading else weight(edits_between(contract, explanation.contract))


def _renamed(after: dict[str, float], old: Contract, new: Contract) -> dict[str, float]:
    """Burdens under the old labels, where a term was replaced by another."""
    labels = {
        theirs.label: mine.label
        for mine, theirs in zip(old.observation.terms, new.observation.terms, strict=True)
        if sorted(term.label for term in old.observation.terms) != sorted(term.label for term in new.observation.terms)
    }
    return {labels.get(label, label): share for label, share in after.items()}
