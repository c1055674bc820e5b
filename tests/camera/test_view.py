"""A camera's view against what others make of it: OpenCV's projection, MuJoCo's renderer, SAPIEN's axes."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from policy_port.camera.links import Arm, Links
from policy_port.camera.render import Twin
from policy_port.camera.view import View, ViewFile, load_view, quat_of, view_fields, view_text
from policy_port.errors import CameraError, RobotError

ARM = """<mujoco><worldbody>
<body name="base" pos="0.4 -0.2 0.1" quat="0.8 0 0 0.6">
 <geom type="box" size=".04 .05 .03" contype="0" conaffinity="0"/>
 <geom type="sphere" size=".5"/>
 <body name="upper" pos="0 0 .05"><joint name="turn" axis="0 0 1" range="-100 100"/>
  <geom type="capsule" fromto="0 0 0 0 .04 .2" size=".012" contype="0" conaffinity="0"/>
  <body name="hand" pos="0 .04 .2"><joint name="bend" axis="1 0 0" range="-90 90"/>
   <geom type="cylinder" size=".02 .05" pos="0 .06 0" contype="0" conaffinity="0"/></body></body></body>
</worldbody></mujoco>"""


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Arm:
    file = tmp_path_factory.mktemp("arm") / "arm.xml"
    file.write_text(ARM)
    return Arm.load(file)


def test_projection_is_opencvs() -> None:
    """A view projects as OpenCV does with its matrix, its extrinsics and its distortion."""
    view = View.looking_at([0.6, -0.4, 0.5], [0.0, 0.1, 0.1], roll=0.3, fov=0.9, size=(240, 320), principal=(7.0, -4.0))
    points = np.random.default_rng(0).uniform(-0.2, 0.2, (40, 3))
    rotation, translation = view.extrinsics()
    for distortion in ((), (0.1, -0.05, 0.002, -0.003), (0.1, -0.05, 0.002, -0.003, 0.02)):
        bent = view.moved(distortion=distortion)
        pixels, depth = bent.project(points)
        theirs = cv2.projectPoints(
            points, cv2.Rodrigues(rotation)[0], translation, view.intrinsics(), np.array(distortion)
        )
        np.testing.assert_allclose(pixels, theirs[0][:, 0], atol=1e-6)
        np.testing.assert_allclose(depth, (points - view.position) @ view.forward, atol=1e-12)
    again = View.of_extrinsics(rotation, translation, fov=0.9, size=(240, 320))
    np.testing.assert_allclose(again.rotation, view.rotation, atol=1e-12)


def test_axes_are_sapiens() -> None:
    """x is forward, y left, z up; a roll turns clockwise as the camera looks; straight down has a meaning."""
    view = View.looking_at([0.0, 0.0, 1.0], [1.0, 0.0, 1.0], fov=1.0, size=(10, 10))
    np.testing.assert_allclose(view.matrix, np.eye(3), atol=1e-12)
    right, _ = view.moved(turn=[0.1, 0.0, 0.0]).project(np.array([[1.0, 0.0, 1.2]]))
    assert right[0, 0] < 4.5  # what was above stands to the left of a camera that was turned clockwise
    down = View.looking_at([0.0, 0.0, 1.0], [0.0, 0.0, 0.0], fov=1.0, size=(10, 10))
    np.testing.assert_allclose(down.forward, [0.0, 0.0, -1.0], atol=1e-12)
    with pytest.raises(CameraError, match="it stands there"):
        View.looking_at([0, 0, 1], [0, 0, 1], fov=1.0, size=(10, 10))


def test_quaternions_of_all_rotations() -> None:
    """A rotation matrix becomes SciPy's quaternion, half turns included, and frames can be changed and changed back."""
    turns = [
        *Rotation.from_rotvec(np.random.default_rng(0).normal(size=(20, 3))),
        Rotation.from_rotvec([0.0, math.pi, 0.0]),
    ]
    for turn in turns:
        ours, theirs = quat_of(turn.as_matrix()), turn.as_quat(scalar_first=True)
        assert abs(ours @ theirs) == pytest.approx(1.0)
    view = View.looking_at([0.6, -0.4, 0.5], [0, 0, 0], fov=0.9, size=(24, 32), principal=(3.0, 1.0))
    there = view.in_frame([1.0, 2.0, 3.0], turns[0].as_quat(scalar_first=True))
    np.testing.assert_allclose(there.position, np.add(turns[0].apply(view.position), [1, 2, 3]))
    back = there.from_frame([1.0, 2.0, 3.0], turns[0].as_quat(scalar_first=True))
    np.testing.assert_allclose(back.position + back.rotation, view.position + view.rotation, atol=1e-12)


def test_points_and_render_agree(arm: Arm) -> None:
    """Projected points cover MuJoCo's own silhouette, with principal point and a base that stands elsewhere."""
    view = View.looking_at([0.5, 0.4, 0.3], [0, 0, 0.12], roll=0.2, fov=0.9, size=(360, 480), principal=(-27.0, 18.0))
    pose = {"turn": 0.6, "bend": -0.5}
    twin = Twin(arm)
    drawn = twin.render(view, pose)
    np.testing.assert_array_equal(drawn.rgb, twin.rgb(view, pose))
    # A picture without the arm leaves it in the next one.
    assert (twin.rgb(view, pose, bare=True) != drawn.rgb).any()
    np.testing.assert_array_equal(twin.render(view, pose).mask, drawn.mask)
    twin.close()
    pixels, _ = view.project(Links(arm, 60000).posed(pose))
    seen = np.zeros_like(drawn.mask)
    seen[tuple(np.rint(pixels).astype(int).T[::-1])] = True
    assert (seen & drawn.mask).sum() / (seen | drawn.mask).sum() > 0.93


def test_joints_are_names(arm: Arm) -> None:
    """A joint that is missing, and one that there is not, are named with those that there are."""
    links = Links(arm, 10)
    with pytest.raises(RobotError, match=r"'bend' of arm.xml is not given.*all of turn, bend"):
        links.posed({"turn": 0.0})
    with pytest.raises(RobotError, match=r"no joint 'trun'; did you mean 'turn'"):
        links.posed({"trun": 0.0, "bend": 0.0})


def test_file(tmp_path: Path) -> None:
    """view.yaml comes back as it was written; what can't be is refused with its line."""
    view = View.looking_at([0.6, -0.4, 0.5], [0, 0, 0], fov=0.9, size=(24, 32), distortion=(0.1, 0.0, 0.0, 0.0))
    file = tmp_path / "view.yaml"
    file.write_text(view_text(ViewFile(**view_fields(view), source={"made by": "hand"}, overlap=0.95)))
    assert load_view(file).view == view
    text = file.read_text()
    for old, new, message in (
        ("fov:", "fovy:", r"unknown key 'fovy'; did you mean 'fov'"),
        ("fov: 0.9", "fov: 50.0", "fov: fov 50 is in degrees; it is in radians here: 0.8727"),
        ("rotation: [", "rotation: [9.0, ", "rotation"),
        ("0.1, 0.0, 0.0, 0.0]", "0.1]", "distortion has 1 numbers"),
    ):
        file.write_text(text.replace(old, new, 1))
        with pytest.raises(CameraError, match=message):
            load_view(file)
