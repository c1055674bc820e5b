"""Which usual mistake explains a trace, and the YAML edit that mends it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from policy_port.contract.spec import Contract
from policy_port.mistakes.edits import Edit, edits_between, plain
from policy_port.mistakes.hypothesis import SHOWN
from policy_port.verdict.checks import Check, contract_checks
from policy_port.verdict.evidence import Evidence
from policy_port.verdict.search import Step, burden, explain


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One explanation, whole or part, as the edits that mend the contract."""

    words: tuple[str, ...]
    """What it looks like, a sentence for each independent mistake."""
    edits: tuple[Edit, ...]
    """Edits of the contract, all of them to be made."""
    remedies: tuple[str, ...]
    """What to do beside edits, where the contract is not at fault."""
    contract: Contract
    """The contract after the edits."""
    wrong_before: int
    """Elements that differ before."""
    wrong_after: int
    """Elements that differ after."""
    residual_before: float
    """Largest difference in the terms that it explains, before."""
    residual_after: float
    """The same after."""

    @property
    def whole(self) -> bool:
        """True when nothing is left to explain."""
        return self.wrong_after == 0


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What diagnose found."""

    contract: Contract
    """The contract as it was given."""
    checks: tuple[Check, ...]
    """What it gets wrong and right."""
    hypotheses: tuple[Hypothesis, ...]
    """Explanations by rank; the first one joins all independent mistakes that were found."""
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
        lines = [f"wrong: {', '.join(wrong)}"]
        for number, hypothesis in enumerate(self.hypotheses, start=1):
            lines.append(f"{number}. {'; '.join(hypothesis.words)}")
            left = "nothing differs any more" if hypothesis.whole else f"{hypothesis.wrong_after} elements still differ"
            lines.append(
                f"   residual {hypothesis.residual_before:.3g} -> {hypothesis.residual_after:.3g}, "
                f"{hypothesis.wrong_before} elements wrong -> {hypothesis.wrong_after}: {left}"
            )
            lines += [f"   edit    {edit}" for edit in hypothesis.edits]
            lines += [f"   remedy  {remedy}" for remedy in hypothesis.remedies]
        if not self.hypotheses:
            lines.append("none of the usual mistakes explains any of it; is it the trace of another policy?")
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def json(self) -> str:
        """The same for programs, at full precision."""
        document: dict[str, Any] = {
            "ok": self.ok,
            "contract": self.contract.name,
            "wrong": {check.label: len(check.bad) for check in self.checks if check.bad},
            "hypotheses": [
                {
                    "looks_like": list(hypothesis.words),
                    "edits": [{"key": e.key, "from": e.before, "to": e.after} for e in hypothesis.edits],
                    "remedies": list(hypothesis.remedies),
                    "wrong_before": hypothesis.wrong_before,
                    "wrong_after": hypothesis.wrong_after,
                    "residual_before": hypothesis.residual_before,
                    "residual_after": hypothesis.residual_after,
                }
                for hypothesis in self.hypotheses
            ],
            "notes": list(self.notes),
        }
        return json.dumps(document, indent=2) + "\n"


def diagnose_contract(contract: Contract, evidence: Evidence) -> Diagnosis:
    """Search the space of usual mistakes for what explains a trace.

    Args:
        contract: The contract of the trace's side.
        evidence: The trace.

    Raises:
        EvidenceError: When the trace lacks what a comparison needs, or has other widths.
    """
    checks = contract_checks(contract, evidence)
    hypotheses: list[Hypothesis] = []
    if burden(checks):
        chain, others = explain(contract, evidence)
        ranked = ([chain] if chain else []) + [[step] for step in others[: SHOWN - 1]]
        hypotheses = [_hypothesis(contract, checks, steps) for steps in ranked]
    return Diagnosis(
        contract=contract,
        checks=tuple(checks),
        hypotheses=tuple(hypotheses),
        notes=evidence.notes,
    )


def mended_yaml(contract: Contract, edits: tuple[Edit, ...], source: str) -> str:
    """A mended contract as YAML, with what was mended among its sources.

    Args:
        contract: The contract after the edits.
        edits: What was mended.
        source: Where the edits come from.
    """
    data = plain(contract)
    told = {edit.key: f"policy-port diagnose, {source}" for edit in edits}
    data["sources"] = {**data.get("sources", {}), **told}
    return Contract.model_validate(data).to_yaml()


def _hypothesis(contract: Contract, before: list[Check], steps: list[Step]) -> Hypothesis:
    last = steps[-1].candidate
    after = contract_checks(last.contract, last.evidence)
    explained = {label for step in steps for label in step.explained}
    return Hypothesis(
        words=tuple(step.candidate.words for step in steps),
        edits=edits_between(contract, last.contract),
        remedies=tuple(step.candidate.remedy for step in steps if step.candidate.remedy),
        contract=last.contract,
        wrong_before=sum(len(check.bad) for check in before),
        wrong_after=sum(len(check.bad) for check in after),
        residual_before=_residual(before, explained),
        residual_after=_residual(after, explained),
    )


def _residual(checks: list[Check], labels: set[str]) -> float:
    return max((check.error for check in checks if check.label in labels and check.error == check.error), default=0.0)
