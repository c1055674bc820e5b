"""The way from a camera's frame to the network's picture."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from policy_port.camera.env_file import EnvFile
from policy_port.camera.picture import NetworkPicture, middle, picture_spec
from policy_port.camera.view import View
from policy_port.contract.image import ImageInput
from policy_port.errors import CameraError, RobotError
from policy_port.port.images import FrameError, camera_inputs
from policy_port.robots.arm.robot_file import CameraBounds
from policy_port.robots.jobs.pictures import Pictures

FRAME = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
VIEW = View.looking_at((0.0, -0.6, 0.4), (0.0, -0.2, 0.0), fov=1.0, size=(120, 160))
SCENE = EnvFile(env="PolicyPortSO100Reach-v1").with_image(size=(32, 32), camera_size=(120, 160))


def arm(**changes: Any) -> Any:
    camera = CameraBounds(source=0, width=160, height=120, fps=30).model_copy(update=changes)
    return SimpleNamespace(cameras={"base_camera": camera})


def test_one_picture_everywhere() -> None:
    """Network's input, arm with and without environment file, and background are equal to the last bit, and the means
    of what each pixel covers.
    """
    crop = (0, 20, 120, 120)
    image = ImageInput(
        name="base_camera", height=32, width=32, channels=3, layout="nhwc", dtype="uint8", scale=1.0,
        camera_size=(120, 160), crop=crop, resize="area",
    )  # fmt: skip
    inputs, buffers = camera_inputs([image], 1)
    inputs["base_camera"].show(FRAME)
    top, left, height, width = crop
    cut = FRAME[top : top + height, left : left + width]
    wanted = cv2.resize(cut, (32, 32), interpolation=cv2.INTER_AREA)
    by_robot_file = Pictures({"base_camera": (32, 32)}, arm(crop=crop)).fit("base_camera", cut)
    by_scene = Pictures({"base_camera": (32, 32)}, arm(), SCENE).fit("base_camera", FRAME)
    of_background = SCENE.picture()(FRAME)
    drawn = NetworkPicture(picture_spec("base_camera", size=(32, 32), camera_size=(32, 32)))(of_background)
    for made in (buffers["base_camera"][0], by_robot_file, by_scene, of_background, drawn):
        np.testing.assert_array_equal(made, wanted)


def test_a_crop_is_applied_once() -> None:
    """A crop in both files, a frame that is cropped already, and another size are refused."""
    with pytest.raises(RobotError, match=r"leave cameras\.base_camera\.crop out"):
        Pictures({"base_camera": (32, 32)}, arm(crop=(0, 20, 120, 120)), SCENE)
    with pytest.raises(FrameError, match="the frame has shape"):
        SCENE.picture()(FRAME[:, 20:140])
    with pytest.raises(CameraError, match=r"gives 120x120.*says 160x120"):
        SCENE.picture((120, 120))
    with pytest.raises(RobotError, match="the policy sees 64x64"):
        Pictures({"base_camera": (64, 64)}, arm(), SCENE)


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (720, 1280), (600, 600)])
@pytest.mark.parametrize("to", [(128, 128), (64, 64)])
def test_as_sim2realenv_makes_it(size: tuple[int, int], to: tuple[int, int]) -> None:
    """With `resize: linear` a square picture is ManiSkill's Sim2RealEnv's, to the last bit."""
    sim = pytest.importorskip("mani_skill.envs.sim2real_env")
    torch = pytest.importorskip("torch")
    from mani_skill.sensors.camera import CameraConfig
    from mani_skill.utils.structs.pose import Pose

    frame = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    config = CameraConfig("base_camera", Pose.create_from_pq(), to[1], to[0], fov=1.0)
    real = SimpleNamespace(base_sim_env=SimpleNamespace(_sensor_configs={"base_camera": config}))
    process: Callable[..., Any] = sim.Sim2RealEnv.preprocess_sensor_data
    theirs = process(real, {"base_camera": {"rgb": torch.from_numpy(frame.copy())[None]}})["base_camera"]["rgb"][0]
    ours = SCENE.with_image(size=to, camera_size=size, resize="linear").picture()(frame)
    np.testing.assert_array_equal(ours, theirs.numpy())


def test_the_middle_has_the_pictures_proportions() -> None:
    """Of any two sizes, the crop is within the frame, around its middle, and of the picture's proportions."""
    rng = np.random.default_rng(0)
    for rows, columns, height, width in rng.integers(32, 1000, (50, 4)):
        top, left, high, wide = middle((rows, columns), (height, width)) or (0, 0, rows, columns)
        assert 0 <= top <= rows - high
        assert 0 <= left <= columns - wide
        assert max(abs(2 * top + high - rows), abs(2 * left + wide - columns)) <= 1
        assert abs(high * width - wide * height) <= max(height, width)
    assert middle((480, 640), (96, 128)) is None


def test_a_lens_is_undone_once() -> None:
    """A grid that a lens bends and shifts is straight in the picture, where the straight camera would show it."""
    lens = View.looking_at(
        (0.0, -0.5, 0.5), (0.0, 0.0, 0.0), fov=1.0, size=(240, 320), principal=(6.0, -4.0), distortion=(-0.3, 0.1, 0, 0)
    )
    straight = View.at(lens.position, lens.rotation, fov=1.0, size=(240, 320))
    points = np.array([[x, y, 0.0] for x in (-0.15, 0.0, 0.15) for y in (-0.1, 0.0, 0.1)])
    frame = np.zeros((240, 320, 3), np.uint8)
    for x, y in lens.project(points)[0]:
        cv2.circle(frame, (round(x * 16), round(y * 16)), 48, (255, 255, 255), -1, cv2.LINE_AA, 4)
    picture = NetworkPicture(picture_spec("base_camera", size=(240, 320), camera_size=(240, 320)), lens)(frame)
    _, _, _, found = cv2.connectedComponentsWithStats((picture[..., 0] > 100).astype(np.uint8))
    wanted = straight.project(points)[0]
    assert len(found) == 1 + len(points)
    apart = np.linalg.norm(found[1:, None] - wanted[None], axis=-1).min(axis=1)
    assert apart.max() < 0.7
    with pytest.raises(CameraError, match="of other proportions"):
        NetworkPicture(picture_spec("base_camera", size=(120, 120), camera_size=(240, 240)), lens)
