"""A candidate: what might be wrong, as a changed contract or as another reading of the trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from policy_port.contract.spec import Contract
from policy_port.verdict.evidence import Evidence


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """One explanation of what differs."""

    contract: Contract
    """The contract under it."""
    evidence: Evidence
    """The trace, read as it says."""
    words: str
    """What it looks like."""
    remedy: str = ""
    """What to do where no edit of the contract mends it."""


Explanations = Iterator[Explanation]


def mended(contract: Contract | None, evidence: Evidence, words: str) -> Explanations:
    """The candidate of a changed contract; none where the change is no contract."""
    if contract is not None:
        yield Explanation(contract=contract, evidence=evidence, words=words)
