"""Observation terms of where the robot's links are and what they touch, as angles, quaternions, heights and scans."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from policy_port.arrays import Array
from policy_port.contract.base_terms import XYZ
from policy_port.contract.draws import Draws
from policy_port.contract.joints import NonNegative, Positive
from policy_port.contract.parsing import Parsing
from policy_port.contract.sensing import Scan, Sensing, Turning
from policy_port.contract.term import Bounds, Key, Term

EULER = ("roll", "pitch", "yaw")
HEADING = ("angle", "cos", "sin")
MOST_RAYS = 4096
"""Rays of one scan at most."""


class SensedTerm(Term):
    """A term that is computed from the pose of the base or of a link, or from what a plant senses beside them."""

    scale: float | tuple[float, ...] = 1.0
    """Factor, one for all or one per element."""
    offset: float | tuple[float, ...] = 0.0
    """Added after scaling, one for all or one per element."""
    clip: Bounds | None = None
    """Bounds of the raw value, applied before scale."""

    @model_validator(mode="after")
    def _numbers_fit(self) -> SensedTerm:
        for key in ("scale", "offset"):
            value = getattr(self, key)
            if isinstance(value, tuple) and len(value) != len(self.names):
                raise ValueError(f"{key} has {len(value)} numbers, {self.label} has {len(self.names)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each element."""
        raise NotImplementedError

    def entry(self, key: Key, element: str) -> Any:
        """Scale, offset or clip of one element."""
        value = super().entry(key, element)
        return value[self.names.index(element)] if isinstance(value, tuple) and key != "clip" else value

    def elements(self, contract: Parsing) -> tuple[str, ...]:
        """The names."""
        return self.names

    def columns(self, contract: Parsing) -> dict[str, int]:
        """Its own."""
        return {"sensed": len(self.names)}


class PosedTerm(SensedTerm):
    """A term of the pose of the base, or of the link or site that `link` names."""

    link: str | None = None
    """Name of the link or site, at any joint of the robot; the base, if not given."""

    @property
    def where(self) -> str:
        """The link."""
        return "" if self.link is None else f"of {self.link}"

    def senses(self) -> Sensing:
        """The link's pose."""
        return Sensing() if self.link is None else Sensing(links=(self.link,))


class ChoosingTerm(PosedTerm):
    """A term of some of several numbers, in any order."""

    known: ClassVar[tuple[str, ...]] = ()
    """The numbers that it may be of."""
    key: ClassVar[str]
    """The field that picks some of them."""

    @model_validator(mode="after")
    def _elements_are_known(self) -> ChoosingTerm:
        chosen = self.names
        unknown = [name for name in chosen if name not in self.known]
        if unknown or not chosen or len(set(chosen)) < len(chosen):
            raise ValueError(f"{self.key} is {list(chosen)}; write some of {', '.join(self.known)}, each once")
        return self


class BaseEulerTerm(ChoosingTerm):
    """Roll, pitch and yaw of the base or a link in the world [rad]: R = Rz(yaw) Ry(pitch) Rx(roll)."""

    known = EULER
    key = "angles"
    term: Literal["base_euler"]
    angles: tuple[str, ...] = EULER
    """Which of roll, pitch and yaw, in this order."""
    interval: Literal["signed", "positive"] = "signed"
    """signed: from -pi to pi. positive: from 0 to 2 pi, as Isaac Gym's get_euler_xyz gives them."""

    @property
    def names(self) -> tuple[str, ...]:
        """The picked angles."""
        return self.angles

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Leaning by up to 0.6 rad, looking anywhere."""
        reach = {"roll": 0.6, "pitch": 0.6, "yaw": math.pi}
        angles = np.stack([reach[name] * draws.smooth() for name in self.angles], axis=-1)
        return angles if self.interval == "signed" else np.mod(angles, 2.0 * math.pi)


class BaseQuatTerm(PosedTerm):
    """Orientation of the base or a link in the world as a unit quaternion, in the contract's quaternion_order."""

    holds_quaternion = True
    term: Literal["base_quat"]
    positive_w: bool = False
    """True where a quaternion with a negative w is turned into its equal with a positive one."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its four numbers, in one fixed order of their own: `elements` has the contract's."""
        return ("w", *XYZ)

    def elements(self, contract: Any) -> tuple[str, ...]:
        """Its four numbers, in the contract's order."""
        return (*XYZ, "w") if contract.quaternion_order == "xyzw" else self.names

    @model_validator(mode="after")
    def _one_number_for_all(self) -> BaseQuatTerm:
        if isinstance(self.scale, tuple) or isinstance(self.offset, tuple):
            raise ValueError("a quaternion has one scale and one offset for its four numbers")
        return self

    def draw(self, contract: Any, draws: Draws) -> Array:
        """Leaning by up to 0.6 rad, looking anywhere."""
        roll, pitch, yaw = (0.5 * reach * draws.smooth() for reach in (0.6, 0.6, math.pi))
        parts = {
            "w": np.cos(roll) * np.cos(pitch) * np.cos(yaw) + np.sin(roll) * np.sin(pitch) * np.sin(yaw),
            "x": np.sin(roll) * np.cos(pitch) * np.cos(yaw) - np.cos(roll) * np.sin(pitch) * np.sin(yaw),
            "y": np.cos(roll) * np.sin(pitch) * np.cos(yaw) + np.sin(roll) * np.cos(pitch) * np.sin(yaw),
            "z": np.cos(roll) * np.cos(pitch) * np.sin(yaw) - np.sin(roll) * np.sin(pitch) * np.cos(yaw),
        }
        quat = np.stack([parts[name] for name in self.elements(contract)], axis=-1)
        return quat * np.where(parts["w"] < 0.0, -1.0, 1.0)[..., None] if self.positive_w else quat


