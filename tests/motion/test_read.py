"""Clips are read strictly: what a file does not say is asked for, and what can't be a robot's motion is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.contract.motion import ChainLink, ClipFiles
from policy_port.errors import MotionError
from policy_port.motion.anchor import link_pose
from policy_port.motion.foreign import WORDS
from policy_port.motion.motion import packed
from policy_port.motion.read import read_motion
from policy_port.motion.rotations import about, conjugate, matrix, multiply

JOINTS = ("knee", "hip", "waist")
LINKS = ("pelvis", "torso")
RATE = 50.0
TOLD = ClipFiles(rate=RATE, quaternion_order="wxyz", joints=JOINTS)
Z = np.array([0.0, 0.0, 1.0])


def written(frames: int = 40) -> dict[str, Any]:
    """A clip as whole_body_tracking writes it: two links that turn about z, the joints swing."""
    time = np.arange(frames) / RATE
    quats = about(Z, np.stack([1.3 * time, 2.0 * time], axis=1))
    joint_pos = np.stack([np.sin(5 * time), np.cos(3 * time), 0.3 * np.sin(9 * time)], axis=1)
    places = np.stack([time, 0 * time, 0.8 + 0 * time], axis=1)
    return {
        "fps": np.array([RATE]),
        "joint_pos": joint_pos,
        "joint_vel": np.gradient(joint_pos, 1 / RATE, axis=0),
        "body_pos_w": np.stack([places, places + np.array([0, 0, 0.4])], axis=1),
        "body_quat_w": quats,
        "body_ang_vel_w": np.broadcast_to(np.array([[0, 0, 1.3], [0, 0, 2.0]]), (frames, 2, 3)),
    }


def npz(folder: Path, **changes: Any) -> Path:
    path = folder / "clip.npz"
    np.savez(path, **{**written(), **changes})
    return path


def csv(folder: Path, order: tuple[int, ...] = (0, 1, 2, 3)) -> Path:
    path, clip = folder / "clip.csv", written()
    np.savetxt(path, np.hstack([clip["body_pos_w"][:, 0], clip["body_quat_w"][:, 0][:, order], clip["joint_pos"]]),
               delimiter=",")  # fmt: skip
    return path


ALL = ClipFiles(quaternion_order="wxyz", joints=JOINTS, links=LINKS)


def test_a_csv_is_what_was_stated_of_it(tmp_path: Path) -> None:
    """Root pose in the stated quaternion order, joints by the stated names, velocities from the stated rate."""
    clip = written()
    for order, columns in (("wxyz", (0, 1, 2, 3)), ("xyzw", (1, 2, 3, 0))):
        motion = read_motion(csv(tmp_path, columns), ClipFiles(rate=RATE, quaternion_order=order, joints=JOINTS))
        np.testing.assert_allclose(motion.root_quat, clip["body_quat_w"][:, 0], atol=1e-9)
        np.testing.assert_allclose(motion.joint_vel, clip["joint_vel"], atol=1e-9)
    turned = motion.joints(("waist", "knee"), "the policy")
    np.testing.assert_allclose(turned.joint_pos, clip["joint_pos"][:, [2, 0]], atol=1e-9)
    with pytest.raises(MotionError, match=r"the policy: the clip has no joint 'wrist'.*It has: knee, hip, waist"):
        motion.joints(("wrist",), "the policy")


@pytest.mark.parametrize(
    ("stated", "names"),
    [
        (ClipFiles(), ("rate", "quaternion_order", "joints")),
        (ClipFiles(rate=RATE, joints=JOINTS), ("quaternion_order",)),
        (ClipFiles(rate=RATE, quaternion_order="wxyz"), ("joints",)),
    ],
)
def test_nothing_is_guessed(tmp_path: Path, stated: ClipFiles, names: tuple[str, ...]) -> None:
    """A CSV without rate, quaternion order or joint names is refused, naming each that is missing and no other."""
    with pytest.raises(MotionError) as refused:
        read_motion(csv(tmp_path), stated)
    assert [name for name, words in WORDS.items() if words in str(refused.value)] == [*names]


@pytest.mark.parametrize(("stated", "told"), [(25.0, False), (50.0, False), (100.0, True)])
def test_a_csv_does_not_tell_its_rate(tmp_path: Path, stated: float, told: bool) -> None:
    """The rate is noted as the user's word; one too high has the root fall faster than gravity, and says so."""
    clip = written()
    fall = 0.8 - np.where(np.arange(40) < 15, 0.0, 0.5 * 9.81 * ((np.arange(40) - 15) / RATE) ** 2)
    pose = np.hstack([0 * clip["body_pos_w"][:, 0, :2], fall[:, None], clip["body_quat_w"][:, 0], clip["joint_pos"]])
    np.savetxt(tmp_path / "fall.csv", pose, delimiter=",")
    motion = read_motion(tmp_path / "fall.csv", TOLD.model_copy(update={"rate": stated}))
    assert motion.notes[-1].startswith(f"a CSV does not tell its rate: {stated:g} Hz is what motion.files.rate")
    assert ("the true rate is hardly more than 50 Hz" in motion.notes[-1]) is told


