"""Oddities of robot files that MuJoCo itself understands, or that would mislead a drive: right, or a clear word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_port.errors import RobotError

NAMES = ("j1", "j2")


def arm(*, asset: str = "", geom: str = "", tail: str = "", actuators: str = "", compiler: str = "") -> str:
    """Two hinges with what is odd put in."""
    return f"""<mujoco><compiler {compiler}/><asset>{asset}</asset><worldbody><body name="base" pos="0 0 0.5">
      <geom type="box" size="0.05 0.05 0.05" mass="1" contype="0" conaffinity="0"/>{geom}
      <body name="l1" pos="0 0 0.06"><joint name="j1" axis="0 1 0"/>{tail}
        <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.02" mass="0.5"/>
        <body name="l2" pos="0.3 0 0"><joint name="j2" axis="0 1 0"/>
          <geom type="capsule" fromto="0 0 0 0.25 0 0" size="0.02" mass="0.3"/></body></body></body></worldbody>
      <actuator>{actuators}</actuator>
      <tendon><fixed name="both"><joint joint="j1" coef="1"/><joint joint="j2" coef="1"/></fixed></tendon></mujoco>"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "arm.xml"
    path.write_text(text)
    return path


def fixed(setup_of, **options: object):
    return setup_of(NAMES, **{"stiffness": 20.0, "damping": 2.0, "floating": False, **options})


GOOD = '<position name="a" joint="j1" kp="20" kv="2"/>'
ODD_DRIVES = {
    '<intvelocity name="b" joint="j2" kp="20" actrange="-3 3"/>': r"joint 'j2' has actuator 'b', which integrates",
    '<general name="b" joint="j2" dyntype="integrator" gainprm="20" biastype="affine" biasprm="0 -20 0" '
    'actlimited="true" actrange="-3 3"/>': r"joint 'j2' has actuator 'b', which integrates",
    '<position name="b" joint="j2" kp="20" timeconst="0.1"/>': r"actuator 'b', which lags behind .*timeconst",
    '<motor name="b" joint="j2"/>': r"actuator 'b', which is a motor without gains",
    '<velocity name="b" joint="j2" kv="2"/>': r"actuator 'b', which is a velocity servo",
    '<muscle name="b" joint="j2" lengthrange="0 1"/>': r"actuator 'b', which has a dyntype, muscle",
    '<general name="b" joint="j2" gainprm="20" biastype="affine" biasprm="3 -20 0"/>': r"pulls with 3 at all times",
    '<position name="b" tendon="both" kp="20"/>': r"joint 'j2' has no actuator but 'b', which pulls at tendon 'both'",
    "": r"joint 'j2' has no actuator",
    '<position name="b" joint="j2" kp="20"/><position name="c" joint="j2" kp="5"/>': r"2 position actuators, 'b', 'c'",
    '<position name="b" joint="j2" kp="20"/><position name="c" tendon="both" kp="5"/>': r"actuator 'c' pulls at tendon",
}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('mass="0.5"', 'mass="nan"'), 'mass="nan" is no number'),
        (('fromto="0 0 0 0.25 0 0"', 'fromto="0 0 0 0.25 NaN 0"'), "is no number"),
        (("<mujoco>", '<!DOCTYPE x [<!ENTITY a "b">]><mujoco>'), "declares a document type"),
    ],
)
def test_what_mujoco_would_pass_over_is_refused(kind, change, says, tmp_path, setup_of, stand_up):
    """NaN would become MuJoCo's default without a word, and an entity nothing."""
    path = write(tmp_path, arm().replace(*change))
    with pytest.raises(RobotError, match=says):
        stand_up(kind, path, fixed(setup_of))
    path.write_text(arm().replace('name="both"', 'name="nan"'))
    stand_up(kind, path, fixed(setup_of))


@pytest.mark.parametrize("kind_of_element", ["joint", "link"])
def test_a_name_that_stands_twice_is_refused(kind, kind_of_element, tmp_path, setup_of, stand_up):
    """In a URDF, before a simulator sees it."""
    second = '<link name="l2"/>' if kind_of_element == "link" else ""
    path = tmp_path / "arm.urdf"
    path.write_text(
        f"""<robot name="r"><link name="b"/><link name="l1"/><link name="l2"/>{second}
        <joint name="j1" type="continuous"><parent link="b"/><child link="l1"/><axis xyz="0 1 0"/></joint>
        <joint name="{"j2" if second else "j1"}" type="continuous"><parent link="l1"/><child link="l2"/></joint>
        </robot>"""
    )
    with pytest.raises(RobotError, match=f"{kind_of_element} '{'l2' if second else 'j1'}' stands twice"):
        stand_up(kind, path, fixed(setup_of))


@pytest.mark.parametrize("actuator", ODD_DRIVES)
def test_what_is_no_position_drive_is_not_taken_for_one(kind, actuator, tmp_path, setup_of, stand_up):
    """Under kind "model" the message says what the file's actuator does; the drives that it advises work instead."""
    path = write(tmp_path, arm(actuators=GOOD + actuator))
    with pytest.raises(RobotError, match=ODD_DRIVES[actuator] + r".*[Ww]rite kind: implicit or explicit"):
        stand_up(kind, path, fixed(setup_of, actuation="model"))
    stand_up(kind, path, fixed(setup_of)).step(2)


