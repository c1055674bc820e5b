"""One joint of a robot as a policy or a simulator parses it."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from policy_port.contract.yaml_file import Strict

JointUnit = Literal["rad", "m", "deg", "percent"]
"""Unit of a joint's position. Velocity is in the same unit per second. `percent` is LeRobot's 0..100 of a sweep."""

SI_UNITS: tuple[JointUnit, ...] = ("rad", "m")
"""The units that plants speak; the others exist only behind a mapping or inside a robot driver."""

UNIT_PER_SI: dict[JointUnit, float] = {"rad": 1.0, "m": 1.0, "deg": 180.0 / math.pi, "percent": 1.0}
"""Factor from radians (or metres) to the unit. `percent` has no fixed one: a mapping's `scale` gives it."""

SWING: dict[JointUnit, float] = {**{unit: 0.5 * ratio for unit, ratio in UNIT_PER_SI.items()}, "percent": 20.0}
"""Half of a joint's usual range where no limits are stated [unit]."""

SPEED: dict[JointUnit, float] = {**{unit: 8.0 * ratio for unit, ratio in UNIT_PER_SI.items()}, "percent": 200.0}
"""Largest usual joint velocity [unit/s]."""

NonNegative = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0)]

DRIVE_KEYS = ("stiffness", "damping", "armature", "effort_limit")
"""The keys of a joint that say how it is driven: its gains, inertia and bound."""


class Joint(Strict):
    """Everything that is written down per joint, under the joint's name, so that no two lists can disagree.

    A value that is not set is unknown, never zero.
    """

    default: float
    """Default joint position [unit]: what joint_pos_rel subtracts and `offset: default` adds."""
    unit: JointUnit = "rad"
    """Unit of every position of this joint; velocities are per second."""
    lower: float | None = None
    """Lower position limit [unit]."""
    upper: float | None = None
    """Upper position limit [unit]."""
    stiffness: NonNegative | None = None
    """Position gain of the drive [N m/rad or N/m]."""
    damping: NonNegative | None = None
    """Velocity gain of the drive [N m s/rad or N s/m]."""
    armature: NonNegative | None = None
    """Reflected rotor inertia [kg m^2 or kg]."""
    effort_limit: Positive | None = None
    """Largest torque or force of the drive [N m or N]."""

    @property
    def sweep(self) -> tuple[float, float]:
        """The limits; a swing about the default where they are not stated [unit]."""
        low = self.default - SWING[self.unit] if self.lower is None else self.lower
        return low, self.default + SWING[self.unit] if self.upper is None else self.upper

    @model_validator(mode="after")
    def _limits_in_order(self) -> Joint:
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise ValueError(f"lower {self.lower} is not below upper {self.upper}")
        return self


class JointConversion(Strict):
    """How a source joint's position becomes the target joint's: target = slope * source + offset."""

    sign: Literal[1, -1] = 1
    """-1 where the two parsings turn the joint in opposite directions."""
    scale: Annotated[float, Field(ge=1e-9, le=1e9)] = 1.0
    """Factor beside the unit's, such as a gear ratio or percent per radian; its inverse is a number too."""
    offset: float = 0.0
    """Target position at source position zero [target unit]."""
    source_unit: JointUnit = "rad"
    """Unit of the source's position; must be the source contract's."""
    unit: JointUnit | None = None
    """Unit of the target's position; the source's unit, if not given."""

    @property
    def target_unit(self) -> JointUnit:
        """Unit of the target's position."""
        return self.unit or self.source_unit

    @property
    def slope(self) -> float:
        """Target units per source unit, signed."""
        ratio = UNIT_PER_SI[self.target_unit] / UNIT_PER_SI[self.source_unit]
        return self.sign * self.scale * ratio

    def position(self, source: float) -> float:
        """The target's position of the source's."""
        return self.slope * source + self.offset

    def inverse(self) -> JointConversion:
        """The conversion from target to source."""
        return JointConversion(
            sign=self.sign,
            scale=1.0 / self.scale,
            offset=-self.offset / self.slope,
            source_unit=self.target_unit,
            unit=self.source_unit,
        )
