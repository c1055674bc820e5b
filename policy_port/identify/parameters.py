"""What is identified: parameters with bounds and priors, and the space in which they are searched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from policy_port.arrays import Array
from policy_port.contract.yaml_file import Strict, parse, read_yaml
from policy_port.errors import DynamicsError, closest
from policy_port.resources import assets_dir

JOINT_KEYS = (
    *("armature", "damping", "friction", "stiffness", "drive_damping", "effort_limit"),
    *("backlash", "delay", "offset", "gain"),
)
SCALED = ("armature", "damping", "friction", "stiffness", "drive_damping", "effort_limit")
"""Multiplied by one number, a joint that carries little moves as before: only their ratios show."""
COMMON_KEYS = ("payload_mass", "gravity_tilt_x", "gravity_tilt_y")
PRIORS = "sts3215"
"""The priors that ship with the package."""


class Prior(Strict):
    """What is believed of a parameter before any data."""

    fit: bool
    """Whether it is searched; else it stays at its prior."""
    prior: float | Literal["stock"]
    """Most likely value; "stock": what robot file and contract say."""
    factor: Annotated[float, Field(gt=1.0)] | None = None
    """One standard deviation as a factor: the logarithm is normally distributed."""
    spread: Annotated[float, Field(gt=0.0)] | None = None
    """One standard deviation in the parameter's unit."""
    bounds: tuple[float, float]
    """Least and greatest value."""
    source: str
    """Where the belief comes from."""

    @model_validator(mode="after")
    def _is_one(self) -> Prior:
        if (self.factor is None) == (self.spread is None):
            raise ValueError("give exactly one of factor (of a logarithm) and spread (in the parameter's unit)")
        if not self.bounds[0] < self.bounds[1]:
            raise ValueError(f"bounds: {self.bounds[0]} is not below {self.bounds[1]}")
        if self.prior != "stock" and not self.bounds[0] <= self.prior <= self.bounds[1]:
            raise ValueError(f"prior {self.prior} is outside of bounds {list(self.bounds)}")
        if self.factor is not None and self.fit and (self.bounds[0] <= 0.0 or self.prior == 0.0):
            raise ValueError("a factor needs a prior and bounds above 0")
        return self


class Priors(Strict):
    """A file of priors; `joints` overrides `joint` for single joints by name."""

    identify_priors: Literal[1]
    """Version of this format."""
    joint: dict[str, Prior]
    """By parameter, of every joint."""
    joints: dict[str, dict[str, Prior]] = {}
    """By joint, then parameter, where a joint's differs."""
    common: dict[str, Prior]
    """By parameter, of the robot as a whole."""

    @model_validator(mode="after")
    def _keys_are_known(self) -> Priors:
        for where, given, known in (
            ("joint", self.joint, JOINT_KEYS),
            *((f"joints.{name}", given, JOINT_KEYS) for name, given in self.joints.items()),
            ("common", self.common, COMMON_KEYS),
        ):
            for key in given:
                if key not in known:
                    raise ValueError(
                        f"{where}: no parameter '{key}'{closest(key, known)}; there are {', '.join(known)}"
                    )
        for where, given, known in (("joint", self.joint, JOINT_KEYS), ("common", self.common, COMMON_KEYS)):
            lost = [key for key in known if key not in given]
            if lost:
                raise ValueError(f"{where}: states nothing of {', '.join(lost)}; write fit: false to leave one alone")
        return self


def load_priors(path: Path | str) -> Priors:
    """Read a file of priors, or one that ships with the package by its name ("sts3215").

    Raises:
        DynamicsError: With file, line and key, when it is missing, malformed or contradicts itself.
    """
    shipped = {file.stem: file for file in sorted((assets_dir() / "identify").glob("*.yaml"))}
    file = Path(path)
    if not file.exists() and str(path) in shipped:
        file = shipped[str(path)]
    if not file.is_file():
        raise DynamicsError(f"{path}: no such file of priors; shipped: {', '.join(shipped)}")
    return parse(Priors, read_yaml(file, DynamicsError), DynamicsError)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One number that is searched, in units of its prior's standard deviation: 0 is the prior."""

    name: str
    """As dynamics.yaml has it: "elbow_flex.damping", "payload_mass"."""
    key: str
    """Which kind."""
    column: int
    """Index of its joint; 0 for a common one."""
    prior: float
    """Most likely value."""
    spread: float
    """Standard deviation, of the logarithm where `log`."""
    log: bool
    """Whether the logarithm is searched."""
    bounds: tuple[float, float]
    """Least and greatest value."""
    source: str
    """Where the belief comes from."""

    def value(self, z: float) -> float:
        """Its value at a coordinate."""
        return self.prior * math.exp(self.spread * z) if self.log else self.prior + self.spread * z

    def coordinate(self, value: float) -> float:
        """The inverse."""
        held = min(max(value, self.bounds[0]), self.bounds[1])
        return math.log(held / self.prior) / self.spread if self.log else (held - self.prior) / self.spread


