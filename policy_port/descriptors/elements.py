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


def term_scale(record: Record, key: str, kind: str, joints: Sequence[str], size: int) -> Any:
    """The `scale` of an observation term.

    Args:
        record: Where it stands.
        key: Its key; one number, or one per element.
        kind: Kind of the term.
        joints: Joints of the term, for joint terms.
        size: Number of elements.
    """
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
    """Bounds per joint: one pair, or a list of pairs."""
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