@pytest.mark.parametrize(
    "second",
    [
        '<position name="b" joint="j2" kp="20" kv="2"/>',
        '<position name="b" joint="j2" kp="20" dampratio="1"/>',
        '<position name="b" joint="j2" kp="20" kv="2" ctrlrange="-0.1 0.1"/>',
        '<position name="b" joint="j2" kp="20"/><velocity name="c" joint="j2" kv="2"/>',
        '<position name="b" joint="j2" kp="5" kv="0.5" gear="2"/>',
        '<general name="b" joint="j2" gainprm="10" biastype="affine" biasprm="0 -20 -2"/>',
    ],
)
def test_a_files_own_drive_is_the_same_in_sapien(second, tmp_path, setup_of, stand_up, state_of):
    """Damping of any source, gears, scaled controls and clipped ones: the joint goes where MuJoCo lets it go."""
    pytest.importorskip("sapien")
    path, ends = write(tmp_path, arm(actuators=GOOD + second)), []
    for simulator in ("mujoco", "maniskill"):
        plant = stand_up(simulator, path, fixed(setup_of, actuation="model"))
        plant.write(np.array([[0.4, -0.3]]))
        plant.step(50)
        ends.append(state_of(plant).joint_pos[0].copy())
        plant.step(1500)
        ends.append(state_of(plant).joint_pos[0].copy())
    np.testing.assert_allclose(ends[2], ends[0], atol=0.03)
    np.testing.assert_allclose(ends[3], ends[1], atol=0.01)


def test_meshes_lie_where_strippath_puts_them(kind, tmp_path, setup_of, stand_up):
    """The folders in a mesh's name count for nothing then; without strippath they do."""
    trimesh = pytest.importorskip("trimesh")
    (tmp_path / "meshes").mkdir()
    trimesh.creation.box((0.02, 0.02, 0.02)).export(tmp_path / "meshes" / "box.stl")
    asset = '<mesh name="m" file="some/other/place/box.stl"/>'
    geom = '<geom type="mesh" mesh="m" contype="0" conaffinity="0" mass="0"/>'
    path = write(tmp_path, arm(asset=asset, geom=geom, compiler='meshdir="meshes" strippath="true"'))
    stand_up(kind, path, fixed(setup_of)).step(2)
    write(tmp_path, arm(asset=asset, geom=geom, compiler='meshdir="meshes"'))
    with pytest.raises(RobotError, match=r"1 mesh file is missing: some/other/place/box\.stl"):
        stand_up(kind, path, fixed(setup_of))


def test_a_missing_picture_is_left_out_with_the_meshes(kind, tmp_path, setup_of, stand_up):
    """The message leads to --no-meshes, and that loads."""
    asset = '<texture name="t" type="2d" file="wood.png"/><material name="mt" texture="t"/>'
    path = write(tmp_path, arm(asset=asset, geom='<geom material="mt" size=".01" contype="0" conaffinity="0"/>'))
    with pytest.raises(RobotError, match=r"texture 't' is a picture that is missing: .*wood\.png.*--no-meshes"):
        stand_up(kind, path, fixed(setup_of))
    stand_up(kind, path, fixed(setup_of), meshes=False).step(2)


def test_a_joint_without_a_name_is_found(kind, tmp_path, setup_of, stand_up):
    """By its body and number; with a name it is one that nobody drives, and can be listed."""
    tail = '<body name="tail" pos="0.1 0.1 0"><joint {} axis="0 0 1"/><geom size="0.02" mass="0.05"/></body>'
    path = write(tmp_path, arm(tail=tail.format("")))
    with pytest.raises(RobotError, match=r"joint 1 of body 'tail' has no name: name it in the file"):
        stand_up(kind, path, fixed(setup_of))
    write(tmp_path, arm(tail=tail.format('name="wag"')))
    with pytest.raises(RobotError, match=r"nobody drives joint wag.*only_in_target"):
        stand_up(kind, path, fixed(setup_of))


@given(data=st.data(), count=st.integers(1, 9))
def test_collision_groups_say_what_was_asked(data, count):
    """Whatever touches whatever, SAPIEN's rule gives it back wherever it matters."""
    from policy_port.plants.collision_groups import collision_classes

    def symmetric() -> np.ndarray:
        bits = data.draw(st.lists(st.booleans(), min_size=count * count, max_size=count * count))
        square = np.triu(np.array(bits, dtype=np.bool_).reshape(count, count))
        return square | square.T

    touch, matters = symmetric(), symmetric()
    bits = collision_classes(touch, matters)
    assert bits is not None
    for one in range(count):
        for other in range(count):
            if one != other and matters[one, other]:
                (a, b), (c, d) = bits[one], bits[other]
                assert bool(a & d | b & c) == touch[one, other]


def test_too_many_kinds_of_shapes_are_refused():
    """SAPIEN has 32 bits."""
    from policy_port.plants.collision_groups import collision_classes

    chain = np.eye(80, k=1, dtype=np.bool_)
    assert collision_classes(chain | chain.T, ~np.eye(80, dtype=np.bool_)) is None
    assert collision_classes(np.ones((80, 80), dtype=np.bool_), ~np.eye(80, dtype=np.bool_)) is not None
