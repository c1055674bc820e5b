"""Joints that follow another: nobody drives them, in any simulator."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from policy_port.errors import RobotError

BODY = (
    '<inertial><origin xyz="0.05 0 0"/><mass value="{mass}"/>'
    '<inertia ixx="{i}" iyy="{i}" izz="{i}" ixy="0" ixz="0" iyz="0"/></inertial>'
)
FINGER, PALM = BODY.format(mass=0.1, i=0.0001), BODY.format(mass=1, i=0.01)
LIMITS = '<axis xyz="0 0 1"/><limit lower="-2" upper="2" effort="10" velocity="5"/>'


def gripper_urdf(mimic: str = '<mimic joint="j1" multiplier="-1" offset="0"/>', *, parent: str = "base") -> str:
    """Two fingers of a palm, or one after the other."""
    return f"""<robot name="grip"><link name="base">{PALM}</link><link name="f1">{FINGER}</link>
      <link name="f2">{FINGER}</link>
      <joint name="j1" type="revolute"><parent link="base"/><child link="f1"/><origin xyz="0 0.05 0"/>{LIMITS}</joint>
      <joint name="j2" type="revolute"><parent link="{parent}"/><child link="f2"/><origin xyz="0 -0.05 0"/>{LIMITS}
        {mimic}</joint></robot>"""


def gripper_mjcf(coupling: str = 'joint1="j2" joint2="j1" polycoef="0 -1 0 0 0"', *, more: str = "") -> str:
    """The same two fingers, with the file's own drive on the first."""
    fingers = "".join(
        f"""<body name="f{i}" pos="0 {y} 0"><joint name="j{i}" axis="0 0 1" range="-120 120"/>
        <geom type="capsule" fromto="0 0 0 0.1 0 0" size="0.01" mass="0.1" contype="0" conaffinity="0"/></body>"""
        for i, y in ((1, 0.05), (2, -0.05))
    )
    return f"""<mujoco><worldbody><body name="base" pos="0 0 0.5">
      <geom type="box" size="0.02 0.02 0.02" mass="1" contype="0" conaffinity="0"/>{fingers}</body></worldbody>
      <actuator><position name="a" joint="j1" kp="1" kv="0.02"/>{more}</actuator>
      <equality><joint {coupling}/></equality></mujoco>"""


@pytest.fixture
def close(tmp_path: Path, setup_of, stand_up, state_of):
    """Joint positions and the far ends of both fingers, after a second with the named joints' targets at 0.4."""

    def play(kind: str, text: str, names: tuple[str, ...] = ("j1",), **options: object):
        path = tmp_path / f"grip.{'urdf' if text.startswith('<robot') else 'xml'}"
        path.write_text(text)
        setup = setup_of(names, **{"stiffness": 20.0, "damping": 2.0, "floating": False, "timestep": 0.005, **options})
        plant = stand_up(kind, path, setup)
        plant.write(np.full((1, len(names)), 0.4))
        plant.step(200)
        angle = {f"j{i}": _angle(plant, f"f{i}") for i in (1, 2)}
        return plant.joint_names, state_of(plant).joint_pos[0], angle

    return play


def _angle(plant, link: str) -> float:
    """A link's angle about z, by the frame of a plant of its own kind."""
    if hasattr(plant, "_data"):
        return float(np.arctan2(*plant._data[0].xmat[plant._model.body(link).id].reshape(3, 3)[[1, 0], [0, 0]]))
    if hasattr(plant, "_robots"):
        matrix = plant._robots[0].link(link).entity_pose.to_transformation_matrix()
        return float(np.arctan2(matrix[1, 0], matrix[0, 0]))
    _, _, z, w = plant.worlds.host("body_q")[0, plant.frame_of(link)[0], 3:]
    return float(2 * np.arctan2(z, w))


@pytest.mark.parametrize("text", [gripper_urdf(), gripper_mjcf()], ids=["urdf", "mjcf"])
@pytest.mark.parametrize("actuation", ["implicit", "explicit"])
def test_a_follower_need_not_be_named(kind, text, actuation, close):
    """The contract has the leader alone; both fingers close, and the plant tells of the one that it was asked for."""
    # An explicit drive of more damping than twice the inertia over the timestep would diverge.
    weak = {"stiffness": 1.0, "damping": 0.02} if actuation == "explicit" else {}
    names, position, angle = close(kind, text, actuation=actuation, **weak)
    assert names == ("j1",)
    np.testing.assert_allclose([*position, angle["j1"], angle["j2"]], [0.4, 0.4, -0.4], atol=0.002)


@pytest.mark.parametrize("text", [gripper_urdf(), gripper_mjcf()], ids=["urdf", "mjcf"])
def test_a_named_follower_is_read_and_never_driven(kind, text, tmp_path, setup_of, stand_up, state_of):
    """With gains of 0, as the message says, its target changes nothing; reset puts it where its leader wants it."""
    from policy_port.plants.setup import JointSetup, PlantSetup

    joints = (
        JointSetup(name="j1", default=0.2, stiffness=20.0, damping=2.0),
        JointSetup(name="j2", default=0.7, stiffness=0.0, damping=0.0),
    )
    setup = PlantSetup(joints=joints, actuation="implicit", timestep=0.005, control_dt=0.02, floating=False)
    path = tmp_path / f"grip.{'urdf' if text.startswith('<robot') else 'xml'}"
    path.write_text(text)
    plant = stand_up(kind, path, setup)
    np.testing.assert_allclose(state_of(plant).joint_pos, [[0.2, -0.2]], atol=1e-6)
    plant.write(np.array([[0.4, 1.0]]))
    plant.step(200)
    np.testing.assert_allclose(state_of(plant).joint_pos, [[0.4, -0.4]], atol=0.002)
    np.testing.assert_allclose(plant.effort(), 0.0, atol=0.02)


