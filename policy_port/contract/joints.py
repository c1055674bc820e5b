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

    @model_validator(mode="after")
    def _limits_in_order(self) -> Joint:
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise ValueError(f"lower {self.lower} is not below upper {self.upper}")
        return self
