"""Numbers in sentences: counted, told apart, and as the factor or the rounding that one is of another."""

from __future__ import annotations

import math
from collections.abc import Sequence

DIGITS = (6, 7, 8, 9, 10, 12, 14, 17)
"""Digits that numbers are told with, until two that differ do so in print."""

NEARLY = 0.02
"""Largest relative difference that a rounding is looked for behind."""


def counted(count: int, one: str, many: str = "") -> str:
    """A count with its noun: "1 walk", "2 walks"."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def apart(*values: float) -> tuple[str, ...]:
    """Numbers with as many digits as it takes to tell them apart: 25 and 0, but 1.0000001 and 1."""
    # One zero is the other: without its sign they are printed alike.
    values = tuple(value + 0.0 for value in values)
    different = len(set(values))
    for digits in DIGITS:
        told = tuple(f"{value:.{digits}g}" for value in values)
        if len(set(told)) == different:
            return told
    return tuple(map(repr, values))


def ratio(value: float) -> str:
    """A factor with two decimals, and with more where these would say 0 or 1: "4.00", "1.00067", "0.0025"."""
    if not math.isfinite(value):
        return f"{value:g}"
    plain = f"{value:.2f}"
    if abs(value) >= 1e4 or float(plain) == 0.0 or (abs(value) < 0.1 and not math.isclose(float(plain), value)):
        return f"{value:.3g}"
    if abs(float(plain)) == 1.0 and abs(value) != 1.0:
        return apart(value, math.copysign(1.0, value))[0] if abs(abs(value) - 1.0) > 1e-12 else f"{value:.17g}"
    return plain


def rounding_words(stated: Sequence[float], true: Sequence[float]) -> str:
    """What numbers are that were rounded on their way: ": the contract has them rounded to 3 decimals".

    Args:
        stated: The contract's numbers.
        true: Those that they should be.
    """
    pairs = [(a, b) for a, b in zip(stated, true, strict=True) if a != b]
    if not pairs or any(abs(a - b) > NEARLY * abs(b) for a, b in pairs):
        return ""
    for decimals in (2, 3, 4, 5):
        # What was measured carries a rounding of its own; half a unit of the last decimal and no more.
        if all(round(a, decimals) == a and abs(a - b) <= 0.5001 * 10.0**-decimals for a, b in pairs):
            return f": the contract has {'it' if len(pairs) == 1 else 'them'} rounded to {decimals} decimals"
    return ""
