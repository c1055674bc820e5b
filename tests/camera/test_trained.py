"""The camera of a policy's training, held against the environment file that it is deployed with."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="OpenCV is not installed")

from policy_port.camera.env_file import EnvFile, load_env_file
from policy_port.camera.scene import check_background
from policy_port.camera.stills import read_still, write_still
from policy_port.camera.trained import another_camera, check_photographed, seen_now, with_camera
from policy_port.camera.view import View, view_fields
from policy_port.contract.image import ImageInput
from policy_port.errors import CameraError

VIEW = View.looking_at([0.4, -0.6, 0.3], [0.0, -0.2, 0.0], fov=0.8, size=(480, 640))
IMAGE = {"size": [64, 64], "camera_size": [480, 640], "crop": [0, 80, 480, 480]}
SEEN = ImageInput(name="base_camera", height=64, width=64, channels=3, layout="nchw", dtype="float32", scale=1.0)


def env(view: View = VIEW, **image: object) -> EnvFile:
    given = {"env": "SO100GraspCube-v1", "camera": view_fields(view), "image": IMAGE | image}
    return EnvFile.model_validate(given)


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (env(crop=[60, 140, 360, 360]), r"saw 45.8 degrees .* crop give 35.2; .* 0.0 cm from this one, turned by 0.0"),
        (env(VIEW.moved([0.0, 0.05, 0.0])), r"stood 5.0 cm from this one"),
        (env(VIEW.moved(turn=[0.0, 0.0, 0.1])), r"turned by 5.7 degrees"),
        (env(VIEW.moved(fov=0.9)), r"crop give 51.6"),
    ],
    ids=["crop", "place", "direction", "lens"],
)
def test_another_camera_is_told(now: EnvFile, told: str) -> None:
    """Another crop, which shows all of another size, another place or direction, another lens: each with its bound."""
    found = another_camera(with_camera([SEEN], env()), now)
    assert found is not None
    assert re.search(told, found), found


def test_the_same_camera_is_not() -> None:
    """Nor one that was solved for again, one that is said of smaller frames, or where nobody knows the training's."""
    trained = with_camera([SEEN], env())
    assert another_camera(trained, env()) is None
    assert another_camera(trained, env(VIEW.moved([0.01, 0.005, 0.0], [0.01, 0.01, 0.01]))) is None
    small = env(VIEW.resized((240, 320)), camera_size=[240, 320], crop=[0, 40, 240, 240])
    assert another_camera(trained, small) is None
    assert another_camera([SEEN], env(VIEW.moved([0.2, 0.0, 0.0]))) is None
    assert with_camera([SEEN], env().model_copy(update={"camera": None})) == (SEEN,)


@pytest.fixture
def photographed(tmp_path: Path) -> EnvFile:
    """An environment file with a background, photographed as the command does it."""
    seen = seen_now(env())
    assert seen is not None
    write_still(tmp_path / "wall.png", np.full((64, 64, 3), 90, np.uint8), seen.model_dump_json())
    (tmp_path / "env.yaml").write_text(env().model_copy(update={"background": "wall.png"}).text())
    return load_env_file(tmp_path / "env.yaml")


def test_a_background_of_another_crop_is_refused(photographed: EnvFile, tmp_path: Path) -> None:
    """Of the right size, too: what stands before it would be too large. As it was photographed it is let through."""
    assert check_photographed(photographed) is None
    assert (read_still(tmp_path / "wall.png") == 90).all()
    cropped = photographed.with_image(crop=[60, 140, 360, 360])
    with pytest.raises(CameraError, match=r"wall.png: was photographed with 45.8 degrees .* give 35.2: photograph it"):
        check_background(cropped)
    again = seen_now(cropped)
    assert again is not None
    write_still(tmp_path / "wall.png", np.full((64, 64, 3), 90, np.uint8), again.model_dump_json())
    check_background(cropped)


def test_a_background_of_another_view_is_told(photographed: EnvFile, tmp_path: Path) -> None:
    """It may be right, where only the view was found anew; of another program's picture nobody knows anything."""
    told = check_photographed(photographed.with_view(VIEW.moved([0.0, 0.0, 0.05])))
    assert told is not None
    assert "had the camera 5.0 cm from where it has it now" in told
    write_still(tmp_path / "wall.png", np.full((64, 64, 3), 90, np.uint8))
    assert check_photographed(photographed.with_image(crop=[60, 140, 360, 360])) is None
