"""An explanation: what might be wrong, as a changed contract or as another reading of the trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from policy_port.contract.spec import Contract
from policy_port.mistakes.changes import Changes
from policy_port.verdict.evidence import Evidence

READING_WEIGHT = 3.0
"""What another reading of the trace counts beside edits: a contract is more often wrong than a simulator."""

PROVEN = 0.5
"""What such a reading counts where the network itself shows it: it goes before any edit."""

DRAWN = 1.5
"""What a reading counts that shows numbers nobody would have written: it goes before a table of them, not before one
edit."""

INEXACT = 20.0
"""What a reading counts that leaves a comparison unmade: whatever explains it number by number goes before it."""

ROUGH = 15.0
"""The same for one that tells most of the difference: it goes before noise."""


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
    weight: float | None = None
    """What it counts beside edits; see `verdict.search`, if None."""


Explanations = Iterator[Explanation]
Explain = Callable[[Contract, Evidence, set[str]], Explanations]
"""Gives the explanations of one kind, of a contract, a trace and the labels of the checks that fail."""


def changed(changes: Callable[[Contract, Evidence, set[str]], Changes]) -> Explain:
    """The explanations that changed contracts are; a change that is no contract explains nothing."""

    def explanations(contract: Contract, evidence: Evidence, failing: set[str]) -> Explanations:
        for other, words in changes(contract, evidence, failing):
            if other is not None:
                yield Explanation(contract=other, evidence=evidence, words=words)

    return explanations
