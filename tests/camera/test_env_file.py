"""Environment files: env.yaml and lerobot-sim2real's env_config.json."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.camera.env_file import RANDOMISED, STANDS, EnvFile, load_env_file
from policy_port.camera.view import View, ViewFile, view_fields, view_text
from policy_port.errors import CameraError

GRASP = "SO100GraspCube-v1"
THEIRS: dict[str, Any] = {
    "base_camera_settings": {"pos": [0.69, 0.37, 0.28], "fov": 0.8256, "target": [0.185, -0.15, 0.0]},
    "greenscreen_overlay_path": None,
    "spawn_box_pos": [0.3, 0.05],
    "spawn_box_half_size": 0.1,
    "domain_randomization_config": {"robot_color": None},
}


def loaded(folder: Path, text: str, env: str | None = None, name: str = "env.yaml") -> EnvFile:
    path = folder / name
    path.write_text(text)
    return load_env_file(path, env)


def test_their_file_is_read_and_written_back_equal(tmp_path: Path) -> None:
    """env_config.json comes back with every value and key in its order; numbers that YAML reads as text included."""
    for changes in (
        {},
        {"greenscreen_overlay_path": "greenscreen.png", "domain_randomization": True, "robot_uids": "so100"},
        {"domain_randomization_config": {"robot_color": [1, 1, 1], "camera_target_noise": 1e-05}},
    ):
        text = json.dumps(THEIRS | changes, indent="\t")
        found = loaded(tmp_path, text, GRASP, "env_config.json")
        found.write(tmp_path / "back.json")
        back = json.loads((tmp_path / "back.json").read_text())
        assert back == THEIRS | changes
        assert list(back) == list(json.loads(text))
        found.write(tmp_path / "env.yaml")
        assert load_env_file(tmp_path / "env.yaml").model_dump() == found.model_dump()


def test_a_view_and_a_target_say_the_same(tmp_path: Path) -> None:
    """pos and target in the environment, and a view in the robot's base frame, are one camera; a roll is kept."""
    look = loaded(tmp_path, json.dumps(THEIRS), GRASP, "env_config.json")
    look = look.with_image(size=(64, 64), camera_size=(480, 640))
    as_view = look.with_view(look.frame_view())
    settings, given = as_view.settings(), THEIRS["base_camera_settings"]
    np.testing.assert_allclose(settings["pos"], given["pos"], atol=1e-9)
    np.testing.assert_allclose(settings["target"], given["target"], atol=1e-9)
    assert settings["fov"] == pytest.approx(given["fov"])
    # The robot is turned by a quarter in this environment: x there is y here.
    np.testing.assert_allclose(as_view.frame_view().position, [0.37, -0.69, 0.28], atol=1e-9)
    assert as_view.roll == pytest.approx(0.0, abs=1e-9)
    (tmp_path / "view.yaml").write_text(view_text(ViewFile.model_validate(view_fields(look.frame_view()))))
    assert loaded(tmp_path, f"env: {GRASP}\ncamera: view.yaml\n").frame_view() == look.frame_view()
    with pytest.raises(CameraError, match=r"absent\.yaml"):
        loaded(tmp_path, f"env: {GRASP}\ncamera: absent.yaml\n")
    rolled = look.with_view(look.frame_view().moved(turn=(0.2, 0.0, 0.0)))
    assert rolled.roll == pytest.approx(0.2)
    with pytest.raises(CameraError, match=r"turned by 11.5 degrees .* write an env.yaml"):
        rolled.write(tmp_path / "rolled.json")
    assert not (tmp_path / "rolled.json").exists()


