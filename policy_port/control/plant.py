"""The plant protocol: anything that can be read and driven by joint targets.

A plant never sees a network, an observation layout or a scale. It speaks SI units, its own joint order, and names.
All arrays are float64, one row per environment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract.place import Place
from policy_port.contract.sensing import Sensing


class LinkState(NamedTuple):
    """Pose and velocity of a link or site; arrays that are filled in place."""

    pos: Array
    """Position of its origin in the world [m], shape (num_envs, 3)."""
    quat: Array
    """Its orientation in the world, wxyz, shape (num_envs, 4)."""
    lin_vel: Array
    """Velocity of its origin, in its own axes [m/s], shape (num_envs, 3)."""
    ang_vel: Array
    """Its angular velocity, in its own axes [rad/s], shape (num_envs, 3)."""


class Sensed:
    """What a plant measures beside the state because a term reads it; the arrays are filled in place."""

    def __init__(self, senses: Sensing, joints: int, view: Callable[[str, int], Array]) -> None:
        """Lay it out on a plant of so many joints; `view` gives the array of a name and a width."""
        self.senses = senses
        """What is measured."""
        arrays = {name: view(name, width) for name, width in senses.columns(joints).items()}
        self.arrays: dict[str, Array] = arrays
        """Every array by the name that it has in a trace, shape (num_envs, width)."""
        self.links = {
            link: LinkState(*(arrays[f"link_{what}_{link}"] for what in LinkState._fields)) for link in senses.links
        }
        """Links and sites by name."""
        self.contacts = {link: arrays[f"contact_force_{link}"] for link in senses.contacts}
        """Sum of the contact forces on a link in the last physics step, in the world [N], shape (num_envs, 3)."""
        self.effort: Array | None = arrays.get("joint_effort")
        """What the drives applied in the last physics step [N m or N], shape (num_envs, joints), plant joint order."""
        self.scans = [(scan, arrays[scan.name]) for scan in senses.scans]
        """Scans, and where each ray ends in the world, x, y and z ray by ray [m], shape (num_envs, 3 for each ray); NaN
        where it hits nothing."""
        for state in self.links.values():
            state.quat[:, 0] = 1.0

    @staticmethod
    def allocate(senses: Sensing, num_envs: int, joints: int) -> Sensed:
        """Arrays of their own."""
        return Sensed(senses, joints, lambda name, width: np.zeros((num_envs, width)))


@dataclass(frozen=True, kw_only=True)
class PlantState:
    """What a plant measures at one moment; the arrays are allocated once and filled in place."""

    joint_pos: Array
    """Joint positions [rad or m], shape (num_envs, joints), plant joint order."""
    joint_vel: Array
    """Joint velocities [rad/s or m/s], shape (num_envs, joints), plant joint order."""
    base_pos: Array
    """Position of the base frame in the world [m], shape (num_envs, 3)."""
    base_quat: Array
    """Orientation of the base frame in the world, wxyz, shape (num_envs, 4)."""
    base_lin_vel: Array
    """Linear velocity of the base frame's origin, expressed in the base frame [m/s], shape (num_envs, 3)."""
    base_ang_vel: Array
    """Angular velocity of the base, expressed in the base frame [rad/s], shape (num_envs, 3)."""
    sensed: Sensed | None = None
    """What is measured beside these because a term reads it; None where none does, which costs nothing."""

    @staticmethod
    def allocate(num_envs: int, joints: int) -> PlantState:
        """Zeroed arrays for `num_envs` environments with `joints` joints; the orientation is the identity."""
        quat = np.zeros((num_envs, 4))
        quat[:, 0] = 1.0
        return PlantState(
            joint_pos=np.zeros((num_envs, joints)),
            joint_vel=np.zeros((num_envs, joints)),
            base_pos=np.zeros((num_envs, 3)),
            base_quat=quat,
            base_lin_vel=np.zeros((num_envs, 3)),
            base_ang_vel=np.zeros((num_envs, 3)),
        )

    def fill(self, measured: PlantState) -> None:
        """Take over the numbers of another state, all but `sensed`."""
        self.joint_pos[...] = measured.joint_pos
        self.joint_vel[...] = measured.joint_vel
        self.base_pos[...] = measured.base_pos
        self.base_quat[...] = measured.base_quat
        self.base_lin_vel[...] = measured.base_lin_vel
        self.base_ang_vel[...] = measured.base_ang_vel


