"""Boards of known size, as OpenCV finds them: a lens from pictures of one, a camera's pose from one in the hand."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import stdtrit

from policy_port.arrays import Array
from policy_port.camera.links import Links
from policy_port.camera.view import LensFields, Uncertainty, View, three
from policy_port.errors import CameraError, closest

FORM = "charuco:COLUMNSxROWS:SQUARE_MM:MARKER_MM:DICT or apriltag:COLUMNSxROWS:TAG_MM:GAP_MM:FAMILY"
EXAMPLE = "charuco:7x5:30:22:4X4_50"
FEWEST = 6
"""Pictures that a lens, or a pose by a board, is solved from at least."""
CORNERS = 8
"""Corners of a board that a picture has to show."""
PER_METRE, RIM = 12000, 0.01
"""Pixels a metre of a board that is to be printed, and the width of its white rim [m]."""
TILT = math.radians(12.0)
"""A lens can't be told from boards that all stand so parallel to each other [rad]."""
WORST_ERROR = 2.0
"""Largest reprojection error that is believed [pixels]."""

LOOSE = 0.02
"""The same of a board that is fixed to an arm, whose joints are never quite where they say [rows of the picture]."""
SCALE, SIGMAS = 0.03, 4.0
"""Share by which a board's size is off by the arm's own motion, and standard deviations, from which on it is told."""


class LensFile(LensFields):
    """intrinsics.yaml: a lens, and how it was measured."""

    intrinsics_version: int = 1
    """Version of this format."""
    reprojection_error: float | None = None
    """Root mean square over all corners [pixels]."""
    source: dict[str, str] = {}
    """How it was found, and SHA-256 of what it was found from."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A board's corners in a picture."""

    name: str
    """The picture."""
    points: NDArray[np.float32]
    """On the board [m], shape (corners, 3)."""
    pixels: NDArray[np.float32]
    """Where they are seen, shape (corners, 2)."""


class Board:
    """A ChArUco board, or a grid of AprilTags."""

    def __init__(self, text: str) -> None:
        """Read what a board is made of, such as charuco:7x5:30:22:4X4_50.

        Raises:
            CameraError: Saying which part can't be.
        """
        self.text = text
        """How it is written."""
        match = re.fullmatch(r"(charuco|apriltag):(\d+)x(\d+):([\d.]+):([\d.]+):(\w+)", text)
        if match is None:
            raise CameraError(f"--board {text}: write {FORM}, such as {EXAMPLE}")
        kind, columns, rows = match[1], int(match[2]), int(match[3])
        try:
            first, second = 1e-3 * float(match[4]), 1e-3 * float(match[5])
        except ValueError:
            raise CameraError(f"--board {text}: {match[4]} and {match[5]} have to be millimetres") from None
        dictionary = _dictionary(text, kind, match[6])
        if first <= 0.0 or second <= 0.0 or min(columns, rows) < 2 or max(columns, rows) > 40:
            raise CameraError(f"--board {text}: sizes are above 0 mm, columns and rows 2 to 40")
        if kind == "charuco":
            if second >= first:
                raise CameraError(
                    f"--board {text}: a marker of {match[5]} mm doesn't fit into a square of {match[4]} mm"
                )
            self._board: Any = cv2.aruco.CharucoBoard((columns, rows), first, second, dictionary)
            self._charuco = cv2.aruco.CharucoDetector(self._board)
        else:
            self._board = cv2.aruco.GridBoard((columns, rows), first, second, dictionary)
            parameters = cv2.aruco.DetectorParameters()
            parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_APRILTAG
            self._charuco, self._tags = None, cv2.aruco.ArucoDetector(dictionary, parameters)
        gap = 0.0 if kind == "charuco" else second
        self.size = tuple(count * (first + gap) - gap for count in (rows, columns))
        """Height and width [m]."""

    def find(self, name: str, picture: NDArray[np.uint8]) -> Seen | None:
        """The board's corners in a picture, RGB; None where too few are seen."""
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        if self._charuco is not None:
            corners, ids, _, _ = self._charuco.detectBoard(grey)
            if ids is None or len(ids) < CORNERS:
                return None
        else:
            corners, ids, _ = self._tags.detectMarkers(grey)
            if ids is None or 4 * len(ids) < CORNERS:
                return None
        points, pixels = self._board.matchImagePoints(corners, ids)
        if points is None or len(points) < CORNERS:
            return None
        return Seen(name=name, points=points.reshape(-1, 3), pixels=pixels.reshape(-1, 2))

    def drawn(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        """The board as a picture of `size` (rows, columns), grey."""
        return self._board.generateImage(size[::-1])

    def to_print(self) -> NDArray[np.uint8]:
        """The board as a printer wants it, `PER_METRE` pixels a metre, with a white rim: RGB."""
        rows, columns = (round(side * PER_METRE) for side in self.size)
        picture = np.pad(self.drawn((rows, columns)), round(RIM * PER_METRE), constant_values=255)
        return np.repeat(picture[..., None], 3, axis=2)


def _dictionary(text: str, kind: str, name: str) -> Any:
    known = {key.removeprefix("DICT_").lower(): key for key in dir(cv2.aruco) if key.startswith("DICT_")}
    wanted = name.removeprefix("DICT_").lower()
    wanted = f"apriltag_{wanted}" if kind == "apriltag" and not wanted.startswith("apriltag") else wanted
    if wanted not in known:
        mine = [key for key in known if key.startswith("apriltag") == (kind == "apriltag")]
        raise CameraError(
            f"--board {text}: no dictionary {name}{closest(wanted, mine) or '.'} Known: {', '.join(mine)}"
        )
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, known[wanted]))


