"""Cameras that hang or are covered are told from cameras that look at something that stands still."""

from __future__ import annotations

import numpy as np
import pytest

from policy_port.robots.arm.sight import Sight
from policy_port.robots.arm.stops import ArmStopError

RANDOM = np.random.default_rng(0)
SCENE = RANDOM.integers(0, 200, (120, 160, 3), np.uint8)


def noisy(scene: np.ndarray, most: int = 3) -> np.ndarray:
    return scene + RANDOM.integers(0, most, scene.shape, np.uint8, endpoint=True)


def show(sight: Sight, frames: list[np.ndarray], period: float = 1 / 15) -> None:
    for number, frame in enumerate(frames):
        sight.look(frame, 1.0 + number * period)
        # A loop that is quicker than the camera sees each frame more than once.
        sight.look(frame, 1.0 + number * period)


def test_a_scene_in_which_nothing_moves_is_no_fault() -> None:
    """The noise of a sensor makes every frame another one, in the dark as well."""
    show(Sight("front", 1.0), [noisy(SCENE, 1) for _ in range(100)])
    show(Sight("front", 1.0), [noisy(SCENE // 4) for _ in range(100)])


@pytest.mark.parametrize("period", [1 / 60, 1 / 15, 0.4])
def test_a_camera_that_hangs_is_told(period: float) -> None:
    """Equal frames for longer than the robot file allows, whatever the rate."""
    with pytest.raises(
        ArmStopError, match=r"camera 'front' has delivered the same picture \d+ times in 1\.\d s: it hangs"
    ):
        show(Sight("front", 1.0), [noisy(SCENE), *[SCENE] * 200], period)
    show(Sight("front", 5.0), [SCENE] * round(4.0 / period), period)


def test_a_program_that_was_held_up_sees_no_camera_hang() -> None:
    """Two equal frames far apart are not enough."""
    sight = Sight("front", 1.0)
    for stamp in (1.0, 4.0, 7.0):
        sight.look(SCENE, stamp)


@pytest.mark.parametrize(
    ("scene", "what"),
    [
        (np.zeros_like(SCENE), "black"),
        (np.full_like(SCENE, 16), "black"),
        (np.full_like(SCENE, 250), "one colour"),
        (np.tile(np.array([0, 135, 0], np.uint8), (120, 160, 1)), "one colour"),
    ],
)
def test_a_camera_that_shows_nothing_is_told(scene: np.ndarray, what: str) -> None:
    """Covered, overexposed, or the green of a broken stream, with a sensor's noise and a hot pixel; a flash is not."""
    frames = [noisy(scene) for _ in range(40)]
    for frame in frames:
        frame[40, 40] = 255
    with pytest.raises(ArmStopError, match=f"has shown nothing but {what} for 0"):
        show(Sight("front", 1.0), frames)
    show(Sight("front", 1.0), [*frames[:5], noisy(SCENE), *frames[5:10], noisy(SCENE)])
