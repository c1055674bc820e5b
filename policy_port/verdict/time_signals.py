"""What terms that count time should have shown, from a trace's clock."""

from __future__ import annotations

import numpy as np

from policy_port.contract.time_terms import ElapsedTerm
from policy_port.verdict.evidence import Evidence, Values


def elapsed(term: ElapsedTerm, evidence: Evidence, control_dt: float) -> Values:
    """Share of its motion that has passed in each row, shape (steps, environments)."""
    time = evidence.age * control_dt
    if evidence.time is not None:
        time = np.where(evidence.counted, time, evidence.time)
    share: Values = (np.asarray(time, dtype=np.float64) + term.start) / term.length
    if term.end == "repeat":
        return share - np.floor(share)
    return np.clip(share, None, 1.0) if term.end == "hold" else share
