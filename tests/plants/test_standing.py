"""Whether a robot can stand: its base, the shapes that touch the ground, and what is said where it can't."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from policy_port.errors import RobotError

FREE = "<freejoint/>"
AXES = dict(zip("xyz", ("1 0 0", "0 1 0", "0 0 1"), strict=True))
MOVED = "".join(f'<joint name="{n}" type="slide" axis="{a}"/>' for n, a in AXES.items())
TURNED = "".join(f'<joint name="r{n}" axis="{a}"/>' for n, a in AXES.items())
BALL = '<joint name="r" type="ball"/>'


def sled(*, base: str = FREE, foot: str = "", floor: str = "", end: str = "", top: str = "") -> str:
    """A heavy board that lies on four feet, with a small hinge on top."""
    feet = "".join(
        f'<geom name="foot{i}" type="sphere" size="0.05" pos="{x} {y} -0.1" {foot}/>'
        for i, (x, y) in enumerate(((0.3, 0.3), (-0.3, 0.3), (0.3, -0.3), (-0.3, -0.3)))
    )
    return f"""<mujoco>{top}<worldbody>{floor}<body name="board" pos="0 0 0.5">{base}
      <geom name="board" type="box" size="0.4 0.4 0.02" mass="5" contype="0" conaffinity="0"/>{feet}
      <body name="arm" pos="0 0 0.1"><joint name="j1" axis="0 1 0"/>
      <geom type="sphere" size="0.02" mass="0.1" contype="0" conaffinity="0"/></body></body></worldbody>
      {end}</mujoco>"""


FLOOR = '<geom name="floor" type="plane" size="1 1 1" contype="0" conaffinity="0"/>'
PAIRS = "<contact>" + "".join(f'<pair geom1="floor" geom2="foot{i}"/>' for i in range(4)) + "</contact>"
HIDDEN = 'contype="0" conaffinity="0"'


@pytest.fixture
def rests(tmp_path: Path, setup_of, stand_up, state_of):
    """The base's height at reset and 0.6 s later."""

    def stand(kind: str, text: str, name: str = "sled.xml", **options: object) -> tuple[float, float]:
        path = tmp_path / name
        path.write_text(text)
        plant = stand_up(kind, path, setup_of(("j1",), stiffness=5.0, damping=0.5, timestep=0.005, **options))
        before = state_of(plant).base_pos[0, 2]
        plant.step(120)
        return before, state_of(plant).base_pos[0, 2]

    return stand


@pytest.mark.parametrize("height", [None, 0.3])
def test_pairs_carry_a_robot(kind, height, rests):
    """Feet without masks stand on a floor of the file with which they are paired, from any height."""
    before, after = rests(kind, sled(foot=HIDDEN, floor=FLOOR, end=PAIRS), height=height)
    assert before == pytest.approx(0.151 if height is None else height, abs=1e-5)
    assert after == pytest.approx(0.15, abs=0.005)


@pytest.mark.parametrize("height", [None, 0.3])
@pytest.mark.parametrize(
    "text",
    [sled(foot=HIDDEN), sled(foot=HIDDEN, floor=FLOOR), sled(foot='contype="2" conaffinity="2"')],
    ids=["no masks", "no pairs", "other masks"],
)
def test_feet_that_touch_no_ground_are_refused_at_any_height(kind, text, height, rests):
    """A height would only make it fall longer, so the message does not advise one."""
    if kind == "newton" and 'contype="2"' in text:
        with pytest.raises(RobotError, match=r"body 'board' and the ground can touch in 0 ways, not 4"):
            rests(kind, text, height=height)
        return
    with pytest.raises(RobotError, match=r"nothing of the robot can touch the ground.*contype.*<pair>") as told:
        rests(kind, text, height=height)
    assert "base.height" not in str(told.value)


@pytest.mark.parametrize("foot", ["", 'contype="0" conaffinity="1"', 'contype="3" conaffinity="2"'])
def test_the_masks_that_the_message_asks_for_carry_it(kind, foot, rests):
    """A bit in common with the ground's 1 and 1, on either side, is enough."""
    if kind == "newton" and "3" in foot:
        pytest.skip("Newton's ground has masks of its own, and it refuses what would come out otherwise")
    assert rests(kind, sled(foot=foot))[1] == pytest.approx(0.15, abs=0.005)


@pytest.mark.parametrize("height", [None, 0.3])
def test_a_foot_that_can_t_touch_is_named(kind, height, rests):
    """The board could touch the ground and its feet can't: it would lie with its feet in the ground."""
    text = sled(foot='contype="4" conaffinity="4"').replace(f'mass="5" {HIDDEN}', 'mass="5"')
    says = r"shape 'foot0' of body 'board' reaches 0\.130 m below.*contype is 4.*ground's are 1 and 1"
    if kind == "newton":
        says = r"body 'board' and the ground can touch in 1 ways, not 5"
    with pytest.raises(RobotError, match=says):
        rests(kind, text, height=height)


def test_a_urdf_without_collisions_is_refused_at_any_height(kind, rests, robot_file):
    """As an MJCF is; and the shapes that the message asks for carry it."""
    bare = robot_file("pendulum.urdf").read_text().replace('"swing"', '"j1"')
    for height in (None, 2.0):
        with pytest.raises(RobotError, match=r"nothing of the robot can touch the ground.*<collision>"):
            rests(kind, bare, "bare.urdf", height=height)
    shape = '<link name="foot"><collision><geometry><box size="2 2 0.2"/></geometry></collision>'
    assert rests(kind, bare.replace('<link name="foot">', shape), "shod.urdf")[1] == pytest.approx(0.1, abs=0.01)


