"""What a wrong export looks like, where a simple explanation fits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from policy_port.export.parity_gate import REALISTIC, Array, Outputs, Verdict, Yardstick, absolute_error, flat

_NEAR = 1e-3
"""Fraction of a joint's range within which an explanation fits."""


def looks_like(
    yardsticks: Sequence[Yardstick], outputs: Outputs, verdicts: Sequence[Verdict], joints: Sequence[str]
) -> str:
    """Say in a clause what outputs that failed look like, or return "" when no simple explanation fits."""
    verdict = next(verdict for verdict in verdicts if not verdict.passed)
    yard = next(yard for yard in yardsticks if yard.group == verdict.group)
    failed = np.flatnonzero(verdict.ratio > 1.0).tolist()
    values = outputs[verdict.group][0]
    expected = yard.expected[:, : values.shape[1]]
    if not np.isfinite(values).all():
        return "it computes numbers that are not finite"
    right = [bool((_errors(v, yard) <= yard.allowed).all()) for v in outputs[verdict.group]]
    if any(right):
        sizes = [str(v.shape[1]) for v, fine in zip(outputs[verdict.group], right, strict=True) if not fine]
        return f"only batch {' and '.join(sizes)} is wrong, so the batch size seems to be fixed in the file"
    return (
        _exchanged(flat(values), flat(expected), failed, joints)
        or _negated(flat(values), flat(expected), failed, joints)
        or _state(values, expected, yard)
        or _shifted(flat(values), flat(expected), failed, joints)
        or _beyond(verdicts)
    )


def _errors(values: Array, yard: Yardstick) -> Array:
    return absolute_error(flat(values), flat(yard.expected[:, : values.shape[1]])).max(axis=0)


def _near(values: Array, expected: Array) -> bool:
    return bool(np.abs(values - expected).max() <= _NEAR * np.ptp(expected))


def _exchanged(values: Array, expected: Array, failed: list[int], joints: Sequence[str]) -> str:
    """The failed joints' outputs stand at other joints."""
    found: dict[int, int] = {}
    for i in failed:
        match = [j for j in range(len(joints)) if j != i and _near(values[:, i], expected[:, j])]
        if not match:
            return ""
        found[i] = match[0]
    pairs = [(i, j) for i, j in found.items() if i < j and found.get(j) == i]
    if 2 * len(pairs) == len(found):
        which = " and ".join(f"{joints[i]} and {joints[j]}" for i, j in pairs[:2])
        return f"it looks as if the outputs of {which} were exchanged"
    which = ", ".join(f"{joints[i]} shows {joints[j]}" for i, j in list(found.items())[:3])
    return f"it looks as if the outputs stood in another order ({which})"


def _negated(values: Array, expected: Array, failed: list[int], joints: Sequence[str]) -> str:
    if all(_near(-values[:, i], expected[:, i]) for i in failed):
        return f"it looks as if the sign of {_names(failed, joints)} were flipped"
    return ""


def _state(values: Array, expected: Array, yard: Yardstick) -> str:
    """The error depends on where the last reset was."""
    steps, rows = values.shape[:2]
    resets = yard.resets[:, :rows].copy()
    if steps == 1 or not resets.any():
        return ""
    wrong = np.any(absolute_error(values, expected) > yard.allowed, axis=2)
    before = np.cumsum(resets, axis=0) == 0
    if not wrong[before].any():
        return "every row is right until its first reset, so the recurrent state is not reset"
    first = resets
    first[0] = True
    if not wrong[0].any() and wrong[~first].mean() > 0.5:
        return "only the first step after a start is right, so the recurrent state is not carried from step to step"
    return ""


def _shifted(values: Array, expected: Array, failed: list[int], joints: Sequence[str]) -> str:
    """Each failed joint is off by a factor or by a constant."""
    shifts = [(values[:, i] - expected[:, i]).mean() for i in failed]
    if all(_near(values[:, i] - shift, expected[:, i]) for i, shift in zip(failed, shifts, strict=True)):
        return f"it looks as if a constant were added to {_names(failed, joints)} ({shifts[0]:.3g})"
    squares = [(expected[:, i] ** 2).sum() for i in failed]
    if not all(squares):
        return ""
    factors = [(values[:, i] * expected[:, i]).sum() / square for i, square in zip(failed, squares, strict=True)]
    if all(factor and _near(values[:, i] / factor, expected[:, i]) for i, factor in zip(failed, factors, strict=True)):
        return f"it looks as if {_names(failed, joints)} were scaled ({factors[0]:.3g})"
    return ""


def _beyond(verdicts: Sequence[Verdict]) -> str:
    """Only observations that a robot hardly shows are answered wrongly."""
    if all(verdict.passed for verdict in verdicts if verdict.group in REALISTIC):
        return "everyday observations are answered rightly and only far ones wrongly, as if a clip were another"
    return ""


def _names(failed: list[int], joints: Sequence[str]) -> str:
    names = [joints[i] for i in failed[:4]]
    return ", ".join(names) + (f" and {len(failed) - 4} more" if len(failed) > 4 else "")
