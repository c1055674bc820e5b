"""How far a camera's picture of an arm is from where a view says the arm is: edges of the twin, sought in the picture.

Edges count by place and direction, not by colour: printed arms have any colour, and light changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.camera.render import Drawn
from policy_port.errors import CameraError

ROWS = 240
"""Rows that pictures are looked at with: what counts is centimetres, and noise averages out."""
DIRECTIONS = 8
"""Of edges, over half a turn."""
POINTS = 500
"""Edges of the twin that are sought."""
FEWEST = 60
"""Fewer show too little of the arm for its place to be told."""
FAINT = 5.0
"""Gradient below which an edge counts for less [grey levels a pixel]."""
REACH, STEP = 36, 3
"""How far an arm is sought across the picture, and in which steps at first [pixels of `ROWS`]."""
SCALES = np.exp(np.linspace(-0.16, 0.16, 9))
TURNS = np.radians(np.linspace(-6.0, 6.0, 5))
ORIENTATIONS = {
    "": (False, False),
    "mirrored": (False, True),
    "turned_over": (True, True),
    "upside_down": (True, False),
}
"""Whether a picture's rows and columns go backwards."""


@dataclass(frozen=True)
class Place:
    """Where the arm is in a picture, against where the view says it is."""

    score: float
    """Share of the twin's edges that are there, 0 to 1."""
    across: float
    """Its middle is further right [pixels of `ROWS`]."""
    down: float
    """Its middle is further down [pixels of `ROWS`]."""
    scale: float
    """It is larger by this factor."""
    turn: float
    """It is turned clockwise [rad]."""


