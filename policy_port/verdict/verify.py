"""The open-loop verdict: does a port, with its contract, reproduce a trace number by number?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.contract.spec import Contract
from policy_port.files import json_text
from policy_port.port.folder import Port
from policy_port.verdict.checks import ROUNDING_RULE, Check, action_check, contract_checks
from policy_port.verdict.evidence import Evidence
from policy_port.verdict.rebuild import present_columns
from policy_port.verdict.sides import SideName, find_side, port_actions


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
    looks: dict[str, str]
    """What a comparison that failed looks like, by its label."""
    notes: tuple[str, ...]
    """What was assumed, and what the trace can't tell."""

    @property
    def ok(self) -> bool:
        """True when nothing differs."""
        return not self.wrong

    @property
    def wrong(self) -> tuple[Check, ...]:
        """The comparisons that failed."""
        return tuple(check for check in self.checks if check.status == "wrong")

    def text(self) -> str:
        """The verdict for a person."""
        lines = [
            f"trace: {self.trace}, {self.steps} steps of {self.envs} environment{'s' if self.envs > 1 else ''}",
            f"side: {self.side}",
        ]
        width = max(len(check.label) for check in self.checks)
        for check in self.checks:
            lines.append(f"  {check.label:<{width}}  {_line(check)}")
            if check.label in self.looks:
                lines.append(f"  {'':<{width}}  looks like: {self.looks[check.label]}")
        lines += [f"note: {note}" for note in self.notes]
        lines.append(f"tolerance: {ROUNDING_RULE}")
        unchecked = sum(check.status == "unchecked" for check in self.checks)
        counted = f"{len(self.checks)} comparisons" + (f", {unchecked} of them could not be made" if unchecked else "")
        lines.append(f"verdict: equal in {counted}" if self.ok else f"verdict: {len(self.wrong)} of {counted} wrong")
        return "\n".join(lines)

    def json(self) -> str:
        """The same for programs, at full precision."""
        document: dict[str, Any] = {
            "ok": self.ok,
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
    actions = port_actions(port, found, evidence, engine=engine)
    words = f"{found.name} ({found.reason})"
    if found.remap is not None:
        words += "; observations and actions cross to the port by its own mapping"
    return verify_contract(found.contract, evidence, actions=actions, side=words)


def verify_contract(
    contract: Contract, evidence: Evidence, *, actions: np.ndarray | None = None, side: str = "port"
) -> Verification:
    """Hold a contract, and what a network did under it, against a trace.

    Args:
        contract: The contract of the trace's side.
        evidence: The trace.
        actions: What the network did on the recorded observations, shape of the trace's actions; not compared if None.
        side: The trace's side in words.

    Raises:
        EvidenceError: When the trace lacks what a comparison needs, or has other widths.
    """
    checks = contract_checks(contract, evidence)
    if actions is not None:
        checks.append(action_check(contract, evidence, actions))
    looks: dict[str, str] = {}
    if any(check.status == "wrong" for check in checks):
        from policy_port.verdict.looks import what_it_looks_like

        looks = what_it_looks_like(contract, evidence, checks, actions)
    return Verification(
        trace=evidence.path,
        contract=contract,
        side=side,
        steps=evidence.shape[0],
        envs=evidence.shape[1],
        checks=tuple(checks),
        looks=looks,
        notes=(*evidence.notes, *_unexcited(contract, evidence)),
    )


def _unexcited(contract: Contract, evidence: Evidence) -> list[str]:
    """Elements whose raw signal never moved: a wrong scale or order of theirs would not show."""
    still = [
        f"{label}[{column.element}]"
        for label, columns in present_columns(contract, evidence).items()
        for column in columns
        if column.known.any()
        and float(np.ptp(column.values[column.known])) <= column.allowed
        and not any(term.label == label and term.term == "constant" for term in contract.observation.terms)
    ]
    if not still:
        return []
    shown = ", ".join(still[:6]) + (f" and {len(still) - 6} more" if len(still) > 6 else "")
    return [f"never moved in this trace, so their order, sign and scale are seen partly or not at all: {shown}"]


def _line(check: Check) -> str:
    if check.status == "unchecked":
        return f"not compared: {check.note}"
    size = f"{check.elements} element{'s' if check.elements > 1 else ''}"
    if check.status == "equal":
        return f"equal     {size}, largest difference {check.error:.1e} of {check.allowed:.1e} allowed"
    first = check.first
    if first is None or first.step is None:
        return f"WRONG     {len(check.bad)} of {size}: " + ", ".join(bad.element for bad in check.bad[:6])
    where = f"first at step {first.step}" + (f" of environment {first.env}" if first.env else "")
    return (
        f"WRONG     {len(check.bad)} of {size}, largest difference {check.error:.3g} ({check.allowed:.1e} allowed), "
        f"{where}: {first.element}"
    )
