"""Emulated cameras that stand somewhere: what they see is the arm, and nobody tells where they stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policy_port.camera.view import View, ViewFile, view_text
from policy_port.cli.emulate import placed
from policy_port.errors import EmulatorError, PolicyPortError
from policy_port.robots.emulator import EmulatedArm
from policy_port.robots.emulator.calibration import DEFAULT_CALIBRATION
from policy_port.robots.emulator.faults import FaultList, parse_fault
from policy_port.robots.emulator.lens import Bend, Lens, SceneObject, parse_lens, struck_picture
from policy_port.robots.emulator.options import ArmOptions, CameraSpec

VIEW = View.looking_at([0.5, -0.3, 0.4], [0.0, -0.2, 0.1], fov=0.9, size=(96, 128))
CUBE = SceneObject(name="cube", position=(0.1, -0.3, 0.0125))
REST = {
    "shoulder_pan": 0.0,
    "shoulder_lift": -1.5,
    "elbow_flex": 1.5,
    "wrist_flex": 0.6,
    "wrist_roll": 0.0,
    "gripper": 0.0,
}


class Scene:
    """A camera's pictures, drawn in this thread."""

    def __init__(self) -> None:
        from policy_port.robots.emulator.scene import open_scene

        self.faults, self.things, self.pose = FaultList(), {"cube": CUBE}, dict(REST)
        spec = CameraSpec(name="front", width=128, height=96, view=VIEW)
        self.source = open_scene(spec, "so100", lambda: self.pose, lambda: self.things, self.faults)

    def see(self, *faults: str) -> np.ndarray:
        for fault in self.faults.active:
            self.faults.remove(fault)
        for text in faults:
            self.faults.add(parse_fault(text, joints=(), cameras=("front",)), 0.0)
        self.faults.update(0.0)
        height, width = VIEW.size
        return struck_picture(self.source.draw(height, width), self.faults, "front").astype(int)


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    pytest.importorskip("mani_skill", reason="ManiSkill, which ships the robot description, is not installed")
    scene = Scene()
    yield scene
    scene.source.close()


def where(picture: np.ndarray) -> np.ndarray:
    """Column and row of the middle of what is red."""
    red = (picture[..., 0] > 120) & (picture[..., 1] < 60) & (picture[..., 2] < 60)
    assert red.any(), "nothing is red"
    return np.argwhere(red).mean(axis=0)[::-1]


def test_a_thing_is_seen_where_the_view_says(scene: Scene) -> None:
    """A cube on the table lies where the view projects its middle, and moves with what it is told."""
    assert CUBE.position is not None
    for position in (CUBE.position, (0.0, -0.35, 0.0125)):
        scene.things = {"cube": replace(CUBE, position=position)}
        expected, _ = VIEW.project(np.array([position]))
        assert np.abs(where(scene.see()) - expected[0]).max() < 1.5
    scene.things = {"cube": replace(CUBE, position=None)}
    with pytest.raises(AssertionError, match="nothing is red"):
        where(scene.see())
    scene.things = {"cube": CUBE}


def test_each_mishap_of_a_camera_changes_the_picture_as_it_says(scene: Scene) -> None:
    """Turned, mirrored, exchanged colours, gain, focus, moved and another field of view; cleared, all is as before."""
    good = scene.see()
    assert (scene.see("turn-camera") == good[::-1, ::-1]).all()
    assert (scene.see("mirror-camera") == good[:, ::-1]).all()
    assert (scene.see("swap-camera") == good[..., ::-1]).all()
    assert np.abs(scene.see("gain-camera:2") - np.clip(2 * good, 0, 255)).max() <= 1
    edges = lambda picture: np.abs(np.diff(picture, axis=1)).mean()  # noqa: E731
    assert edges(scene.see("blur-camera:3")) < 0.7 * edges(good)
    assert CUBE.position is not None
    moved = replace(VIEW.moved(0.03 * VIEW.matrix[:, 1]))
    wider = replace(VIEW, fov=VIEW.fov + np.radians(5.0))
    for fault, view in (("move-camera", moved), ("zoom-camera", wider)):
        assert np.abs(where(scene.see(fault)) - view.project(np.array([CUBE.position]))[0][0]).max() < 1.5
    assert (scene.see() == good).all()