class Overlay:
    """A twin's edges, held against pictures of the same view."""

    def __init__(self, drawn: Drawn) -> None:
        """Find the edges: the outline, and what is bright beside dark on the arm itself.

        Raises:
            CameraError: When too little of the arm is in view.
        """
        size = ROWS, round(drawn.mask.shape[1] * ROWS / drawn.mask.shape[0])
        mask = cv2.resize(drawn.mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
        grey = _grey(np.asarray(cv2.resize(drawn.rgb, size[::-1], interpolation=cv2.INTER_AREA), np.uint8))
        inside = cv2.erode((mask > 0.9).astype(np.uint8), np.ones((5, 5))) > 0
        outline = cv2.Canny((255 * (mask > 0.5)).astype(np.uint8), 100, 200) > 0
        inner = (cv2.Canny(grey, 80, 160) > 0) & inside
        outline[[0, -1]] = outline[:, [0, -1]] = False
        points, normals = [], []
        for edges, image in ((outline, mask * 255.0), (inner, grey.astype(np.float32))):
            across, down = _gradient(image)
            rows, columns = np.nonzero(edges)
            points.append(np.stack([columns, rows], axis=-1))
            normals.append(np.arctan2(down[rows, columns], across[rows, columns]))
        found, angle = np.concatenate(points).astype(np.float64), np.concatenate(normals)
        if len(found) < FEWEST:
            raise CameraError(
                f"the arm is not in the view, or hardly: {len(found)} pixels of its edges in {size[1]}x{size[0]}. Look "
                "at another pose of the arm, or at the view's position and direction"
            )
        chosen = np.random.default_rng(0).permutation(len(found))[:POINTS]
        self.points = found[chosen]
        """Column and row of each edge, shape (n, 2) [pixels of `ROWS`]."""
        self._angle = angle[chosen]
        self._middle = self.points.mean(axis=0)
        self._size = size

    def seen(self, frame: NDArray[np.uint8], *, far: bool = True) -> Place:
        """Where the arm is in a picture, RGB, shape (rows, columns, 3).

        Args:
            frame: The picture.
            far: Seek it everywhere, not only beside its place.
        """
        maps = self._maps(frame)
        best = Place(self._score(maps, np.zeros((1, 4)))[0], 0.0, 0.0, 1.0, 0.0)
        reach = np.arange(-REACH, REACH + 1, STEP) if far else np.arange(-6, 7, STEP)
        turns, scales = (TURNS, np.log(SCALES)) if far else (np.zeros(1), np.zeros(1))
        grid = np.stack(np.meshgrid(reach, reach, scales, turns, indexing="ij"), axis=-1).reshape(-1, 4)
        # Few edges find the neighbourhood, all of them the place.
        rough = self._shifted(maps, reach, grid[: len(scales) * len(turns)] * [0.0, 0.0, 1.0, 1.0], every=4)
        for step, spread, turned in ((1.0, 0.02, 0.026), (0.5, 0.008, 0.009)):
            around = np.array(np.meshgrid(*[[-1.0, 0.0, 1.0]] * 4, indexing="ij")).reshape(4, -1).T
            around = around * [STEP * step / 1.5, STEP * step / 1.5, spread, turned]
            grid = (grid[np.argsort(-rough)[:12], None] + around).reshape(-1, 4)
            rough = self._score(maps, grid)
        top = int(rough.argmax())
        across, down, scale, turn = grid[top]
        if rough[top] > best.score:
            best = Place(float(rough[top]), float(across), float(down), math.exp(scale), float(turn))
        return best

    def at_place(self, frame: NDArray[np.uint8]) -> float:
        """Share of the twin's edges that are where the view says, 0 to 1."""
        return float(self._score(self._maps(frame), np.zeros((1, 4)))[0])

    def _score(self, maps: NDArray[np.float32], moves: Array) -> Array:
        """Share of edges that are there, for moves (n, 4): across, down, log of the scale, turn; shape (n,)."""
        kind, row, column = self._moved(moves)
        within = (row >= 0) & (row < self._size[0]) & (column >= 0) & (column < self._size[1])
        found = maps[kind, np.where(within, row, 0), np.where(within, column, 0)]
        return (found * within).sum(axis=1) / found.shape[1]

    def _shifted(self, maps: NDArray[np.float32], reach: NDArray[np.int_], moves: Array, every: int) -> Array:
        """The same of each move under each shift across and down, whole pixels; shape (shifts * shifts * moves,)."""
        kind, row, column = self._moved(moves, every)
        beyond = 2 * REACH + 1
        wide = np.pad(maps, ((0, 0), (beyond, beyond), (beyond, beyond)))
        # What is further out than any shift brings back stays outside.
        row, column = (np.clip(at, ~REACH, size + REACH) for at, size in zip((row, column), self._size, strict=True))
        place = np.ravel_multi_index((kind, row + beyond, column + beyond), wide.shape)
        shift = (reach[:, None] + reach * wide.shape[2]).reshape(-1, 1)
        found = [wide.reshape(-1).take(shift + each).sum(axis=1) for each in place]
        return np.stack(found, axis=1).reshape(-1) / place.shape[1]

    def _moved(self, moves: Array, every: int = 1) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """Direction, row and column of edges under moves, each of shape (moves, edges)."""
        points, angle = self.points[::every] - self._middle, self._angle[::every]
        cosine, sine = np.cos(moves[:, 3, None]), np.sin(moves[:, 3, None])
        larger = np.exp(moves[:, 2, None])
        x = larger * (cosine * points[:, 0] - sine * points[:, 1]) + self._middle[0] + moves[:, 0, None]
        y = larger * (sine * points[:, 0] + cosine * points[:, 1]) + self._middle[1] + moves[:, 1, None]
        kind = np.round((angle + moves[:, 3, None]) * DIRECTIONS / np.pi).astype(np.intp) % DIRECTIONS
        return kind, np.round(y).astype(np.intp), np.round(x).astype(np.intp)

    def _maps(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """How much of an edge of each direction is at or beside each pixel, shape (DIRECTIONS, rows, columns)."""
        small = cv2.resize(frame, self._size[::-1], interpolation=cv2.INTER_AREA)
        # The colour that changes most makes the edge: an orange arm on a grey table may be as bright as it.
        each = [_gradient(cv2.GaussianBlur(small[..., index].astype(np.float32), (0, 0), 0.8)) for index in range(3)]
        gradient = np.array(each)
        most = np.hypot(gradient[:, 0], gradient[:, 1]).argmax(axis=0)
        across, down = np.take_along_axis(gradient, most[None, None], axis=0)[0]
        strength = np.hypot(across, down)
        maps = np.empty((DIRECTIONS, *self._size), np.float32)
        for index in range(DIRECTIONS):
            angle = index * np.pi / DIRECTIONS
            along = np.abs(across * math.cos(angle) + down * math.sin(angle)) / (strength + FAINT)
            maps[index] = cv2.dilate(np.clip((along - 0.6) / 0.3, 0.0, 1.0), np.ones((3, 3)))
        return maps


def oriented(frame: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """A picture, its rows and columns backwards as `ORIENTATIONS` says."""
    rows, columns = ORIENTATIONS[name]
    return np.ascontiguousarray(frame[:: -1 if rows else 1, :: -1 if columns else 1])


def edge_width(frame: NDArray[np.uint8]) -> float:
    """How many pixels of 480 rows the sharper edges of a picture take; infinite where it has none."""
    grey = _grey(frame).astype(np.float32)
    across, down = _gradient(cv2.GaussianBlur(grey, (0, 0), 1.0))
    strength = np.hypot(across, down)
    edges = cv2.Canny(cv2.GaussianBlur(_grey(frame), (0, 0), 1.0), 30, 60) > 0
    rows, columns = np.nonzero(edges)
    if len(rows) < FEWEST:
        return math.inf
    chosen = np.argsort(-strength[rows, columns])[:400]
    rows, columns = rows[chosen], columns[chosen]
    length = strength[rows, columns]
    along = np.arange(-9, 10)
    x = (columns[:, None] + along * (across[rows, columns] / length)[:, None]).astype(np.float32)
    y = (rows[:, None] + along * (down[rows, columns] / length)[:, None]).astype(np.float32)
    profile = cv2.remap(grey, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    slope = np.abs(np.diff(profile, axis=1)).max(axis=1)
    width = (profile.max(axis=1) - profile.min(axis=1)) / np.maximum(slope, 1.0)
    return float(np.percentile(width, 25)) * 480 / frame.shape[0]


def _grey(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def _gradient(image: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Grey levels a pixel, across and down."""
    smooth = np.asarray(image, np.float32)
    return (
        np.asarray(cv2.Scharr(smooth, cv2.CV_32F, 1, 0) / 32.0, np.float32),
        np.asarray(cv2.Scharr(smooth, cv2.CV_32F, 0, 1) / 32.0, np.float32),
    )
