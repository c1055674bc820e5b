"""Lists of numbers, one per element of a term, put as briefly as a contract can say them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from policy_port.descriptors.record import Record


def uniform(values: Sequence[Any]) -> Any | None:
    """The one value that all entries have; None when they differ."""
    return values[0] if values and all(value == values[0] for value in values) else None


def by_joint(names: Sequence[str], values: Sequence[Any]) -> Any:
    """One value for all joints where they agree, else a mapping by joint name."""
    same = uniform(values)
    return same if same is not None else dict(zip(names, values, strict=True))


def unbatched(record: Record, key: str, axes: int) -> Record:
    """The record with the numbers at `key` of one environment, where they stand for each environment anew.

    Args:
        record: Where they stand.
        key: Their key.
        axes: Axes that they have for one environment: 1 for a list of numbers, 2 for a list of pairs.
    """
    value, inner = record.data.get(key), 0
    deepest = value
    while isinstance(deepest, list | tuple) and deepest:
        deepest, inner = deepest[0], inner + 1
    if inner != axes + 1 or not isinstance(value, list | tuple):
        return record
    if any(row != value[0] for row in value):
        raise record.error(key, f"differs between the {len(value)} environments it is given for; state one of them")
    return Record(record.path, {**record.data, key: value[0]}, record.where)


def term_scale(record: Record, key: str, kind: str, joints: Sequence[str], size: int) -> Any:
    """The `scale` of an observation term.

    Args:
        record: Where it stands.
        key: Its key; one number, or one per element.
        kind: Kind of the term.
        joints: Joints of the term, for joint terms and the last action.
        size: Number of elements.
    """
    record = unbatched(record, key, 1)
    values = record.spread(key, size, per="element of the term")
    if joints:
        return by_joint(joints, values)
    same = uniform(values)
    if same is None and kind in ("base_lin_vel", "base_ang_vel", "projected_gravity", "velocity_command"):
        return values
    if same is None:
        raise record.error(key, f"differs between elements, which a contract's {kind} can't state: {values}")
    return same


def joint_clip(record: Record, key: str, joints: Sequence[str]) -> Any:
    """Bounds per joint, or other element: one pair, or a list of pairs."""
    record = unbatched(record, key, 2 if isinstance(record.data.get(key), list | tuple) else 1)
    value = record.get(key)
    if isinstance(value, list | tuple) and value and isinstance(value[0], list | tuple):
        return by_joint(joints, record.pairs(key, len(joints), per="joint"))
    return record.bounds(key)


def joint_offset(default: dict[str, float], names: Sequence[str], values: Sequence[float]) -> Any:
    """The `offset` of an action term: "default" where it is exactly the default joint position."""
    if all(default.get(name) == value for name, value in zip(names, values, strict=True)):
        return "default"
    return by_joint(names, values)


def decimal(value: float) -> float:
    """What was computed of decimals as it was meant: 0.04 - -0.01 is 0.05, without a few units of the last place."""
    return float(f"{value:.12g}")
