"""Terms of a reference motion, against MuJoCo's kinematics and rotation matrices; and the mistakes that users make."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from policy_port.contract import Contract
from policy_port.contract.layout import observation_slots
from policy_port.contract.mapping import RobotMapping
from policy_port.control.observation import ObservationBuilder
from policy_port.control.signals import Signals
from policy_port.descriptors.robot_parsers import chain_to
from policy_port.errors import MappingError, MotionError, RobotError
from policy_port.motion.followed import Clip
from policy_port.motion.motion import Motion, velocities
from policy_port.proof.reference import ByNameReference
from policy_port.proof.sampling import sample_observations
from policy_port.remap import build_remap
from policy_port.remap.motion import target_motion
from tests.samples import contract_data

ROBOT = """<mujoco><worldbody><body name="pelvis" pos="0 0 1"><freejoint/><geom size="0.1"/>
  <body name="waist" pos="0.1 0 0.2" euler="0 0 30"><joint name="yaw" axis="0 0 1"/><geom size="0.1"/>
    <body name="torso" pos="0 0.05 0.1" quat="0.9238795 0.3826834 0 0"><joint name="roll" axis="0.6 0 0.8"/>
      <geom size="0.1"/><body name="arm" pos="0 0.2 0"><joint name="swing" axis="0 1 0"/><geom size="0.1"/></body>
    </body>
  </body>
  <body name="slider" pos="0 -0.2 0"><joint name="slide" type="slide"/><geom size="0.1"/></body>
</body></worldbody></mujoco>"""
JOINTS = ("roll", "yaw", "swing")
TERMS = (
    *("motion_joint_pos", "motion_joint_vel", "motion_anchor_ori_b", "motion_anchor_pos_b", "motion_phase"),
    "motion_command",
)


@pytest.fixture
def robot(tmp_path: Path) -> Path:
    path = tmp_path / "robot.xml"
    path.write_text(ROBOT)
    return path


def following(robot: Path, *, terms: Any = None, **motion: Any) -> Contract:
    stated = {"anchor": "torso", "chain": chain_to(robot, "torso"), "align": "none", "end": "hold", **motion}
    return Contract.model_validate(
        contract_data(
            joints={name: {"default": 0.1, "lower": -1.5, "upper": 1.5} for name in JOINTS},
            observation={"terms": terms or [{"term": kind} for kind in TERMS]},
            motion=stated,
        )
    )


def some_clip(frames: int = 30, rate: float = 50.0) -> Motion:
    rng = np.random.default_rng(3)
    time = np.arange(frames) / rate
    angles = np.stack([np.sin((2 + k) * time + k) for k in range(3)], axis=1)
    turns = Rotation.from_euler("xyz", 0.4 * np.stack([np.sin((1 + k) * time + k) for k in range(3)], axis=1))
    return Motion(
        rate=rate,
        joint_names=("yaw", "swing", "roll"),
        joint_pos=angles,
        joint_vel=velocities(angles, rate),
        root_pos=np.cumsum(0.01 * rng.standard_normal((frames, 3)), axis=0) + np.array([0.0, 0.0, 0.9]),
        root_quat=np.roll(turns.as_quat(), 1, axis=1),
    )


def torso(robot: Path, place: Any, quat: Any, joints: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Origin and rotation matrix of the torso, by MuJoCo."""
    model = mujoco.MjModel.from_xml_path(str(robot))
    data = mujoco.MjData(model)
    data.qpos[:3], data.qpos[3:7] = place, quat
    for name, angle in joints.items():
        data.qpos[model.joint(name).qposadr[0]] = angle
    mujoco.mj_kinematics(model, data)
    return data.body("torso").xpos.copy(), data.body("torso").xmat.reshape(3, 3).copy()


def observed(contract: Contract, clip: Motion, time: float, state: dict[str, Any], start: Any = None) -> np.ndarray:
    """One observation of a robot in `state` at `time`; its reset happened in `start`, where that is another state."""
    signals = Signals(contract, ("swing", "roll", "yaw"), 1)
    signals.motion = clip
    builder = ObservationBuilder(contract, signals)
    for moment, now in ((0.0, start or state), (time, state)):
        signals.time[:] = moment
        signals.state.base_pos[:], signals.state.base_quat[:] = now["place"], now["quat"]
        for column, name in enumerate(signals.joint_names):
            signals.state.joint_pos[:, column] = now["joints"][name]
        found = builder.build()[0].astype(np.float64)
    return found


