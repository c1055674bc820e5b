"""Explanations in which what was shown is off by a constant: a sensor that is not zeroed, in each world its own."""

from __future__ import annotations

import numpy as np

from policy_port.contract.base_terms import BaseTerm, VelocityCommandTerm
from policy_port.contract.joint_terms import JointTerm
from policy_port.contract.spec import Contract
from policy_port.contract.terms import ObservationTerm
from policy_port.errors import EvidenceError
from policy_port.mistakes.orders import listed
from policy_port.verdict.evidence import Evidence, Read, Values
from policy_port.verdict.explanations import DRAWN, PROVEN, Explanation, Explanations
from policy_port.verdict.fits import present
from policy_port.verdict.rebuild import factors, present_columns
from policy_port.verdict.signals import RecordedSignals
from policy_port.verdict.units import short

UNITS = {"base_lin_vel": "m/s", "base_ang_vel": "rad/s", "projected_gravity": ""}
"""Unit of what a base term shows; a joint's is the contract's."""

REMEDY = (
    "the contract is right, where training drew the bias: record without it (mjlab's encoder_bias, Isaac Lab's "
    "NoiseModelWithAdditiveBias), or record {array} as the sensor shows it"
)


def bias_readings(contract: Contract, evidence: Evidence, failing: set[str]) -> Explanations:
    """Terms that are off by the same number at every row, in each environment its own."""
    for term in contract.observation.terms:
        if term.label not in failing or not isinstance(term, BaseTerm | JointTerm):
            continue
        if isinstance(term, VelocityCommandTerm):
            # What is given is no sensor's reading: off by a constant, it was another command.
            continue
        try:
            biases = bias_of(contract, evidence, term)
        except EvidenceError:
            continue
        if biases is None:
            continue
        signals, reads = RecordedSignals(contract, evidence), {}
        for element, bias in zip(contract.term_elements(term), biases, strict=True):
            signal = signals.of(term, element)
            reads[term.label, element] = Read(signal.values + bias, signal.known)
        array = {"joint_pos_rel": "joint_pos", "joint_target": "target"}
        # A number that somebody wrote is an offset of the contract; one that was drawn is none.
        drawn = bool((np.ptp(biases, axis=1) > 0.0).any()) or not all(short(float(bias)) for bias in biases[:, 0])
        yield Explanation(
            contract=contract,
            evidence=evidence.seen_as(reads),
            words=f"{term.label}: {bias_words(contract, term, biases)}",
            remedy=REMEDY.format(array=array.get(term.term, term.term)),
            # A default pose is one edit of a joint's; a base vector has none, and its offsets are one.
            weight=None if not drawn else DRAWN if isinstance(term, JointTerm) else PROVEN,
        )


def bias_of(contract: Contract, evidence: Evidence, term: ObservationTerm) -> Values | None:
    """The constant that each element is off by [contract unit], shape (elements, environments); None where it is none.

    Raises:
        EvidenceError: When the trace lacks what the term is made of.
    """
    columns = present_columns(contract, evidence)[term.label]
    found = []
    for column, seen in zip(columns, present(contract, evidence, term), strict=True):
        scale, rows = factors(contract, term, column.element)[0], column.known & evidence.usable
        if not scale or not rows.any(axis=0).all() or int(rows.sum()) < 2 * evidence.shape[1]:
            return None
        gap = np.where(rows, seen - column.values, np.nan)
        low, high = np.nanmin(gap, axis=0), np.nanmax(gap, axis=0)
        if float((high - low).max()) > 2.0 * column.allowed:
            return None
        middle = 0.5 * (low + high)
        middle[np.abs(middle) <= column.allowed] = 0.0
        found.append([float(f"{value:.6g}") for value in middle / scale])
    biases = np.array(found)
    return biases if biases.any() else None


def bias_words(contract: Contract, term: ObservationTerm, biases: Values) -> str:
    """Which elements are off, and by how much: "a constant bias of its reading: left_hip +0.0142 rad"."""
    said = []
    for element, bias in zip(contract.term_elements(term), biases, strict=True):
        unit = UNITS.get(term.term)
        if unit is None:
            unit = contract.joints[element].unit + ("/s" if term.term == "joint_vel" else "")
        if not bias.any():
            continue
        each = f"{bias[0]:+.4g}"
        if np.ptp(bias) > 0.0:
            each = " and ".join(f"{value:+.4g}" for value in bias[:4]) + (" and more" if len(bias) > 4 else "")
        said.append(f"{element} {each} {unit}".rstrip())
    where = ", another in each environment" if (np.ptp(biases, axis=1) > 0.0).any() else ""
    count = f"constant biases of {len(said)} readings" if len(said) > 1 else "a constant bias of its reading"
    largest = f", up to {float(np.abs(biases).max()):.4g}" if len(said) > 4 else ""
    return f"{count}{where}{largest}: {listed(said)}"