MEASURED = tuple(field.name for field in fields(PlantState) if field.name != "sensed")
"""Names of the measurements that every plant makes."""


class Mounting(NamedTuple):
    """Where a place is on the base, in the base frame."""

    position: Array
    """Its origin [m], shape (num_envs, 3)."""
    rotation: Array
    """Its axes as columns, shape (3, 3); for the centre of mass the identity."""
    sensor: str = ""
    """Kind of the sensor that was asked for, as MJCF calls it; empty for anything else."""
    site: str = ""
    """Site at which that sensor is mounted."""


class Plant(Protocol):
    """A simulated or real robot under joint control."""

    @property
    def name(self) -> str:
        """Which simulator or robot, and version: "mujoco 3.17.0"."""
        ...

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Joint names in the plant's own order."""
        ...

    @property
    def num_envs(self) -> int:
        """Number of environments stepped together."""
        ...

    @property
    def timestep(self) -> float:
        """Physics timestep [s]."""
        ...

    def reset(self, joint_pos: Array, rows: NDArray[np.bool_] | None = None) -> None:
        """Put environments at rest at `joint_pos` [rad or m], shape (num_envs, joints), plant joint order.

        The base stands at its start height; targets are set to the same positions, of joints driven by velocity or
        effort to zero. `rows` selects environments; all, if None.
        """
        ...

    def read(self, state: PlantState) -> None:
        """Fill `state` with the present measurement, and `state.sensed` where there is one.

        Raises:
            RobotError: When the robot has no link that is to be sensed, or the plant can't measure what is asked.
        """
        ...

    def write(self, target: Array) -> None:
        """Set joint targets, shape (num_envs, joints), plant joint order.

        Each is what its joint's drive takes by the setup: a position [rad or m], a velocity [rad/s or m/s], or an
        effort [N m or N].
        """
        ...

    def step(self, count: int) -> None:
        """Advance by `count` physics steps, holding the targets."""
        ...

    def effort(self) -> Array:
        """Torque or force that the drives applied in the last physics step [N m or N], shape (num_envs, joints).

        NaN where the simulator does not tell. The next call may overwrite it.
        """
        ...

    def link_position(self, link: str) -> Array:
        """Position of a link's or site's origin in the world [m], shape (num_envs, 3).

        Raises:
            RobotError: When the robot has no such link, naming those it has.
        """
        ...

    def mounting(self, place: Place | Literal["com"]) -> Mounting:
        """Where a named place is on the base, or the base link's own centre of mass.

        Raises:
            RobotError: When the robot has no such place, or a joint moves it against the base, saying what to write.
        """
        ...

    def render(self, height: int, width: int) -> NDArray[np.uint8]:
        """Colour image of environment 0, shape (height, width, 3)."""
        ...

    def close(self) -> None:
        """Free what the simulator holds. Calling it twice is harmless."""
        ...


class SimulatedPlant(Plant, Protocol):
    """A plant in a simulator, which can be disturbed and whose drives can be changed while it runs."""

    def push(self, link: str, force: Array) -> None:
        """Pull at a link's centre of mass from now on; a reset of its environment ends it, and so does zero.

        Args:
            link: Name of the link.
            force: World axes [N], shape (num_envs, 3).

        Raises:
            RobotError: When the robot has no such link, or this simulator can't.
        """
        ...

    def set_gains(self, stiffness: Array, damping: Array) -> None:
        """Give the drives other gains, in every environment; those of joints that follow others are passed over.

        Args:
            stiffness: Position gains [N m/rad or N/m], shape (joints,), plant joint order.
            damping: Velocity gains [N m s/rad or N s/m], shape (joints,).

        Raises:
            RobotError: When the gains are the robot file's own (actuation kind "model"), or this simulator can't.
        """
        ...
