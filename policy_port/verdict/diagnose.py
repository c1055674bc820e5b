"""Which usual mistake explains a trace, and the YAML edit that mends it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from policy_port.contract.spec import Contract
from policy_port.mistakes.edits import edits_between
from policy_port.mistakes.hypothesis import SHOWN, Diagnosis, Hypothesis
from policy_port.verdict.answers import Network, answered
from policy_port.verdict.checks import Check, contract_checks
from policy_port.verdict.evidence import Evidence
from policy_port.verdict.search import Scored, burden, explain
from policy_port.verdict.starts import settled


@dataclass(frozen=True, kw_only=True)
class TraceDiagnosis(Diagnosis):
    """What a trace tells of a contract; the first hypothesis joins all independent mistakes that were found."""

    checks: tuple[Check, ...]
    """What the contract gets wrong and right."""
    notes: tuple[str, ...]
    """What was assumed."""

    @property
    def ok(self) -> bool:
        """True when there is nothing to explain."""
        return all(check.status != "wrong" for check in self.checks)

    def text(self) -> str:
        """The diagnosis for a person."""
        if self.ok:
            return "nothing differs: the contract explains the trace as it is"
        wrong = [f"{check.label} ({len(check.bad)} of {check.elements})" for check in self.checks if check.bad]
        lines = [f"wrong: {', '.join(wrong)}", *self.lines()]
        if not self.hypotheses:
            lines.append("none of the usual mistakes explains any of it; is it the trace of another policy?")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def json(self) -> str:
        """The same for programs, at full precision."""
        document: dict[str, Any] = {
            "ok": self.ok,
            "contract": self.contract.name,
            "wrong": {check.label: len(check.bad) for check in self.checks if check.bad},
            "hypotheses": [hypothesis.document() for hypothesis in self.hypotheses],
            "notes": list(self.notes),
        }
        return json.dumps(document, indent=2) + "\n"


def diagnose_contract(contract: Contract, evidence: Evidence, network: Network | None = None) -> TraceDiagnosis:
    """Search the space of usual mistakes for what explains a trace.

    Args:
        contract: The contract of the trace's side.
        evidence: The trace.
        network: The network on that side; without it no hypothesis is held against what it does.

    Raises:
        EvidenceError: When the trace lacks what a comparison needs, or has other widths.
    """
    evidence = settled(contract, evidence)
    if network is not None:
        evidence = answered(contract, evidence, network)
    checks = contract_checks(contract, evidence)
    ranked: list[list[Scored]] = []
    if burden(checks):
        chain, others = explain(contract, evidence)
        ranked = ([chain] if chain else []) + [[scored] for scored in others[: SHOWN - 1]]
    return TraceDiagnosis(
        contract=contract,
        checks=tuple(checks),
        hypotheses=tuple(_hypothesis(contract, checks, chain) for chain in ranked),
        notes=evidence.notes,
    )


def _hypothesis(contract: Contract, before: list[Check], chain: list[Scored]) -> Hypothesis:
    last = chain[-1].explanation
    after = contract_checks(last.contract, last.evidence)
    explained = {label for scored in chain for label in scored.explained}
    wrong, left = (sum(len(check.bad) for check in checks) for checks in (before, after))
    first, second = (_residual(checks, explained) for checks in (before, after))
    outlook = f"{left} elements still differ" if left else "nothing differs any more"
    return Hypothesis(
        words=tuple(scored.explanation.words for scored in chain),
        edits=edits_between(contract, last.contract),
        remedies=tuple(scored.explanation.remedy for scored in chain if scored.explanation.remedy),
        contract=last.contract,
        whole=not left,
        figures={"wrong_before": wrong, "wrong_after": left, "residual_before": first, "residual_after": second},
        effect=f"residual {first:.3g} -> {second:.3g}, {wrong} elements wrong -> {left}: {outlook}",
        cells=(f"{first:.3g} to {second:.3g}", f"{wrong} to {left}"),
    )


def _residual(checks: list[Check], labels: set[str]) -> float:
    return max((check.error for check in checks if check.label in labels and check.error == check.error), default=0.0)
