"""poses.yaml and masks: what a person can get wrong in a folder of pictures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from policy_port.camera.links import Arm
from policy_port.camera.masks import by_background, by_colour, cleaned, read_colour
from policy_port.camera.shots import read_shots
from policy_port.contract.mapping import RobotMapping
from policy_port.errors import CameraError
from policy_port.trace import Recorder
from tests.camera.conftest import JOINTS

POSE = dict(zip(JOINTS, (0.1, -0.5, 0.7, 1.2), strict=True))


def folder(place: Path, *, size: tuple[int, int] = (60, 80), **table: Any) -> Path:
    """A folder with one picture, an orange arm on grey, its mask, and a table."""
    picture = np.full((*size, 3), 120, np.uint8)
    cv2.rectangle(picture, (20, 10), (40, 50), (40, 120, 230), -1)
    cv2.imwrite(str(place / "a.png"), picture)
    cv2.imwrite(str(place / "m.png"), 255 * (picture[..., 2] == 230).astype(np.uint8))
    cv2.imwrite(str(place / "empty.png"), np.full((*size, 3), 120, np.uint8))
    entry = {"file": "a.png", "joint_pos": POSE, "mask": "m.png"} | table.pop("entry", {})
    entry = {key: value for key, value in entry.items() if value is not None}
    (place / "poses.yaml").write_text(yaml.safe_dump({"poses_version": 1, "unit": "rad", "pictures": [entry]} | table))
    return place


def test_masks_agree(tmp_path: Path, arm: Arm) -> None:
    """A mask, an outline, a colour and a background say where the arm is, and a shadow is not the arm."""
    seen = read_shots(folder(tmp_path), arm).shots[0].mask
    assert seen.sum() == 21 * 41
    corners = [[[20, 10], [40, 10], [40, 50], [20, 50]]]
    outlined = read_shots(folder(tmp_path, entry={"mask": None, "outline": corners}), arm).shots[0].mask
    np.testing.assert_array_equal(outlined, seen)
    plain = folder(tmp_path, entry={"mask": None})
    coloured = read_shots(plain, arm, colours=[read_colour("#e67828")]).shots[0].mask
    differs = read_shots(plain, arm, background=tmp_path / "empty.png").shots[0].mask
    for mask in (coloured, differs):
        assert (mask ^ seen).sum() < 0.1 * seen.sum()
    shaded, empty = np.full((2, 60, 80, 3), 120, np.uint8)
    shaded[5:50, 50:75] = 80
    shaded[10:51, 20:41] = (230, 120, 40)
    assert not by_background(shaded, empty)[10:45, 55:70].any()
    with pytest.raises(CameraError, match=r"differs from the background.*photograph the background again"):
        by_background(np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8), empty)
    assert by_colour(shaded, [(230, 120, 40)]).any()
    cv2.imwrite(str(plain / "crop.png"), np.full((24, 24, 3), 120, np.uint8))
    with pytest.raises(CameraError, match="the background is 24x24, .* with `policy-port camera background --whole`"):
        read_shots(plain, arm, background=plain / "crop.png")
    with pytest.raises(CameraError, match="#RRGGBB"):
        read_colour("orange")


def test_specks_go_and_large_holes_stay() -> None:
    """Salt, pepper and small holes are taken away; what lies between two links is not filled."""
    mask = np.zeros((60, 80), np.bool_)
    mask[10:50, 10:60] = True
    mask[20:35, 20:40] = False
    torn = mask.copy()
    torn[12:14, 12:14], torn[2, 70] = False, True
    np.testing.assert_array_equal(cleaned(torn), mask)


def test_units_are_strict(tmp_path: Path, arm: Arm) -> None:
    """Radians, degrees and LeRobot's numbers of one pose are one pose; degrees given for radians are told."""
    degrees = {name: math.degrees(value) for name, value in POSE.items()}
    read = read_shots(folder(tmp_path, unit="deg", entry={"joint_pos": degrees}), arm).shots[0].joint_pos
    assert read == pytest.approx(POSE)
    with pytest.raises(CameraError, match=r"a\.png: joint 'bend' at 40\.1\d? rad is beyond.*write unit: deg"):
        read_shots(folder(tmp_path, entry={"joint_pos": degrees | {"pan": 0.0, "lift": 0.0}}), arm)
    with pytest.raises(CameraError, match=r"'bend' at 9 rad is beyond its limits.*Is the unit another"):
        read_shots(folder(tmp_path, entry={"joint_pos": POSE | {"bend": 9.0, "lift": 0.0, "wrist": 600.0}}), arm)
    motors = tuple(f"{name}_motor.pos" for name in JOINTS)
    joint = {"sign": -1, "offset": 5.0, "source_unit": "rad", "unit": "deg"}
    document = {"source": "arm", "target": "lerobot", "source_joint_names": JOINTS, "target_joint_names": motors}
    document |= {"rename": dict(zip(JOINTS, motors, strict=True)), "joints": dict.fromkeys(JOINTS, joint)}
    mapping = RobotMapping.model_validate(document)
    lerobot = {f"{name}_motor": -value + 5.0 for name, value in degrees.items()}
    table = folder(tmp_path, unit="lerobot", entry={"joint_pos": lerobot})
    assert read_shots(table, arm, through=mapping).shots[0].joint_pos == pytest.approx(POSE)
    with pytest.raises(CameraError, match="give --through"):
        read_shots(table, arm)
    with pytest.raises(CameraError, match="leave --through out"):
        read_shots(folder(tmp_path), arm, through=mapping)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"entry": {"joint_pos": {"pan": 0.0}}}, "a.png: joint 'lift' is missing; give all of pan, lift, bend, wrist"),
        ({"entry": {"joint_pos": POSE | {"elbow": 0.0}}}, r"has no joint 'elbow'.*Its joints are"),
        ({"entry": {"step": 3}}, "needs joint_pos, or the step of a trace: one of the two"),
        ({"entry": {"step": 3, "joint_pos": None}}, "names a step, and the table no trace"),
        ({"entry": {"outline": [[[0, 0], [1, 0], [1, 1]]]}}, "a mask and an outline"),
        (
            {"entry": {"mask": None, "outline": [[[10, 20], [10, 40], [50, 70]]]}},
            r"corner \[50.0, 70.0\].*column and row",
        ),
        ({"entry": {"mask": "inverted.png"}}, r"a\.png: 82% of it would be the arm: a mask is white where the arm is"),
        ({"entry": {"mask": None}}, r"nothing says where the arm is in a\.png: give --background"),
        ({"entry": {"mask": "empty.png"}, "unit": "rad"}, None),
        ({"entry": {"mask": "small.png"}}, r"small\.png: is 4x4, its picture a\.png is 80x60"),
        ({"entry": {"file": "b.png"}}, r"b\.png"),
        ({"unit": "radians"}, "unit"),
        ({"poses": []}, "unknown key 'poses'"),
    ],
)
def test_a_table_that_can_not_be(tmp_path: Path, arm: Arm, table: dict[str, Any], message: str | None) -> None:
    """What is wrong with a table is said with its file and what would do."""
    place = folder(tmp_path, **table)
    cv2.imwrite(str(place / "small.png"), np.zeros((4, 4), np.uint8))
    cv2.imwrite(str(place / "inverted.png"), ~cv2.imread(str(place / "m.png")))
    if message is None:
        cv2.imwrite(str(place / "empty.png"), np.zeros((60, 80), np.uint8))
        message = r"a\.png: the robot is not in view"
    with pytest.raises(CameraError, match=message):
        read_shots(place, arm)


