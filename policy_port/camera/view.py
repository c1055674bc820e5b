"""Where a camera stands and how it looks: frozen data, its projection, and the conventions that others have for it.

Pixels are OpenCV's everywhere: (column, row), and the middle of the first pixel is (0, 0).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from policy_port.arrays import Array
from policy_port.contract.yaml_file import Strict, parse, read_yaml
from policy_port.errors import CameraError
from policy_port.motion.rotations import about, conjugate, matrix, multiply, rotate

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]


def _radians(fov: float) -> float:
    if fov > math.pi:
        raise ValueError(f"fov {fov:g} is in degrees; it is in radians here: {math.radians(fov):.4f}")
    if not 0.02 <= fov <= 3.0:
        raise ValueError(f"fov {fov:g} is not from 0.02 to 3.0 rad")
    return fov


Fov = Annotated[float, AfterValidator(_radians)]
"""A field of view [rad]."""

FURTHEST = 20.0
"""A camera, or what it looks at, is no further from the robot [m]."""


def _metres(place: Vector) -> Vector:
    if max(map(abs, place)) > FURTHEST:
        raise ValueError(f"{list(place)} is further than {FURTHEST:g} m away: in millimetres? It is in metres here")
    return place


Position = Annotated[Vector, AfterValidator(_metres)]
"""Where something stands [m]."""

CV_AXES = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""OpenCV's axes, x right, y down, z forward, as columns in a view's axes."""
MUJOCO_AXES = np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""MuJoCo's and OpenGL's, x right, y up, z backwards, as columns in a view's axes."""
NEAR = 1e-6
"""Nearest depth that is projected [m]."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A camera: where it is, how it is turned, and its lens."""

    position: Vector
    """In the frame of the robot's base link [m]."""
    rotation: Quaternion
    """Unit quaternion wxyz from the camera's axes to the base's. The camera looks along x, y is left and z up."""
    fov: float
    """From the top edge of the picture to the bottom [rad]."""
    size: tuple[int, int]
    """Rows and columns of its pictures."""
    principal: tuple[float, float] = (0.0, 0.0)
    """How far right of and below the middle of the picture it looks straight ahead [pixels]."""
    distortion: tuple[float, ...] = ()
    """OpenCV's k1, k2, p1, p2 and k3 of its pictures; () where they are, or were made, straight."""

    @classmethod
    def looking_at(cls, position: Any, target: Any, *, roll: float = 0.0, **lens: Any) -> View:
        """A camera that looks at a point.

        Args:
            position: Where it is, shape (3,) [m].
            target: What stands in the middle of its picture, shape (3,) [m].
            roll: Turn about the line of sight [rad]; at 0 the picture's upper edge is level, positive turns the camera
                clockwise as it looks.
            lens: `fov`, `size` and the fields below.

        Raises:
            CameraError: When it stands where it looks.
        """
        position, target = np.asarray(position, dtype=np.float64), np.asarray(target, dtype=np.float64)
        forward = target - position
        if np.linalg.norm(forward) < 1e-9:
            raise CameraError(f"a camera at {position.tolist()} can't look at {target.tolist()}: it stands there")
        forward /= np.linalg.norm(forward)
        left = np.cross([0.0, 0.0, 1.0], forward)
        # Straight up or down no direction is level; SAPIEN's look_at takes y for left then too.
        left = left / np.linalg.norm(left) if np.linalg.norm(left) > 1e-9 else np.array([0.0, 1.0, 0.0])
        level = quat_of(np.stack([forward, left, np.cross(forward, left)], axis=-1))
        return cls.at(position, multiply(level, about(np.array([1.0, 0.0, 0.0]), np.asarray(roll))), **lens)

    @classmethod
    def at(cls, position: Any, rotation: Any, **lens: Any) -> View:
        """A camera at a position (3,) [m] with a rotation wxyz (4,) of any length, such as a SAPIEN pose's p and q."""
        turned = np.asarray(rotation, dtype=np.float64)
        length = float(np.linalg.norm(turned))
        # What was normalised stays as it was written, to the last bit.
        turned = turned / (1.0 if abs(length - 1.0) < 1e-14 else length) * (-1.0 if turned[0] < 0.0 else 1.0)
        x, y, z = (float(value) for value in np.asarray(position, dtype=np.float64))
        return cls(position=(x, y, z), rotation=tuple(turned.tolist()), **lens)

    @functools.cached_property
    def matrix(self) -> Array:
        """The rotation from the camera's axes to the base's, shape (3, 3)."""
        return matrix(np.array(self.rotation))

    @property
    def forward(self) -> Array:
        """Direction in which it looks, in the base's frame, shape (3,)."""
        return self.matrix[:, 0]

    @property
    def straight(self) -> View:
        """The same camera with a lens that bends nothing and looks through its picture's middle."""
        return replace(self, principal=(0.0, 0.0), distortion=())

    def roll_to(self, target: Any) -> float:
        """Turn about the line of sight [rad] against a level camera that stands there and looks at a point (3,) [m]."""
        turned = View.looking_at(self.position, target, fov=self.fov, size=self.size).matrix.T @ self.matrix
        return math.atan2(turned[2, 1], turned[1, 1])

    @property
    def mujoco_quat(self) -> Array:
        """The rotation as MuJoCo's cameras have it, shape (4,) wxyz."""
        return multiply(np.array(self.rotation), quat_of(MUJOCO_AXES))

    @property
    def focal(self) -> float:
        """Focal length [pixels], the same across and down."""
        return 0.5 * self.size[0] / math.tan(0.5 * self.fov)

    def intrinsics(self) -> Array:
        """OpenCV's camera matrix, shape (3, 3)."""
        rows, columns = self.size
        matrix = np.diag([self.focal, self.focal, 1.0])
        matrix[:2, 2] = 0.5 * (columns - 1) + self.principal[0], 0.5 * (rows - 1) + self.principal[1]
        return matrix

    def extrinsics(self) -> tuple[Array, Array]:
        """Rotation (3, 3) and translation (3,) [m] from the base's frame to OpenCV's camera axes."""
        return self._extrinsics

    @functools.cached_property
    def _extrinsics(self) -> tuple[Array, Array]:
        rotation = (self.matrix @ CV_AXES).T
        return rotation, -rotation @ np.array(self.position)

    @classmethod
    def of_extrinsics(cls, rotation: Array, translation: Array, **lens: Any) -> View:
        """The inverse of `extrinsics`."""
        return cls.at(-rotation.T @ translation, quat_of(rotation.T @ CV_AXES.T), **lens)

    def project(self, points: Array) -> tuple[Array, Array]:
        """Where points are seen.

        Args:
            points: In the base's frame [m], shape (n, 3).

        Returns:
            Pixels (n, 2), column and row, with the lens's distortion, and depths along the line of sight (n,) [m]; the
            pixels of points that are not in front of the camera are NaN.
        """
        rotation, translation = self._extrinsics
        seen = points @ rotation.T + translation
        depth = seen[:, 2]
        plane = seen[:, :2] / np.where(depth > NEAR, depth, np.nan)[:, None]
        return self._distorted(plane) * self.focal + self.intrinsics()[:2, 2], depth

    def _distorted(self, plane: Array) -> Array:
        if not self.distortion:
            return plane
        k1, k2, p1, p2, k3 = (*self.distortion, 0.0)[:5]
        x, y = plane[:, 0], plane[:, 1]
        r2 = x * x + y * y
        radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
        across = x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x)
        down = y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y
        return np.stack([across, down], axis=-1)

    def moved(self, shift: Any = (0.0, 0.0, 0.0), turn: Any = (0.0, 0.0, 0.0), **changes: Any) -> View:
        """The camera elsewhere.

        Args:
            shift: Along the base's axes [m], shape (3,).
            turn: Rotation vector in the camera's own axes [rad], shape (3,): roll, pitch down, yaw to the left.
            changes: Other fields, such as `fov`.
        """
        turn = np.asarray(turn, dtype=np.float64)
        angle = float(np.linalg.norm(turn))
        turned = about(turn / angle if angle > 0.0 else np.array([1.0, 0.0, 0.0]), np.asarray(angle))
        position = np.array(self.position) + np.asarray(shift)
        view = View.at(position, multiply(np.array(self.rotation), turned), fov=self.fov, size=self.size)
        lens: dict[str, Any] = {"principal": self.principal, "distortion": self.distortion, **changes}
        return replace(view, **lens)

    def resized(self, size: tuple[int, int]) -> View:
        """The same camera with pictures of another size (rows, columns) of the same proportions."""
        scale = size[0] / self.size[0]
        x, y = (value * scale for value in self.principal)
        return replace(self, size=size, principal=(x, y))

    def angle_to(self, other: View) -> float:
        """By how much it is turned against another view, about whatever axis [rad]."""
        both = abs(float(np.dot(self.rotation, other.rotation)))
        return 2.0 * math.acos(min(1.0, both))

    def in_frame(self, position: Any, rotation: Any) -> View:
        """The view in the frame in which the base stands at a position (3,) [m] with a rotation wxyz (4,)."""
        turned = np.asarray(rotation, dtype=np.float64)
        placed = np.asarray(position) + rotate(turned, np.array(self.position))
        both = View.at(placed, multiply(turned, np.array(self.rotation)), fov=self.fov, size=self.size)
        return replace(both, principal=self.principal, distortion=self.distortion)

    def from_frame(self, position: Any, rotation: Any) -> View:
        """The inverse of `in_frame`: a view of the world, in the frame of a base that stands there."""
        back = conjugate(np.asarray(rotation, dtype=np.float64))
        return self.in_frame(-rotate(back, np.asarray(position, dtype=np.float64)), back)


