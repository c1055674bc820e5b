"""What a failed comparison looks like, in words."""

from __future__ import annotations

from policy_port.contract.spec import Contract
from policy_port.verdict.checks import Check
from policy_port.verdict.evidence import Evidence


def what_it_looks_like(contract: Contract, evidence: Evidence, checks: list[Check]) -> dict[str, str]:
    """A sentence by the label of each failed check."""
    return {}
