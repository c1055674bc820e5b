"""A mapping: how one parsing of a robot corresponds to another, by joint name.

Isaac Lab's two-list file (`source_joint_names`, `target_joint_names`) is a whole mapping. The source is the parsing
that the policy was trained on, the target the one it is deployed on. Per joint,

    target position = sign * scale * (source position expressed in the target's unit) + offset

with the offset in the target's unit; velocities follow without the offset.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, model_validator

from policy_port.contract.history import Group, History
from policy_port.contract.joints import JointConversion, JointUnit, NonNegative, Positive
from policy_port.contract.task_terms import ExternalTerm
from policy_port.contract.yaml_file import Strict, parse, read_yaml
from policy_port.errors import MappingError, closest
from policy_port.resources import mappings_dir

WHY_NOT_MOVED = (
    "another point's velocity takes the angular velocity, other axes mix the three numbers. The target gives the term "
    "as the source's contract states it. Where its robot file lacks the place, write the place's offset from the base "
    "link into the source's contract (point: [x, y, z], in metres)"
)
"""Why `point` and `frame` of a term are the same on both sides of a remap, and what to do."""


class SourceOnly(Strict):
    """A joint that the target robot does not have: the policy is shown that it stands still here."""

    position: float
    """Position that the policy sees [source unit]; velocity is zero, and the last action is what holds it there."""


class TargetOnly(Strict):
    """A joint that the policy does not know: it is held."""

    position: float
    """Position at which it is held [target unit]."""
    unit: JointUnit = "rad"
    """Unit of the position."""
    lower: float | None = None
    """Lower position limit [unit]."""
    upper: float | None = None
    """Upper position limit [unit]."""
    stiffness: NonNegative | None = None
    """Position gain of the drive [N m/rad]."""
    damping: NonNegative | None = None
    """Velocity gain of the drive [N m s/rad]."""
    armature: NonNegative | None = None
    """Reflected rotor inertia [kg m^2]."""
    effort_limit: Positive | None = None
    """Largest torque of the drive [N m]."""


class TermChange(Strict):
    """What the target does differently with one observation term of the source."""

    rename: str | None = None
    """Name of the term on the target's side."""
    scale: float | None = None
    """The target's scale, where it differs from the source's; one number for all elements."""
    constant: float | tuple[float, ...] | None = None
    """The target does not have the term: the policy sees this raw value (before scale), for ever."""

    @model_validator(mode="before")
    @classmethod
    def _no_place_is_changed(cls, data: Any) -> Any:
        moved = [key for key in ("point", "frame") if isinstance(data, dict) and key in data]
        if moved:
            raise ValueError(
                f"a remap scales and reorders numbers, and can't change the {moved[0]} of a term: {WHY_NOT_MOVED}"
            )
        return data

    @model_validator(mode="after")
    def _one_or_the_other(self) -> TermChange:
        if self.constant is not None and (self.rename is not None or self.scale is not None):
            raise ValueError("a term that is constant is not in the target: leave out rename and scale")
        if self.scale == 0.0:
            raise ValueError("scale 0 loses the term; write `constant` to drop it")
        return self


