"""Where on the robot a vector of the base is measured: the point of a velocity, the axes of any of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from policy_port.contract.yaml_file import Strict
from policy_port.errors import closest

FARTHEST = 10.0
"""Largest offset of a point from its link's origin [m]; a larger one is in another unit."""

FRAMES = "{site: NAME} or {sensor: NAME}"
POINTS = f"link, com, {FRAMES}, or [x, y, z] in metres from the link's origin"


class Place(Strict):
    """A named place on the robot, fixed to its base: a site of its MJCF, or where a sensor of it is mounted."""

    site: str | None = None
    """Name of the site; where a robot file has no sites, of a link that is fixed to the base."""
    sensor: str | None = None
    """Name of the sensor, which is mounted at a site."""

    def __str__(self) -> str:
        """The place in words: "site imu"."""
        return f"site {self.site}" if self.site is not None else f"sensor {self.sensor}"


Offset = tuple[float, float, float]

PLACE_SIGNALS = {"base_com": 3, "site_pos_": 3, "sensor_pos_": 3, "site_quat_": 4, "sensor_quat_": 4}
"""What the names of signals begin with that say where a place is on the base, and their widths."""


def place_signal(place: Place | Literal["com"], what: Literal["pos", "quat"]) -> str:
    """Name of the signal, and of a trace's array, that says where a place is: "site_pos_imu"."""
    if not isinstance(place, Place):
        return "base_com"
    return f"site_{what}_{place.site}" if place.site is not None else f"sensor_{what}_{place.sensor}"


def _place(value: Any, key: str, choices: str) -> Place:
    """A place as a contract writes it."""
    if isinstance(value, Place):
        return value
    named = {kind: name for kind, name in value.items() if name is not None} if isinstance(value, dict) else {}
    unknown = [str(kind) for kind in named if kind not in ("site", "sensor")]
    if unknown:
        hint = closest(unknown[0], ("site", "sensor")) or "."
        raise ValueError(f"{key} has the unknown key '{unknown[0]}'{hint} Write {choices}")
    (kind, name), *more = [*named.items()] or [("", None)]
    if more or not isinstance(name, str) or not name:
        raise ValueError(f"{key} names one place of the robot, given {value!r}; write {choices}")
    return Place(**{kind: name})


def _point(value: Any) -> Literal["link", "com"] | Place | Offset:
    if isinstance(value, str):
        if value in ("link", "com"):
            return value
        raise ValueError(f"point '{value}' is not known{closest(value, ('link', 'com')) or '.'} Write {POINTS}")
    if not isinstance(value, list | tuple):
        return _place(value, "point", POINTS)
    numbers = [number for number in value if isinstance(number, int | float) and not isinstance(number, bool)]
    if len(numbers) != 3 or len(value) != 3 or not all(map(math.isfinite, numbers)):
        raise ValueError(f"point {list(value)} is no offset, which is three numbers; write {POINTS}")
    if max(map(abs, numbers)) > FARTHEST:
        raise ValueError(
            f"point {list(value)} is more than {FARTHEST:g} m from the link's origin; an offset is in metres"
        )
    x, y, z = map(float, numbers)
    return x, y, z


def _frame(value: Any) -> Literal["link"] | Place:
    if value == "link":
        return "link"
    if not isinstance(value, dict | Place):
        raise ValueError(f"frame {value!r} is not known; write link, {FRAMES}")
    return _place(value, "frame", f"link, {FRAMES}")


@dataclass(frozen=True)
class _ReadBy:
    """A type that one function reads, so that its message is the only one."""

    read: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)


Point = Annotated[Literal["link", "com"] | Place | Offset, _ReadBy(_point)]
"""Whose velocity is meant: the origin of the base link, the centre of mass of that link alone as the robot file has it
(not of what is fixed to it), a named place, or an offset from the origin in the link's axes [m]."""

Frame = Annotated[Literal["link"] | Place, _ReadBy(_frame)]
"""In whose axes a vector is given: those of the base link, or of a named place."""


def point_words(point: Literal["link", "com"] | Place | Offset) -> str:
    """A point in words, for a table: "at com", "at [0, 0, -0.08]"."""
    return f"at [{', '.join(f'{number:g}' for number in point)}]" if isinstance(point, tuple) else f"at {point}"
