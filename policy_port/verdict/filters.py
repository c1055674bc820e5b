"""Whether numbers are others behind a filter of first order, by least squares."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from policy_port.verdict.evidence import Evidence, Mask, Values

LONGEST = 10
"""Control steps over which a mean is looked for."""


class Filter(NamedTuple):
    """out = gain * (share * now + ...) + kept * (out before): how much of the last output it keeps."""

    kept: float


def low_pass(evidence: Evidence, out: Values, now: Values, rows: Mask, allowed: Values) -> Filter | None:
    """The filter that explains every column; None where none does.

    Args:
        evidence: Whose episodes part the rows.
        out: What was recorded, shape (steps, environments, columns).
        now: What went into it, same shape.
        rows: The rows to use, of those that have one before.
        allowed: Difference that is allowed in a column, shape (columns,).
    """
    before, known = evidence.earlier(out, 1)
    last, _ = evidence.earlier(now, 1)
    rows = rows & known
    if int(rows.sum()) < 8:
        return None
    found = []
    for column in range(out.shape[2]):
        y, x, memory, gone = (array[:, :, column][rows] for array in (out, now, before, last))
        if float(np.ptp(y)) <= allowed[column]:
            continue
        kept = None
        # What it keeps is its last output, or the last input.
        for past in (memory, gone):
            table = np.stack([x, past, np.ones_like(x)], axis=1)
            weights = np.linalg.lstsq(table, y, rcond=None)[0]
            if float(np.abs(table @ weights - y).max()) <= allowed[column] and 0.01 < weights[1] < 0.999:
                kept = float(weights[1] / (weights[0] + weights[1]) if past is gone else weights[1])
                break
        if kept is None:
            return None
        found.append(kept)
    return Filter(float(np.median(found))) if found else None