class RobotMapping(Strict):
    """A mapping between two parsings of a robot."""

    source: str | None = None
    """The source parsing in words."""
    target: str | None = None
    """The target parsing in words."""
    source_joint_names: tuple[str, ...] = Field(min_length=1, max_length=4096)
    """Joint names in the source's order: the order of the contract that the policy was trained with."""
    target_joint_names: tuple[str, ...] = Field(min_length=1, max_length=4096)
    """Joint names in the target's order."""
    match: Literal["name", "position"] = "name"
    """name: a joint is the joint of the same name, or of the name that `rename` gives. position: the k-th source
    joint is the k-th target joint whatever it is called."""
    rename: dict[str, str] = {}
    """Source joint name to target joint name, where they differ."""
    joints: dict[str, JointConversion] = {}
    """Conversions by source joint name; a joint that is not listed keeps sign, zero and unit."""
    only_in_source: dict[str, SourceOnly] = {}
    """Source joints that the target lacks."""
    only_in_target: dict[str, TargetOnly] = {}
    """Target joints that the source lacks."""
    terms: dict[str, TermChange] = {}
    """Changes by the source's term name."""
    extra_terms: tuple[ExternalTerm, ...] = ()
    """Terms that the target's observation has and the policy ignores."""
    target_term_order: tuple[str, ...] | None = None
    """Order of the target's terms, by target names; the source's order then the extra terms, if not given."""
    history: History | None = None
    """The target's history layout, where it differs from the source's."""
    groups: dict[str, Group] = {}
    """The target's histories by name, where they differ; each holds all steps that the policy sees."""
    quaternion_order: Literal["wxyz", "xyzw"] | None = None
    """The target's quaternion order, where it differs; nothing is reordered, so no external term may hold one."""

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(source name, target name) of every joint that both sides have, in the source's order."""
        shared = [name for name in self.source_joint_names if name not in self.only_in_source]
        if self.match == "position":
            targets = [name for name in self.target_joint_names if name not in self.only_in_target]
            return tuple(zip(shared, targets, strict=True))
        return tuple((name, self.rename.get(name, name)) for name in shared)

    def conversion(self, source_name: str) -> JointConversion:
        """Conversion of a source joint; the identity where none is written."""
        return self.joints.get(source_name, JointConversion())

    @model_validator(mode="after")
    def _every_joint_is_matched_once(self) -> RobotMapping:
        for key, names in (
            ("source_joint_names", self.source_joint_names),
            ("target_joint_names", self.target_joint_names),
        ):
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                raise ValueError(f"{key} lists {', '.join(repeated)} twice; name each joint once")
        for key, names, known in (
            ("rename", self.rename, self.source_joint_names),
            ("joints", self.joints, self.source_joint_names),
            ("only_in_source", self.only_in_source, self.source_joint_names),
            ("only_in_target", self.only_in_target, self.target_joint_names),
        ):
            side = "target" if key == "only_in_target" else "source"
            for name in names:
                if name not in known:
                    raise ValueError(
                        f"{key} names joint '{name}', which is not in {side}_joint_names{closest(name, known) or '.'} "
                        f"They are: {', '.join(known)}"
                    )
        if self.match == "position":
            self._check_positions()
        else:
            self._check_names()
        return self

    def _check_positions(self) -> None:
        if self.rename:
            raise ValueError("match: position leaves nothing to rename; drop one of the two")
        counts = (
            len(self.source_joint_names) - len(self.only_in_source),
            len(self.target_joint_names) - len(self.only_in_target),
        )
        if counts[0] != counts[1]:
            raise ValueError(
                f"match: position needs as many joints on both sides, given {counts[0]} and {counts[1]}; list the "
                "others under only_in_source or only_in_target"
            )

    def _check_names(self) -> None:
        wanted = [target for _, target in self.pairs]
        repeated = sorted({name for name in wanted if wanted.count(name) > 1})
        if repeated:
            raise ValueError(f"target joint {', '.join(repeated)} is matched by two source joints; mend `rename`")
        for source, target in self.pairs:
            if target not in self.target_joint_names:
                free = [name for name in self.target_joint_names if name not in wanted]
                raise ValueError(
                    f"source joint '{source}' has no counterpart '{target}' in target_joint_names"
                    f"{closest(target, free) or '.'} Unmatched target joints: {', '.join(free) or 'none'}. Add it "
                    "there, to `rename`, or to `only_in_source`"
                )
        for name in self.target_joint_names:
            if name not in wanted and name not in self.only_in_target:
                raise ValueError(
                    f"target joint '{name}' has no counterpart in source_joint_names"
                    f"{closest(name, self.source_joint_names) or '.'} Add it there, to `rename`, or to `only_in_target`"
                )
        both = [name for name in wanted if name in self.only_in_target]
        if both:
            raise ValueError(f"{', '.join(both)} is matched and listed under only_in_target; keep one")

    def inverse(self) -> RobotMapping:
        """The mapping from target to source.

        Raises:
            MappingError: When something exists on one side only or the mapping changes terms, naming it.
        """
        lost = [*self.only_in_source, *self.only_in_target, *self.terms, *(t.label for t in self.extra_terms)]
        if lost or self.target_term_order or self.history or self.groups or self.quaternion_order:
            raise MappingError(
                f"this mapping can't be turned round: {', '.join(lost) or 'its term layout'} exists on one side only; "
                "write the other direction as a file of its own"
            )
        joints = {t: self.joints[s].inverse() for s, t in self.pairs if s in self.joints}
        return RobotMapping(
            source=self.target,
            target=self.source,
            source_joint_names=self.target_joint_names,
            target_joint_names=self.source_joint_names,
            match=self.match,
            rename={} if self.match == "position" else {t: s for s, t in self.pairs if s != t},
            joints=joints,
        )

    def disagreements(self, other: RobotMapping) -> list[str]:
        """What two mappings between the same parsings say differently of a joint, a sentence each."""
        mine, theirs = dict(self.pairs), dict(other.pairs)
        found = []
        for name in mine.keys() & theirs.keys():
            a, b = self.conversion(name), other.conversion(name)
            if mine[name] != theirs[name]:
                found.append(f"{name} is {mine[name]} in one and {theirs[name]} in the other")
            elif not (math.isclose(a.slope, b.slope, rel_tol=1e-9) and math.isclose(a.offset, b.offset, abs_tol=1e-9)):
                found.append(
                    f"{name} is {a.slope:g} x + {a.offset:g} {a.target_unit} in one and "
                    f"{b.slope:g} x + {b.offset:g} {b.target_unit} in the other"
                )
        return sorted(found)

    def to_yaml(self) -> str:
        """The mapping as YAML at full precision; `load_mapping` reads back an equal one."""
        data = self.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)


