"""An arm's silhouette in pictures, two ways: how much of it overlaps, and how far its outline lies from the masks'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from policy_port.arrays import Array
from policy_port.camera.links import Links
from policy_port.camera.view import View

Mask = NDArray[np.bool_]
Zeros = Mapping[str, float]

BORDER = 2
"""An outline so near to a picture's edge is where the picture ends, not the arm [pixels]."""
MOST_CONTOUR = 700
"""Points of an outline that are used, evenly along it."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A picture of the arm at known joint positions."""

    name: str
    """Its file."""
    joint_pos: Mapping[str, float]
    """By name [rad or m]."""
    mask: Mask
    """Where the arm is, shape (rows, columns)."""


def scaled(mask: Mask, size: tuple[int, int]) -> Mask:
    """A mask in a smaller size (rows, columns): where at least half of what a pixel covers is the arm."""
    if mask.shape == size:
        return mask
    return cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA) >= 0.5


def signed_distance(mask: Mask) -> NDArray[np.float32]:
    """Distance to the edge of a mask [pixels], negative inside it."""
    inside, outside = mask.astype(np.uint8), (~mask).astype(np.uint8)
    within, beyond = (cv2.distanceTransform(part, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for part in (inside, outside))
    return np.where(mask, 0.5 - within, beyond - 0.5).astype(np.float32)


def moved_by(joint_pos: Mapping[str, float], zeros: Zeros) -> dict[str, float]:
    """Positions [rad] of joints that stand further by `zeros` than they say."""
    return {name: value + zeros.get(name, 0.0) for name, value in joint_pos.items()}


def _whole(pixels: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Column and row of the pixel that each point is in, shapes (points,); -9 of those that are not seen."""
    column, row = np.rint(np.where(np.isnan(pixels), -9.0, pixels)).clip(-9, 2**20).astype(np.int64).T
    return column, row


class Overlap:
    """Intersection over union of an arm's points with masks, all pictures at once and coarse."""

    def __init__(self, links: Links, shots: Sequence[Shot], *, rows: int, count: int) -> None:
        """Prepare.

        Args:
            links: The arm.
            shots: Pictures of one size.
            rows: Rows in which masks are compared; those of the pictures, if fewer.
            count: Points of the arm per picture.
        """
        full = shots[0].mask.shape
        rows = min(rows, full[0])
        self.size = (rows, max(8, round(full[1] * rows / full[0])))
        self.masks = np.stack([scaled(shot.mask, self.size) for shot in shots])
        self.points = np.stack([links.posed(shot.joint_pos, count) for shot in shots])

    def drawn(self, view: View) -> Mask:
        """The arm's silhouettes, shape (pictures, rows, columns)."""
        pictures, (rows, columns) = len(self.points), self.size
        pixels, _ = view.resized(self.size).project(self.points.reshape(-1, 3))
        column, row = _whole(pixels)
        picture = np.repeat(np.arange(pictures), self.points.shape[1])
        seen = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        drawn = np.zeros((pictures * rows, columns), np.uint8)
        drawn[(picture * rows + row)[seen], column[seen]] = 1
        return cv2.morphologyEx(drawn, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)).reshape(-1, rows, columns) > 0

    def of(self, view: View) -> Array:
        """Intersection over union in each picture, shape (pictures,)."""
        return overlap(self.drawn(view), self.masks)


def overlap(first: Mask, second: Mask) -> Array:
    """Intersection over union over the last two axes; 0 where both are empty."""
    both, either = (first & second).sum(axis=(-2, -1)), (first | second).sum(axis=(-2, -1))
    return both / np.maximum(either, 1)


class Outlines:
    """The outline of an arm's points against those of masks, fine: what a pose is refined and judged by."""

    def __init__(self, links: Links, shots: Sequence[Shot], *, area: float) -> None:
        """Prepare.

        Args:
            links: The arm; all of its points are used.
            shots: Pictures of one size.
            area: Pixels that the arm has at most in the resolution that is worked in, on average.
        """
        full = shots[0].mask.shape
        mean = float(np.mean([shot.mask.sum() for shot in shots]))
        shrink = min(1.0, (area / max(mean, 1.0)) ** 0.5)
        self.size = (max(8, round(full[0] * shrink)), max(8, round(full[1] * shrink)))
        self.shots = tuple(shots)
        self.fields = np.stack([signed_distance(scaled(shot.mask, self.size)) for shot in shots])
        """Signed distances to the masks' edges, shape (pictures, rows, columns)."""
        self._links = links

    def view(self, view: View) -> View:
        """The view in the resolution that is worked in, which all below take."""
        return view.resized(self.size)

    def drawn(self, index: int, view: View, zeros: Zeros) -> NDArray[np.int32]:
        """Which of the arm's points is seen in each pixel of a picture, -1 where none is, -2 where it lies between."""
        rows, columns = self.size
        pixels, _ = view.project(self._links.posed(moved_by(self.shots[index].joint_pos, zeros)))
        column, row = _whole(pixels)
        seen = np.flatnonzero((column >= 0) & (column < columns) & (row >= 0) & (row < rows))
        points = np.full(self.size, -1, np.int32)
        points[row[seen], column[seen]] = seen
        closed = cv2.morphologyEx((points >= 0).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
        points[(closed > 0) & (points < 0)] = -2
        return points

    def contour(self, index: int, view: View, zeros: Zeros) -> NDArray[np.int32]:
        """Points of the arm on its outline in a picture."""
        points = self.drawn(index, view, zeros)
        solid = (points != -1).astype(np.uint8)
        edge = (solid > 0) & (cv2.erode(solid, np.ones((3, 3), np.uint8), borderValue=1) == 0)
        edge[:BORDER] = edge[-BORDER:] = edge[:, :BORDER] = edge[:, -BORDER:] = False
        found = points[edge & (points >= 0)]
        return found[:: 1 + len(found) // MOST_CONTOUR]

    def link(self, contour: NDArray[np.int32]) -> NDArray[np.intp]:
        """The link that each point of an outline is on, shape (points,)."""
        return self._links.body[contour]

    def placed(self, index: int, contour: NDArray[np.int32], zeros: Zeros) -> Array:
        """Points of the arm in a picture, in the base's frame [m], shape (points, 3)."""
        turned, origin = self._links.frames(moved_by(self.shots[index].joint_pos, zeros))
        body = self._links.body[contour]
        return np.einsum("nij,nj->ni", turned[body], self._links.local[contour]) + origin[body]

    def distances(self, index: NDArray[np.intp], placed: Array, view: View) -> Array:
        """Signed distances of points from the masks' edges [pixels worked in], shape (points,).

        Args:
            index: The picture of each point, shape (points,).
            placed: The points in the base's frame [m], shape (points, 3).
            view: From where.
        """
        pixels = view.project(placed)[0]
        pixels = np.where(np.isnan(pixels), -4.0 * self.size[0], pixels)
        rows, columns = self.size
        # Beyond the picture the distance grows on, so that a view that loses the arm is no good one.
        held = np.clip(pixels, 0, [columns - 1, rows - 1])
        # Not by cv2.remap: OpenCV 4 places pixels by 1/32 only, and over less than that all derivatives vanish.
        at = (held[:, 1] + rows * index, held[:, 0])
        field = ndimage.map_coordinates(self.fields.reshape(-1, columns), at, order=1, mode="nearest")
        away = pixels - held
        return field.astype(np.float64) + np.sqrt(np.einsum("ni,ni->n", away, away))

    def overlap(self, index: int, view: View, zeros: Zeros, edge: float) -> float:
        """Intersection over union in a picture, seen from any view, its mask grown by `edge` [pixels worked in]."""
        return float(overlap(self.drawn(index, self.view(view), zeros) != -1, self.fields[index] < edge))
