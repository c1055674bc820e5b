"""Where the points and the axes are on the base in which terms want its vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np

from policy_port.arrays import Array
from policy_port.contract.base_terms import BaseLinVelTerm, MeasuredTerm
from policy_port.contract.place import Place
from policy_port.contract.spec import Contract
from policy_port.errors import RobotError


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


def rotation(term: MeasuredTerm, contract: Contract, mountings: Finder | None) -> Array:
    """The axes that the term is in, as columns in the base frame, shape (3, 3).

    Raises:
        RobotError: When nobody says where they are.
    """
    assert term.axes_of is not None
    return _mounting(term, term.axes_of, contract, mountings).rotation


def point(term: BaseLinVelTerm, contract: Contract, mountings: Finder | None) -> Array:
    """The term's point in the base frame [m], shape (1, 3), or a row for each environment where they differ.

    Raises:
        RobotError: When a place is named and nobody says where it is, or it is no velocimeter.
    """
    if isinstance(term.point, tuple):
        return np.array([term.point])
    assert term.point == "com" or isinstance(term.point, Place)
    mounting = _mounting(term, term.point, contract, mountings)
    if mounting.sensor not in ("", "velocimeter"):
        raise RobotError(
            f"contract '{contract.name}': the point of '{term.label}' is {term.point}, which is a "
            f"{mounting.sensor} in the robot file, and velocities are read by a velocimeter. Name that, or write "
            f"point: {{site: {mounting.site}}}"
        )
    same = (mounting.position == mounting.position[:1]).all()
    return mounting.position[:1] if same else mounting.position


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