STATE = {
    "place": [0.3, -0.2, 1.1],
    "quat": np.roll(Rotation.from_euler("xyz", [0.2, -0.3, 0.9]).as_quat(), 1),
    "joints": {"yaw": 0.4, "roll": -0.7, "swing": 0.2},
}
START = {
    "place": [1.0, 2.0, 0.8],
    "quat": np.roll(Rotation.from_euler("xyz", [0.1, 0.1, -1.2]).as_quat(), 1),
    "joints": {"yaw": -0.3, "roll": 0.5, "swing": 0.0},
}


def yaw_of(turned: np.ndarray) -> Rotation:
    return Rotation.from_euler("z", np.arctan2(turned[1, 0], turned[0, 0]))


@pytest.mark.parametrize("align", ["none", "yaw", "yaw_and_position"])
@pytest.mark.parametrize("frame", [0, 7, 29])
def test_terms_equal_an_independent_oracle(robot: Path, align: str, frame: int) -> None:
    """Each term is what MuJoCo's kinematics and plain matrices say, to 1e-5, however clip and robot are aligned."""
    contract, clip = following(robot, align=align), some_clip()
    state = STATE if frame else START
    found = observed(contract, clip, frame * 0.02, state, START)

    def of_clip(index: int) -> tuple[np.ndarray, np.ndarray]:
        angles = dict(zip(clip.joint_names, clip.joint_pos[index], strict=True))
        assert clip.root_pos is not None
        assert clip.root_quat is not None
        return torso(robot, clip.root_pos[index], clip.root_quat[index], angles)

    (place, turned), (first_place, first) = of_clip(frame), of_clip(0)
    here, facing = torso(robot, state["place"], state["quat"], state["joints"])
    began, began_facing = torso(robot, START["place"], START["quat"], START["joints"])
    yaw, shift = np.eye(3), np.zeros(3)
    if align != "none":
        yaw = (yaw_of(began_facing) * yaw_of(first).inv()).as_matrix()
    if align == "yaw_and_position":
        shift[:2] = (began - yaw @ first_place)[:2]
    columns = [clip.joint_names.index(name) for name in JOINTS]
    wanted = np.concatenate(
        [
            clip.joint_pos[frame, columns],
            clip.joint_vel[frame, columns],
            (facing.T @ yaw @ turned)[:, :2].reshape(-1),
            facing.T @ (yaw @ place + shift - here),
            [frame / 29],
            clip.joint_pos[frame, columns],
            clip.joint_vel[frame, columns],
        ]
    )
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(
    "mistake", ["pelvis for torso", "no yaw alignment", "off by one frame", "30 Hz taken as 50", "joint order"]
)
def test_the_usual_mistakes_are_other_numbers(robot: Path, mistake: str) -> None:
    """A wrong anchor, alignment, frame, rate or joint order changes what the network sees by far more than rounding."""
    clip, time = some_clip(), 0.2
    right = observed(following(robot, align="yaw"), clip, time, STATE, START)
    contract = following(robot, align="yaw")
    if mistake == "pelvis for torso":
        contract = following(robot, align="yaw", anchor="pelvis", chain=[])
    elif mistake == "no yaw alignment":
        contract = following(robot, align="none")
    elif mistake == "off by one frame":
        time += 0.02
    elif mistake == "30 Hz taken as 50":
        clip = replace(clip, rate=30.0)
    else:
        clip = replace(clip, joint_names=("swing", "yaw", "roll"))
    assert np.abs(observed(contract, clip, time, STATE, START) - right).max() > 0.01


def test_a_term_looks_ahead_and_the_end_is_stated(robot: Path) -> None:
    """`ahead` reads later frames; after the last frame a clip holds or begins again, as `end` says."""
    clip = some_clip()
    terms = [{"term": "motion_joint_pos", "name": f"in {k}", "ahead": k, "joints": ["yaw"]} for k in (0, 1, 5)]
    for end, frames in (("hold", [29, 29, 29]), ("repeat", [29, 0, 4])):
        found = observed(following(robot, terms=terms, end=end), clip, 29 * 0.02, STATE)
        np.testing.assert_allclose(found, clip.joint_pos[frames, 0], atol=1e-6)
    with pytest.raises(MotionError, match=r"looks 5 frames ahead, and the clip has 3"):
        Clip.of(following(robot, terms=terms), some_clip(3))


