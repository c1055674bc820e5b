"""What the operations of a step read: the row of signals by name, the time, and what was computed already."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from policy_port.contract.spec import Contract
from policy_port.deploy.layout import Layout
from policy_port.deploy.past import TIME, States
from policy_port.deploy.places import Finder
from policy_port.deploy.program import Program, Value
from policy_port.motion.followed import Clip

VIEW = "signals/"
"""Goes before the name of a signal that is given beside the row."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What a program is built for."""

    contract: Contract
    """The contract."""
    layout: Layout
    """What stands where in the row."""
    mountings: Finder | None = None
    """Where places are on the base; needed where a term names one."""
    clip: Callable[[], Clip]
    """Gives the motion as the contract follows it, or raises `MotionError`."""
    derived: Mapping[str, Callable[[Source], Value]]
    """What computes signals that nobody measures, by name."""
    views: bool = False
    """Whether the row's columns can be given beside it as inputs of their own, which saves picking them out."""


class Source:
    """Signals as values of a program."""

    def __init__(self, program: Program, row: Value, situation: Situation) -> None:
        """Read from a row.

        Args:
            program: Where operations go.
            row: The row.
            situation: What the row holds, and what is known of the robot.
        """
        self.program, self.row, self.situation = program, row, situation
        self.contract, self.layout = situation.contract, situation.layout
        self.states = States(program, situation.contract.control_dt)
        self.computed: dict[str, Value] = {}
        """What was computed already, by name."""

    def found(self, name: str) -> Value:
        """A signal, computed where nobody measures it."""
        if name not in self.situation.derived:
            return self.signal(name)
        if name not in self.computed:
            self.computed[name] = self.situation.derived[name](self)
        return self.computed[name]

    def signal(self, name: str) -> Value:
        """A signal as it was measured or left behind."""
        if self.situation.views:
            known = self.program.inputs.get(f"{VIEW}{name}")
            return known or self.program.input(f"{VIEW}{name}", self.layout.sizes[name])
        return self.row[list(self.layout.columns(name))]

    @property
    def clip(self) -> Clip:
        """The motion as the contract follows it."""
        return self.situation.clip()

    @property
    def mountings(self) -> Finder | None:
        """Where places are on the base."""
        return self.situation.mountings

    @functools.cached_property
    def time(self) -> Value:
        """Time since reset [s], shape (num_envs, 1)."""
        return self.program.inputs.get(TIME) or self.states.steps * self.contract.control_dt

    @property
    def command(self) -> Value:
        """The command in force."""
        return self.found("command_in_force" if self.contract.command.shaped else "velocity_command")

    def joint_positions(self, names: Sequence[str]) -> Value:
        """Measured positions of some joints."""
        columns = self.layout.columns("joint_pos")
        return self.row[[columns[self.layout.joint(name)] for name in names]]


def rotate(quat: Value, vector: Value | np.ndarray) -> Value:
    """Vectors turned by unit quaternions wxyz; either may be a constant of one row."""
    program = quat.program
    axis = quat[1:]
    twice = cross(axis, vector) * 2.0
    return program.apply("Add", vector, quat[0] * twice) + cross(axis, twice)


def cross(left: Value, right: Value | np.ndarray) -> Value:
    """The cross product."""
    program, ahead, behind = left.program, [1, 2, 0], [2, 0, 1]
    turned = (right[ahead], right[behind]) if isinstance(right, Value) else (right[..., ahead], right[..., behind])
    return program.apply("Mul", left[ahead], turned[1]) - program.apply("Mul", left[behind], turned[0])


def multiply(left: Value, right: Value | np.ndarray) -> Value:
    """The rotation `right` followed by `left`, wxyz."""
    w, x, y, z = (left[index] for index in range(4))
    orders = ([0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0])
    signs = ([1, 1, 1, 1], [-1, 1, -1, 1], [-1, 1, 1, -1], [-1, -1, 1, 1])
    total: Value | None = None
    for part, order, sign in zip((w, x, y, z), orders, signs, strict=True):
        given = right[order] if isinstance(right, Value) else np.asarray(right)[..., order]
        product = part * given * np.array(sign, np.float64)
        total = product if total is None else total + product
    assert total is not None
    return total


def conjugate(quat: Value) -> Value:
    """The inverse of unit quaternions."""
    return quat * np.array([1.0, -1.0, -1.0, -1.0])


def arctan2(y: Value, x: Value) -> Value:
    """The angle of a point, from -pi to pi."""
    program = y.program
    nowhere = y.equals(0.0).both(x.equals(0.0))
    angle = (y / program.where(nowhere, 1.0, x)).call("Atan")
    behind = program.where(y < 0.0, angle - np.pi, angle + np.pi)
    return program.where(x < 0.0, behind, angle)


def yaw_angle(quat: Value) -> Value:
    """Angle of the x axis in the world's plane [rad]."""
    w, x, y, z = (quat[index] for index in range(4))
    return arctan2((w * z + x * y) * 2.0, (y * y + z * z) * -2.0 + 1.0)


def about_vertical(angle: Value) -> Value:
    """Rotations about the world's z axis."""
    half = angle * 0.5
    return quat_about(half, np.array([0.0, 0.0, 1.0]))


def quat_about(half: Value, axis: np.ndarray) -> Value:
    """Rotations by twice an angle [rad] about a unit axis."""
    return half.program.concat([half.call("Cos"), half.call("Sin") * axis])


def floor_mod(value: Value, divisor: float) -> Value:
    """The remainder of division, with the divisor's sign."""
    return value - (value / divisor).call("Floor") * divisor