def test_a_robot_that_nothing_pulls_down_needs_no_feet(kind, rests):
    """Under gravity compensation it stays where the contract puts it."""
    assert rests(kind, sled(foot=HIDDEN), height=0.7, gravity_compensation=True)[1] == pytest.approx(0.7, abs=1e-3)


@pytest.mark.parametrize("base", [FREE, '<joint name="root" type="free"/>', MOVED + BALL, MOVED + TURNED, ""])
def test_every_way_to_float_is_one(kind, base, rests):
    """Three slides with a ball or three hinges, a free joint of any name, or none: base.floating decides."""
    if kind == "newton" and "slide" in base:
        with pytest.raises(RobotError, match=r"slides with a ball or hinges.*Write a <freejoint>"):
            rests(kind, sled(base=base))
        return
    before, after = rests(kind, sled(base=base), height=0.3)
    assert before == pytest.approx(0.3)
    assert after == pytest.approx(0.15, abs=0.005)


@pytest.mark.parametrize("said", ['damping="2"', 'armature="1"', 'range="-1 1" limited="true"'])
def test_a_base_that_is_not_free_is_not_taken_for_one(kind, said, rests):
    """A slide of the base with damping or limits is no part of a free joint; the message names it."""
    base = MOVED.replace('name="z"', f'name="z" {said}') + BALL
    with pytest.raises(RobotError, match=r"joint 'z' of the base 'board' has (damping|armature|limits)"):
        rests(kind, sled(base=base))


def test_a_ball_joint_elsewhere_is_named(kind, rests):
    """It can't be driven by a position."""
    with pytest.raises(RobotError, match=r"ball joint 'r' of body 'arm' can't be driven"):
        rests(kind, sled().replace('<joint name="j1" axis="0 1 0"/>', '<joint name="j1" axis="0 1 0"/>' + BALL))


@pytest.mark.parametrize(
    ("base", "place"),
    [
        (
            '<joint name="w" type="fixed"><parent link="world"/><child link="foot"/>'
            '<origin xyz="1 2 0.5" rpy="0 0 1"/></joint>',
            0.5,
        ),
        ('<joint name="w" type="floating"><parent link="world"/><child link="foot"/></joint>', 0.0),
    ],
)
def test_a_link_called_world_is_no_part_of_the_robot(
    kind, base, place, robot_file, tmp_path, setup_of, stand_up, state_of
):
    """A fixed base stands where its joint with the world puts it, a floating one floats in every simulator."""
    text = robot_file("pendulum.urdf").read_text()
    shape = '<link name="foot"><collision><geometry><box size="2 2 0.2"/></geometry></collision>'
    text = text.replace('<link name="foot">', f'<link name="world"/>{base}{shape}')
    path = tmp_path / "world.urdf"
    path.write_text(text)
    fixed = state_of(stand_up(kind, path, setup_of(("swing",), stiffness=5.0, damping=1.0, floating=False)))
    assert fixed.base_pos[0, 2] == pytest.approx(place, abs=1e-6)
    assert abs(fixed.base_quat[0, 3]) == pytest.approx(np.sin(0.5) if place else 0.0, abs=1e-6)
    plant = stand_up(kind, path, setup_of(("swing",), stiffness=5.0, damping=1.0))
    assert state_of(plant).base_pos[0, 2] == pytest.approx(0.101, abs=1e-5)
    plant.step(300)
    assert state_of(plant).base_pos[0, 2] == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('type="fixed"', 'type="floating"'), r"joint 'end' is floating, and is not the one joint between"),
        (('type="fixed"', 'type="planar"'), r"joint 'end' is planar.*two prismatic joints"),
        (('name="swing" ', ""), r"the joint between links 'foot' and 'rod' has no name: name it in the file"),
        (('<parent link="rod"/>', '<parent link="rud"/>'), r"joint 'end' has parent link 'rud'.*did you mean 'rod'"),
    ],
)
def test_a_joint_that_can_t_be_is_named(kind, change, says, robot_file, tmp_path, setup_of, stand_up):
    """The same words in every simulator, instead of each one's own."""
    path = tmp_path / "odd.urdf"
    path.write_text(robot_file("pendulum.urdf").read_text().replace(*change))
    with pytest.raises(RobotError, match=says):
        stand_up(kind, path, setup_of(("swing",), stiffness=5.0, damping=1.0, floating=False))


@pytest.mark.parametrize(("friction", "priority"), [(0.2, 1), (1.8, 0), (0.2, 0)])
def test_a_robot_slides_as_the_files_friction_says(
    kind, friction, priority, rests, tmp_path, setup_of, stand_up, state_of
):
    """On a slope of gravity it holds or slides as in MuJoCo: the larger friction counts, or the one of priority."""
    if kind == "newton":
        pytest.skip("Newton refuses another gravity than the earth's")
    text = sled(foot=f'friction="{friction}" priority="{priority}"', top='<option gravity="6 0 -9.81"/>')
    path = tmp_path / "sled.xml"
    path.write_text(text)
    far = []
    for simulator in ("mujoco", kind):
        plant = stand_up(simulator, path, setup_of(("j1",), stiffness=5.0, damping=0.5))
        plant.step(500)
        far.append(state_of(plant).base_pos[0, 0])
    assert far[0] > 1.0 if (priority and friction < 0.6) else far[0] < 0.05
    assert far[1] == pytest.approx(far[0], abs=0.1)
