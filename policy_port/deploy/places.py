"""What a vector of the base is at another point or in another frame's axes, as a matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np

from policy_port.arrays import Array
from policy_port.contract.base_terms import BaseLinVelTerm, MeasuredTerm
from policy_port.contract.place import Place
from policy_port.contract.spec import Contract
from policy_port.errors import RobotError

VECTORS = ("base_lin_vel", "base_ang_vel", "projected_gravity")
"""The vectors of the base, as they stand one after the other in the row of signals."""


class Mounted(Protocol):
    """Where a place is on the base, as a plant says."""

    @property
    def position(self) -> Array:
        """Its origin in the base frame [m], shape (num_envs, 3)."""
        ...

    @property
    def rotation(self) -> Array:
        """Its axes as columns in the base frame, shape (3, 3)."""
        ...

    @property
    def sensor(self) -> str:
        """Kind of the sensor that was asked for, empty for anything else."""
        ...

    @property
    def site(self) -> str:
        """Site at which that sensor is mounted."""
        ...


Finder = Callable[[Place | Literal["com"]], Mounted]


def moving(term: MeasuredTerm, contract: Contract, mountings: Finder | None, num_envs: int) -> Array:
    """What the term is of the base's nine numbers: R' and R' [r]x of a frame's axes R and a point r.

    Args:
        term: The term.
        contract: Its contract, for messages.
        mountings: Where places are on the base; needed where the term names one.
        num_envs: Number of environments, whose points may differ.

    Returns:
        A matrix for the vectors of `VECTORS` one after the other, shape (num_envs, 3, 9).

    Raises:
        RobotError: When a place is named and nobody says where it is, or it is no velocimeter.
    """
    matrix = np.zeros((num_envs, 3, 9))
    first = 3 * VECTORS.index(term.term)
    matrix[:, :, first : first + 3] = np.eye(3)
    if isinstance(term, BaseLinVelTerm) and term.point not in (None, "link"):
        x, y, z = _point(term, contract, mountings, num_envs).T
        matrix[:, 0, 4], matrix[:, 0, 5] = z, -y
        matrix[:, 1, 3], matrix[:, 1, 5] = -z, x
        matrix[:, 2, 3], matrix[:, 2, 4] = y, -x
    if term.axes_of is not None:
        matrix = _mounting(term, term.axes_of, contract, mountings).rotation.T @ matrix
    return matrix


def _point(term: BaseLinVelTerm, contract: Contract, mountings: Finder | None, num_envs: int) -> Array:
    """The term's point in the base frame [m], shape (num_envs, 3)."""
    if isinstance(term.point, tuple):
        return np.tile(term.point, (num_envs, 1))
    assert term.point == "com" or isinstance(term.point, Place)
    mounting = _mounting(term, term.point, contract, mountings)
    if mounting.sensor not in ("", "velocimeter"):
        raise RobotError(
            f"contract '{contract.name}': the point of '{term.label}' is {term.point}, which is a "
            f"{mounting.sensor} in the robot file, and velocities are read by a velocimeter. Name that, or write "
            f"point: {{site: {mounting.site}}}"
        )
    return mounting.position


def _mounting(
    term: MeasuredTerm, place: Place | Literal["com"], contract: Contract, mountings: Finder | None
) -> Mounted:
    if mountings is None:
        raise RobotError(
            f"contract '{contract.name}': '{term.label}' is {term.where}, and nobody says where that is on the "
            "robot. Pass mountings=plant.mounting to the controller, or write the point as an offset from the base "
            "link's origin in metres: point: [x, y, z]"
        )
    return mountings(place)
