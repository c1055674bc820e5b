"""A contract held against a trace: what differs, and the search for what explains it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from policy_port.contract.spec import Contract
from policy_port.verdict.answers import Network, answered
from policy_port.verdict.checks import contract_checks
from policy_port.verdict.comparison import Check
from policy_port.verdict.evidence import Evidence
from policy_port.verdict.fits import with_rows_ahead
from policy_port.verdict.starts import settled

if TYPE_CHECKING:
    from policy_port.verdict.search import Scored

ROWS = 600
"""Rows of the trace that are searched, spread over its episodes; the verdict itself uses all."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared:
    """What differs between a contract and a trace; why, is searched when it is asked for, and once."""

    contract: Contract
    """The contract of the trace's side."""
    evidence: Evidence
    """The trace, with what the network does on it, where that is known."""
    checks: tuple[Check, ...]
    """Every comparison."""

    @cached_property
    def short(self) -> Evidence:
        """The part of the trace that is searched."""
        return with_rows_ahead(self.contract, self.evidence.shortened(ROWS))

    @cached_property
    def explained(self) -> tuple[list[Scored], list[Scored]]:
        """The chain of explanations, applied one after the other, and the others of the first round by rank."""
        # The search is left unloaded where nothing differs.
        from policy_port.verdict.search import explain

        return explain(self.contract, self.short)


def compare(contract: Contract, evidence: Evidence, network: Network | None = None) -> Compared:
    """Hold a contract, and what a network does under it, against a trace.

    Args:
        contract: The contract of the trace's side.
        evidence: The trace.
        network: The network on that side; actions are not compared if None.

    Raises:
        EvidenceError: When the trace lacks what a comparison needs, or has other widths.
    """
    evidence = settled(contract, evidence)
    if network is not None:
        evidence = answered(contract, evidence, network)
    return Compared(contract=contract, evidence=evidence, checks=tuple(contract_checks(contract, evidence)))
