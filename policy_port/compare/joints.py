"""Which joint of one run is which of another: by name, or by a mapping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy_port.compare.run import Run
from policy_port.contract.joints import UNIT_PER_SI
from policy_port.contract.mapping import JointConversion, RobotMapping
from policy_port.errors import EvidenceError, closest


@dataclass(frozen=True, kw_only=True, eq=False)
class JointMatch:
    """The joints that two runs have in common; `other` is to be read in the reference's sense."""

    names: tuple[str, ...]
    """By the reference's names."""
    reference: list[int]
    """Columns in the reference."""
    other: list[int]
    """Columns in the other run."""
    slope: NDArray[np.float64]
    """Reference position per position of the other, shape (joints,)."""
    offset: NDArray[np.float64]
    """Reference position where the other's is zero [rad or m], shape (joints,)."""
    how: str
    """In words: how they were matched, and what was left out."""


def match_joints(reference: Run, other: Run, mappings: Sequence[RobotMapping] = ()) -> JointMatch:
    """Match the joints that the policy drives.

    Args:
        reference: The run whose names and signs count.
        other: The other run.
        mappings: What to try where names differ; each is used in the direction in which it fits.

    Raises:
        EvidenceError: When a driven joint of the reference has no counterpart, naming both sides.
    """
    if set(reference.driven) <= set(other.joint_names):
        left = [name for name in other.driven if name not in reference.joint_names]
        if not left:
            pairs = tuple((name, name, JointConversion()) for name in reference.driven)
            order = "" if reference.joint_names == other.joint_names else "; they stand in another order"
            return _match(reference, other, pairs, f"by name{order}")
    for mapping in mappings:
        forward = tuple((s, t, mapping.conversion(s).inverse()) for s, t in mapping.pairs)
        backward = tuple((t, s, mapping.conversion(s)) for s, t in mapping.pairs)
        for pairs in (forward, backward):
            if {pair[0] for pair in pairs} <= set(reference.joint_names) and {pair[1] for pair in pairs} <= set(
                other.joint_names
            ):
                return _match(reference, other, pairs, "by mapping")
    raise EvidenceError(_refusal(reference, other, given=len(mappings)))


def _match(reference: Run, other: Run, pairs: tuple[tuple[str, str, JointConversion], ...], how: str) -> JointMatch:
    """Pairs are (reference's name, other's name, conversion from the other to the reference)."""
    names = tuple(pair[0] for pair in pairs)
    theirs = tuple(pair[1] for pair in pairs)
    lost = [f"{name} of {reference.label}" for name in reference.joint_names if name not in names]
    lost += [f"{name} of {other.label}" for name in other.joint_names if name not in theirs]
    # Traces hold SI units; a conversion speaks the units of its two sides.
    into = [UNIT_PER_SI[conversion.target_unit] for _, _, conversion in pairs]
    out_of = [UNIT_PER_SI[conversion.source_unit] for _, _, conversion in pairs]
    return JointMatch(
        names=names,
        reference=reference.columns(names),
        other=other.columns(theirs),
        slope=np.array([c.slope * a / b for (_, _, c), a, b in zip(pairs, out_of, into, strict=True)]),
        offset=np.array([c.offset / b for (_, _, c), b in zip(pairs, into, strict=True)]),
        how=how + (f"; not compared: {', '.join(lost)}" if lost else ""),
    )


def _refusal(reference: Run, other: Run, given: int) -> str:
    missing = [name for name in reference.driven if name not in other.joint_names]
    unknown = [name for name in other.driven if name not in reference.joint_names]
    side, lacks, has = (other, missing, other.joint_names) if missing else (reference, unknown, reference.joint_names)
    advice = "None of the given mappings joins the two" if given else "Give the mapping between the two with --mapping"
    return (
        f"{side.path}: run {side.label} has no joint '{lacks[0]}'{closest(lacks[0], has)}; {len(lacks)} joints of "
        f"{(reference if missing else other).label} are not there by name. Its joints are {', '.join(has)}. {advice}"
    )
