"""What of a robot and its world can be set after it stands, environment by environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from policy_port.arrays import Array
from policy_port.control.plant import SimulatedPlant
from policy_port.errors import RobotError

PER_ENVIRONMENT: tuple[str, ...] = ("ground_friction", "base_mass", "contact_time")
"""Fields with a number per environment."""

PER_JOINT: tuple[str, ...] = ("stiffness", "damping", "joint_damping", "joint_friction", "armature", "effort_limit")
"""Fields with a number per environment and joint."""

ABOVE_ZERO = ("effort_limit", "contact_time")
NOT_BELOW_ZERO = ("ground_friction", "stiffness", "damping", "joint_damping", "joint_friction", "armature")


@dataclass(frozen=True, kw_only=True)
class Physics:
    """Physical properties per environment; None leaves what robot file and setup say. Joints in the plant's order.

    So does NaN, of one environment or joint, in every field but `link_mass` and `gravity`.
    """

    ground_friction: Array | None = None
    """Sliding friction between robot and ground, whatever the file says of either, shape (num_envs,)."""
    base_mass: Array | None = None
    """Mass added to the base link, whose inertia grows in proportion [kg], shape (num_envs,)."""
    contact_time: Array | None = None
    """Time in which contacts of the robot with the ground come to rest [s], MuJoCo's time constant of soft contacts,
    which it bounds by two timesteps from below, shape (num_envs,)."""
    link_mass: Mapping[str, Array] | None = None
    """The same of links by name [kg], each of shape (num_envs,)."""
    stiffness: Array | None = None
    """Position gains of the drives [N m/rad or N/m], shape (num_envs, joints)."""
    damping: Array | None = None
    """Velocity gains of the drives [N m s/rad or N s/m], shape (num_envs, joints)."""
    joint_damping: Array | None = None
    """Damping of the joints themselves, beside that of their drives [N m s/rad or N s/m], shape (num_envs, joints)."""
    joint_friction: Array | None = None
    """Friction loss of the joints [N m or N], shape (num_envs, joints)."""
    armature: Array | None = None
    """Reflected rotor inertia [kg m^2 or kg], shape (num_envs, joints)."""
    effort_limit: Array | None = None
    """Largest torque or force of the drives [N m or N], shape (num_envs, joints)."""
    gravity: Array | None = None
    """Gravity in the world [m/s^2], shape (num_envs, 3)."""

    @property
    def stated(self) -> tuple[str, ...]:
        """Names of the fields that say something."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) is not None)

    def of_rows(self, rows: slice) -> Physics:
        """What it says of some environments."""
        found = {name: getattr(self, name)[rows] for name in self.stated if name != "link_mass"}
        masses = None if self.link_mass is None else {link: added[rows] for link, added in self.link_mass.items()}
        return Physics(**found, link_mass=masses)

    def key(self, row: int) -> bytes:
        """The same of two environments that are told the same."""
        one = self.of_rows(slice(row, row + 1))
        arrays = [getattr(one, name) for name in one.stated if name != "link_mass"]
        return b"".join(np.asarray(array, np.float64).tobytes() for array in (*arrays, *(one.link_mass or {}).values()))

    def check(self, num_envs: int, joint_names: Sequence[str], *, can: Sequence[str], simulator: str) -> None:
        """Hold it against a plant.

        Args:
            num_envs: Environments of the plant.
            joint_names: Its joints.
            can: The fields that the simulator can set.
            simulator: Its name, for messages.

        Raises:
            RobotError: When it says what the simulator can't, has another shape, or a number that can't be.
        """
        unable = [name for name in self.stated if name not in can]
        if unable:
            raise RobotError(f"{simulator} can't set {', '.join(unable)}; it can set {', '.join(can)}")
        shapes: dict[str, tuple[int, ...]] = {"gravity": (num_envs, 3)}
        shapes |= dict.fromkeys(PER_ENVIRONMENT, (num_envs,))
        shapes |= dict.fromkeys(PER_JOINT, (num_envs, len(joint_names)))
        arrays = {name: getattr(self, name) for name in self.stated if name != "link_mass"}
        for link, added in (self.link_mass or {}).items():
            arrays[f"link_mass of {link}"] = added
            shapes[f"link_mass of {link}"] = (num_envs,)
        for name, array in arrays.items():
            if np.shape(array) != shapes[name]:
                raise RobotError(f"physics: {name} has shape {np.shape(array)}, this plant's is {shapes[name]}")
            silent = np.isnan(array) if name in (*PER_ENVIRONMENT, *PER_JOINT) else np.zeros(np.shape(array), bool)
            if not (np.isfinite(array) | silent).all():
                raise RobotError(f"physics: {name} is NaN or infinite")
            least = float(np.min(array, where=~silent, initial=np.inf))
            if (name in ABOVE_ZERO and least <= 0.0) or (name in NOT_BELOW_ZERO and least < 0.0):
                low = f"{least:g}, and can't be {'0 or ' if name in ABOVE_ZERO else ''}less than 0"
                raise RobotError(f"physics: {name} is {low}")


@runtime_checkable
class PhysicalPlant(SimulatedPlant, Protocol):
    """A plant whose physics can be set."""

    def set_physics(self, physics: Physics) -> None:
        """Give environments other physics from now on, resets included; what is not stated is the file's again.

        Args:
            physics: What each environment is to have.

        Raises:
            RobotError: When this simulator can't, or a shape, a link or a number is wrong.
        """
        ...


@runtime_checkable
class EffortPlant(SimulatedPlant, Protocol):
    """A plant whose joints can be driven by torques beside its own drives."""

    def apply_effort(self, effort: Array) -> None:
        """Drive joints beside their drives from now on; a reset of an environment ends it there.

        Args:
            effort: Torque or force [N m or N], shape (num_envs, joints); 0 for joints that follow others.
        """
        ...


def set_physics(plant: SimulatedPlant, physics: Physics) -> None:
    """Set a plant's physics; nothing, where nothing is stated and the plant has none to set.

    Raises:
        RobotError: When the plant can't, or a shape, a link or a number is wrong.
    """
    if isinstance(plant, PhysicalPlant):
        plant.set_physics(physics)
    elif physics.stated:
        raise RobotError(f"{plant.name} can't set {', '.join(physics.stated)}. MuJoCo can; else leave them out")


def apply_effort(plant: SimulatedPlant, effort: Array) -> None:
    """Drive a plant's joints beside its drives; see `EffortPlant.apply_effort`.

    Raises:
        RobotError: When the plant can't.
    """
    if not isinstance(plant, EffortPlant):
        raise RobotError(
            f"{plant.name} can't be driven by the torque of a learned actuator. MuJoCo, ManiSkill and Newton can; else "
            "leave actuator out of the dynamics"
        )
    plant.apply_effort(effort)


def known(given: Array, otherwise: Array | float) -> Array:
    """What is given, and `otherwise` where that is NaN."""
    return np.where(np.isnan(given), otherwise, given)


def grown(mass: float, added: float, link: str, robot: Path) -> float:
    """Factor by which mass and inertia of a link grow when mass is added to it.

    Raises:
        RobotError: When nothing would be left of the link, or nothing is there.
    """
    if added and mass + added <= 0.0:
        raise RobotError(f"{robot}: link '{link}' weighs {mass:.3f} kg, and {added:+.3f} kg would leave nothing of it")
    if added and mass <= 0.0:
        raise RobotError(f"{robot}: link '{link}' weighs nothing, so it has no inertia to grow; name one that has mass")
    return (mass + added) / mass if added else 1.0