def find_all(board: Board, pictures: Mapping[str, NDArray[np.uint8]]) -> list[Seen]:
    """The board in all pictures that show it.

    Raises:
        CameraError: When too few do.
    """
    seen = [found for name, picture in pictures.items() if (found := board.find(name, picture)) is not None]
    if len(seen) < FEWEST:
        raise CameraError(
            f"{len(seen)} of {len(pictures)} pictures show the board {board.text} by {CORNERS} corners or more, and "
            f"{FEWEST} are the least. Check its columns, rows and dictionary; take more, nearer and sharp"
        )
    return seen


def calibrate(seen: Sequence[Seen], size: tuple[int, int]) -> tuple[LensFile, dict[str, float]]:
    """A lens from a board that stands in different ways in each picture.

    Args:
        seen: The board.
        size: Rows and columns of the pictures.

    Returns:
        The lens, and each picture's reprojection error [pixels].

    Raises:
        CameraError: When the pictures are too similar, or nothing fits.
    """
    points, pixels = [item.points for item in seen], [item.pixels for item in seen]
    rows, columns = size
    start = np.diag([float(columns), float(columns), 1.0])
    start[:2, 2] = 0.5 * (columns - 1), 0.5 * (rows - 1)
    # One focal length: the pixels of every camera in question are square, and a View has one.
    flags = cv2.CALIB_USE_INTRINSIC_GUESS | cv2.CALIB_FIX_ASPECT_RATIO
    error, matrix, found, turns, _ = cv2.calibrateCamera(
        points, pixels, size[::-1], start.copy(), np.zeros(5), flags=flags
    )
    bent = np.asarray(found, dtype=np.float64).ravel()
    normals = np.array([cv2.Rodrigues(turn)[0][:, 2] for turn in turns])
    widest = math.acos(float(np.clip(normals @ normals.T, -1.0, 1.0).min()))
    if widest < TILT:
        raise CameraError(
            f"the pictures are too similar: the board is tilted by {math.degrees(widest):.0f} degrees between them at "
            f"most, and a lens needs {math.degrees(TILT):.0f}. Add some in which it is tilted to each side by 20 to 40"
        )
    cover = np.ptp(np.concatenate(pixels), axis=0) / [columns, rows]
    if cover.min() < 0.4:
        raise CameraError(
            f"the board covers {100 * cover[0]:.0f} % of the picture's width and {100 * cover[1]:.0f} % of its height "
            "only, all pictures together: add some with it in the corners"
        )
    if error > WORST_ERROR:
        raise CameraError(
            f"the board fits its pictures to {error:.1f} pixels only, {WORST_ERROR:g} is the bound: check columns, "
            "rows and sizes, keep the board flat, and the focus fixed"
        )
    lens = LensFile(
        fov=2.0 * math.atan(0.5 * rows / float(matrix[1, 1])),
        size=size,
        principal=(float(matrix[0, 2] - start[0, 2]), float(matrix[1, 2] - start[1, 2])),
        distortion=tuple(float(value) for value in bent[:5]),
        reprojection_error=float(error),
    )
    return lens, _errors(seen, np.asarray(matrix, dtype=np.float64), bent)


