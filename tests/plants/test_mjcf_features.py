"""What an MJCF says beside links and joints: every simulator does it, or refuses it by name, or tells that it does not.

The oracle is the MuJoCo plant, whose own format this is; each file has one feature. Poses are compared after 1.2 s of
holding targets.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from policy_port.errors import RobotError

TARGETS = {"j1": 0.4, "j2": -0.3}


def arm(**changes: str) -> str:
    """An arm of two hinges, half a metre above the ground; each change goes into one place of the file."""
    say = {
        **dict.fromkeys(("top", "world", "base", "l1", "j1", "l2", "j2", "g2", "end"), ""),
        "at": 'pos="0 0 0.5"',
        **changes,
    }
    return f"""<mujoco><compiler angle="radian"/>{say["top"]}<worldbody>{say["world"]}<body name="base" {say["at"]}>
      <geom name="gb" type="box" size="0.05 0.05 0.05" mass="1" contype="0" conaffinity="0"/>{say["base"]}
      <body name="l1" pos="0 0 0.06" {say["l1"]}><joint name="j1" axis="0 1 0" {say["j1"]}/>
        <geom name="g1" type="capsule" fromto="0 0 0 0.3 0 0" size="0.02" mass="0.5"/>
        <body name="l2" pos="0.3 0 0" {say["l2"]}><joint name="j2" axis="0 1 0" {say["j2"]}/>
          <geom name="g2" type="capsule" fromto="0 0 0 0.25 0 0" size="0.02" mass="0.3" {say["g2"]}/>
        </body></body></body></worldbody>{say["end"]}</mujoco>"""


def equality(text: str) -> str:
    """The arm with one coupling."""
    return arm(end=f"<equality>{text}</equality>")


CARRIED = {
    "a base off the ground": arm(),
    "a turned base": arm(at='pos="0.1 -0.2 0.7" euler="1.2 0.3 -0.5"'),
    "a spring at rest elsewhere": arm(j1='stiffness="30" springref="-0.4"'),
    "weightless links": arm(l1='gravcomp="1"', l2='gravcomp="1"'),
    "armature": arm(j1='armature="0.2"'),
    "a floor off zero": arm(world='<geom name="floor" type="plane" size="1 1 1" pos="0 0 0.45"/>'),
    "an exclude": arm(
        base='<geom name="wall" type="box" pos="0.45 0 0.2" size="0.02 0.2 0.2" mass="0.1"/>',
        end='<contact><exclude body1="base" body2="l2"/><exclude body1="base" body2="l1"/></contact>',
    ),
    "a wall that the masks let touch the far link": arm(
        base='<geom type="box" pos="0.5 0 -0.2" size="0.02 0.2 0.2" mass="0.1" contype="4" conaffinity="0"/>',
        g2='contype="1" conaffinity="4"',
    ),
    "a wall that no mask lets touch": arm(
        base='<geom type="box" pos="0.5 0 -0.2" size="0.02 0.2 0.2" mass="0.1" contype="4" conaffinity="2"/>'
    ),
    "a coupling by a line": equality('<joint joint1="j2" joint2="j1" polycoef="0.1 -1.5 0 0 0"/>'),
    "a coupling that is off": equality('<joint joint1="j2" joint2="j1" active="false"/>'),
    "a tendon that pulls at nothing": arm(end='<tendon><fixed name="t"><joint joint="j1" coef="1"/></fixed></tendon>'),
    "an ellipsoid to be seen": arm(
        base='<geom type="ellipsoid" size=".1 .05 .02" mass=".2" contype="0" conaffinity="0"/>'
    ),
    "a target body and a keyframe": arm(
        world='<body name="goal" mocap="true"><geom size=".1" contype="0" conaffinity="0"/></body>',
        end='<keyframe><key qpos="1 1"/></keyframe>',
    ),
}
"""What all three simulators do alike."""

REFUSED = {
    "half a weightless link": (arm(l1='gravcomp="0.5"'), {"maniskill": r"body 'l1' has gravcomp 0\.5"}),
    "a reference position": (arm(j1='ref="0.3"'), {"newton": r"joint j1 has a reference position"}),
    "a table": (
        arm(world='<geom name="table" type="box" size="1 1 .1" pos="0 0 0.2"/>'),
        {"maniskill": r"can touch the box 'table' of body 'world'"},
    ),
    "hilly ground": (
        arm(
            top='<asset><hfield name="h" nrow="2" ncol="2" size="1 1 .1 .1" elevation="0 0 0 1"/></asset>',
            world='<geom type="hfield" hfield="h"/>',
        ),
        {"maniskill": r"can touch the hfield of body 'world'"},
    ),
    "a loop closed by connect": (
        equality('<connect name="loop" body1="l2" anchor="0.25 0 0"/>'),
        {"maniskill": r"<equality> has a connect 'loop' between bodies 'l2' and 'world'"},
    ),
    "a weld": (
        equality('<weld body1="l2"/>'),
        {"maniskill": r"<equality> has a weld between bodies 'l2' and 'world'", "newton": r"body 'l2' and the ground"},
    ),
    "a joint held at a constant": (
        equality('<joint joint1="j2" polycoef="0.2 0 0 0 0"/>'),
        {"maniskill": r"holds joint 'j2' at a constant"},
    ),
    "a coupling by a curve": (
        equality('<joint joint1="j2" joint2="j1" polycoef="0.1 0.5 0.3 0 0"/>'),
        {"maniskill": r"joint 'j2' follows joint 'j1' \(<equality>\) by a curve"},
    ),
    "a tendon with a spring": (
        arm(
            end='<tendon><fixed name="t" stiffness="20" springlength="0"><joint joint="j1" coef="1"/>'
            '<joint joint="j2" coef="1"/></fixed></tendon>'
        ),
        {"maniskill": r"tendon 't' has stiffness"},
    ),
    "the moon's gravity": (arm(top='<option gravity="0 0 -1.6"/>'), {"newton": r"<option gravity> is .*-1\.6"}),
    "no gravity": (arm(top='<option><flag gravity="disable"/></option>'), {"newton": r"<option gravity>"}),
    "no springs": (
        arm(top='<option><flag spring="disable"/></option>', j1='stiffness="3"'),
        {"maniskill": r"<flag spring> is disabled"},
    ),
    "air": (arm(top='<option density="1.2"/>'), {"maniskill": r"<option density> is 1\.2"}),
    "the solver PGS": (arm(top='<option solver="PGS"/>'), {"newton": r"solver> is PGS.*it has CG and Newton"}),
    "a total mass": (
        arm().replace('angle="radian"', 'angle="radian" settotalmass="3"'),
        {"newton": r"body 'l1' and what hangs on it weigh 1\.3.* kg, not 0\.8"},
    ),
    "an ellipsoid that touches": (
        arm(base='<geom type="ellipsoid" size=".04 .04 .02" pos="-.1 0 0" mass=".2"/>'),
        {"maniskill": r"a shape of 'base' is neither sphere"},
    ),
    "two joints of one body": (
        arm().replace('<joint name="j2"', '<joint name="jx" axis="1 0 0"/><joint name="j2"'),
        {"maniskill": r"body 'l2' has 2 joints", "newton": r"one joint of several axes"},
    ),
    "another thing to touch": (
        arm(world='<body name="ball" pos="1 1 1"><freejoint/><geom name="bg" size=".1"/></body>'),
        {"maniskill": r"can touch the sphere 'bg' of body 'ball'", "newton": r"3 joints, not 2"},
    ),
    "a pair of neighbours": (
        arm(end='<contact><pair geom1="g1" geom2="g2"/></contact>'),
        {"maniskill": r"<pair> of 'g1' and 'g2'.*such links never touch"},
    ),
    "a floor that the masks part from a link": (
        arm(g2='contype="2" conaffinity="2"'),
        {"newton": r"body 'l2' and the ground can touch in 0 ways, not 1"},
    ),
}
"""What some simulators refuse, with what they say; the others do as MuJoCo does."""


def held(plant, state_of) -> np.ndarray:
    """j1, j2 where they are told, and the base's pose."""
    plant.write(np.array([[TARGETS.get(name, 0.1) for name in plant.joint_names]]))
    plant.step(240)
    state = state_of(plant)
    joints = [state.joint_pos[0, i] for i, name in enumerate(plant.joint_names) if name in TARGETS]
    return np.array([*joints, *state.base_pos[0], *state.base_quat[0]])