@pytest.mark.parametrize("text", [gripper_urdf(), gripper_mjcf()], ids=["urdf", "mjcf"])
def test_a_driven_follower_is_refused_with_its_leader(kind, text, close):
    """The message tells whom it follows and what to write instead."""
    with pytest.raises(RobotError, match=r"joint 'j2' follows joint 'j1' \(<(mimic|equality)>\).*Make both 0"):
        close(kind, text, ("j1", "j2"))


@pytest.mark.parametrize(("parent", "multiplier", "offset"), [("base", 0.5, -0.3), ("f1", -1.5, 0.2)])
def test_multiplier_and_offset_hold_in_every_simulator(kind, parent, multiplier, offset, close):
    """The second finger stands at multiplier * 0.4 + offset, beside the first or behind it."""
    mimic = f'<mimic joint="j1" multiplier="{multiplier}" offset="{offset}"/>'
    _, position, angle = close(kind, gripper_urdf(mimic, parent=parent))
    wanted = multiplier * position[0] + offset + (position[0] if parent == "f1" else 0.0)
    assert position[0] == pytest.approx(0.4, abs=0.003)
    assert angle["j2"] == pytest.approx(wanted, abs=0.005)


def test_a_mimic_without_numbers_repeats_its_leader(kind, close):
    """multiplier is 1 and offset 0, where the file has neither."""
    _, _, angle = close(kind, gripper_urdf('<mimic joint="j1"/>'))
    assert angle["j2"] == pytest.approx(0.4, abs=0.003)


def test_a_line_can_be_led_from_its_other_end(kind, close):
    """Files differ in which of two coupled joints they name first; the one that the contract drives leads."""
    for text in (gripper_urdf(), gripper_mjcf()):
        names, position, angle = close(kind, text, ("j2",))
        assert names == ("j2",)
        np.testing.assert_allclose([*position, angle["j1"]], [0.4, -0.4], atol=0.003)


def test_the_files_own_drive_leads(close):
    """Under kind "model" the file's actuator drives the leader, and one on the follower is refused."""
    for kind in ("mujoco", "newton", "maniskill"):
        pytest.importorskip("sapien" if kind == "maniskill" else kind)
        _, position, angle = close(kind, gripper_mjcf(), actuation="model")
        np.testing.assert_allclose([*position, angle["j2"]], [0.4, -0.4], atol=0.003)
        with pytest.raises(RobotError, match=r"actuator 'b' pulls at joint 'j2', which follows joint 'j1'"):
            close(kind, gripper_mjcf(more='<position name="b" joint="j2" kp="20"/>'), actuation="model")


@pytest.mark.parametrize(
    ("mimic", "says"),
    [
        ('<mimic joint="j3"/>', r"joint 'j2' mimics 'j3', which the file does not have.*: j1, j2"),
        ('<mimic joint="j2"/>', r"joints j2 follow each other in a circle"),
        ('<mimic joint="j1" multiplier="twice"/>', r"<mimic> of joint 'j2'.*write plain numbers"),
    ],
)
def test_a_mimic_that_leads_nowhere_is_refused(kind, mimic, says, close):
    """Instead of being dropped, as the simulators' own readers do."""
    with pytest.raises(RobotError, match=says):
        close(kind, gripper_urdf(mimic))


def test_a_fixed_joint_follows_nobody(kind, close):
    """A <mimic> of a fixed joint says nothing, and one that follows a fixed joint is refused."""
    tip = """<link name="tip"/><joint name="jf" type="fixed"><parent link="base"/><child link="tip"/>
      <mimic joint="j1"/></joint></robot>"""
    _, position, angle = close(kind, gripper_urdf().replace("</robot>", tip))
    np.testing.assert_allclose([*position, angle["j2"]], [0.4, -0.4], atol=0.003)
    with pytest.raises(RobotError, match=r"joint 'j2' mimics 'jf', which is fixed.*Make 'j2' fixed too"):
        close(kind, gripper_urdf('<mimic joint="jf"/>').replace("</robot>", tip.replace('<mimic joint="j1"/>', "")))


def test_followers_of_followers(kind, tmp_path, setup_of, stand_up):
    """A chain of couplings is followed to its end."""
    third = f"""<link name="f3">{FINGER}</link><joint name="j3" type="revolute"><parent link="base"/>
      <child link="f3"/>{LIMITS}<mimic joint="j2" multiplier="0.5" offset="0.1"/></joint></robot>"""
    path = tmp_path / "grip.urdf"
    path.write_text(gripper_urdf().replace("</robot>", third))
    plant = stand_up(kind, path, setup_of(("j1",), stiffness=20.0, damping=2.0, floating=False, timestep=0.005))
    plant.write(np.array([[0.4]]))
    plant.step(200)
    assert _angle(plant, "f3") == pytest.approx(-0.1, abs=0.005)


@pytest.mark.shared
@pytest.mark.parametrize("file", ["grip.xml", "grip.urdf"])
def test_the_reported_grippers_close(kind, file, shared, setup_of, stand_up):
    """0.4 and -0.4."""
    path = shared / "failing_inputs" / "coupled_joints" / file
    plant = stand_up(kind, path, setup_of(("j1",), stiffness=20.0, damping=2.0, floating=False, timestep=0.005))
    plant.write(np.array([[0.4]]))
    plant.step(200)
    assert [_angle(plant, "f1"), _angle(plant, "f2")] == pytest.approx([0.4, -0.4], abs=0.002)
    assert re.search("j1", plant.joint_names[0])
