"""The open-loop verdict: does a port, with its contract, reproduce a trace number by number?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.contract.spec import Contract
from policy_port.files import json_text
from policy_port.mistakes.numbers import counted
from policy_port.mistakes.orders import listed
from policy_port.port.folder import Port
from policy_port.verdict.answers import Network
from policy_port.verdict.checks import ROUNDING_RULE
from policy_port.verdict.compared import Compared, compare
from policy_port.verdict.comparison import Check, all_equal, tally, unmade
from policy_port.verdict.evidence import Evidence
from policy_port.verdict.looks import what_it_looks_like
from policy_port.verdict.place_checks import point_notes
from policy_port.verdict.rebuild import factors, present_columns
from policy_port.verdict.sides import SideName, find_side, following, side_network


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What verify found."""

    trace: Path
    """The trace."""
    contract: Contract
    """The contract it was held against: of the side that the trace speaks."""
    side: str
    """That side, and how it was found."""
    steps: int
    """Steps of the trace."""
    envs: int
    """Environments of the trace."""
    checks: tuple[Check, ...]
    """Every comparison."""
    notes: tuple[str, ...]
    """What was assumed, and what the trace can't tell."""
    compared: Compared = field(repr=False, compare=False)
    """What was held against what."""

    @cached_property
    def looks(self) -> dict[str, str]:
        """What a comparison that failed looks like, by its label; searched for when it is asked for, and once."""
        return what_it_looks_like(self.compared)

    @property
    def ok(self) -> bool:
        """True when every comparison that a verdict needs was made, and nothing differs."""
        return all_equal(self.checks)

    @property
    def wrong(self) -> tuple[Check, ...]:
        """The comparisons that failed."""
        return tuple(check for check in self.checks if check.status == "wrong")

    def text(self) -> str:
        """The verdict for a person."""
        lines = [
            f"trace: {self.trace}, {counted(self.steps, 'step')} of {counted(self.envs, 'environment')}",
            f"side: {self.side}",
        ]
        width = max(len(check.label) for check in self.checks)
        for check in self.checks:
            lines.append(f"  {check.label:<{width}}  {_line(check)}")
            if check.status == "equal" and check.note:
                lines.append(f"  {'':<{width}}  {check.note}")
            if check.label in self.looks:
                lines.append(f"  {'':<{width}}  looks like: {self.looks[check.label]}")
        lines += [f"note: {note}" for note in self.notes]
        lines.append(f"tolerance: {ROUNDING_RULE}")
        lines.append(f"verdict: {self.said}")
        return "\n".join(lines)

    @property
    def said(self) -> str:
        """The verdict in one sentence, what could not be compared included."""
        return tally(self.checks, "equal")

    def json(self) -> str:
        """The same for programs, at full precision."""
        document: dict[str, Any] = {
            "ok": self.ok,
            "verdict": self.said,
            "not_compared": [check.label for check in unmade(self.checks)],
            "trace": str(self.trace),
            "contract": self.contract.name,
            "side": self.side,
            "steps": self.steps,
            "environments": self.envs,
            "checks": [{**asdict(check), "looks_like": self.looks.get(check.label)} for check in self.checks],
            "notes": list(self.notes),
            "tolerance": ROUNDING_RULE,
        }
        return json_text(document)


def verify_port(port: Port, evidence: Evidence, *, side: SideName | None = None, engine: str = "onnx") -> Verification:
    """Hold a port against a trace.

    Args:
        port: The port.
        evidence: The trace, from `read_evidence`.
        side: The parsing that the trace was recorded in; told from its header, if None.
        engine: "onnx" or "torchscript".

    Raises:
        EvidenceError: When the trace lacks what a comparison needs, or is of another policy.
        PortError: When the port does not hold that format.
    """
    found = find_side(port, evidence, side)
    network = side_network(port, found, engine=engine)
    words = f"{found.name} ({found.reason})"
    if found.remap is not None:
        words += "; observations and actions cross to the port by its own mapping"
    return verify_contract(found.contract, following(port, found, evidence), network, side=words)


def verify_contract(
    contract: Contract, evidence: Evidence, network: Network | None = None, *, side: str = "port"
) -> Verification:
    """Hold a contract, and what a network does under it, against a trace.

    Args:
        contract: The contract of the trace's side.
        evidence: The trace.
        network: The network on that side; actions are not compared if None.
        side: The trace's side in words.

    Raises:
        EvidenceError: When the trace lacks what a comparison needs, or has other widths.
    """
    return verification(compare(contract, evidence, network), side=side)


def verification(compared: Compared, *, side: str = "port") -> Verification:
    """The verdict on what was compared; `side` is the trace's side in words."""
    contract, evidence = compared.contract, compared.evidence
    return Verification(
        trace=evidence.path,
        contract=contract,
        side=side,
        steps=evidence.shape[0],
        envs=evidence.shape[1],
        checks=compared.checks,
        notes=(*evidence.notes, *_unexcited(contract, evidence), *point_notes(contract, evidence)),
        compared=compared,
    )


def _unexcited(contract: Contract, evidence: Evidence) -> list[str]:
    """Elements whose raw signal never moved: a wrong scale or order of theirs would not show."""
    masked = {
        (term.label, element): f"{term.label}[{element}]"
        for term in contract.observation.terms
        for element in contract.term_elements(term)
        if term.term != "constant" and factors(contract, term, element)[0] == 0.0
    }
    still = [
        f"{label}[{column.element}]"
        for label, columns in present_columns(contract, evidence).items()
        for column in columns
        if column.known.any()
        and float(np.ptp(column.values[column.known])) <= column.allowed
        and (label, column.element) not in masked
        and not any(term.label == label and term.term == "constant" for term in contract.observation.terms)
    ]
    notes = (
        [f"masked by the contract (scale 0), so the network never sees them: {_some(list(masked.values()))}"]
        if masked
        else []
    )
    if not still:
        return notes
    their = "its" if len(still) == 1 else "their"
    return [
        *notes,
        f"never moved in this trace, so {their} order, sign and scale are seen partly or not at all: {_some(still)}",
    ]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _line(check: Check) -> str:
    if check.status == "unchecked":
        return f"not compared: {check.note}"
    size = counted(check.elements, "element")
    if check.rows_left_out:
        size += f" in {check.rows} of {counted(check.rows + check.rows_left_out, 'row')}"
    if check.status == "equal":
        told = (
            f"largest difference {check.error:.1e} of {check.allowed:.1e} allowed" if check.error else "no difference"
        )
        return f"equal     {size}, {told}"
    first = check.first
    if first is None or first.step is None:
        return f"WRONG     {len(check.bad)} of {size}: {listed([bad.element for bad in check.bad], 6)}"
    where = f"first at step {first.step}" + (f" of environment {first.env}" if first.env else "")
    return (
        f"WRONG     {len(check.bad)} of {size}, largest difference {check.error:.3g} ({check.allowed:.1e} allowed), "
        f"{where}: {first.element}"
    )