class LinkHeightTerm(PosedTerm):
    """Height of the origin of the base or a link above flat ground, the world's z = 0 [m]; or above other links."""

    term: Literal["link_height"]
    above: tuple[str, ...] = ()
    """Links above the lowest of whose origins it is measured, feet for example; the ground, if none."""

    @property
    def names(self) -> tuple[str, ...]:
        """One number."""
        return ("z",)

    @property
    def where(self) -> str:
        """The link, and what it is above."""
        return " ".join(filter(None, (super().where, f"above {', '.join(self.above)}" if self.above else "")))

    def senses(self) -> Sensing:
        """The poses of all links that it names."""
        return Sensing.of((super().senses(), Sensing(links=self.above)))

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """About the base's height at reset, or half a metre."""
        height = getattr(getattr(contract, "base", None), "height", None) or 0.5
        return height * (1.0 + 0.3 * draws.smooth())[..., None]


class LinkPosTerm(ChoosingTerm):
    """Position of the origin of a link, or of the base in the world [m]."""

    known = XYZ
    key = "axes"
    term: Literal["link_pos"]
    axes: tuple[str, ...] = XYZ
    """Which of x, y and z, in this order."""
    frame: Literal["world", "base", "yaw"]
    """world: from the environment's origin. base: from the base's origin in the base's axes. yaw: from there too, in
    axes that turn with the base's yaw alone."""

    @property
    def names(self) -> tuple[str, ...]:
        """The picked axes."""
        return self.axes

    @property
    def where(self) -> str:
        """Link and frame."""
        return " ".join(filter(None, (super().where, f"in {self.frame}")))

    @model_validator(mode="after")
    def _base_is_not_its_own_frame(self) -> LinkPosTerm:
        if self.link is None and self.frame != "world":
            raise ValueError(f"frame {self.frame} is the base's own, where the base stays at zero; name a link")
        return self

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Within a metre."""
        return np.stack([draws.smooth() for _ in self.axes], axis=-1)


class HeadingParts(ChoosingTerm):
    """An angle in the world's plane, as itself or as a point on the unit circle."""

    known = HEADING
    key = "parts"
    parts: tuple[str, ...] = ("angle",)
    """Which of the angle [rad, from -pi to pi], its cosine and its sine, in this order."""

    @property
    def names(self) -> tuple[str, ...]:
        """The picked numbers."""
        return self.parts

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Anywhere."""
        angle = math.pi * draws.smooth()
        shown = {"angle": angle, "cos": np.cos(angle), "sin": np.sin(angle)}
        return np.stack([shown[name] for name in self.parts], axis=-1)


class HeadingTerm(HeadingParts):
    """Where the x axis of the base or a link points in the world's plane: the angle from the world's x axis."""

    term: Literal["heading"]


class HeadingErrorTerm(HeadingParts):
    """The command's element `heading` less the heading, wrapped into -pi to pi."""

    term: Literal["heading_error"]