def test_a_list_of_frames_is_one_term_after_the_other(robot: Path) -> None:
    """`ahead: [0, 4]` of any term is all of the one frame, then all of the other; a frame named twice is refused."""
    clip, kinds = some_clip(), ("motion_command", "motion_joint_vel", "motion_anchor_ori_b", "motion_phase")
    for kind in kinds:
        apart = [{"term": kind, "name": f"in {k}", "ahead": k} for k in (0, 4)]
        together = following(robot, terms=[{"term": kind, "ahead": [0, 4]}])
        wanted = observed(following(robot, terms=apart), clip, 0.2, STATE)
        np.testing.assert_array_equal(observed(together, clip, 0.2, STATE), wanted)
        assert len(set(observation_slots(together))) == len(wanted)
    with pytest.raises(MotionError, match=r"looks 40 frames ahead"):
        Clip.of(following(robot, terms=[{"term": "motion_command", "ahead": [0, 40]}]), clip)
    with pytest.raises(ValueError, match="ahead names a frame twice"):
        following(robot, terms=[{"term": "motion_command", "ahead": [1, 1]}])


def test_a_command_with_history_stacks_positions_and_velocities_of_a_step_together(robot: Path) -> None:
    """Three steps of a motion_command are three times positions then velocities, oldest first."""
    contract, clip = following(robot, terms=[{"term": "motion_command"}]), some_clip()
    stacked = contract.model_dump(mode="json", exclude_none=True)
    stacked["observation"] = {
        "terms": [{"term": "motion_command", "history": 3}],
        "history": {"layout": "term_major", "order": "oldest_first", "fill": "first"},
    }
    signals = Signals(Contract.model_validate(stacked), JOINTS, 1)
    signals.motion = clip
    builder = ObservationBuilder(signals.contract, signals)
    for frame in range(5):
        signals.time[:] = 0.02 * frame
        found = builder.build()[0].copy()
    wanted = [observed(contract, clip, 0.02 * frame, STATE) for frame in (2, 3, 4)]
    np.testing.assert_array_equal(found, np.concatenate(wanted))


def test_a_contract_states_how_it_follows(robot: Path) -> None:
    """Terms of a motion without `motion`, `motion` without terms, and a chain that leads elsewhere are refused."""
    data = following(robot).model_dump(mode="json", exclude_none=True)
    for change, message in (
        ({"motion": None}, "motion is missing: observation term 'motion_joint_pos' reads a reference motion"),
        ({"observation": {"terms": [{"term": "joint_pos"}]}}, "no term reads one"),
        ({"base": {"floating": False}}, "of a floating base, and base.floating is false"),
        ({"motion": data["motion"] | {"anchor": "arm"}}, "chain ends at link 'torso', the anchor is 'arm'"),
        ({"motion": data["motion"] | {"align": "both"}}, "align"),
    ):
        with pytest.raises(ValueError, match=message):
            Contract.model_validate(data | change)
    with pytest.raises(MotionError, match="say which with --motion FILE"):
        Clip.of(following(robot), None)
    with pytest.raises(MotionError, match="has no joint 'roll'"):
        Clip.of(following(robot), some_clip().joints(("yaw", "swing"), "test"))
    with pytest.raises(MotionError, match="no pose of the anchor 'torso' and none of the root"):
        Clip.of(following(robot), replace(some_clip(), root_pos=None, root_quat=None))


