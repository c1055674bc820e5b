"""Backgrounds: stills of a scene, made into the network's picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from policy_port.camera.background import ArmThere, compare, make_background
from policy_port.camera.env_file import EnvFile
from policy_port.camera.scene import check_background
from policy_port.camera.stills import Frame, as_source, grab, read_still, write_still
from policy_port.errors import CameraError
from tests.camera.setups import POSE, VIEW, drawn, frames, twin

SCENE = EnvFile(env="PolicyPortSO100Reach-v1").with_image(size=(48, 48), camera_size=(240, 320)).with_view(VIEW)
ARM = ArmThere(VIEW, POSE, twin())


def test_it_is_the_median_through_the_networks_picture() -> None:
    """Noise averages out, and crop and size are those of the arm's pictures; an arm in it is warned of."""
    made = make_background(frames(drawn().rgb, count=9), SCENE.picture(), ARM)
    wanted = SCENE.picture()(drawn().rgb).astype(int)
    assert np.abs(made.image - wanted).mean() < 0.7
    assert any("the arm covers" in note and "--inpaint" in note for note in made.notes)


def test_the_arm_is_filled_in() -> None:
    """What it covers is filled from around it; where it isn't, nothing is filled in, and it is said.

    Nor is anything in a picture that is mirrored, or of a camera that was moved, and which still has the arm in it.
    """
    made = make_background(frames(drawn().rgb), SCENE.picture(), ARM, inpaint=True)
    covered = cv2.resize(drawn().mask.astype(np.float32)[:, 40:280], (48, 48), interpolation=cv2.INTER_AREA) > 0.9
    before = SCENE.picture()(drawn().rgb)
    assert made.image[covered].std() < 0.6 * before[covered].std()
    bare = np.full_like(drawn().rgb, 120)
    with pytest.raises(CameraError, match=r"not where its view and its joints say.*Leave --inpaint out"):
        make_background(frames(bare), SCENE.picture(), ARM, inpaint=True)
    assert not make_background(frames(bare), SCENE.picture(), ARM).notes
    with pytest.raises(CameraError, match="not where its view and its joints say"):
        make_background(frames(np.ascontiguousarray(drawn().rgb[:, ::-1])), SCENE.picture(), ARM, inpaint=True)
    moved = drawn(VIEW.moved(0.08 * VIEW.matrix[:, 1])).rgb
    (note,) = make_background(frames(moved), SCENE.picture(), ARM).notes
    assert "the arm is in the picture, and not where its view says: moved: " in note
    with pytest.raises(CameraError, match="takes --robot"):
        make_background(frames(bare), SCENE.picture(), None, inpaint=True)


def test_a_scene_that_moves_is_refused() -> None:
    """A hand in one frame, light that flickers, and frames that were cropped already."""
    taken = frames(drawn().rgb)
    hand = taken[2].image.copy()
    hand[100:130, 100:150] = 200
    with pytest.raises(CameraError, match="something moves: .* frame 3 of 4"):
        make_background([*taken[:2], Frame(hand, 0.0), taken[3]], SCENE.picture(), None)
    bright = Frame(np.clip(taken[1].image * 1.2, 0, 255).astype(np.uint8), 0.0)
    with pytest.raises(CameraError, match="flickers"):
        make_background([taken[0], bright, *taken[2:]], SCENE.picture(), None)
    done = SCENE.picture()(drawn().rgb)
    with pytest.raises(CameraError, match="cropped and resized already: give its whole frames"):
        make_background(frames(done), SCENE.picture(), None)


def test_it_is_held_against_the_environment() -> None:
    """Red and blue exchanged, another exposure and another size are told."""
    image = SCENE.picture()(drawn().rgb)
    assert not compare(image, image)
    assert any("red and blue are exchanged" in note for note in compare(np.ascontiguousarray(image[..., ::-1]), image))
    assert any("brightness" in note for note in compare((image * 0.3).astype(np.uint8), image))
    with pytest.raises(CameraError, match=r"write image\.size"):
        compare(image, image[:32])


def test_a_background_of_another_size_is_refused(tmp_path: Path) -> None:
    """ManiSkill would stretch the whole frame; a missing one is named too."""
    from policy_port.camera.env_file import load_env_file

    image = "image: {size: [48, 48], camera_size: [240, 320]}"
    (tmp_path / "env.yaml").write_text(f"env: SO100GraspCube-v1\nbackground: bg.png\n{image}\n")
    given = load_env_file(tmp_path / "env.yaml")
    with pytest.raises(CameraError, match=r"bg.png: .* is not there; `policy-port camera background"):
        check_background(given)
    write_still(tmp_path / "bg.png", drawn().rgb)
    with pytest.raises(CameraError, match="is 320x240, the network's picture 48x48; it is the camera's whole frame"):
        check_background(given)
    write_still(tmp_path / "bg.png", SCENE.picture()(drawn().rgb))
    check_background(given)


def test_stills_come_as_rgb(tmp_path: Path) -> None:
    """A folder's stills are red first, all of one size; what is no camera says what is there."""
    for index in range(3):
        write_still(tmp_path / f"{index}.png", drawn().rgb)
    np.testing.assert_array_equal(grab(str(tmp_path), 1)[2].image, drawn().rgb)
    np.testing.assert_array_equal(read_still(tmp_path / "0.png"), drawn().rgb)
    with pytest.raises(CameraError, match=r"gives frames of 320x240, wanted are 640x480"):
        grab(str(tmp_path), 1, size=(480, 640))
    write_still(tmp_path / "3.png", drawn().rgb[:100])
    with pytest.raises(CameraError, match="different sizes"):
        grab(str(tmp_path), 1)
    assert (as_source("3"), as_source("/dev/video3")) == (3, "/dev/video3")
    with pytest.raises(CameraError, match=r"camera 97: is not there; this machine has"):
        grab(97, 1)
    with pytest.raises(CameraError, match="nothing answers there"):
        grab("http://127.0.0.1:9/x.mjpg", 1)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(CameraError, match="is no picture"):
        read_still(tmp_path / "text.png")
