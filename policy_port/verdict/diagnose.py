"""Which usual mistake explains a trace, and the YAML edit that mends it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from policy_port.contract.base_terms import VELOCITY_COMMAND
from policy_port.contract.spec import Contract
from policy_port.mistakes.edits import Edit, edits_between
from policy_port.mistakes.hypothesis import SHOWN, Diagnosis, Hypothesis
from policy_port.mistakes.numbers import counted
from policy_port.verdict.answers import Network
from policy_port.verdict.checks import contract_checks
from policy_port.verdict.compared import Compared, compare
from policy_port.verdict.comparison import Check, all_equal, tally, unmade
from policy_port.verdict.evidence import Evidence
from policy_port.verdict.rebuild import rebuild
from policy_port.verdict.recorded_observations import witnessed
from policy_port.verdict.search import Scored


@dataclass(frozen=True, kw_only=True)
class TraceDiagnosis(Diagnosis):
    """What a trace tells of a contract; the first hypothesis joins all independent mistakes that were found."""

    checks: tuple[Check, ...]
    """What the contract gets wrong and right."""
    notes: tuple[str, ...]
    """What was assumed."""

    @property
    def ok(self) -> bool:
        """True when everything that a verdict needs was compared, and there is nothing to explain."""
        return all_equal(self.checks)

    @property
    def wrong(self) -> bool:
        """True when something differs."""
        return any(check.status == "wrong" for check in self.checks)

    def text(self) -> str:
        """The diagnosis for a person."""
        if not self.wrong:
            every = not unmade(self.checks)
            words = "nothing differs: the contract explains the trace as it is"
            return words if every else tally(self.checks, "nothing differs")
        wrong = [f"{check.label} ({len(check.bad)} of {check.elements})" for check in self.checks if check.bad]
        lines = [f"wrong: {', '.join(wrong)}", *self.lines()]
        if not self.hypotheses:
            lines.append("none of the usual mistakes explains any of it; is it the trace of another policy?")
        left = unmade(self.checks)
        if left:
            lines.append("not compared: " + ", ".join(f"{check.label} ({check.note})" for check in left))
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def json(self) -> str:
        """The same for programs, at full precision."""
        document: dict[str, Any] = {
            "ok": self.ok,
            "contract": self.contract.name,
            "not_compared": {check.label: check.note for check in unmade(self.checks)},
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
    return trace_diagnosis(compare(contract, evidence, network))


def trace_diagnosis(compared: Compared) -> TraceDiagnosis:
    """What explains the differences that a comparison found."""
    ranked: list[list[Scored]] = []
    if any(check.status == "wrong" for check in compared.checks):
        chain, others = compared.explained
        ranked = ([chain] if chain else []) + [[scored] for scored in others[: SHOWN - 1]]
    return TraceDiagnosis(
        contract=compared.contract,
        checks=compared.checks,
        hypotheses=tuple(_hypothesis(compared, chain) for chain in ranked),
        notes=compared.evidence.notes,
    )


def _hypothesis(compared: Compared, chain: list[Scored]) -> Hypothesis:
    contract, before, last = compared.contract, compared.checks, chain[-1].explanation
    # What was searched on a part of the trace is judged on all of it, unless the trace itself is read otherwise.
    evidence = compared.evidence if last.evidence is compared.short else last.evidence
    after = contract_checks(last.contract, evidence)
    explained = {label for scored in chain for label in scored.explained}
    wrong, left = (sum(len(check.bad) for check in checks) for checks in (before, after))
    first, second = (_residual(checks, explained) for checks in (before, after))
    blind = [check.label for check in unmade(after) if check.required]
    outlook = (
        f"{counted(left, 'element')} still differ{'s' if left == 1 else ''}" if left else "nothing differs any more"
    )
    if blind:
        outlook = f"{outlook if left else 'nothing else differs'}; not compared: {', '.join(blind)}"
    edits = edits_between(contract, last.contract)
    return Hypothesis(
        words=tuple(scored.explanation.words for scored in chain),
        edits=edits,
        remedies=tuple(scored.explanation.remedy for scored in chain if scored.explanation.remedy),
        contract=last.contract,
        whole=not left,
        figures={"wrong_before": wrong, "wrong_after": left, "residual_before": first, "residual_after": second},
        effect=f"residual {first:.3g} -> {second:.3g}, {counted(wrong, 'element')} wrong -> {left}: {outlook}",
        cells=(f"{first:.3g} to {second:.3g}", f"{wrong} to {left}"),
        doubt=(_unseen(edits, evidence) or _doubt(last.contract, evidence, after)) if edits else "",
    )


def _unseen(edits: tuple[Edit, ...], evidence: Evidence) -> str:
    """What a trace of too few commands does not show of an edited command; nothing where it shows all."""
    command = evidence.arrays.get("command")
    if command is None or not any("[velocity_command]" in edit.key and edit.key.endswith("scale") for edit in edits):
        return ""
    still = [axis for place, axis in enumerate(VELOCITY_COMMAND) if not command[:, :, place].any()]
    if not still:
        return ""
    is_, its, seen = ("is", "its scale", "is") if len(still) == 1 else ("are", "their scales", "are")
    return f"{', '.join(still)} {is_} zero throughout the trace, so {its} {seen} not seen: record other commands"


def _doubt(contract: Contract, evidence: Evidence, after: list[Check]) -> str:
    """Why a mended contract is not verified: something still differs, can't be compared, or the network disagrees.

    The network is shown what the mended contract makes of the raw state, and has to do what was recorded.
    """
    differing = [check.label for check in after if check.status == "wrong"]
    if differing:
        return f"{', '.join(differing)} still {'differs' if len(differing) == 1 else 'differ'} with the edits"
    left = [f"{check.label} ({check.note})" for check in unmade(after) if check.required]
    if left:
        return f"{', '.join(left)} could not be compared"
    if evidence.network is None:
        return "the network was not run"
    rebuilt = rebuild(contract, evidence)
    observation = np.where(rebuilt.known, rebuilt.values, evidence.arrays["observation"])
    if not witnessed(contract, evidence, observation):
        return "the network, shown what the mended contract makes of the raw state, does not do what was recorded"
    return ""


def _residual(checks: Sequence[Check], labels: set[str]) -> float:
    return max((check.error for check in checks if check.label in labels and check.error == check.error), default=0.0)