BLOCK = """\
# The camera over the left edge.
env: SO100GraspCube-v1   # ours
camera:
  # measured with a tape
  pos: [0.69, 0.37, 0.28]  # [m]
  target:
    - 0.185
    - -0.15
    - 0.0  # on the table
  # of the lens
  fov: 0.8256

# lamps on
randomise: true
options: {}
"""
FLOW = """\
camera: {target: [0.185, -0.15, 0.0], pos: [0.69, 0.37, 0.28], fov: 0.8256}  # taped
env: "SO100GraspCube-v1"
spawn_box:  # cubes
    {pos: [0.3, 0.05], half_size: 0.1}
"""


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (BLOCK, {4: "  pos: [0.7, 0.37, 0.28]  # [m]"}),
        (BLOCK.replace("\n", "\r\n"), {4: "  pos: [0.7, 0.37, 0.28]  # [m]"}),
        (FLOW, {0: "camera: {target: [0.185, -0.15, 0.0], pos: [0.7, 0.37, 0.28], fov: 0.8256}  # taped"}),
        (
            f"# mine\nenv: {GRASP}\nbackground: bg.png",
            {3: "camera: {pos: [0.7, 0.37, 0.28], target: [0.185, -0.15, 0.0], fov: 0.8256}"},
        ),
    ],
)
def test_of_a_file_that_is_written_back_comments_and_order_stay(
    tmp_path: Path, text: str, lines: dict[int, str]
) -> None:
    """Only lines of what was changed are others; what the file says is what was to be written."""
    path = tmp_path / "env.yaml"
    path.write_bytes(text.encode())
    moved = load_env_file(path).with_look_at((0.7, 0.37, 0.28), (0.185, -0.15, 0.0), 0.8256)
    moved.write(path)
    wanted = text.splitlines()
    for line, new in lines.items():
        wanted[line : line + 1] = [new]
    assert path.read_bytes().decode().splitlines() == wanted
    assert load_env_file(path).model_dump() == moved.model_dump()
    before = path.read_bytes()
    load_env_file(path).write(path)
    assert path.read_bytes() == before


def test_a_camera_that_gets_another_form_leaves_the_rest_of_the_file(tmp_path: Path) -> None:
    """A look-at that becomes a view, a list whose last number changes, and a file that can't be amended."""
    path = tmp_path / "env.yaml"
    for text in (BLOCK, FLOW):
        given = loaded(tmp_path, text).with_image(size=(64, 64), camera_size=(480, 640))
        view = given.with_view(given.frame_view().moved(turn=(0.2, 0.0, 0.0)))
        view.write(path)
        assert load_env_file(path).model_dump() == view.model_dump()
        kept = [line for line in text.splitlines() if "camera" not in line and line[:1] not in " " and line]
        assert [line for line in path.read_text().splitlines() if line in kept] == kept
    lower = loaded(tmp_path, BLOCK).with_look_at((0.69, 0.37, 0.28), (0.185, -0.15, 0.1), 0.8256)
    lower.write(path)
    assert load_env_file(path).model_dump() == lower.model_dump()
    assert "  # of the lens\n  fov: 0.8256" in path.read_text()
    in_one = loaded(tmp_path, f'{{"env": "{GRASP}"}}').with_look_at((0.7, 0.37, 0.28), (0.185, -0.15, 0.0), 0.8256)
    in_one.write(path)
    assert load_env_file(path).model_dump() == in_one.model_dump()


