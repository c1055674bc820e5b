"""How far an export may be off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array

EAGER_FACTOR = 8.0
"""An export may be this many times further from float64 than torch eager is. Correct exports of real policies were
1.6 to 2.6 times; the smallest fault that matters is thousands of times."""

RANGE_FRACTION = 1e-4
"""And at most this fraction of the joint's action range."""

HALF_ULP = 2.0**-24
"""Half a unit in the last place of float32, relative: what storing a result in float32 costs. Eager's error is never
taken to be less than this of the joint's largest action. A network of a few operations can be exact in torch by luck,
or by an order of summation that another runtime is free to change; eight halves are four units in the last place."""

RUNTIME_FACTOR = 4.0
"""Where torch eager itself needs more than the range allows (a joint that the policy hardly moves, far tails), an
export may be this many times eager's error: no float32 runtime can promise what the original does not keep."""

REALISTIC = ("realistic", "recorded")
"""Groups that say what a joint's action range is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Yardstick:
    """What one group of observations should give."""

    group: str
    """Name of the group."""
    expected: Array
    """Actions of the float64 reference, shape (steps, batch, joints)."""
    eager_error: Array
    """Largest error of torch eager per joint, shape (joints,)."""
    allowed: Array
    """Largest error that an export may have per joint, shape (joints,)."""
    resets: NDArray[np.bool_]
    """Rows that start afresh before a step, shape (steps, batch)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Judgement:
    """An export's errors in one group."""

    group: str
    """Name of the group."""
    error: Array
    """Largest error per joint over all batches, shape (joints,)."""
    ratio: Array
    """Error over what is allowed, per joint; above 1 fails."""

    @property
    def passed(self) -> bool:
        """True when every joint is within what is allowed."""
        return bool((self.ratio <= 1.0).all())


Outputs = Mapping[str, Sequence[Array]]
"""By group, actions of shape (steps, batch, joints), one array per batch size; row k is always the same sequence."""


def action_range(expected: Mapping[str, Array]) -> Array:
    """Largest minus smallest action per joint over the realistic groups, shape (joints,)."""
    pooled = np.concatenate([flat(values) for name, values in expected.items() if name in REALISTIC])
    return np.ptp(pooled, axis=0)


def allowed_error(expected: Array, eager_error: Array, joint_range: Array) -> Array:
    """Largest error that an export may have, per joint.

    Args:
        expected: Reference actions of one group, shape (steps, batch, joints).
        eager_error: Largest error of torch eager in the group, shape (joints,).
        joint_range: Action range of each joint, shape (joints,); a group that reaches further, as tails do, is
            measured by its own range.
    """
    eager = np.maximum(eager_error, HALF_ULP * np.abs(flat(expected)).max(axis=0))
    cap = RANGE_FRACTION * np.maximum(joint_range, np.ptp(flat(expected), axis=0))
    return np.minimum(EAGER_FACTOR * eager, np.maximum(cap, RUNTIME_FACTOR * eager))


def judge(yardsticks: Sequence[Yardstick], outputs: Outputs) -> list[Judgement]:
    """Hold outputs against the yardsticks of the groups that they cover."""
    verdicts = []
    for yard in yardsticks:
        if yard.group in outputs:
            errors = [largest_error(values, yard.expected[:, : values.shape[1]]) for values in outputs[yard.group]]
            error = np.max(errors, axis=0)
            # An error of zero passes even where zero is all that is allowed.
            ratio = np.divide(error, yard.allowed, out=np.where(error > 0.0, np.inf, 0.0), where=yard.allowed > 0.0)
            verdicts.append(Judgement(group=yard.group, error=error, ratio=ratio))
    return verdicts


def worst_ratio(verdicts: Sequence[Judgement]) -> float:
    """Largest error over what is allowed."""
    return float(max(verdict.ratio.max() for verdict in verdicts))


def largest_error(values: Array, expected: Array) -> Array:
    """Largest absolute difference per joint; a value that is not finite is infinitely wrong."""
    return absolute_error(flat(values), flat(expected)).max(axis=0)


def absolute_error(values: Array, expected: Array) -> Array:
    """Absolute difference, infinite where `values` is not finite."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(values), np.abs(values - expected), np.inf)


def flat(values: Array) -> Array:
    """All samples of a group, shape (steps * batch, joints)."""
    return values.reshape(-1, values.shape[-1])
