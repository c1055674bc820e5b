"""The simulated camera as a person moves it, and both pictures in one."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="OpenCV is not installed")

from policy_port.camera.alignment import FIELDS, Alignment, compose
from policy_port.camera.env_file import EnvFile, LookAt, load_env_file
from policy_port.camera.shots import PosesFile
from policy_port.camera.snapshots import add_snapshot
from policy_port.camera.stills import read_still
from policy_port.camera.view import View, view_fields
from policy_port.contract.yaml_file import parse, read_yaml
from policy_port.errors import CameraError

LOOKS = {"pos": [0.7, 0.1, 0.3], "target": [0.3, 0.0, 0.05], "fov": 0.8}
IMAGE = {"size": [128, 128], "camera_size": [480, 640]}
ENV = {"env": "SO100GraspCube-v1", "camera": LOOKS, "image": IMAGE}


def test_what_is_not_moved_is_saved_as_it_was(tmp_path: Path) -> None:
    """Opened and saved, a camera has the same numbers to the last digit, in the environment's frame, not ours."""
    env = EnvFile.model_validate(ENV)
    env.write(tmp_path / "env.yaml")
    alignment = Alignment.of(load_env_file(tmp_path / "env.yaml"))
    assert alignment.numbers["y"] == pytest.approx(-0.7)
    saved = alignment.aligned(env)
    assert isinstance(saved.camera, LookAt)
    assert saved.camera == env.camera


def test_their_file_is_written_back_in_their_form(tmp_path: Path) -> None:
    """lerobot-sim2real's file stays one, with nothing in it that it does not know; a roll it can't say is refused."""
    text = json.dumps({"base_camera_settings": {"pos": LOOKS["pos"], "target": LOOKS["target"], "fov": LOOKS["fov"]}})
    (tmp_path / "env_config.json").write_text(text)
    given = load_env_file(tmp_path / "env_config.json", "SO100GraspCube-v1")
    env = given.with_image(camera_size=(480, 640))
    alignment = Alignment.of(env)
    alignment.do({"do": "nudge", "field": "fov", "value": 2})
    alignment.aligned(env, given).write(tmp_path / "env_config.json")
    after = json.loads((tmp_path / "env_config.json").read_text())
    assert set(after) == {"base_camera_settings"}
    assert after["base_camera_settings"]["fov"] == pytest.approx(LOOKS["fov"] + math.radians(1.0))
    alignment.do({"do": "nudge", "field": "roll", "value": 7})
    before = (tmp_path / "env_config.json").read_text()
    with pytest.raises(CameraError):
        alignment.aligned(env, given).write(tmp_path / "env_config.json")
    assert (tmp_path / "env_config.json").read_text() == before


def test_a_turned_camera_is_saved_as_a_view_with_its_roll() -> None:
    """What a look-at camera can't say is saved as a view of the whole frame, which reads back as it was seen."""
    env = EnvFile.model_validate(ENV)
    alignment = Alignment.of(env)
    alignment.do({"do": "nudge", "field": "roll", "value": 7})
    saved = alignment.aligned(env)
    again = Alignment.of(saved)
    assert again.numbers["roll"] == pytest.approx(math.radians(7.0))
    assert again.view.angle_to(alignment.view) < 1e-6
    assert np.allclose(again.view.position, alignment.view.position)
    assert saved.roll == pytest.approx(math.radians(7.0))


def test_a_view_keeps_lens_and_distortion() -> None:
    """A solved view that is moved keeps what a person does not move: principal point, distortion, size."""
    view = View.looking_at([0.1, -0.7, 0.3], [0.0, -0.3, 0.0], roll=0.1, fov=0.8, size=(480, 640))
    fields = view_fields(view) | {"principal": [3.0, -2.0], "distortion": [-0.2, 0.0, 0.0, 0.0]}
    env = EnvFile.model_validate(ENV | {"camera": fields})
    alignment = Alignment.of(env)
    assert alignment.view.angle_to(view) < 1e-6
    alignment.do({"do": "set", "field": "fov", "value": 0.9})
    assert (alignment.view.principal, alignment.view.distortion) == ((3.0, -2.0), (-0.2, 0.0, 0.0, 0.0))
    assert alignment.view.fov == 0.9


def test_wishes_that_make_no_camera_change_nothing() -> None:
    """Not a number, out of range, a target in the camera, an unknown field: the camera stays; undo goes back to all."""
    alignment = Alignment.of(EnvFile.model_validate(ENV))
    began = dict(alignment.numbers)
    for value in (math.nan, math.inf, "1", None, True, 10**400, [1]):
        for what in ("set", "nudge", "move", "mix"):
            alignment.do({"do": what, "field": "fov", "value": value})
    for wish in (
        {"do": "set", "field": "fov", "value": 9.0},
        {"do": "set", "field": "size", "value": 1.0},
        {"do": "mode", "value": "x-ray"},
    ):
        alignment.do(wish)
    for axis in "xyz":
        alignment.do({"do": "set", "field": f"target_{axis}", "value": began[axis]})
    assert math.dist([alignment.numbers[a] for a in "xyz"], [alignment.numbers[f"target_{a}"] for a in "xyz"]) >= 0.01
    assert (alignment.mode, alignment.mix) == ("overlay", 0.5)
    assert alignment.do({"do": "undo"})
    assert alignment.numbers == began
    alignment.do({"do": "move", "field": "x", "value": 1})
    assert alignment.numbers["target_x"] - began["target_x"] == pytest.approx(FIELDS["x"][2])
    assert not alignment.do({"do": "torque", "sure": True})


def test_both_pictures_are_one() -> None:
    """Overlay and difference touch only the robot, edges only its outline, and the pure modes are the pictures."""
    real, drawn = np.full((20, 20, 3), 200, np.uint8), np.full((20, 20, 3), 100, np.uint8)
    mask = np.zeros((20, 20), np.bool_)
    mask[5:15, 5:15] = True
    assert compose(real, drawn, mask, "real") is real
    assert compose(real, drawn, mask, "simulated") is drawn
    overlay = compose(real, drawn, mask, "overlay", 0.25)
    assert (overlay[mask] == 175).all()
    assert (overlay[~mask] == 200).all()
    assert (compose(real, drawn, mask, "difference")[mask] == 100).all()
    edges = compose(real, drawn, mask, "edges")
    green = edges[..., 1] > edges[..., 0]
    assert green[5, 5:15].all()
    assert not green[8:12, 8:12].any()
    assert not green[:3].any()


def test_snapshots_are_what_solve_reads(tmp_path: Path) -> None:
    """Pictures and joint positions by name [rad]; a second one is added; what is none is refused, and stays."""
    folder = tmp_path / "new"
    frame = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert add_snapshot(folder, frame, {"shoulder_pan": 0.1}).name == "picture_00.png"
    assert add_snapshot(folder, frame, {"shoulder_pan": 0.2}).name == "picture_01.png"
    table = parse(PosesFile, read_yaml(folder / "poses.yaml", CameraError), CameraError)
    assert table.unit == "rad"
    assert [(item.joint_pos or {})["shoulder_pan"] for item in table.pictures] == [0.1, 0.2]
    assert (read_still(folder / "picture_01.png") == frame).all()
    for text, says in (("- 1", "is no table"), ("unit: deg\npictures: []", "is in deg")):
        (folder / "poses.yaml").write_text(text)
        before = sorted(folder.iterdir())
        with pytest.raises(CameraError, match=f"{says}.*name another folder"):
            add_snapshot(folder, frame, {})
        assert sorted(folder.iterdir()) == before
