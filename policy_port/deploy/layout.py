"""Where the numbers stand that a control step is made of: columns of one row per environment, found by name."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from policy_port.arrays import Array
from policy_port.contract.base_terms import BaseLinVelTerm, MeasuredTerm
from policy_port.contract.place import Place, place_signal
from policy_port.contract.spec import Contract

REMEMBERED = ("joint_target", "last_action", "filtered_action")
"""Signals that a step leaves behind for the next one."""


def signal_sizes(contract: Contract, joints: int) -> dict[str, int]:
    """Columns of each signal, in the row's order, on a plant of so many joints."""
    # The vectors of the base stand together: whoever moves them to another point or frame reads them as one.
    sizes = {
        "joint_pos": joints,
        "joint_vel": joints,
        "base_pos": 3,
        "base_quat": 4,
        "base_lin_vel": 3,
        "base_ang_vel": 3,
        "projected_gravity": 3,
        "velocity_command": len(contract.command.names),
        "command_in_force": len(contract.command.names) if contract.command.shaped else 0,
        "goal": 0,
        "joint_target": joints,
        "last_action": contract.action_size,
        "filtered_action": contract.action_size if contract.action.reshapes_raw else 0,
        "zero": 1,
        **contract.senses.columns(joints),
    }
    for term in contract.observation.terms:
        for name, size in term.columns(contract).items():
            sizes[name] = sizes.get(name, 0) + size
    return sizes


def place_sizes(contract: Contract) -> dict[str, int]:
    """Columns of each signal that says where a place is on the base, by name, of the places that terms name."""
    terms = [term for term in contract.observation.terms if isinstance(term, MeasuredTerm)]
    sizes = {}
    for term in terms:
        point = term.point if isinstance(term, BaseLinVelTerm) else None
        if isinstance(point, Place) or (isinstance(point, str) and point == "com"):
            sizes[place_signal(point, "pos")] = 3
        if term.axes_of is not None:
            sizes[place_signal(term.axes_of, "quat")] = 4
    return sizes


def is_quaternion(signal: str) -> bool:
    """Whether a signal is a unit quaternion."""
    return signal == "base_quat" or signal.startswith(("link_quat_", "site_quat_", "sensor_quat_"))


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A row of signals."""

    joint_names: tuple[str, ...]
    """Joints in the row's order."""
    sizes: Mapping[str, int]
    """Columns of each signal."""
    used: set[str] = field(default_factory=set)
    """Signals that somebody has asked for."""

    def first(self, signal: str) -> int:
        """The first column of a signal."""
        self.used.add(signal)
        starts = dict(zip(self.sizes, itertools.accumulate(self.sizes.values(), initial=0), strict=False))
        return starts[signal]

    def columns(self, signal: str) -> range:
        """The columns of a signal."""
        first = self.first(signal)
        return range(first, first + self.sizes[signal])

    def joint(self, name: str) -> int:
        """Where a joint stands among the joints."""
        return self.joint_names.index(name)

    @property
    def width(self) -> int:
        """Columns in all."""
        return sum(self.sizes.values())


def observed(contract: Contract) -> tuple[list[tuple[str, str | int]], Array]:
    """What each number of one step of an observation is read from, and how.

    Returns:
        Signal, and the joint or the column of the signal, number by number; and the unit, shift, scale, offset, lower
        and upper bound of each, shape (numbers, 6). The number is scale * clip(unit * signal + shift) + offset.

    Raises:
        TaskError: When a term can only be computed by a task environment.
        ContractError: When a joint is in a unit that has no fixed ratio to SI.
    """
    places: list[tuple[str, str | int]] = []
    numbers: list[tuple[float, ...]] = []
    taken: Counter[str] = Counter()
    for term in contract.observation.terms:
        for element, (signal, place, unit, shift) in zip(term.elements(contract), term.readings(contract), strict=True):
            places.append((signal, place if isinstance(place, str) else taken[signal] + place))
            scale, offset = term.entry("scale", element), term.entry("offset", element)
            numbers.append((unit, shift, scale, offset, *term.raw_clip(element)))
        taken.update(term.columns(contract))
    return places, np.array(numbers)


def affine(numbers: Array) -> tuple[Array, Array, Array, Array]:
    """Gain, bias and bounds of `gain * clip(signal) + bias`, from the numbers of `observed`."""
    unit, shift, scale, offset, low, high = numbers.T
    return scale * unit, offset + scale * shift, (low - shift) / unit, (high - shift) / unit


def at_positions(contract: Contract, joint_names: Sequence[str]) -> Array:
    """1 for each joint whose target is a position, 0 for others, shape (joints,)."""
    drives = contract.drives
    return np.array([drives.get(name, "position") == "position" for name in joint_names], np.float64)
