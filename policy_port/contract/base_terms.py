"""Observation terms of the floating base, and the velocity command."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import model_validator

from policy_port.arrays import Array
from policy_port.contract.draws import Draws
from policy_port.contract.parsing import Parsing
from policy_port.contract.place import Frame, Place, Point, point_words
from policy_port.contract.sensing import Sensing
from policy_port.contract.term import Bounds, Key, Reading, Term

XYZ = ("x", "y", "z")


VELOCITY_COMMAND: tuple[str, str, str] = ("lin_vel_x", "lin_vel_y", "ang_vel_z")


class BaseTerm(Term):
    """A vector of the floating base or of the command; three numbers, read from the signal of the term's name."""

    axes: ClassVar[tuple[str, str, str]] = XYZ
    reach: ClassVar[float] = 1.0
    """Largest usual number."""

    scale: float | tuple[float, float, float] = 1.0
    """Factor, one for all or one per element."""
    offset: float | tuple[float, float, float] = 0.0
    """Added after scaling."""
    clip: Bounds | None = None
    """Bounds of the raw value, applied before scale."""

    def entry(self, key: Key, element: str) -> Any:
        """Scale, offset or clip of one axis."""
        value = super().entry(key, element)
        return value[self.axes.index(element)] if isinstance(value, tuple) and key != "clip" else value

    def elements(self, contract: Parsing) -> tuple[str, ...]:
        """The axes."""
        return self.axes

    def readings(self, contract: Parsing) -> tuple[Reading, ...]:
        """The axes of the signal."""
        return tuple(Reading(self.term, axis) for axis in range(3))

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Up to `reach`."""
        return self.reach * draws.vector()


class MeasuredTerm(BaseTerm):
    """A vector that is measured on the base, in the base frame where nothing else is stated; or on any other link."""

    frame: Frame | None = None
    """Whose axes it is given in: link, {site: NAME} or {sensor: NAME}; the base frame, if not given."""
    link: str | None = None
    """Link or site, at any joint of the robot, on which it is measured: at its origin and in its axes. The base, if not
    given."""

    @model_validator(mode="after")
    def _measured_in_one_place(self) -> MeasuredTerm:
        stated = [key for key in ("point", "frame") if getattr(self, key, None) is not None]
        if self.link is not None and stated:
            raise ValueError(
                f"link '{self.link}' is measured at its own origin and in its own axes, and {stated[0]} says a place "
                "on the base; leave one of the two out"
            )
        return self

    @property
    def where(self) -> str:
        """The link or the frame."""
        if self.link is not None:
            return f"of {self.link}"
        return "" if self.frame is None else f"in {self.frame}"

    def senses(self) -> Sensing:
        """The link's velocities, where it names one."""
        return Sensing() if self.link is None else Sensing(links=(self.link,))

    @property
    def axes_of(self) -> Place | None:
        """The place in whose axes it is given; None for the base link's."""
        return self.frame if isinstance(self.frame, Place) else None

    @property
    def places(self) -> tuple[Place | Literal["com"], ...]:
        """What of the robot one has to find to compute it."""
        return () if self.axes_of is None else (self.axes_of,)

    @property
    def moved(self) -> bool:
        """Whether it is another vector than the signal of the term's name, and needs columns of its own."""
        return self.axes_of is not None

    def columns(self, contract: Parsing) -> dict[str, int]:
        """Three of its own, where it is moved or of another link."""
        if self.link is not None:
            return {"sensed": 3}
        return {"moved": 3} if self.moved else {}

    def readings(self, contract: Parsing) -> tuple[Reading, ...]:
        """Its own columns, or the signal of the term's name."""
        return Term.readings(self, contract) if self.columns(contract) else super().readings(contract)


class BaseLinVelTerm(MeasuredTerm):
    """Linear velocity of a point of the base [m/s]: v + w x r of the link's velocity v and its angular velocity w.

    Simulators mean different points by "the base's velocity": Isaac Lab's `mdp.base_lin_vel` is the centre of mass's,
    mjlab's that of the IMU's velocimeter.
    """

    reach = 2.0
    term: Literal["base_lin_vel"]
    point: Point | None = None
    """Whose velocity: link (the link's origin), com (centre of mass of the base link), {site: NAME}, {sensor: NAME} (a
    velocimeter, which also measures in its site's axes), or [x, y, z] from the link's origin in the link's axes [m];
    link, if not given."""

    @property
    def where(self) -> str:
        """Point and frame."""
        point = "" if self.point is None else point_words(self.point)
        return " ".join(words for words in (point, super().where) if words)

    @property
    def axes_of(self) -> Place | None:
        """The frame's; of a sensor that is the point, its own, unless a frame says otherwise."""
        sensor = self.point if isinstance(self.point, Place) and self.point.sensor is not None else None
        return sensor if self.frame is None else super().axes_of

    @property
    def places(self) -> tuple[Place | Literal["com"], ...]:
        """Also the point, where it has a name."""
        point = () if self.point is None or self.point == "link" or isinstance(self.point, tuple) else (self.point,)
        return tuple(dict.fromkeys((*point, *super().places)))

    @property
    def moved(self) -> bool:
        """Also where the point is not the link's origin."""
        return super().moved or self.point not in (None, "link")


class BaseAngVelTerm(MeasuredTerm):
    """Angular velocity of the base [rad/s]."""

    reach = 3.0
    term: Literal["base_ang_vel"]


class ProjectedGravityTerm(MeasuredTerm):
    """Unit vector of gravity."""

    term: Literal["projected_gravity"]

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Roll and pitch of up to 0.6 rad."""
        roll, pitch = 0.6 * draws.smooth(), 0.6 * draws.smooth()
        return np.stack([np.sin(pitch), -np.sin(roll) * np.cos(pitch), -np.cos(roll) * np.cos(pitch)], axis=-1)


class VelocityCommandTerm(BaseTerm):
    """The commanded velocity: lin_vel_x [m/s], lin_vel_y [m/s], ang_vel_z [rad/s]; what `command` is of these three."""

    axes = VELOCITY_COMMAND
    term: Literal["velocity_command"]

    def readings(self, contract: Parsing) -> tuple[Reading, ...]:
        """The first three elements of the command in force."""
        signal = "command_in_force" if contract.command.shaped else "velocity_command"
        return tuple(Reading(signal, axis) for axis in range(3))

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Within the trained ranges; +-1 where they are not stated."""
        return draws.held([contract.command.bounds(axis) or (-1.0, 1.0) for axis in self.axes])