def _errors(seen: Sequence[Seen], matrix: Array, bent: Array) -> dict[str, float]:
    errors = {}
    for item in seen:
        _, turn, shift = cv2.solvePnP(item.points, item.pixels, matrix, bent)
        there = cv2.projectPoints(item.points, turn, shift, matrix, bent)[0].reshape(-1, 2)
        errors[item.name] = float(np.sqrt(np.mean(np.sum((there - item.pixels) ** 2, axis=1))))
    return errors


@dataclass(frozen=True, kw_only=True)
class BySight:
    """A camera's pose that a held board told."""

    view: View
    """It."""
    uncertainty: Uncertainty
    """How well it is known."""
    error: float
    """Root mean square of the corners [pixels]."""


def by_held_board(
    seen: Sequence[Seen], links: Links, joint_pos: Mapping[str, Mapping[str, float]], link: str, lens: LensFields
) -> BySight:
    """A camera's pose from a board that the arm holds, wherever on the link it is fixed.

    Args:
        seen: The board in the pictures.
        links: The arm.
        joint_pos: Joint positions by name [rad], by picture.
        link: The link that the board is fixed to.
        lens: The camera's.

    Raises:
        CameraError: When the board does not move with the link, the arm turned it too little, or it has another size.
    """
    names = [links.arm.model.body(body).name for body in range(links.arm.model.nbody)]
    if link not in names:
        raise CameraError(
            f"--board-link {link}: no such link{closest(link, names) or '.'} There are: {', '.join(names[1:])}"
        )
    frames = [tuple(part[names.index(link)] for part in links.frames(joint_pos[item.name])) for item in seen]
    straight = View.at([0, 0, 0], [1, 0, 0, 0], **lens.lens)
    matrix, bent = straight.intrinsics(), np.array(lens.distortion)
    turns, shifts = [], []
    for item in seen:
        _, turn, shift = cv2.solvePnP(item.points, item.pixels, matrix, bent)
        turns.append(cv2.Rodrigues(turn)[0])
        shifts.append(shift)
    axes = np.array([frame[0][:, 2] for frame in frames]), np.array([frame[0][:, 0] for frame in frames])
    if min(float(np.clip(axis @ axis.T, -1, 1).min()) for axis in axes) > math.cos(TILT):
        raise CameraError("the arm turned the board too little: add pictures with the wrist bent and rolled both ways")
    start = _hand_eye(frames, turns, shifts)

    # All pictures' points in one call: this runs some ten thousand times.
    counts, pixels = [len(item.points) for item in seen], np.concatenate([item.pixels for item in seen])
    points: Array = np.concatenate([item.points for item in seen]).astype(np.float64)
    turned, origin = (np.repeat(np.array(part), counts, axis=0) for part in zip(*frames, strict=True))

    def off(numbers: Array) -> Array:
        looks, stands = cv2.Rodrigues(numbers[:3])[0], numbers[3:6]
        on, at = cv2.Rodrigues(numbers[6:9])[0], numbers[9:12]
        # Its size is a thirteenth number, where that is set free.
        placed = (
            np.einsum("nij,nj->ni", turned, (numbers[12] if len(numbers) > 12 else 1.0) * points @ on.T + at) + origin
        )
        there: Any = cv2.projectPoints((placed - stands) @ looks, np.zeros(3), np.zeros(3), matrix, bent)[0]
        return (there.reshape(-1, 2) - pixels).ravel()

    best: Any = least_squares(off, start, method="lm", max_nfev=300)
    error = float(np.sqrt(2.0 * np.mean(off(best.x) ** 2)))
    if error > LOOSE * lens.size[0]:
        raise CameraError(
            f"the board's corners are off by {error:.0f} pixels at best: it is not fixed to '{link}' (name another "
            "with --board-link), slipped, has another size than --board says, or the joint positions are another "
            "unit's. Nothing was written"
        )
    _refuse_size(off, best, seen)
    looks = cv2.Rodrigues(best.x[:3])[0]
    view = View.of_extrinsics(looks.T, -looks.T @ best.x[3:6], **lens.lens)
    return BySight(view=view, uncertainty=_known(best, looks, view, seen), error=error)