def test_a_bent_picture_lies_where_the_view_projects() -> None:
    """What a straight lens draws at a point's pixel, the bent picture has at the pixel that OpenCV's model says."""
    view = replace(VIEW, distortion=(-0.25, 0.08, 0.001, -0.002))
    bend = Bend(view)
    points = np.array([[0.1, -0.3, 0.0], [0.0, -0.1, 0.1], [-0.1, -0.4, 0.05]])
    straight, _ = bend.straight.project(points)
    bent, _ = view.project(points)
    for drawn, expected in zip(straight, bent, strict=True):
        canvas = np.zeros((*bend.straight.size, 3), np.uint8)
        column, row = np.round(drawn).astype(int)
        canvas[row - 2 : row + 3, column - 2 : column + 3] = 255
        found = np.argwhere(bend(canvas)[..., 0] > 128).mean(axis=0)[::-1]
        assert np.abs(found - expected).max() < 1.0
    with pytest.raises(EmulatorError, match="bends the picture so far"):
        Bend(replace(VIEW, distortion=(-9.0, 0.0, 0.0, 0.0)))


def test_a_lens_darkens_tints_and_blurs() -> None:
    """Light and gain multiply, warmth moves red against blue, and a usual lens changes nothing."""
    grey = np.full((8, 8, 3), 100, np.uint8)
    assert (Lens().see(grey) == 100).all()
    assert (Lens(light=0.7).see(grey) == 70).all()
    assert Lens(warmth=0.1, gain=2.0).see(grey)[0, 0].tolist() == [220, 200, 180]
    assert parse_lens("blur=1.5, light=0.8") == Lens(blur=1.5, light=0.8)


def test_the_table_is_one_whatever_the_seed(scene: Scene) -> None:
    """A background that was photographed once stays right in episodes of any seed."""
    from policy_port.robots.emulator.pictures import open_pictures

    views = CameraSpec(name="front", width=128, height=96, view=VIEW)
    drawn = []
    for seed in (0, 50):
        options = ArmOptions(calibration=DEFAULT_CALIBRATION, cameras=(views,), seed=seed)
        ticks = {servo: 0.0 for servo in DEFAULT_CALIBRATION}
        source = open_pictures(options, views, lambda ticks=ticks: ticks, dict, FaultList())()
        drawn.append(source.draw(96, 128).astype(int))
        source.close()
    assert drawn[0].std() > 10
    assert np.abs(drawn[0] - drawn[1]).max() == 0


def test_views_and_lenses_on_the_command_line(tmp_path: Path) -> None:
    """A view belongs to the camera that it names, or to the only one; every other way to write it is refused."""
    file = tmp_path / "view.yaml"
    fields = {"position": VIEW.position, "rotation": VIEW.rotation, "fov": VIEW.fov, "size": (480, 640)}
    file.write_text(view_text(ViewFile.model_validate(fields)))
    (front,) = placed(["front=640x480@30"], [str(file)], "light=0.7")
    assert front.view is not None
    assert front.view.size == (480, 640)
    assert front.lens.light == 0.7
    front, side = placed(["front=640x480@30", "side=64x48@5"], [f"side={file}"])
    assert (front.view, side.view is None) == (None, False)
    two = ["front=640x480@30", "side=64x48@5"]
    for cameras, views, lens, message in (
        (two, [str(file)], None, "there are 2 cameras"),
        ([], [str(file)], None, "there are 0 cameras"),
        (two, [f"fron={file}"], None, "no camera is called 'fron'; did you mean 'front'"),
        (two, [f"side={file}", f"side={file}"], None, "has two views"),
        (["front=640x360@30"], [str(file)], None, "of other proportions"),
        (["front=640x480@30"], ["none.yaml"], None, "none.yaml"),
        (two, [], "focus=3", "has no 'focus'"),
        (two, [], "light", "can't be read"),
        (two, [], "light=bright", "is no number"),
        (two, [], "light=nan", "out of range"),
        (two, [], "gain=1,gain=2", "stands there twice"),
        (["front=64x48@5", "front=64x48@5"], [], None, "the same name"),
    ):
        with pytest.raises(PolicyPortError, match=message):
            placed(cameras, views, lens)


def test_a_camera_without_a_view_has_no_place_to_be_moved_from() -> None:
    """A fault of where a camera stands names the camera that stands nowhere, and nothing unknown can be placed."""
    with EmulatedArm(cameras=["front=64x48@5", CameraSpec(name="side", view=VIEW)], things=(CUBE,)) as arm:
        for fault in ("move-camera:front", "zoom-camera"):
            with pytest.raises(EmulatorError, match="camera 'front' stands nowhere"):
                arm.inject(fault)
        arm.inject("move-camera:side:0.05")
        arm.place("cube", None)
        with pytest.raises(EmulatorError, match="called 'ball'"):
            arm.place("ball", (0.0, 0.0, 0.0))
