"""The search: which change explains most of what differs, then which one the rest, until nothing does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from policy_port.contract.spec import Contract
from policy_port.errors import EvidenceError
from policy_port.mistakes.edits import Edit, edits_between, weight
from policy_port.verdict.actions import action_candidates
from policy_port.verdict.candidates import Explanation
from policy_port.verdict.checks import Check, contract_checks
from policy_port.verdict.drives import drive_candidates
from policy_port.verdict.evidence import Evidence
from policy_port.verdict.layouts import layout_candidates, term_order_candidates
from policy_port.verdict.lines import line_candidates
from policy_port.verdict.orders import joint_order_candidates
from policy_port.verdict.readings import reading_candidates

ROWS = 600
"""Rows of the trace that are searched, spread over its episodes; the verdict itself uses all."""

ROUNDS = 8
"""Independent mistakes that are looked for, one after the other."""

GENERATORS = (
    joint_order_candidates,
    line_candidates,
    layout_candidates,
    action_candidates,
    reading_candidates,
    drive_candidates,
    term_order_candidates,
)
"""The costly ones last: they are left out once a single changed number explains everything."""

READING_WEIGHT = 3
"""What another reading of the trace counts beside edits: a contract is more often wrong than a simulator."""

PRICE = 1e-3
"""What one changed number costs, in terms explained: it decides between explanations that explain as much."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One explanation, with what it explains."""

    candidate: Explanation
    """The explanation."""
    edits: tuple[Edit, ...]
    """Its edits of the contract; none where the trace is read otherwise."""
    explained: tuple[str, ...]
    """Labels of the checks that it makes equal or better."""
    burden: float
    """What is left to explain: the sum over the checks of the share of their elements that differ."""
    cost: float
    """Burden and price of the edits; the search takes the lowest."""


def burden(checks: list[Check]) -> dict[str, float]:
    """Share of each check's elements that differ, by label; checks that agree are left out."""
    return {check.label: len(check.bad) / check.elements for check in checks if check.status == "wrong"}


def explain(contract: Contract, evidence: Evidence) -> tuple[list[Step], list[Step]]:
    """Search for what explains the differences.

    Args:
        contract: The contract that fails.
        evidence: The trace.

    Returns:
        The chain of explanations, applied one after the other, and the others of the first round by rank.
    """
    evidence = evidence.shortened(ROWS)
    left = burden(contract_checks(contract, evidence))
    chain: list[Step] = []
    others: list[Step] = []
    now, seen = contract, evidence
    for number in range(ROUNDS):
        if not left:
            break
        steps = sorted(_steps(now, seen, left), key=lambda step: step.cost)
        if not steps or steps[0].burden >= sum(left.values()) - 1e-9:
            break
        if number == 0:
            others = steps[1:]
        chain.append(steps[0])
        now, seen = steps[0].candidate.contract, steps[0].candidate.evidence
        left = burden(contract_checks(now, seen))
    return chain, others


def _steps(contract: Contract, evidence: Evidence, left: dict[str, float]) -> Iterator[Step]:
    whole = sum(left.values())
    cheapest = whole
    tried: set[str] = set()
    for generate in GENERATORS:
        if cheapest <= PRICE:
            return
        for candidate in generate(contract, evidence, set(left)):
            other_reading = candidate.evidence is not evidence
            if not other_reading:
                key = candidate.contract.model_dump_json()
                if key in tried:
                    continue
                tried.add(key)
            try:
                checks = contract_checks(candidate.contract, candidate.evidence)
            except EvidenceError:
                continue
            after = _renamed(burden(checks), contract, candidate.contract)
            total = sum(after.values())
            if total >= whole - 1e-9:
                continue
            edits = edits_between(contract, candidate.contract)
            price = PRICE * (READING_WEIGHT if other_reading else weight(edits))
            cheapest = min(cheapest, total + price)
            yield Step(
                candidate=candidate,
                edits=edits,
                explained=tuple(label for label in left if after.get(label, 0.0) < left[label] - 1e-9),
                burden=total,
                cost=total + price,
            )


def _renamed(after: dict[str, float], old: Contract, new: Contract) -> dict[str, float]:
    """Burdens under the old labels, where a term was replaced by another."""
    labels = {
        theirs.label: mine.label
        for mine, theirs in zip(old.observation.terms, new.observation.terms, strict=True)
        if sorted(term.label for term in old.observation.terms) != sorted(term.label for term in new.observation.terms)
    }
    return {labels.get(label, label): share for label, share in after.items()}