def load_mapping(path: Path | str, data: bytes | None = None) -> RobotMapping:
    """Read a mapping file, or one that ships with the package by its bare name ("g1_physx_to_newton").

    Args:
        path: The file, or the name.
        data: Its bytes where they were read already.

    Raises:
        MappingError: With file, line and key, when the file is missing, malformed or matches a joint twice or not.
    """
    found = find_mapping(path) if data is None else path
    return parse(RobotMapping, read_yaml(found, MappingError, data), MappingError)


def find_mapping(path: Path | str) -> Path:
    """Path of a mapping given as a file or by the bare name of a shipped one.

    Raises:
        MappingError: When neither exists, naming the nearest shipped one.
    """
    given = Path(path)
    if given.exists():
        return given
    shipped = {file.stem: file for file in sorted(mappings_dir().glob("*.yaml"))}
    if given.name.removesuffix(".yaml") in shipped and given.parent == Path("."):
        return shipped[given.name.removesuffix(".yaml")]
    raise MappingError(
        f"{path}: no such file, and no shipped mapping has that name{closest(given.stem, shipped) or '.'} "
        f"Shipped: {', '.join(shipped)}"
    )


def doubts(mapping: RobotMapping) -> list[str]:
    """Things that are legal and usually wrong, a sentence each."""
    findings = []
    if mapping.match == "position":
        moved = [f"{s} -> {t}" for s, t in mapping.pairs if s != t and s in mapping.target_joint_names]
        if moved:
            findings.append(
                "match: position pairs joints that have a counterpart of their own name elsewhere: "
                f"{', '.join(moved[:4])}{', ...' if len(moved) > 4 else ''}. If the names are right, drop "
                "`match: position`"
            )
    for source, target in mapping.pairs:
        sides = [{"left", "right"} & set(name.lower().split("_")) for name in (source, target)]
        if sides[0] and sides[1] and sides[0] != sides[1] and mapping.match == "name":
            findings.append(f"rename pairs a left joint with a right one: {source} -> {target}")
    return findings