def test_a_step_of_a_trace_tells_the_pose(tmp_path: Path, arm: Arm) -> None:
    """A step without a trace is refused with what to write; that written, the positions are that step's."""
    entry = {"step": 1, "joint_pos": None}
    with pytest.raises(CameraError, match=r"names a step, and the table no trace: write trace: FILE\.npz"):
        read_shots(folder(tmp_path, entry=entry), arm)
    order = tuple(reversed(JOINTS))
    with Recorder(tmp_path / "FILE.npz", {"joint_names": order}) as recorder:
        for factor in (0.0, 1.0):
            recorder.record(joint_pos=np.array([factor * POSE[name] for name in order]))
    place = folder(tmp_path, entry=entry, trace="FILE.npz")
    assert read_shots(place, arm).shots[0].joint_pos == pytest.approx(POSE)
    with pytest.raises(CameraError, match=r"names step 2, and the trace has 2"):
        read_shots(folder(tmp_path, entry=entry | {"step": 2}, trace="FILE.npz"), arm)


def test_pictures_of_two_sizes(tmp_path: Path, arm: Arm) -> None:
    """Pictures of two sizes are two cameras'."""
    place = folder(tmp_path)
    cv2.imwrite(str(place / "b.png"), np.zeros((30, 40, 3), np.uint8))
    entries = [{"file": "a.png", "joint_pos": POSE, "mask": "m.png"}, {"file": "b.png", "joint_pos": POSE}]
    (place / "poses.yaml").write_text(yaml.safe_dump({"poses_version": 1, "unit": "rad", "pictures": entries}))
    with pytest.raises(CameraError, match=r"b\.png: is 40x30, a\.png is 80x60"):
        read_shots(place, arm)
    with pytest.raises(CameraError, match=r"needs poses\.yaml"):
        read_shots(tmp_path / "nowhere", arm)