class ContactTerm(SensedTerm):
    """Forces of the contacts of links in the last physics step, all bodies together [N]; or whether they touch."""

    term: Literal["contact"]
    links: Annotated[tuple[str, ...], Field(min_length=1)]
    """The links, in this order; only their own shapes count, not those of links fixed to them."""
    measure: Literal["magnitude", "vertical", "vector"] = "magnitude"
    """Length of the force on the link, its part along the world's z, or its x, y and z in the world."""
    threshold: NonNegative | None = None
    """1 where the force is above this [N], else 0; the force itself, if not given."""

    @property
    def names(self) -> tuple[str, ...]:
        """The links; a link's axes where the force is a vector."""
        return tuple(f"{link}.{axis}" for link in self.links for axis in XYZ) if self._whole else self.links

    @property
    def _whole(self) -> bool:
        return self.measure == "vector"

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> ContactTerm:
        if len(set(self.links)) < len(self.links):
            raise ValueError("links names a link twice; name each once")
        if self.threshold is not None and self._whole:
            raise ValueError("a vector has no threshold; write measure: magnitude or vertical, or leave threshold out")
        return self

    def senses(self) -> Sensing:
        """The links' contact forces."""
        return Sensing(contacts=self.links)

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """Touching or not; up to 300 N."""
        waves = np.stack([draws.smooth() for _ in self.names], axis=-1)
        if self.threshold is not None:
            return (waves > 0.0).astype(np.float64)
        return 300.0 * (waves if self._whole else np.maximum(waves, 0.0))


class HeightScanTerm(PosedTerm):
    """Height of a link's origin above the ground along parallel rays in a grid, less `height_offset` [m].

    Rays go down from `start` above the origin; only what stands still in the world stops them, never the robot.
    """

    term: Literal["height_scan"]
    size: tuple[NonNegative, NonNegative]
    """Length along x and width along y of the grid, which lies symmetric about `centre` [m]."""
    resolution: Positive
    """Distance between rays [m]."""
    ordering: Literal["xy", "yx"] = "xy"
    """Which number changes first from ray to ray: xy x, then y (Isaac Lab's default); yx y, then x."""
    centre: tuple[float, float] = (0.0, 0.0)
    """Middle of the grid, x and y from the link's origin [m]."""
    frame: Turning = "yaw"
    """yaw: the grid turns with the link's yaw and rays are vertical. world: it does not turn. link: grid and rays turn
    and tilt with the link."""
    start: NonNegative = 20.0
    """How far above the link's origin rays begin [m]; what lies higher is not seen."""
    max_distance: Positive = 1e6
    """How far a ray goes [m]."""
    height_offset: float = 0.5
    """Taken off each height [m]; Isaac Lab's default."""
    miss: float | None = None
    """Raw value of a ray that hits nothing [m], before clip and scale; without it such a ray is an error."""

    @property
    def grid(self) -> tuple[tuple[float, float], ...]:
        """Where each ray stands from the link's origin, x and y [m]."""
        x, y = (
            [middle - side / 2.0 + step * self.resolution for step in range(self._count(side))]
            for side, middle in zip(self.size, self.centre, strict=True)
        )
        if self.ordering == "xy":
            return tuple((a, b) for b in y for a in x)
        return tuple((a, b) for a in x for b in y)

    def _count(self, side: float) -> int:
        # Sides are read from decimals, and 1.6 / 0.1 is a little less than 16.
        return math.floor(side / self.resolution + 1e-6) + 1

    @property
    def rays(self) -> int:
        """Number of rays."""
        return self._count(self.size[0]) * self._count(self.size[1])

    @property
    def names(self) -> tuple[str, ...]:
        """Numbers of the rays."""
        return tuple(map(str, range(min(self.rays, MOST_RAYS + 1))))

    @model_validator(mode="after")
    def _not_too_many(self) -> HeightScanTerm:
        if self.rays > MOST_RAYS:
            raise ValueError(
                f"size {list(self.size)} in steps of {self.resolution:g} m makes {self.rays} rays, {MOST_RAYS} at most"
            )
        return self

    @property
    def scan(self) -> Scan:
        """What a plant measures."""
        name = "height_scan" if self.label == "height_scan" else f"height_scan_{self.label}"
        return Scan(name, self.link, self.frame, self.grid, self.start, self.max_distance)

    def senses(self) -> Sensing:
        """The scan, and the link's pose."""
        return Sensing.of((super().senses(), Sensing(scans=(self.scan,))))

    def draw(self, contract: Parsing, draws: Draws) -> Array:
        """A slope that rises and falls, with steps of a few centimetres."""
        low = getattr(getattr(contract, "base", None), "height", None) or 0.5
        where = np.asarray(self.grid)
        slope = 0.3 * (draws.smooth()[..., None] * where[:, 0] + draws.smooth()[..., None] * where[:, 1])
        return low - self.height_offset + slope + 0.05 * draws.noise(self.rays)
