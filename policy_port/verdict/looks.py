"""What a failed comparison looks like, in words."""

from __future__ import annotations

from policy_port.contract.spec import Contract
from policy_port.verdict.answers import action_errors
from policy_port.verdict.compared import Compared
from policy_port.verdict.comparison import Check
from policy_port.verdict.evidence import Evidence


def what_it_looks_like(compared: Compared) -> dict[str, str]:
    """A sentence by the label of each failed check."""
    failing = [check for check in compared.checks if check.status == "wrong"]
    chain, _ = compared.explained if failing else ([], [])
    looks = {}
    for check in failing:
        words = [scored.explanation.words for scored in chain if check.label in scored.explained]
        # "joint_vel: factor 20" needs no label beside joint_vel's own line.
        plain = [word.removeprefix(f"{check.label}: ") for word in words]
        looks[check.label] = "; ".join(plain) if plain else _unexplained(compared.contract, compared.evidence, check)
    return looks


def _unexplained(contract: Contract, evidence: Evidence, check: Check) -> str:
    """What can be said where no usual mistake explains a comparison."""
    if check.label == "action":
        return _action(contract, evidence)
    first = check.first
    if first is None or first.step is None:
        return "none of the usual mistakes"
    return f"none of the usual mistakes; {first.element} is off by {first.error:.3g} at most"


def _action(contract: Contract, evidence: Evidence) -> str:
    """What actions of another network look like."""
    if evidence.answers is None:
        return "another network"
    error, allowed = action_errors(contract, evidence, evidence.answers.values)
    wrong = error > allowed
    begun = evidence.started & evidence.whole
    if begun.any() and not wrong[begun].any():
        return "right at the start of each episode and wrong after it: memory that is lost or not reset"
    return "another network, another normaliser or another checkpoint: every step differs"
