"""Matching two lists of joint names: equal names are matched, likely renames are proposed and never taken unasked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from policy_port.contract import RobotMapping

LEAST_LIKENESS = 0.6
"""Likeness below which nothing is proposed."""

# What a word of a joint's name may be short for. Legs of quadrupeds are two letters: F or R, then L or R.
_WORDS = {
    "l": "left",
    "r": "right",
    "fl": "front left",
    "fr": "front right",
    "rl": "rear left",
    "rr": "rear right",
    "hl": "rear left",
    "hr": "rear right",
    "lf": "front left",
    "rf": "front right",
    "lh": "rear left",
    "rh": "rear right",
    "hind": "rear",
    "back": "rear",
    "haa": "hip",
    "abad": "hip",
    "hfe": "thigh",
    "kfe": "calf",
    "shank": "calf",
    "knee": "calf",
    "rotation": "pan",
    "jaw": "gripper",
}
_SILENT = {"joint", "j", "motor", "actuator", "dof", "link"}
_SIDES = (("left", "right"), ("front", "rear"))


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A rename that looks likely."""

    source: str
    """Joint of the source."""
    target: str
    """Joint of the target."""


@dataclass(frozen=True, kw_only=True)
class NameMatch:
    """What two lists of names have in common."""

    source: tuple[str, ...]
    """The source's names."""
    target: tuple[str, ...]
    """The target's names."""
    proposals: tuple[Proposal, ...]
    """Likely renames, in the source's order."""

    @property
    def open_source(self) -> tuple[str, ...]:
        """Source joints that neither an equal name nor a proposal covers."""
        taken = {proposal.source for proposal in self.proposals}
        return tuple(name for name in self.source if name not in self.target and name not in taken)

    @property
    def open_target(self) -> tuple[str, ...]:
        """Target joints that neither an equal name nor a proposal covers."""
        taken = {proposal.target for proposal in self.proposals}
        return tuple(name for name in self.target if name not in self.source and name not in taken)

    def mapping(self) -> RobotMapping:
        """The mapping with every proposal taken."""
        return RobotMapping(
            source_joint_names=self.source,
            target_joint_names=self.target,
            rename={proposal.source: proposal.target for proposal in self.proposals},
        )


def match_names(source: Sequence[str], target: Sequence[str]) -> NameMatch:
    """Match equal names, and propose at most one rename for each of the others.

    The likeliest pair is taken first; where two pairs are equally likely for one joint, nothing is proposed for it.
    """
    left = [name for name in source if name not in target]
    right = [name for name in target if name not in source]
    pairs = sorted(((likeness(a, b), a, b) for a in left for b in right), key=lambda pair: -pair[0])
    found: dict[str, Proposal] = {}
    while pairs and pairs[0][0] >= LEAST_LIKENESS:
        score, a, b = pairs[0]
        rivals = [pair for pair in pairs[1:] if abs(pair[0] - score) < 1e-9 and (pair[1] == a) != (pair[2] == b)]
        if rivals:
            unsure = {a, b} | {name for pair in rivals for name in pair[1:]}
            pairs = [p for p in pairs if not (p[1] in unsure and p[2] in unsure and abs(p[0] - score) < 1e-9)]
            continue
        found[a] = Proposal(source=a, target=b)
        pairs = [pair for pair in pairs if pair[1] != a and pair[2] != b]
    return NameMatch(
        source=tuple(source), target=tuple(target), proposals=tuple(found[name] for name in source if name in found)
    )


def likeness(a: str, b: str) -> float:
    """How alike two names are, 0 to 1; 0 where one says left and the other right, or front and rear."""
    first, second = _words(a), _words(b)
    for one, other in _SIDES:
        sides = [{one, other} & set(words) for words in (first, second)]
        if sides[0] != sides[1]:
            return 0.0
    if sorted(first) == sorted(second):
        return 1.0
    return difflib.SequenceMatcher(None, " ".join(sorted(first)), " ".join(sorted(second))).ratio()


def _words(name: str) -> list[str]:
    split = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    parts = [part for part in re.split(r"[^A-Za-z0-9]+", split) if part]
    words = " ".join(_WORDS.get(part.lower(), part.lower()) for part in parts).split()
    return [word for word in words if word not in _SILENT]
