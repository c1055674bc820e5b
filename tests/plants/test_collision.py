"""Robots whose feet, wheels or hands have no collision shape, above all without their meshes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from policy_port.errors import RobotError
from policy_port.plants.collision import collision_shapes, told_of_collisions

MESH, BALL, NONE = "mesh", "ball", ""
ENDS = {"l_foot": "0 0.1 -0.5", "r_foot": "0 -0.1 -0.5", "hand": "0.3 0 0.1"}
AFTER = r"lowest links, l_foot, r_foot, are meshes only. Give them plain shapes.*leave out --no-meshes"


def mjcf(base: str, **ends: str) -> str:
    """A box with two feet below it and a hand above, each on a hinge, with the collision shapes of these kinds."""
    shapes = {
        MESH: '<geom type="mesh" mesh="m" mass="0"/>',
        BALL: '<geom size="0.05"/>',
        NONE: "",
    }
    bodies = "".join(
        f'<body name="{name}" pos="{at}"><inertial pos="0 0 0" mass="0.1" diaginertia="1e-3 1e-3 1e-3"/>'
        f'<joint name="j_{name}" axis="0 1 0"/>{shapes[ends[name]]}'
        '<geom type="mesh" mesh="m" contype="0" conaffinity="0" mass="0"/></body>'
        for name, at in ENDS.items()
    )
    mesh = '<mesh name="m" vertex="0 0 0 0.1 0 0 0 0.1 0 0 0 0.1"/>'
    return f"""<mujoco><asset>{mesh}</asset><worldbody><body name="base"><freejoint/>
      <inertial pos="0 0 0" mass="1" diaginertia="0.1 0.1 0.1"/>{shapes[base]}{bodies}</body></worldbody></mujoco>"""


def urdf(base: str, **ends: str) -> str:
    """The same as URDF, each end of which is turned about its joint by a half turn and back."""
    shapes = {
        MESH: '<collision><geometry><mesh filename="m.stl"/></geometry></collision>',
        BALL: '<collision><geometry><sphere radius="0.05"/></geometry></collision>',
        NONE: "",
    }
    inertia = '<inertial><mass value="0.1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial>'
    links = "".join(
        f'<link name="{name}">{inertia}{shapes[kind]}<visual><geometry><mesh filename="m.stl"/></geometry></visual>'
        "</link>"
        for name, kind in {"base": base, **ends}.items()
    )
    joints = "".join(
        f'<joint name="j_{name}" type="revolute"><parent link="base"/><child link="{name}"/><origin xyz="{at}"/>'
        '<axis xyz="0 1 0"/><limit lower="-4" upper="4" effort="1" velocity="1"/></joint>'
        for name, at in ENDS.items()
    )
    return f"<robot name='r'>{links}{joints}</robot>"


@pytest.fixture(params=["xml", "urdf"])
def written(request: pytest.FixtureRequest, tmp_path: Path):
    """Writes the robot in either format."""

    def write(base: str, feet: str, hand: str) -> Path:
        path = tmp_path / f"robot.{request.param}"
        text = {"xml": mjcf, "urdf": urdf}[request.param](base, l_foot=feet, r_foot=feet, hand=hand)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def setup(setup_of):
    """Its joints, driven; the base floats."""
    return setup_of(tuple(f"j_{name}" for name in ENDS), stiffness=5.0, damping=0.5)


@pytest.mark.parametrize(("base", "hand"), [(NONE, NONE), (BALL, MESH), (BALL, BALL), (BALL, NONE)])
def test_feet_of_meshes_alone_are_refused_without_them(base, hand, kind, written, setup, stand_up):
    """In every simulator and format, whatever else is left of the robot higher up."""
    with pytest.raises(RobotError, match=AFTER):
        stand_up(kind, written(base, MESH, hand), setup, meshes=False)


def test_plain_shapes_at_the_feet_carry_it(kind, written, setup, stand_up, state_of):
    """What the message asks for, though hand and base lost theirs: it stands on its feet."""
    plant = stand_up(kind, written(MESH, BALL, MESH), setup, meshes=False)
    assert state_of(plant).base_pos[0, 2] == pytest.approx(0.55, abs=0.01)
    plant.step(250)
    assert state_of(plant).base_pos[0, 2] > 0.05


def test_what_lost_its_shapes_is_told_ends_first(written, setup):
    """A lost hand stops nobody; it is told, before the base, and only where meshes were left out."""
    path = written(MESH, BALL, MESH)
    told = "meshes were the only shapes of hand (where chains end); base"
    assert told_of_collisions(path, setup, meshes=False) == told
    assert told_of_collisions(path, setup, meshes=True) == ""
    assert told_of_collisions(written(BALL, BALL, BALL), setup, meshes=False) == ""


def test_ends_that_never_had_a_shape_are_told(written, setup, setup_of):
    """With and without meshes, visual ones not counted; not of a robot that stands on no ground."""
    path = written(BALL, NONE, MESH)
    never = "the file gives no shape to l_foot, r_foot (where chains end)"
    assert told_of_collisions(path, setup, meshes=True) == never
    assert told_of_collisions(path, setup, meshes=False).endswith(f"; {never}")
    held = setup_of(setup.joint_names, stiffness=5.0, damping=0.5, floating=False)
    assert told_of_collisions(path, held, meshes=True) == ""


def test_a_robot_that_is_held_needs_no_feet(written, setup_of, stand_up):
    """Its base is fixed: nothing falls."""
    pytest.importorskip("mujoco")
    joints = tuple(f"j_{name}" for name in ENDS)
    stand_up("mujoco", written(MESH, MESH, MESH), setup_of(joints, stiffness=5.0, floating=False), meshes=False)


def test_heights_are_those_of_the_default_pose(tmp_path, setup_of):
    """Both formats agree on the heights of turned links, with MuJoCo's kinematics as the oracle."""
    pytest.importorskip("mujoco")
    angle = {"j_knee": 0.7, "j_slide": 0.2}
    setup = setup_of(tuple(angle), defaults=angle)
    (tmp_path / "leg.xml").write_text("""<mujoco><compiler angle="radian" eulerseq="XYZ"/><worldbody><body name="base">
      <freejoint/><geom size="0.1"/><body name="knee" pos="0.1 0.2 -0.3" euler="0.3 -0.4 0.5">
      <joint name="j_knee" axis="1 2 0"/><geom type="box" size="0.1 0.02 0.03" pos="0 0.1 0.2" euler="0.2 0 0"/>
      <body name="slide" pos="0 0 -0.2"><joint name="j_slide" type="slide" axis="0 0 1"/>
      <geom type="cylinder" size="0.02 0.1"/></body></body></body></worldbody></mujoco>""")
    links = "".join(
        f'<link name="{name}"><collision><origin {at}/><geometry>{shape}</geometry></collision></link>'
        for name, at, shape in (
            ("base", "", '<sphere radius="0.1"/>'),
            ("knee", 'xyz="0 0.1 0.2" rpy="0.2 0 0"', '<box size="0.2 0.04 0.06"/>'),
            ("slide", "", '<cylinder radius="0.02" length="0.2"/>'),
        )
    )
    joints = """<joint name="j_knee" type="revolute"><parent link="base"/><child link="knee"/>
      <origin xyz="0.1 0.2 -0.3" rpy="0.3 -0.4 0.5"/><axis xyz="1 2 0"/></joint>
      <joint name="j_slide" type="prismatic"><parent link="knee"/><child link="slide"/><origin xyz="0 0 -0.2"/>
      <axis xyz="0 0 1"/></joint>"""
    (tmp_path / "leg.urdf").write_text(f"<robot name='leg'>{links}{joints}</robot>")
    one, other = (collision_shapes(tmp_path / f"leg.{kind}", setup) for kind in ("xml", "urdf"))
    for link, same in zip(one.links, other.links, strict=True):
        for key in ("height", "centre", "lowest"):
            assert getattr(link, key) == pytest.approx(getattr(same, key), abs=1e-6), (link.name, key)


