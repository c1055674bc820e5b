"""Boards: a lens and a pose from pictures of one, against what they were drawn with."""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from policy_port.camera.board import PER_METRE, RIM, Board, Seen, by_held_board, calibrate, find_all
from policy_port.camera.links import Links
from policy_port.camera.stills import read_still, write_still
from policy_port.camera.view import LensFields
from policy_port.errors import CameraError
from tests.camera.conftest import JOINTS, TRUE

CHARUCO, SQUARES, SQUARE = "charuco:7x5:30:22:4X4_50", (7, 5), 0.03
SIZE, FOV = (240, 320), 0.7


def pictures(tilts: float, text: str = CHARUCO, count: int = 8) -> dict[str, np.ndarray]:
    """A flat board, tilted by up to `tilts` degrees, drawn by a homography."""
    drawn, random = Board(text).drawn((500, 700)), np.random.default_rng(1)
    metres = SQUARES[0] * SQUARE / 700.0
    focal = 0.5 * SIZE[0] / math.tan(0.5 * FOV)
    lens = np.array([[focal, 0.0, 159.5 + 6.0], [0.0, focal, 119.5 - 4.0], [0.0, 0.0, 1.0]])
    made = {}
    for number in range(count):
        turned = Rotation.from_euler("xyz", random.uniform(-tilts, tilts, 3), degrees=True).as_matrix()
        middle = np.array([*random.uniform(-0.04, 0.04, 2), random.uniform(0.31, 0.38)])
        start = middle - turned @ [350.0 * metres, 250.0 * metres, 0.0]
        flat = lens @ np.stack([turned[:, 0] * metres, turned[:, 1] * metres, start], axis=1)
        seen = cv2.warpPerspective(drawn, flat, SIZE[::-1], flags=cv2.INTER_AREA, borderValue=128.0)
        made[f"{number}.png"] = np.repeat(cv2.GaussianBlur(seen, (3, 3), 0)[..., None], 3, axis=2)
    return made


def test_a_lens_is_found() -> None:
    """Field of view and principal point come back from tilted boards, and each picture has its error."""
    lens, errors = calibrate(find_all(Board(CHARUCO), pictures(35.0)), SIZE)
    assert lens.fov == pytest.approx(FOV, abs=math.radians(0.7))
    assert lens.principal == pytest.approx((6.0, -4.0), abs=3.0)
    assert lens.size == SIZE
    assert max(errors.values()) < 0.5


def test_boards_that_tell_nothing() -> None:
    """Boards that are all parallel, and pictures without one, are refused with what to add."""
    with pytest.raises(CameraError, match=r"too similar: the board is tilted by .* Add some"):
        calibrate(find_all(Board(CHARUCO), pictures(0.5)), SIZE)
    with pytest.raises(CameraError, match=r"0 of 8 pictures show the board"):
        find_all(Board("charuco:7x5:30:22:6X6_50"), pictures(20.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("charuco:7x5:30", "write charuco:COLUMNSxROWS"),
        ("charuco:7x5:30:40:4X4_50", "doesn't fit into a square"),
        ("charuco:7x5:30:22:4X4_51", r"no dictionary 4X4_51; did you mean '4x4_50'"),
        ("apriltag:4x3:30:9:4X4_50", "Known: apriltag_"),
        ("charuco:1x5:30:22:4X4_50", "columns and rows 2 to 40"),
    ],
)
def test_a_board_that_can_not_be(text: str, message: str) -> None:
    """What is wrong with a board's text is said with what would do."""
    with pytest.raises(CameraError, match=message):
        Board(text)


@pytest.mark.parametrize(("text", "size"), [(CHARUCO, (210.0, 150.0)), ("apriltag:4x3:30:9:36h11", (147.0, 108.0))])
def test_a_printed_board_has_the_size_that_it_says(text: str, size: tuple[float, float], tmp_path: Path) -> None:
    """The corners of the picture that is printed, in its pixels a metre, are those of the board, to 0.1 mm."""
    board = Board(text)
    write_still(tmp_path / "board.png", board.to_print(), per_metre=PER_METRE)
    said = b"pHYs" + 2 * struct.pack(">I", PER_METRE) + b"\x01"
    assert said + struct.pack(">I", zlib.crc32(said)) in (tmp_path / "board.png").read_bytes()
    seen = board.find("printed", read_still(tmp_path / "board.png"))
    assert seen is not None
    placed = (seen.pixels + 0.5) / PER_METRE - RIM
    assert np.abs(placed - seen.points[:, :2]).max() < 1e-4
    assert np.allclose(1e3 * np.array(board.size[::-1]), size)


def test_apriltags_are_found() -> None:
    """A grid of AprilTags is found in a picture of it."""
    board = Board("apriltag:4x3:30:9:36h11")
    picture = np.pad(board.drawn((300, 400)), 40, constant_values=255)
    seen = board.find("a", np.repeat(picture[..., None], 3, axis=2))
    assert seen is not None
    assert len(seen.points) == 48


def test_a_held_board_tells_the_pose(links: Links) -> None:
    """A board somewhere on the hand, seen in ten poses, gives the camera's place; one on the table doesn't.

    Nor does one of another size than is said.
    """
    random, lens = np.random.default_rng(2), LensFields(fov=TRUE.fov, size=TRUE.size)
    grid = np.stack(np.meshgrid(range(5), range(4)), axis=-1).reshape(-1, 2) * 0.01
    points = np.concatenate([grid, np.zeros((20, 1))], axis=1)
    held, place = Rotation.from_euler("xyz", [0.4, -0.3, 1.0]).as_matrix(), np.array([0.02, 0.01, 0.03])
    hand = links.arm.model.body("hand").id
    seen, lying, poses = [], [], {}
    for number in range(10):
        name = str(number)
        poses[name] = dict(zip(JOINTS, random.uniform(-0.8, 0.8, 4).tolist(), strict=True))
        turned, origin = (part[hand] for part in links.frames(poses[name]))
        for into, placed in ((seen, (points @ held.T + place) @ turned.T + origin), (lying, points)):
            pixels = TRUE.project(placed)[0] + random.normal(0.0, 0.1, (20, 2))
            into.append(Seen(name=name, points=points.astype(np.float32), pixels=pixels.astype(np.float32)))
    found = by_held_board(seen, links, poses, "hand", lens)
    off = np.abs(np.subtract(found.view.position, TRUE.position))
    assert off.max() < 0.005
    assert (off < 2.0 * np.array(found.uncertainty.position_95)).all()
    assert math.degrees(found.view.angle_to(TRUE)) < 0.5
    small = [replace(item, points=0.9 * item.points) for item in seen]
    with pytest.raises(CameraError, match=r"the board is 1\.11. \+- .* measure a square.*mend --board"):
        by_held_board(small, links, poses, "hand", lens)
    with pytest.raises(CameraError, match=r"not fixed to 'hand' \(name another with --board-link\)"):
        by_held_board(lying, links, poses, "hand", lens)
    with pytest.raises(CameraError, match=r"--board-link hnad: no such link; did you mean 'hand'"):
        by_held_board(seen, links, poses, "hnad", lens)