Values = dict[str, Array]
"""A value of every parameter by its kind: shape (joints,) for a joint's, (1,) for a common one."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """The parameters that are searched, and what the others are."""

    parameters: tuple[Parameter, ...]
    """In the order of a vector of coordinates."""
    fixed: Values
    """Values of all; those of `parameters` are replaced."""

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Bounds of the coordinates, shapes (parameters,)."""
        low, high = zip(*[[item.coordinate(end) for end in item.bounds] for item in self.parameters], strict=True)
        return np.array(low), np.array(high)

    @property
    def directions(self) -> Array:
        """Moves by which derivatives are taken, one in each column; shape (parameters, parameters).

        Each moves one parameter, but a joint's stiffness takes along all that scales with it. What that does is small
        next to what each of them does, and a sum of their derivatives would be mostly these derivatives' errors.
        """
        found = np.eye(len(self.parameters))
        for column, item in enumerate(self.parameters):
            if item.key == "stiffness" and item.log:
                for row, other in enumerate(self.parameters):
                    if other.key in SCALED and other.column == item.column and other.log:
                        found[row, column] = item.spread / other.spread
        return found

    def values(self, z: Array) -> Values:
        """Values at a vector of coordinates."""
        found = {key: array.copy() for key, array in self.fixed.items()}
        for item, coordinate in zip(self.parameters, z, strict=True):
            found[item.key][item.column] = item.value(float(coordinate))
        return found

    def coordinates(self, values: Values) -> Array:
        """The inverse; values beyond bounds are taken to them."""
        return np.array([item.coordinate(float(values[item.key][item.column])) for item in self.parameters])

    def without(self, names: Sequence[str]) -> Space:
        """The space in which some parameters stay at their priors."""
        kept = tuple(item for item in self.parameters if item.name not in names)
        gone = tuple(item for item in self.parameters if item.name in names)
        fixed = {key: array.copy() for key, array in self.fixed.items()}
        for item in gone:
            fixed[item.key][item.column] = item.prior
        return Space(parameters=kept, fixed=fixed)


def check_joints(priors: Priors, joints: Sequence[str]) -> None:
    """Refuse priors of joints that a robot has not.

    Raises:
        DynamicsError: Naming the joint.
    """
    for name in priors.joints:
        if name not in joints:
            raise DynamicsError(
                f"priors: joints names '{name}'{closest(name, joints) or '.'} It has: {', '.join(joints)}"
            )


def make_space(priors: Priors, joints: Sequence[str], stock: Values) -> Space:
    """The space of a robot.

    Args:
        priors: What is believed.
        joints: The robot's joints.
        stock: What robot file and contract say.

    Raises:
        DynamicsError: When the priors name a joint that the robot has not.
    """
    check_joints(priors, joints)
    fixed = {key: np.array(array, np.float64) for key, array in stock.items()}
    found: list[Parameter] = []
    said = [(f"{joint}.{key}", key, column, (priors.joint | priors.joints.get(joint, {}))[key])
            for key in JOINT_KEYS for column, joint in enumerate(joints)]  # fmt: skip
    said += [(key, key, 0, priors.common[key]) for key in COMMON_KEYS]
    for name, key, column, prior in said:
        value = float(stock[key][column]) if prior.prior == "stock" else prior.prior
        if not prior.fit:
            fixed[key][column] = value
            continue
        log = prior.factor is not None
        value = min(max(value, prior.bounds[0]), prior.bounds[1])
        spread = math.log(prior.factor) if prior.factor is not None else prior.spread
        assert spread is not None
        found.append(Parameter(name=name, key=key, column=column, prior=value, spread=spread, log=log,
                               bounds=prior.bounds, source=prior.source))  # fmt: skip
    return Space(parameters=tuple(found), fixed=fixed)