def quat_of(turned: Array) -> Array:
    """The unit quaternion wxyz (4,) of a rotation matrix (3, 3)."""
    # The eigenvector of the greatest eigenvalue is one for every rotation, half turns included.
    xx, xy, xz, yx, yy, yz, zx, zy, zz = turned.ravel()
    symmetric = np.array(
        [
            [xx + yy + zz, zy - yz, xz - zx, yx - xy],
            [zy - yz, xx - yy - zz, xy + yx, xz + zx],
            [xz - zx, xy + yx, yy - xx - zz, yz + zy],
            [yx - xy, xz + zx, yz + zy, zz - xx - yy],
        ]
    )
    quat = np.linalg.eigh(symmetric)[1][:, -1]
    return -quat if quat[0] < 0.0 else quat


class LensFields(Strict):
    """A camera's lens as it is written in YAML."""

    fov: Fov
    """From the top edge of the picture to the bottom [rad]."""
    size: tuple[Annotated[int, Field(ge=8, le=8192)], Annotated[int, Field(ge=8, le=8192)]]
    """Rows and columns of its pictures."""
    principal: tuple[float, float] = (0.0, 0.0)
    """Right of and below the middle [pixels]."""
    distortion: tuple[float, ...] = ()
    """OpenCV's k1, k2, p1, p2 and k3."""

    @model_validator(mode="after")
    def _known_distortion(self) -> LensFields:
        if len(self.distortion) not in (0, 4, 5):
            raise ValueError(
                f"distortion has {len(self.distortion)} numbers: write OpenCV's k1, k2, p1, p2[, k3], or []"
            )
        return self

    @property
    def lens(self) -> dict[str, Any]:
        """Fields of a `View`, without where it stands."""
        return {name: getattr(self, name) for name in ("fov", "size", "principal", "distortion")}