def _refuse_size(off: Callable[[Array], Array], best: Any, seen: Sequence[Seen]) -> None:
    """Set the board's size free once more: where it changes, it was said wrongly."""
    free: Any = least_squares(off, np.append(best.x, 1.0), method="lm", max_nfev=300)
    size, std = float(free.x[12]), math.sqrt(float(_covariance(free, seen)[12, 12]))
    if abs(size - 1.0) > max(SCALE, SIGMAS * std):
        raise CameraError(
            f"by the arm's own motion the board is {size:.3f} +- {std:.3f} times as large as --board says, and the "
            "camera would stand as much too near or too far: measure a square, or a tag, with a ruler, and mend "
            "--board. Nothing was written"
        )


def _hand_eye(frames: list[Any], turns: list[Any], shifts: list[Any]) -> Array:
    """A first guess of camera and board, linear: turn and place of the camera, then of the board on its link.

    OpenCV 5 has no solver for this any more. With A the link's pose, B the board's as the camera sees it, X the camera
    and Y the board on the link, A Y = X B in every picture: linear in the entries of X and Y.
    """
    rows = [
        np.concatenate([np.kron(turned, np.eye(3)), -np.kron(np.eye(3), seen.T)], axis=1)
        for (turned, _), seen in zip(frames, turns, strict=True)
    ]
    both = np.linalg.svd(np.concatenate(rows))[2][-1].reshape(2, 3, 3)
    both *= np.sign(np.linalg.det(both[0]))
    held, looks = (left @ right for left, _, right in map(np.linalg.svd, both))
    sides = [np.concatenate([turned, -np.eye(3)], axis=1) for turned, _ in frames]
    ahead = [looks @ shift.ravel() - origin for (_, origin), shift in zip(frames, shifts, strict=True)]
    place = np.linalg.lstsq(np.concatenate(sides), np.concatenate(ahead), rcond=None)[0]
    turned = [np.asarray(cv2.Rodrigues(part)[0], dtype=np.float64).ravel() for part in (looks, held)]
    return np.concatenate([turned[0], place[3:], turned[1], place[:3]]).astype(np.float64)


def _covariance(best: Any, seen: Sequence[Seen]) -> Array:
    """By the jackknife over pictures: what joints are off by moves all corners of one together."""
    count, ends = len(seen), np.cumsum([0, *(2 * len(item.points) for item in seen)])
    normal, gradient = best.jac.T @ best.jac, best.jac.T @ best.fun
    left = []
    for first, last in itertools.pairwise(ends):
        jac, fun = best.jac[first:last], best.fun[first:last]
        left.append(-np.linalg.pinv(normal - jac.T @ jac) @ (gradient - jac.T @ fun))
    away = np.array(left) - np.mean(left, axis=0)
    return (count - 1) / count * away.T @ away


def _known(best: Any, looks: Array, view: View, seen: Sequence[Seen]) -> Uncertainty:
    covariance = _covariance(best, seen)
    # A small change of a rotation vector turns about these axes of the camera.
    step, turned = 1e-6, []
    for axis in np.eye(3):
        other = cv2.Rodrigues(cv2.Rodrigues(looks)[0].ravel() + step * axis)[0]
        turned.append(view.matrix.T @ cv2.Rodrigues(other @ looks.T)[0].ravel() / step)
    about = np.array(turned).T
    std = np.sqrt(np.diag(covariance))[3:6], np.sqrt(np.diag(about @ covariance[:3, :3] @ about.T))
    wide = float(stdtrit(len(seen) - 1, 1.0 - 0.025 / 3.0))
    return Uncertainty(
        position=three(std[0]),
        direction=three(std[1]),
        position_95=three(wide * std[0]),
        direction_95=three(wide * std[1]),
    )
