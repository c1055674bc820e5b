"""Whether what a term was shown is random beside what it should be, and how large: not late, not a bias, not motion."""

from __future__ import annotations

import numpy as np

from policy_port.contract.spec import Contract
from policy_port.contract.terms import ObservationTerm
from policy_port.mistakes.orders import listed
from policy_port.verdict.delays import EARLIEST, LATEST, LEFT, Delay
from policy_port.verdict.evidence import Evidence, Mask, Values
from policy_port.verdict.fits import present, settled_rows
from policy_port.verdict.rebuild import present_columns

FOLLOWS = 0.3
"""Share of a difference that follows from what moves, beyond chance, from which on it is no noise."""

LEAST = 8
"""Rows below which nothing is called random."""


def noise_words(contract: Contract, evidence: Evidence, term: ObservationTerm) -> str | None:
    """The noise that explains a term, with the bias or the delay that it is about: "noise of 0.02"; None where none is.

    Raises:
        EvidenceError: When the trace lacks what the term is made of.
    """
    columns = present_columns(contract, evidence)[term.label]
    seen = np.stack(present(contract, evidence, term), axis=2)
    now = np.stack([column.values for column in columns], axis=2)
    rows = settled_rows(evidence) & np.stack([column.known for column in columns], axis=2).all(axis=2)
    plain = random_size(evidence, seen - now, now, rows)
    if plain is not None:
        return f"noise of {plain:.2g}"
    middle = _middle(seen - now, rows)
    about = random_size(evidence, seen - now - middle, now, rows)
    # Less than rounding is none: a bias alone.
    if about is not None and about > min(column.allowed for column in columns):
        said = [
            f"{column.element} {' and '.join(f'{value:+.2g}' for value in bias[:4])}"
            for column, bias in zip(columns, middle[0].T, strict=True)
            if float(np.abs(bias).max()) > about
        ]
        return (
            f"noise of {about:.2g} about a constant bias of what is shown ({listed(said)})"
            if said
            else f"noise of {about:.2g}"
        )
    return _late(evidence, seen, now, rows)


def _late(evidence: Evidence, seen: Values, now: Values, rows: Mask) -> str | None:
    """Noise about what the trace has some steps before."""

    def gap(steps: int) -> tuple[float, Values, Mask, Values]:
        moved, there = evidence.earlier(now, steps)
        mine = rows & there
        left = seen - moved
        return float(np.sqrt(np.mean(left[mine] ** 2))) if int(mine.sum()) >= LEAST else np.inf, left, mine, moved

    steps = min((*range(LATEST + 1), *range(-1, EARLIEST - 1, -1)), key=lambda steps: gap(steps)[0])
    size, left, mine, moved = gap(steps)
    if not steps or size > LEFT * gap(0)[0]:
        return None
    spread = random_size(evidence, left, moved, mine)
    return None if spread is None else f"{Delay(lags=np.full(rows.shape, steps)).words}, with noise of {spread:.2g}"


def _middle(gap: Values, rows: Mask) -> Values:
    """The mean of each environment, shape (1, environments, elements)."""
    count = np.maximum(rows.sum(axis=0), 1)[:, None]
    return (np.where(rows[:, :, None], gap, 0.0).sum(axis=0) / count)[None]


def random_size(evidence: Evidence, gap: Values, expected: Values, rows: Mask) -> float | None:
    """The size of a difference that is random; None where it is none, or follows from what moves.

    Args:
        evidence: The trace.
        gap: The difference, shape (steps, environments, elements).
        expected: What should have been seen, same shape.
        rows: The rows to use.
    """
    chosen = gap[rows]
    if len(chosen) < LEAST:
        return None
    steady = np.abs(np.diff(chosen, axis=0)).mean()
    spread, mean = float(chosen.std()), float(np.abs(chosen.mean(axis=0)).max())
    if not spread > 0 or mean >= 0.2 * spread or steady <= 0.8 * spread:
        return None
    return None if _follows(evidence, gap, expected, rows) else spread


def _follows(evidence: Evidence, gap: Values, expected: Values, rows: Mask) -> bool:
    """Whether a difference is a line of the signal, of its neighbours in time, and of how the base moves."""
    moving = [evidence.arrays[name] for name in ("base_ang_vel", "base_lin_vel") if name in evidence.arrays]
    shares = []
    for column in range(gap.shape[2]):
        own = expected[:, :, column : column + 1]
        table = np.concatenate([own, evidence.earlier(own, 1)[0], evidence.earlier(own, -1)[0], *moving], axis=2)[rows]
        table = table[:, table.std(axis=0) > 1e-9]
        count, width = table.shape
        if count < 4 * (width + 1) or not width:
            continue
        y = gap[:, :, column][rows]
        x = (table - table.mean(axis=0)) / table.std(axis=0)
        left = y - y.mean() - x @ np.linalg.lstsq(x, y - y.mean(), rcond=None)[0]
        whole = float(y.var())
        if whole > 0:
            shares.append(1.0 - float(left.var()) / whole * (count - 1) / (count - width - 1))
    return bool(shares) and float(np.mean(shares)) > FOLLOWS
