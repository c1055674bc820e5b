"""What a wrong export looks like, where a simple explanation fits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from policy_port.arrays import Array
from policy_port.proof.gate import REALISTIC, Judgement, Outputs, Yardstick, absolute_error, flat, worst_ratio

_LEFT_OVER = 0.01
"""An explanation fits when it leaves this fraction of the error unexplained, or less."""
_GROSS = 100.0
"""Error over what is allowed above which it is no rounding that got out of hand."""


def looks_like(
    yardsticks: Sequence[Yardstick], outputs: Outputs, verdicts: Sequence[Judgement], joints: Sequence[str]
) -> str:
    """Say in a clause what outputs that failed look like, or return "" when no simple explanation fits."""
    verdict = next(verdict for verdict in verdicts if not verdict.passed)
    yard = next(yard for yard in yardsticks if yard.group == verdict.group)
    failed = np.flatnonzero(verdict.ratio > 1.0).tolist()
    values = outputs[verdict.group][0]
    expected = yard.expected[:, : values.shape[1]]
    if not np.isfinite(values).all():
        return "it computes numbers that are not finite"
    apart = [
        str(other.shape[1])
        for other in outputs[verdict.group][1:]
        if (_largest(other, values[:, : other.shape[1]]) > yard.allowed).any()
    ]
    if apart:
        sizes = " and ".join([str(values.shape[1]), *apart])
        return f"batches of {sizes} disagree on the same rows, so the batch size seems to be fixed in the file"
    return (
        _exchanged(flat(values), flat(expected), failed, joints)
        or _negated(flat(values), flat(expected), failed, joints)
        or _state(values, expected, yard)
        or _shifted(flat(values), flat(expected), failed, joints)
        or _beyond(verdicts)
    )


def _largest(values: Array, expected: Array) -> Array:
    return absolute_error(flat(values), flat(expected)).max(axis=0)


def _explains(guess: Array, values: Array, expected: Array) -> bool:
    """True when `guess`, computed from what is expected, is what was found."""
    return bool(np.abs(values - guess).max() <= _LEFT_OVER * np.abs(values - expected).max())


def _exchanged(values: Array, expected: Array, failed: list[int], joints: Sequence[str]) -> str:
    """The failed joints' outputs stand at other joints."""
    found: dict[int, int] = {}
    for i in failed:
        match = [j for j in range(len(joints)) if j != i and _explains(expected[:, j], values[:, i], expected[:, i])]
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
    if all(_explains(-expected[:, i], values[:, i], expected[:, i]) for i in failed):
        return f"it looks as if the sign of {name_some(failed, joints)} were flipped"
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

    def fits(guesses: list[Array]) -> bool:
        return all(_explains(guess, values[:, i], expected[:, i]) for i, guess in zip(failed, guesses, strict=True))

    shifts = [float((values[:, i] - expected[:, i]).mean()) for i in failed]
    if fits([expected[:, i] + shift for i, shift in zip(failed, shifts, strict=True)]):
        return f"it looks as if a constant were added to {name_some(failed, joints)} ({shifts[0]:.3g})"
    squares = [float((expected[:, i] ** 2).sum()) or 1.0 for i in failed]
    factors = [float(values[:, i] @ expected[:, i]) / square for i, square in zip(failed, squares, strict=True)]
    if fits([expected[:, i] * factor for i, factor in zip(failed, factors, strict=True)]):
        return f"it looks as if {name_some(failed, joints)} were scaled ({factors[0]:.3g})"
    return ""


def _beyond(verdicts: Sequence[Judgement]) -> str:
    """Only observations that a robot hardly shows are answered wrongly."""
    everyday = all(verdict.passed for verdict in verdicts if verdict.group in REALISTIC)
    if everyday and worst_ratio(verdicts) > _GROSS:
        return "everyday observations are answered rightly and only far ones wrongly, as if a clip were another"
    return ""


def name_some(failed: Sequence[int], joints: Sequence[str]) -> str:
    """Names of the joints at `failed`, the first four of them if there are more."""
    names = [joints[i] for i in failed[:4]]
    return ", ".join(names) + (f" and {len(failed) - 4} more" if len(failed) > 4 else "")
