"""What a user adds to a descriptor on the command line."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """Values that descriptors may lack; None where the user gave nothing."""

    name: str
    """Name of the policy."""
    robot: str | None = None
    """Name of the robot."""
    trained_in: str | None = None
    """Simulator, physics engine and version, in words."""
    quaternion_order: str | None = None
    """Order of quaternions that external terms hold: wxyz, xyzw or none."""
    timestep: float | None = None
    """Physics timestep of training [s]."""
    actuation: str | None = None
    """How targets became torques: implicit, explicit or model."""
    settings: dict[str, object] = field(default_factory=dict)
    """`--set`: dotted key to value."""
    policy: Path | None = None
    """Policy file whose widths the contract must have."""
    names: Path | None = None
    """File of joint names."""
    names_order: str | None = None
    """What a bare list in `names` is in: "policy" or "motor" order."""
    order: str | None = None
    """Order in which the policy of a newton-assets descriptor was trained: physx or mjw."""
    layout: str | None = None
    """Named observation layout."""
    group: str | None = None
    """Observation group of Isaac Lab IO descriptors."""
    articulation: str | None = None
    """Articulation of Isaac Lab IO descriptors."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Sizes of terms that the descriptor skipped."""
    precise: Path | None = None
    """Full-precision values for rounded ONNX metadata."""
    gains_order: str | None = None
    """What gains stand in where the file does not tell: "joint" or "policy" (the policy's order), or "motor" order."""
    control_frequency: float | None = None
    """Control steps per second [Hz]."""
    env: str | None = None
    """ManiSkill environment."""
    control_mode: str | None = None
    """Control mode of the ManiSkill environment."""
    obs_mode: str | None = None
    """Observation mode of the ManiSkill environment; "state", if not given."""

    def given(self) -> list[str]:
        """Names of the options that the user gave."""
        return [item.name for item in fields(self) if getattr(self, item.name) not in (None, {})]


ALWAYS = frozenset({"name", "robot", "trained_in", "quaternion_order", "timestep", "actuation", "settings", "policy"})
"""Options that every kind takes."""


def flag(option: str) -> str:
    """The option as the command line writes it."""
    return {"settings": "--set", "sizes": "--size"}.get(option, "--" + option.replace("_", "-"))