def setup_for(text: str, setup_of, **options: object):
    """Drives of 20 N m/rad for all joints that follow nobody."""
    follows = re.search(r'joint1="(\w+)" joint2="\w+" polycoef', text)
    names = [name for name in re.findall(r'<joint name="(\w+)"', text) if follows is None or name != follows[1]]
    return setup_of(tuple(names), stiffness=20.0, damping=2.0, floating=False, timestep=0.005, **options)


@pytest.fixture(params=["maniskill", "newton"])
def kind(request: pytest.FixtureRequest) -> str:
    """The simulators that are held against MuJoCo."""
    pytest.importorskip({"maniskill": "sapien"}.get(request.param, request.param))
    return request.param


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "arm.xml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("feature", CARRIED)
def test_what_a_file_says_holds_in_every_simulator(feature, kind, tmp_path, setup_of, stand_up, state_of):
    """Where the joints end up and the base stands is what MuJoCo makes of the file."""
    path, setup = written(tmp_path, CARRIED[feature]), setup_for(CARRIED[feature], setup_of)
    wanted = held(stand_up("mujoco", path, setup), state_of)
    np.testing.assert_allclose(held(stand_up(kind, path, setup), state_of), wanted, atol=0.015)


def test_every_feature_of_the_list_moves_the_arm(tmp_path, setup_of, stand_up, state_of):
    """A feature that changed nothing would prove nothing: the pose differs from the plain arm's, save where it says."""
    plain = arm()
    setup = setup_for(plain, setup_of)
    base = held(stand_up("mujoco", written(tmp_path, plain), setup), state_of)
    for feature in ("a turned base", "a spring at rest elsewhere", "weightless links", "a floor off zero"):
        other = held(stand_up("mujoco", written(tmp_path, CARRIED[feature]), setup), state_of)
        assert np.abs(other - base).max() > 0.02, feature
    near, far = (
        held(stand_up("mujoco", written(tmp_path, CARRIED[feature]), setup), state_of)
        for feature in ("a wall that the masks let touch the far link", "a wall that no mask lets touch")
    )
    assert np.abs(near - far).max() > 0.1