def test_unnamed_links_leave_the_root(tmp_path: Path) -> None:
    """A training clip has more links than a BeyondMimic file tracks: the first is the root, the others are left."""
    for links in (None, ("pelvis", "torso", "hand")):
        motion = read_motion(npz(tmp_path), ClipFiles(quaternion_order="wxyz", joints=JOINTS, links=links))
        np.testing.assert_array_equal(motion.root_pos, written()["body_pos_w"][:, 0])
        assert (motion.link_names, "have no names" in motion.notes[-1]) == ((), True)


@pytest.mark.parametrize(
    ("changes", "stated", "message"),
    [
        ({}, ClipFiles(quaternion_order="xyzw", joints=JOINTS, links=LINKS), "state wxyz"),
        ({"fps": np.array([25.0])}, ALL, "they fit a rate of 50.0 Hz"),
        ({}, ClipFiles(rate=60.0, quaternion_order="wxyz", joints=JOINTS, links=LINKS), "says 50 frames per second"),
        ({"joint_vel": written()["joint_vel"][:, [1, 2, 0]]}, ALL, "nothing to do with the change"),
        ({"joint_pos": np.full((40, 3), np.nan)}, ALL, "joint_pos of frame 0 is not finite; 40 frames"),
        ({"body_quat_w": written()["body_quat_w"] * 2}, ALL, "has length 2.000"),
        ({"joint_pos": written()["joint_pos"][:, :2]}, ALL, r"joint_pos has shape \(40, 2\), expected \(40, 3\)"),
        ({"joint_vel": written()["joint_vel"][:30]}, ALL, r"joint_vel has shape \(30, 3\), expected \(40, 3\)"),
        ({"joint_pos": np.array([["a"]])}, ALL, "joint_pos is <U1"),
        ({"joint_pos": np.array([{}], dtype=object)}, ALL, "can't be read as a clip"),
    ],
)  # fmt: skip
def test_what_can_not_be_a_motion_is_refused(
    tmp_path: Path, changes: dict[str, Any], stated: ClipFiles, message: str
) -> None:
    """Wrong quaternion order, rate, joint order, shapes and numbers are each named; the same clip unspoilt is read."""
    assert read_motion(npz(tmp_path), ALL).frames == 40
    with pytest.raises(MotionError, match=message):
        read_motion(npz(tmp_path, **changes), stated)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n1,2\n", "line 2 has 2 numbers, the first has 3"),
        ("1,2,x\n", "line 1: could not convert"),
        ("1,2,3\n", "3 columns; position"),
        ("", "0 columns"),
    ],
)
def test_a_bad_csv_names_its_line(tmp_path: Path, text: str, message: str) -> None:
    """A line that is no row of the table, or a table of another width, is refused with its place."""
    path = tmp_path / "clip.csv"
    path.write_text(text)
    with pytest.raises(MotionError, match=message):
        read_motion(path, TOLD)


def gmr(path: Path, **changes: Any) -> Path:
    """A clip as GMR pickles it: the quaternion's columns were turned round, so they lie column by column."""
    clip = written()
    held = {"fps": 50, "root_pos": clip["body_pos_w"][:, 0], "root_rot": clip["body_quat_w"][:, 0][:, [1, 2, 3, 0]],
            "dof_pos": clip["joint_pos"], "local_body_pos": None, "link_body_list": None}  # fmt: skip
    path.write_bytes(pickle.dumps({**held, **changes}))
    return path


def test_other_projects_arrays_are_read(tmp_path: Path) -> None:
    """holosoma's whole qpos with names, Isaac Lab's AMP names, and GMR's pickle or arrays are the same motion."""
    clip = written()
    free = np.hstack([clip["body_pos_w"][:, 0], clip["body_quat_w"][:, 0], clip["joint_pos"]])
    fast = np.hstack([np.zeros((40, 6)), clip["joint_vel"]])
    world = {name: np.concatenate([0 * clip[name][:, :1], clip[name]], axis=1) for name in ("body_pos_w",)}
    quats = np.concatenate([np.tile([1.0, 0, 0, 0], (40, 1, 1)), clip["body_quat_w"]], axis=1)
    spin = np.concatenate([np.zeros((40, 1, 3)), clip["body_ang_vel_w"]], axis=1)
    named = {"joint_names": np.array(JOINTS), "body_names": np.array(("world", *LINKS))}
    holosoma = npz(tmp_path, joint_pos=free, joint_vel=fast, body_quat_w=quats, body_ang_vel_w=spin, **world, **named)
    # Names in the file win over what the contract states of files without.
    found = [read_motion(holosoma, ClipFiles(quaternion_order="wxyz", joints=("a", "b", "c")))]
    assert (found[0].joint_names, found[0].link_names) == (JOINTS, LINKS)
    amp = {"joint_pos": "dof_positions", "joint_vel": "dof_velocities", "body_pos_w": "body_positions",
           "body_quat_w": "body_rotations", "fps": "fps"}  # fmt: skip
    np.savez(tmp_path / "amp.npz", dof_names=JOINTS, body_names=LINKS, **{new: clip[old] for old, new in amp.items()})
    found.append(read_motion(tmp_path / "amp.npz", ClipFiles(quaternion_order="wxyz")))
    told = ClipFiles(quaternion_order="xyzw", joints=JOINTS)
    found.append(read_motion(gmr(tmp_path / "clip.pkl"), told))
    for motion in found:
        assert motion.rate == RATE
        np.testing.assert_allclose(motion.joint_pos, clip["joint_pos"])
        np.testing.assert_allclose(motion.joint_vel, clip["joint_vel"], atol=1e-9)
        np.testing.assert_allclose(motion.root_pos, clip["body_pos_w"][:, 0])
        np.testing.assert_allclose(motion.root_quat, clip["body_quat_w"][:, 0], atol=1e-12)