@pytest.mark.shared
@pytest.mark.parametrize("file", ["g1_23dof/g1_23dof_lock_wrist.xml", "go2w/go2w.urdf", "go2w/go2w.xml"])
def test_public_robots_on_meshes_alone_are_refused(file, shared, tmp_path, setup_of):
    """The feet of one and the wheels of the other, beside whose motors plain shapes are left."""
    pytest.importorskip("mujoco")
    path = shared / "real_policies/robots" / file
    knee = "left_knee_joint" if "g1" in file else "FL_calf_joint"
    with pytest.raises(RobotError, match="nothing to stand or roll on.*(ankle_roll|FL_foot|FL_wheel)"):
        collision_shapes(path, setup_of((knee,))).refuse_without_feet(path)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("file", "joint"),
    [
        ("anymal_c/anymal_c.xml", "LF_KFE"),
        ("anymal_c/anymal_c.urdf", "LF_KFE"),
        ("g1_12dof/g1_12dof.xml", "left_knee_joint"),
        ("g1_12dof/g1_12dof.urdf", "left_knee_joint"),
        ("g1_29dof/g1_29dof.xml", "left_knee_joint"),
        ("g1_29dof/g1_29dof_rev_1_0.urdf", "left_knee_joint"),
        ("go1/scene.xml", "FL_calf_joint"),
        ("go2/go2.xml", "FL_calf_joint"),
        ("go2/go2.urdf", "FL_calf_joint"),
        ("pf_tron1a/robot.xml", "knee_L_Joint"),
        ("pf_tron1a/robot.urdf", "knee_L_Joint"),
    ],
)
def test_public_robots_with_plain_feet_are_not(file, joint, shared, setup_of):
    """Whatever else they lose."""
    pytest.importorskip("mujoco")
    path = shared / "real_policies/robots" / file
    shapes = collision_shapes(path, setup_of((joint,)))
    assert shapes is not None
    shapes.refuse_without_feet(path)


def test_a_wheel_does_not_rub_on_its_motor(kind, tmp_path, setup_of, stand_up, state_of):
    """The housing is a link of its own, fixed to the shin that carries the wheel: both are inside each other."""
    inertia = (
        '<inertial><mass value="1"/><inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial>'
    )
    shapes = {"shin": "", "motor": '<box size="0.1 0.04 0.06"/>', "wheel": '<box size="0.12 0.05 0.05"/>'}
    links = "".join(
        f'<link name="{name}">{inertia}{f"<collision><geometry>{shape}</geometry></collision>" if shape else ""}</link>'
        for name, shape in shapes.items()
    )
    (tmp_path / "wheel.urdf").write_text(f"""<robot name="r">{links}
      <joint name="mount" type="fixed"><parent link="shin"/><child link="motor"/></joint>
      <joint name="axle" type="continuous"><parent link="shin"/><child link="wheel"/><origin xyz="0.02 0.01 0"/>
      <axis xyz="0 1 0"/><limit effort="50" velocity="50"/></joint></robot>""")
    setup = setup_of(("axle",), stiffness=5.0, damping=0.5, height=1.0, gravity_compensation=True)
    plant = stand_up(kind, tmp_path / "wheel.urdf", setup)
    plant.write(np.array([[1.0]]))
    plant.step(500)
    assert state_of(plant).joint_pos[0, 0] == pytest.approx(1.0, abs=0.02)
