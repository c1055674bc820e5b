"""What terms that count time should have shown, from a trace's clock."""

from __future__ import annotations

import numpy as np

from policy_port.contract.time_terms import ElapsedTerm
from policy_port.verdict.evidence import Evidence, Values


def elapsed(term: ElapsedTerm, evidence: Evidence, control_dt: float) -> Values:
    """Share of its motion that has passed in each row, shape (steps, environments)."""
    share = (since_reset(evidence, control_dt) + term.start) / term.length
    if term.end == "repeat":
        return share - np.floor(share)
    return np.clip(share, None, 1.0) if term.end == "hold" else share


def since_reset(evidence: Evidence, control_dt: float) -> Values:
    """Time since the reset [s], shape (steps, environments)."""
    time: Values = np.asarray(evidence.age * control_dt, dtype=np.float64)
    return time if evidence.time is None else np.where(evidence.counted, time, evidence.time)