class Strange:
    """A pickle of it would call a function."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("ran"),))


def test_a_pickle_is_read_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that a pickle names is called, and one that is no clip is refused with what it holds."""
    monkeypatch.chdir(tmp_path)
    told = ClipFiles(quaternion_order="xyzw", joints=JOINTS)
    assert read_motion(gmr(tmp_path / "clip.pkl", more=Strange()), told).frames == 40
    assert not (tmp_path / "ran").exists()
    for content, message in (
        (pickle.dumps({"walk": {"dof": 1}}), "holds walk; a clip of GMR is a dict"),
        (b"cos\nsystem\n", "the pickle is broken or cut off"),
        (pickle.dumps({"root_pos": 1, "root_rot": "x", "dof_pos": 2}), "root_rot: is not a pickled array"),
    ):
        (tmp_path / "clip.pkl").write_bytes(content)
        with pytest.raises(MotionError, match=message):
            read_motion(tmp_path / "clip.pkl", told)
    (tmp_path / "clip.bvh").write_text("")
    with pytest.raises(MotionError, match=r"ends in \.npz, \.csv or \.pkl"):
        read_motion(tmp_path / "clip.bvh", told)


def test_resampling_keeps_the_motion(tmp_path: Path) -> None:
    """At twice the rate every other frame is the old one, the turn between two is half way, and speeds stay."""
    motion = read_motion(npz(tmp_path), ALL)
    finer = motion.resampled(2 * RATE)
    assert (finer.rate, finer.frames, finer.seconds) == (100.0, 79, motion.seconds)
    np.testing.assert_allclose(finer.joint_pos[::2], motion.joint_pos, atol=1e-12)
    assert finer.link_quat is not None
    np.testing.assert_allclose(finer.link_quat[1, 1], about(Z, np.array(2.0 * 0.01)), atol=1e-9)
    np.testing.assert_allclose(finer.joint_vel[10:-10:2], motion.joint_vel[5:-5], atol=0.2)
    assert "slerp" in finer.notes[-1]
    assert motion.resampled(RATE) is motion


def test_what_a_port_keeps_is_read_back(tmp_path: Path) -> None:
    """The own form needs nothing stated and gives the same clip."""
    motion = read_motion(npz(tmp_path), ALL)
    (tmp_path / "kept.npz").write_bytes(packed(motion))
    again = read_motion(tmp_path / "kept.npz", ClipFiles())
    assert (again.rate, again.joint_names, again.link_names) == (motion.rate, motion.joint_names, motion.link_names)
    for name in ("joint_pos", "joint_vel", "root_pos", "root_quat", "link_pos", "link_quat"):
        np.testing.assert_array_equal(getattr(again, name), getattr(motion, name))


def test_a_link_hangs_on_its_chain() -> None:
    """Two hinges about z and x: the pose equals the product of the rotation matrices, and the inverse undoes it."""
    chain = (
        ChainLink(link="waist", offset=(0.0, 0.0, 0.1), joint="yaw"),
        ChainLink(link="torso", offset=(0.2, 0.0, 0.3), quat=(0.0, 0.0, 0.0, 1.0), joint="roll", axis=(1.0, 0.0, 0.0)),
    )
    root = about(np.array([0.0, 1.0, 0.0]), np.array(0.4))
    place, turned = link_pose(chain, np.array([1.0, 2.0, 3.0]), root, {"yaw": np.array(0.7), "roll": np.array(-0.2)})
    yaw, roll = about(Z, np.array(0.7)), about(np.array([1.0, 0.0, 0.0]), np.array(-0.2))
    half = matrix(np.array([0.0, 0.0, 0.0, 1.0]))
    np.testing.assert_allclose(matrix(turned), matrix(root) @ matrix(yaw) @ half @ matrix(roll), atol=1e-12)
    wanted = [1.0, 2.0, 3.0] + matrix(root) @ ([0.0, 0.0, 0.1] + matrix(yaw) @ [0.2, 0.0, 0.3])
    np.testing.assert_allclose(place, wanted, atol=1e-12)
    np.testing.assert_allclose(multiply(turned, conjugate(turned)), [1.0, 0.0, 0.0, 0.0], atol=1e-12)