@pytest.mark.parametrize("feature", REFUSED)
def test_what_a_simulator_can_t_do_it_refuses_by_name(feature, kind, tmp_path, setup_of, stand_up, state_of):
    """The message names the thing and leads to MuJoCo or out of the file; whoever does not refuse does it right."""
    text, says = REFUSED[feature]
    path, setup = written(tmp_path, text), setup_for(text, setup_of)
    if kind in says:
        with pytest.raises(RobotError, match=says[kind]) as told:
            stand_up(kind, path, setup)
        assert re.search("--plant mujoco|own", str(told.value))
        return
    wanted = held(stand_up("mujoco", path, setup), state_of)
    np.testing.assert_allclose(held(stand_up(kind, path, setup), state_of), wanted, atol=0.015)


def test_sapien_knows_reference_positions(tmp_path, setup_of, stand_up, state_of):
    """An angle counts from where the file says that it is `ref`, turned joints and slides alike."""
    pytest.importorskip("sapien")
    for text in (
        arm(j1='ref="0.3"', j2='ref="-.2"'),
        arm(j1='ref="0.3"', j2='type="slide" ref="0.1"'),
    ):
        path, setup = written(tmp_path, text), setup_for(text, setup_of)
        poses = []
        for simulator in ("mujoco", "maniskill"):
            plant = stand_up(simulator, path, setup)
            pose = held(plant, state_of)
            poses.append([*pose, *plant.link_position("l2")[0]])
        np.testing.assert_allclose(poses[1], poses[0], atol=0.015)


def test_what_is_left_out_is_told(tmp_path, setup_of, stand_up):
    """Friction in joints, what a <default> gives a free joint, and a fixed base that its first link could touch."""
    pytest.importorskip("sapien")
    text = arm(j1='frictionloss="2"', base='<geom type="box" pos="-.2 0 0" size="0.02 0.02 0.02" mass="0.1"/>')
    plant = stand_up("maniskill", written(tmp_path, text), setup_for(text, setup_of))
    assert plant.left_out == (
        "the friction (frictionloss) of 1 joints",
        "that link 'l1' can touch the fixed 'base', on which it hangs",
    )
    text = arm(base='<joint type="free" damping="0.1"/>', j1='frictionloss="2"')
    setup = setup_for(text.replace('<joint type="free"', "<free"), setup_of)
    for simulator in ("maniskill", "newton"):
        pytest.importorskip(simulator if simulator == "newton" else "sapien")
        plant = stand_up(simulator, written(tmp_path, text), type(setup)(**{**vars(setup), "floating": True}))
        assert "damping of the base's free joint" in plant.left_out


def test_a_base_that_a_joint_moves_against_the_world(kind, tmp_path, setup_of, stand_up, state_of):
    """A hinge between the world and the first body is a joint like any other."""
    text = re.sub(r'<body name="base".*?</?geom[^>]*>', "", arm(), flags=re.DOTALL).replace(
        "</body></body></body>", "</body></body>"
    )
    path, setup = written(tmp_path, text), setup_for(text, setup_of)
    wanted = held(stand_up("mujoco", path, setup), state_of)
    np.testing.assert_allclose(held(stand_up(kind, path, setup), state_of), wanted, atol=0.015)


def test_the_height_of_the_contract_moves_a_base_of_a_file(kind, tmp_path, setup_of, stand_up, state_of):
    """Its place in the plane and how it is turned stay the file's."""
    text = CARRIED["a turned base"]
    setup = setup_for(text, setup_of, height=0.9)
    state = state_of(stand_up(kind, written(tmp_path, text), setup))
    np.testing.assert_allclose(state.base_pos, [[0.1, -0.2, 0.9]], atol=1e-5)
    assert abs(state.base_quat[0, 0]) < 0.9
