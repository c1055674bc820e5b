"""Environment files in ManiSkill: one environment, opened once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mani_skill", reason="ManiSkill is not installed")

from policy_port.camera.env_file import STANDS, EnvFile, load_env_file
from policy_port.camera.resets import Resets, record
from policy_port.camera.scene import arrange, colour_mode, make_options, open_scene, sensor_view, stand_of
from policy_port.errors import CameraError

GRASP = "SO100GraspCube-v1"
THEIRS = {
    "base_camera_settings": {"fov": 0.9, "pos": [0.55, 0.25, 0.4], "target": [0.3, 0.0, 0.05]},
    "spawn_box_pos": [0.3, 0.05],
    "spawn_box_half_size": 0.08,
    "domain_randomization_config": {"max_camera_offset": [0.0, 0.0, 0.0], "camera_target_noise": 0.0},
}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> EnvFile:
    """lerobot-sim2real's file, its camera turned about its line of sight, which that can't say."""
    path = tmp_path_factory.mktemp("env") / "env_config.json"
    path.write_text(json.dumps(THEIRS))
    look = load_env_file(path, GRASP).with_image(size=(48, 48), camera_size=(480, 640))
    return look.with_view(look.frame_view().moved(turn=(0.3, 0.0, 0.0)))


@pytest.fixture(scope="module")
def made(given: EnvFile) -> Iterator[Any]:
    env = open_scene(given.model_copy(update={"randomise": False, "randomisation": None}))
    yield env
    env.close()


@pytest.mark.slow
@pytest.mark.vulkan
@pytest.mark.filterwarnings("ignore")
def test_the_simulated_camera_stands_where_the_file_says(given: EnvFile, made: Any) -> None:
    """Roll included, once it is reset; and the robot where the package knows it to stand."""
    made.reset(seed=0)
    seen, wanted = sensor_view(made.unwrapped, "base_camera"), given.drawn_view()
    np.testing.assert_allclose(seen.position, wanted.position, atol=1e-5)
    assert seen.angle_to(wanted) < 1e-3
    assert (seen.size, seen.fov) == (wanted.size, pytest.approx(wanted.fov, abs=1e-6))
    for part, known in zip(stand_of(made.unwrapped), STANDS[GRASP], strict=True):
        np.testing.assert_allclose(part, known, atol=1e-6)


@pytest.mark.slow
@pytest.mark.vulkan
@pytest.mark.filterwarnings("ignore")
def test_resets_show_where_objects_start(given: EnvFile, made: Any) -> None:
    """The cube alone starts elsewhere, within the box that is drawn, seen where its projection says."""
    found = record(made, given, count=3)
    assert list(found.starts) == ["cube"]
    assert found.box is not None
    for start in found.starts["cube"]:
        assert (found.box[0, :2] <= start.position[:2]).all()
        assert (start.position[:2] <= found.box[2, :2]).all()
        if start.whole and not start.cut:
            pixel = given.drawn_view().in_frame(*found.stand).project(start.position[None])[0][0]
            rows, columns = np.nonzero(start.pixels)
            assert np.hypot(columns.mean() - pixel[0], rows.mean() - pixel[1]) < 2.0
    picture = found.overlaid()
    assert min(picture.shape[:2]) >= 480
    assert any("cube: starts from" in line for line in found.lines())


def test_what_is_hidden_is_told() -> None:
    """An object behind the robot is hidden, one that no pixel shows is outside."""
    from policy_port.camera.resets import Start

    none = np.zeros((8, 8), bool)
    there = none.copy()
    there[2:4, 2:4] = True
    at = np.zeros(3)
    starts = [Start(at, there, 4, False), Start(at, none, 4, False), Start(at, none, 0, False)]
    picture = [np.zeros((8, 8, 3), np.uint8)] * 3
    line = Resets(picture, {"cube": starts}, (at, np.ones(4)), None, None).lines()[1]
    assert "seen in 33% of 3 resets, hidden by the robot in 33%, outside of the picture in 33%" in line


def test_options_are_what_the_environment_takes(given: EnvFile) -> None:
    """Randomisation stays a dict, sizes go to the named camera; what an environment has no option for is refused."""
    options = make_options(given)
    assert type(options["domain_randomization_config"]) is dict
    assert options["sensor_configs"] == {"base_camera": {"height": 48, "width": 48}}
    assert options["spawn_box_half_size"] == 0.08
    with pytest.raises(CameraError, match="has no option spawn_box_pos: leave spawn_box out"):
        make_options(given.model_copy(update={"env": "PolicyPortSO100Reach-v1", "camera": None, "randomisation": None}))
    with pytest.raises(CameraError, match="shows no camera images"):
        colour_mode("PolicyPortSO100Reach-v1")


def test_a_background_stays_its_own() -> None:
    """ManiSkill keeps backgrounds in its class: each environment gets a table of its own, and its camera has to be."""
    shared: dict[str, Any] = {"base_camera": "mine"}

    class Twin:
        def __init__(self) -> None:
            self._sensor_configs: dict[str, Any] = {"base_camera": None}
            self._rgb_overlay_images = shared

    base = Twin()
    arrange(base, EnvFile(env=GRASP))
    shared["base_camera"] = "another's"
    assert base._rgb_overlay_images == {"base_camera": "mine"}
    with pytest.raises(CameraError, match="has no camera 'front'. It has base_camera"):
        arrange(base, EnvFile(env=GRASP, camera_name="front"))
    base._sensor_configs = {}
    with pytest.raises(CameraError, match="none, and no policy that sees can be trained in it"):
        arrange(base, EnvFile(env=GRASP))
