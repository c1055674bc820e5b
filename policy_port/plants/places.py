"""Where things are on a robot's base: its centre of mass, its sites, and where its sensors are mounted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from policy_port.arrays import Array
from policy_port.contract.place import Place
from policy_port.control.plant import Mounting
from policy_port.errors import RobotError, closest

SAME_CENTRE = 1e-3
"""How far the centre of mass of the base link and that of all that is fixed to it may be apart [m]: beyond, "the"
centre of mass depends on whether a simulator merges links."""

NO_MASS = 0.01
"""Share of the mass of all that is fixed together up to which a base link is a name without a body: what it carries is
the base then, in every simulator that can simulate it."""

ELSE_OFFSET = (
    "Or write the offset from the base link's origin: point: [x, y, z], in metres; and frame: link, where the axes are "
    "the base link's"
)


class Pose(NamedTuple):
    """A frame in another."""

    position: Array
    """Its origin [m], shape (3,)."""
    rotation: Array
    """Its axes as columns, shape (3, 3)."""

    def then(self, inner: Pose) -> Pose:
        """A frame that is given in this one, in the frame that this one is given in."""
        return Pose(self.position + self.rotation @ inner.position, self.rotation @ inner.rotation)

    def inverse(self) -> Pose:
        """The outer frame in this one."""
        return Pose(-self.rotation.T @ self.position, self.rotation.T)

    @staticmethod
    def of(position: ArrayLike, quat: ArrayLike) -> Pose:
        """From an origin [m] and a wxyz quaternion."""
        w, x, y, z = np.asarray(quat, dtype=np.float64) / np.linalg.norm(np.asarray(quat, dtype=np.float64))
        axes = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
        return Pose(np.array(position, dtype=np.float64), np.array(axes))


ORIGIN = Pose(np.zeros(3), np.eye(3))


class Link(NamedTuple):
    """A link as a simulator has it."""

    name: str
    parent: str
    """Name of its parent; of the base link nobody asks."""
    moved_by: str
    """Name of the joint between the two; empty where it is fixed."""
    pose: Pose
    """Its frame in its parent's, where it is fixed."""
    mass: float
    """[kg]"""
    centre_of_mass: Array
    """In its own frame [m], shape (3,)."""


class Site(NamedTuple):
    """A site as a simulator has it."""

    link: str
    pose: Pose
    """Its frame in the link's."""


class Sensor(NamedTuple):
    """A sensor of an MJCF."""

    kind: str
    """As MJCF calls it: velocimeter."""
    site: str | None
    """Where it is mounted and in whose axes it reads; None where it reads otherwise."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """All that is fixed to a robot's base, by name."""

    file: Path
    """The robot file, for messages."""
    links: Sequence[Link]
    """The robot's links, the base link first, parents before children."""
    sites: Mapping[str, Site] = field(default_factory=dict)
    """Its sites."""
    sensors: Mapping[str, Sensor] = field(default_factory=dict)
    """Its sensors."""
    frame: str | None = None
    """The link or site in whose frame the plant measures; the base link, if None."""

    def mounting(self, place: Place | Literal["com"], num_envs: int) -> Mounting:
        """Where a place is on the base; see `Plant.mounting`."""
        kind = site = ""
        if place == "com":
            pose = Pose(self._centre_of_mass(), np.eye(3))
        elif place.sensor is not None:
            kind, site = self._sensor(place.sensor)
            pose = self._find(site)
        else:
            assert place.site is not None
            pose = self._find(place.site)
        if self.frame is not None:
            frame = self._find(self.frame).inverse()
            pose = frame.then(pose)
            if place == "com":
                pose = pose._replace(rotation=np.eye(3))
        return Mounting(np.tile(pose.position, (num_envs, 1)), pose.rotation, kind, site)

    def _sensor(self, name: str) -> tuple[str, str]:
        """Kind and site of a sensor."""
        if name not in self.sensors:
            raise RobotError(
                f"{self.file}: has no sensor '{name}'{closest(name, self.sensors) or '.'} It has: "
                f"{', '.join(self.sensors) or 'none'}. {ELSE_OFFSET}"
            )
        kind, site = self.sensors[name]
        if site is None:
            raise RobotError(
                f"{self.file}: sensor '{name}' is a {kind}, which does not read in the axes of a site that it is "
                f"mounted at; name the site that is meant. {ELSE_OFFSET}"
            )
        return kind, site

    def _find(self, name: str) -> Pose:
        """Frame of a site or link in the base link's."""
        fixed, moved = self._fixed()
        links = {link.name for link in self.links}
        if name not in self.sites and name not in links:
            known = [*self.sites, *links]
            raise RobotError(
                f"{self.file}: has no site or link '{name}'{closest(name, known) or '.'} It has: "
                f"{', '.join(known)}. {ELSE_OFFSET}"
            )
        site = self.sites.get(name, Site(name, ORIGIN))
        if site.link in moved:
            raise RobotError(
                f"{self.file}: '{name}' is on link '{site.link}', which joint '{moved[site.link]}' moves against the "
                f"base link '{self.links[0].name}', and a term's place is fixed to the base. Where all base terms are "
                f"measured there, write base.frame: {name}, and leave out point and frame of the terms"
            )
        return fixed[site.link].then(site.pose)

    def _fixed(self) -> tuple[dict[str, Pose], dict[str, str]]:
        """Frames of the links that are fixed to the base link, in its frame; the joints that move the others."""
        fixed, moved = {self.links[0].name: ORIGIN}, {}
        for link in self.links[1:]:
            if link.moved_by or link.parent in moved:
                moved[link.name] = link.moved_by or moved[link.parent]
            else:
                fixed[link.name] = fixed[link.parent].then(link.pose)
        return fixed, moved

    def _centre_of_mass(self) -> Array:
        """Of the base link, in its frame [m]."""
        fixed, base = self._fixed()[0], self.links[0]
        parts = [link for link in self.links if link.name in fixed and link.mass > 0.0]
        mass = sum(link.mass for link in parts)
        moments = [link.mass * fixed[link.name].then(Pose(link.centre_of_mass, np.eye(3))).position for link in parts]
        merged = sum(moments, start=np.zeros(3)) / max(mass, 1e-300)
        if base.mass <= NO_MASS * mass:
            return merged
        if np.abs(merged - base.centre_of_mass).max() <= SAME_CENTRE:
            return base.centre_of_mass
        others = sorted((link for link in parts if link is not base), key=lambda link: -link.mass)
        raise RobotError(
            f"{self.file}: the centre of mass of base link '{base.name}' alone is at {_numbers(base.centre_of_mass)}, "
            f"together with what is fixed to it ({', '.join(link.name for link in others[:4])}"
            f"{', ...' if len(others) > 4 else ''}) at {_numbers(merged)}. A simulator that merges fixed links takes "
            "the second. Write the one that was trained with as the point: [x, y, z]"
        )


def _numbers(values: Array) -> str:
    return f"[{', '.join(f'{value:.6g}' for value in values)}]"