class ViewFields(LensFields):
    """A view as it is written in YAML; what is not stated is as in `View`."""

    position: Position
    """In the frame of the robot's base link [m]."""
    rotation: Quaternion
    """wxyz, from the camera's axes (x forward, y left, z up) to the base's."""

    @model_validator(mode="after")
    def _turned(self) -> ViewFields:
        length = math.sqrt(sum(value * value for value in self.rotation))
        if abs(length - 1.0) > 1e-3:
            raise ValueError(
                f"rotation {list(self.rotation)} has length {length:.4g}: write a unit quaternion, w first"
            )
        return self

    @property
    def view(self) -> View:
        """The view."""
        return View.at(self.position, self.rotation, **self.lens)


class Uncertainty(Strict):
    """How well a solved view is known: standard deviations, and half the widths of 95 % intervals."""

    position: Vector
    """Standard deviation along the base's axes [m]."""
    direction: Vector
    """Standard deviation about the camera's own axes [rad]: roll, pitch, yaw."""
    position_95: Vector
    """[m]"""
    direction_95: Vector
    """[rad]"""
    fov: float | None = None
    """Standard deviation [rad], where it was solved for."""
    fov_95: float | None = None
    """[rad]"""


class ViewFile(ViewFields):
    """view.yaml: a view, and where it came from."""

    view_version: Annotated[int, Field(ge=1, le=1)] = 1
    """Version of this format."""
    source: dict[str, str] = {}
    """How it was found, and SHA-256 of what it was found from."""
    uncertainty: Uncertainty | None = None
    """How well it is known; None where a person wrote it."""
    overlap: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    """Intersection over union of the arm's model and the arm in the pictures, the mean of all pictures."""
    zeros: dict[str, float] = {}
    """By how much joints truly stand further than their positions say [rad]; those that were solved for."""


def three(numbers: Array) -> Vector:
    """Three numbers as plain data."""
    first, second, third = numbers.tolist()
    return first, second, third


def load_view(path: Path | str) -> ViewFile:
    """Read view.yaml.

    Raises:
        CameraError: With file, line and key, where it is missing, malformed or says what can't be.
    """
    return parse(ViewFile, read_yaml(path, CameraError), CameraError)


def view_fields(view: View) -> dict[str, Any]:
    """A view as plain data, as `ViewFields` reads it."""
    lens = {"fov": view.fov, "size": list(view.size), "principal": list(view.principal)}
    return (
        {"position": list(view.position), "rotation": list(view.rotation)}
        | lens
        | {"distortion": list(view.distortion)}
    )


def view_text(file: ViewFile) -> str:
    """The text of a view.yaml."""
    import yaml

    document = file.model_dump(mode="json", exclude_defaults=True) | {"view_version": 1}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
