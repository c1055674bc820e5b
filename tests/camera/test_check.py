"""What `camera check` says of a camera, against its view and what was stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from policy_port.camera.check import Finding, check_camera, reference, refuse
from policy_port.camera.reference import Reference, beside, colourful, load_reference, write_reference
from policy_port.camera.view import View
from policy_port.errors import CameraError
from tests.camera.setups import POSE, VIEW, drawn, frames, twin

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def stored() -> Reference:
    return reference(frames(drawn().rgb), VIEW, POSE, twin())


def names(image: Picture, stored: Reference | None, **sensor: float) -> set[str]:
    taken = frames(image, seed=5, **sensor)  # type: ignore[arg-type]
    return {item.name for item in check_camera(taken, VIEW, POSE, twin(), stored, now=taken[-1].stamp)}


@pytest.mark.parametrize("gain", [0.72, 1.0, 1.28])
def test_a_good_camera_is_left_alone(stored: Reference, gain: float) -> None:
    """Light that varies by nearly 30 %, noise and JPEG are no findings."""
    _, data = cv2.imencode(".jpg", drawn().rgb, [cv2.IMWRITE_JPEG_QUALITY, 70])
    assert not names(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8), stored, gain=gain, noise=4.0)


MISTAKES: dict[str, tuple[Callable[[], Picture], set[str]]] = {
    "moved by 3 cm": (lambda: drawn(VIEW.moved(shift=(0.0, 0.02, 0.022))).rgb, {"moved"}),
    "fov wrong by 5 degrees": (lambda: drawn(replace(VIEW, fov=VIEW.fov + np.radians(5.0))).rgb, {"fov"}),
    "turned over": (lambda: drawn().rgb[::-1, ::-1], {"turned_over"}),
    "mirrored": (lambda: drawn().rgb[:, ::-1], {"mirrored"}),
    "red and blue exchanged": (lambda: drawn().rgb[..., ::-1], {"red_blue"}),
    "gain doubled": (lambda: np.clip(2.0 * drawn().rgb, 0, 255).astype(np.uint8), {"exposure"}),
    "out of focus": (lambda: np.asarray(cv2.GaussianBlur(drawn().rgb, (0, 0), 2.0), np.uint8), {"focus"}),
    "another camera": (lambda: drawn(OTHER).rgb, {"not_found", "moved", "fov"}),
}
OTHER = View.looking_at((-0.1, -0.7, 0.55), (0.05, -0.1, 0.0), fov=0.8, size=(240, 320))


@pytest.mark.parametrize("mistake", list(MISTAKES))
def test_each_mistake_is_named(stored: Reference, mistake: str) -> None:
    """It is found, by its own name."""
    image, wanted = MISTAKES[mistake]
    assert names(np.ascontiguousarray(image()), stored) & wanted


def test_frames_that_hang_are_late_or_of_another_size() -> None:
    """Equal frames, an old one, a low rate and another size are told from the frames alone."""
    same = [replace(frame, image=drawn().rgb) for frame in frames(drawn().rgb)]
    found = {item.name for item in check_camera(same, VIEW, POSE, twin(), fps=60, now=same[-1].stamp + 1.0)}
    assert found == {"frozen", "rate", "age"}
    assert [item.name for item in check_camera(frames(drawn().rgb[20:]), VIEW, POSE, twin(), now=0.1)] == ["size"]
    with pytest.raises(CameraError, match="too few"):
        check_camera(same[:2], VIEW, POSE, twin())


def test_the_view_found_anew_is_right_again(stored: Reference) -> None:
    """A camera that was moved is right again where it is put back, and with the view that `camera solve` finds anew."""
    there = VIEW.moved(shift=(0.0, 0.02, 0.022))
    taken = frames(drawn(there).rgb)
    found = check_camera(taken, VIEW, POSE, twin(), stored, now=taken[-1].stamp)
    assert "Put it back, or find it anew with `policy-port camera solve`" in found[0].text
    assert not check_camera(taken, there, POSE, twin(), reference(taken, there, POSE, twin()), now=taken[-1].stamp)


def test_two_cameras_exchanged_are_named(stored: Reference) -> None:
    """A picture that fits another camera's view better says which."""
    taken = frames(drawn(OTHER).rgb)
    found = check_camera(taken, VIEW, POSE, twin(), stored, others={"wrist": OTHER}, now=taken[-1].stamp)
    assert found[0].name == "another"
    assert "shows what camera 'wrist' is to show" in found[0].text


def test_what_is_stored(stored: Reference, tmp_path: Path) -> None:
    """It comes back equal, goes with one view only, and nothing is stored of a camera that is wrong."""
    path = beside(tmp_path / "view.yaml")
    assert path.name == "view.check.yaml"
    write_reference(path, stored)
    assert load_reference(path) == stored
    assert colourful(stored)
    with pytest.raises(CameraError, match=r"stored with another view.*--store"):
        check_camera(frames(drawn().rgb), VIEW.moved(shift=(0.0, 0.0, 0.01)), POSE, twin(), stored)
    with pytest.raises(CameraError, match=r"nothing was stored: mirrored"):
        reference(frames(np.ascontiguousarray(drawn().rgb[:, ::-1])), VIEW, POSE, twin())


def test_what_is_accepted_is_named() -> None:
    """Findings are refused with the words that accept them; a name that no finding has is refused too."""
    wrong = [Finding("focus", "edges are wide"), Finding("moved", "elsewhere")]
    with pytest.raises(CameraError, match=r"focus: edges are wide\n(.|\n)*--accept focus --accept moved"):
        refuse(wrong, [], "base_camera")
    assert refuse(wrong, ["focus", "moved"], "base_camera") == [
        "accepted: focus: edges are wide",
        "accepted: moved: elsewhere",
    ]
    with pytest.raises(CameraError, match="did you mean 'focus'"):
        refuse([], ["fokus"], "base_camera")


def test_an_arm_out_of_view_is_refused() -> None:
    """A view that looks elsewhere can't be checked, and says so."""
    away = View.looking_at((0.35, -0.55, 0.35), (1.0, -1.0, 0.0), fov=0.9, size=(240, 320))
    with pytest.raises(CameraError, match="not in the view, or hardly"):
        check_camera(frames(drawn().rgb), away, POSE, twin())