def test_a_crop_narrows_what_is_drawn(tmp_path: Path) -> None:
    """The simulated camera has the crop's angle; a crop off the middle, which it can't draw, is refused."""
    view = View.looking_at((0.0, -0.6, 0.4), (0.0, -0.2, 0.0), fov=1.0, size=(480, 640))
    given = EnvFile(env="PolicyPortSO100Reach-v1").with_view(view)
    middle = given.with_image(size=(64, 64), camera_size=(480, 640), crop=(120, 200, 240, 240))
    assert math.tan(0.5 * middle.drawn_view().fov) == pytest.approx(0.5 * math.tan(0.5))
    points = np.array([[0.02, -0.2, 0.03], [-0.1, -0.25, 0.1]])
    whole, cropped = (made.project(points)[0] for made in (view, middle.drawn_view()))
    np.testing.assert_allclose((whole - [200, 120] + 0.5) * 64 / 240 - 0.5, cropped, atol=1e-6)
    aside = given.with_image(size=(64, 64), camera_size=(480, 640), crop=(0, 0, 480, 480))
    with pytest.raises(CameraError, match="not around the middle of the frame"):
        aside.settings()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "camera: {pos: [1, 0, 0], target: [0, 0, 0], fov: 52}",
            r"env.yaml:2: camera\.fov: fov 52 is in degrees.*0\.9076",
        ),
        ("camera: {pos: [1, 0, 0], targt: [0, 0, 0], fov: 1.0}", "unknown key 'targt'; did you mean 'target'"),
        ("camera: {pos: [1, 0, 0], target: [1, 0, 0], fov: 1.0}", "pos and target are both"),
        (
            "camera: {position: [1, 0, 0], rotation: [1, 0, 0, 0], fov: 52, size: [480, 640]}",
            r"2: camera\.fov: fov 52 is in",
        ),
        ("camera: {pos: [690, 370, 280], target: [0, 0, 0], fov: 1.0}", r"camera\.pos: .* in millimetres\? It is in m"),
        ("camera: {pos: [1, 0], target: [0, 0, 0], fov: 1.0}", r"2: camera\.pos: holds 2 entries, which are too few"),
        ("camera: {pos: [1, 0, 0], fov: 1.0}", r"2: the required key 'target' is missing in camera$"),
        ("camera: 3", r"2: camera: holds no keys"),
        ("spawnbox: {}", "unknown key 'spawnbox'; did you mean 'spawn_box'"),
        ("spawn_box: {pos: [0.3, 0.0], half_size: 20}", "half_size.*less than or equal to 1"),
        ("randomisation: {robot_colour: 1}", "does not randomise 'robot_colour'; did you mean 'robot_color'"),
        ("randomisation: {camera_fov_noise: 2}", "camera_fov_noise 2 is in degrees"),
        ("randomise: false\nrandomisation: {camera_fov_noise: 0.1}", "randomise is false; leave one out"),
        ("options: {spawn_box_pos: [0, 0]}", "unknown option 'spawn_box_pos': write spawn_box"),
        ("image: {size: [64, 64], camera_size: [480, 640], crop: [0, 0, 480, 640]}", "of other proportions; crop it"),
        ("image: {size: [64, 64], camera_size: [480, 480], crop: [0, 80, 480, 480]}", "cropped already"),
    ],
)
def test_what_can_not_be_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """Each mistake is named with its line and what is right."""
    with pytest.raises(CameraError, match=says):
        loaded(tmp_path, f"env: {GRASP}\n{text}\n")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"spawn_box_position": [0.3, 0.0]}, "unknown key 'spawn_box_position'; did you mean 'spawn_box_pos'"),
        ({"base_camera_settings": {"fov": 0.9}}, "lacks pos, target"),
        ({"base_camera_settings": {"extrinsics": "a.npy"}}, "files are a fork's; find the camera"),
        (
            {"base_camera_settings": {"pos": [1, 0, 0], "target": [0, 0, 0], "fov": 52}},
            r"1: base_camera_settings\.fov: fov 52 is",
        ),
        ({"spawn_box_half_size": 3}, r"1: spawn_box_half_size: input should be"),
        ({"calibration_offset": {}}, "unknown key 'calibration_offset'"),
    ],
)
def test_their_mistakes_are_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    """So are those of an env_config.json, and one whose environment nobody names."""
    with pytest.raises(CameraError, match=says):
        loaded(tmp_path, json.dumps(THEIRS | changes), GRASP, "env_config.json")
    with pytest.raises(CameraError, match="give --env"):
        load_env_file(tmp_path / "env_config.json")
    with pytest.raises(CameraError, match=r"json:1: is not JSON"):
        loaded(tmp_path, "{'a': 1}", GRASP, "bad.json")
    with pytest.raises(CameraError, match="twice"):
        loaded(tmp_path, '{"spawn_box_pos": 1, "spawn_box_pos": 2}', GRASP, "bad.json")


def test_what_is_not_known_is_asked_for(tmp_path: Path) -> None:
    """Where a robot stands in a strange environment, as `camera resets` prints it, and how large its picture is."""
    text = "env: Strange-v1\ncamera: {pos: [0.5, 0, 0.4], target: [0, 0, 0], fov: 0.9}\n"
    with pytest.raises(CameraError, match=r"write image: .size: .128, 128., camera_size"):
        loaded(tmp_path, text).drawn_view()
    text += "image: {size: [128, 128]}\n"
    with pytest.raises(CameraError, match=r"where the robot stands in Strange-v1 is not known: write robot_pose: "):
        loaded(tmp_path, text).drawn_view()
    text += "robot_pose: {position: [0.1, 0, 0], rotation: [1.0, 0.0, 0.0, 0.0]}\n"
    np.testing.assert_allclose(loaded(tmp_path, text).drawn_view().position, [0.4, 0.0, 0.4], atol=1e-9)


def test_environments_that_are_known() -> None:
    """Where robots stand and what is randomised is what ManiSkill's own code says."""
    grasp = pytest.importorskip("mani_skill.envs.tasks.digital_twins.so100_arm.grasp_cube")
    assert set(RANDOMISED[GRASP]) == set(grasp.SO100GraspCubeDomainRandomizationConfig().dict())
    assert STANDS[GRASP][1] == pytest.approx((math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)))