def test_a_clip_whose_links_are_not_its_joints_is_refused(robot: Path) -> None:
    """The anchor's own pose must be where root and joints put it: another joint order or robot does not."""
    clip = some_clip()
    assert clip.root_pos is not None
    assert clip.root_quat is not None
    poses = [torso(robot, place, quat, dict(zip(clip.joint_names, angles, strict=True)))
             for place, quat, angles in zip(clip.root_pos, clip.root_quat, clip.joint_pos, strict=True)]  # fmt: skip
    quats = np.roll(Rotation.from_matrix([turned for _, turned in poses]).as_quat(), 1, axis=1)[:, None]
    posed = replace(clip, link_names=("torso",), link_pos=np.array([[place] for place, _ in poses]), link_quat=quats)
    Clip.of(following(robot), posed)
    with pytest.raises(MotionError, match="'torso' .* away from where its root and the joints yaw, roll lead to"):
        Clip.of(following(robot), replace(posed, joint_names=("swing", "roll", "yaw")))


def test_a_chain_is_read_from_a_robot_file(robot: Path) -> None:
    """Hinges and fixed links on the way are written down; what a chain can't say is refused, and so is no link."""
    assert [step["link"] for step in chain_to(robot, "arm")] == ["waist", "torso", "arm"]
    with pytest.raises(RobotError, match="has no link 'torsoo'; did you mean 'torso'"):
        chain_to(robot, "torsoo")
    with pytest.raises(RobotError, match="'slider' does not hang on one hinge"):
        chain_to(robot, "slider")


MAPPING = RobotMapping.model_validate(
    {
        "source_joint_names": list(JOINTS),
        "target_joint_names": ["t_yaw", "t_swing", "t_roll"],
        "rename": {"roll": "t_roll", "yaw": "t_yaw", "swing": "t_swing"},
        "joints": {"yaw": {"sign": -1, "offset": 0.3}, "roll": {"offset": -0.2}, "swing": {"unit": "deg"}},
    }
)


@pytest.mark.parametrize("scaled", [False, True])
def test_a_remapped_clip_is_the_same_motion(robot: Path, scaled: bool) -> None:
    """In the target's names, signs and zeros the policy sees the same numbers of the same robot in the same pose."""
    contract, clip = following(robot, align="yaw"), some_clip()
    if scaled:
        scale = {f"{name}{what}": k + 1.0 for k, name in enumerate(JOINTS) for what in ("", " velocity")}
        clips = {name: [-0.3 - k, 0.2] for k, name in enumerate(scale)}
        command = {"term": "motion_command", "scale": scale | {"roll velocity": 0.1}, "ahead": [0, 3], "clip": clips}
        contract = following(robot, align="yaw", terms=[command, {"term": "motion_joint_pos", "joints": ["swing"]}])
        with pytest.raises(ValueError, match="names joint 'knee', which the term does not have"):
            following(robot, terms=[{"term": "motion_command", "scale": {"knee": 1.0}}])
    remap = build_remap(contract, MAPPING)
    seen = observed(contract, clip, 0.2, STATE, START)
    signals = Signals(remap.target, ("t_yaw", "t_swing", "t_roll"), 1)
    signals.motion = target_motion(clip, MAPPING)
    builder = ObservationBuilder(remap.target, signals)
    for time, now in ((0.0, START), (0.2, STATE)):
        signals.time[:] = time
        signals.state.base_pos[:], signals.state.base_quat[:] = now["place"], now["quat"]
        joints = now["joints"]
        signals.state.joint_pos[:] = [0.3 - joints["yaw"], joints["swing"], joints["roll"] - 0.2]
        target = builder.build()[0].astype(np.float64)
    np.testing.assert_allclose(remap.observation(target[None])[0], seen, atol=1e-5)
    by_name = ByNameReference(contract, remap.target, MAPPING)
    drawn = sample_observations(remap.target, 2, 3, np.random.default_rng(0))["realistic"].reshape(6, -1)
    for obs in (target[None], drawn.astype(np.float64)):
        np.testing.assert_allclose(by_name.observation(obs), remap.observation(obs), atol=1e-9)
    assert np.abs(target - seen).max() > 0.1


def test_a_scaled_hinge_on_the_way_to_the_anchor_is_refused(robot: Path) -> None:
    """A gear ratio on a joint that turns the anchor would be another pose."""
    geared = MAPPING.model_copy(
        update={"joints": MAPPING.joints | {"yaw": MAPPING.joints["yaw"].model_copy(update={"scale": 2.0})}}
    )
    with pytest.raises(MappingError, match=r"on the way to the motion's anchor, and the mapping scales it"):
        build_remap(following(robot), geared)
