"""Claims about params/env.yaml of an mjlab run that a contract can't state, or that is of another run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from policy_port.errors import ContractError
from tests.descriptors.importing import imported, write
from tests.descriptors.mjlab_run import (
    ACTION,
    ACTUATORS,
    JOINTS,
    METADATA,
    TERMS,
    WIDTH,
    Name,
    actuator,
    dump,
    environment,
    made,
    said,
    write_run,
)


def test_a_sensor_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A term called base_lin_vel that reads a gyro is one of the two; env.yaml's own sensors state their type."""
    edits: dict[str, Any] = {f"{TERMS}.base_lin_vel.params": {"sensor_name": "robot/imu_ang_vel"}}
    with pytest.raises(ContractError, match="is 'imu_ang_vel', which by its name is not what 'base_lin_vel' is"):
        made(tmp_path, edits=edits)
    edits["scene.sensors"] = ({"name": "imu_ang_vel", "sensor_type": "velocimeter"},)
    assert said(made(tmp_path / "b", edits=edits))[0] == {"term": "base_lin_vel", "point": {"sensor": "imu_ang_vel"}}


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({f"{TERMS}.joint_vel.delay_min_lag": 2}, r"2 to 0 steps, which is none.*--set observation\.terms\.joint_vel="),
        ({f"{TERMS}.joint_vel.modifiers": [1]}, "modifiers' change the value"),
        ({f"{TERMS}.joint_vel.clip": (float("-inf"), 1.0)}, r"--set observation\.terms\.joint_vel\.clip="),
        ({f"{TERMS}.joint_vel.clip": 3.0}, "is 3.0, expected a pair of bounds"),
        ({f"{TERMS}.joint_vel.scale": Name("torch.tensor")}, "scale' is a value with the tag !!python/name:torch"),
        ({f"{TERMS}.joint_vel.params": {"gain": 2}}, "gain' is '2', which this program does not know"),
        ({"observations.actor.concatenate_terms": False}, "reads its terms one by one"),
        ({"observations.actor.concatenate_dim": 1}, "the network reads no flat vector"),
        ({"scene.entities.robot.init_state.joint_vel": {"hip": 1.0}}, "is not 0, and joint_vel_rel subtracts it"),
        ({"observations.actor.terms.command.params": {"command_name": "twst"}}, "key 'commands.twst' is missing"),
        ({f"{ACTION}.use_default_offset": ...}, "is no JointPositionAction, .* of mjlab.*--set action.terms="),
        ({f"{ACTION}.class_type": Name("a.SiteEffortAction")}, "is SiteEffortAction: this is no JointPos"),
        ({f"{ACTION}.gain": 3}, "gain' is '3', which this program does not know.*state the action yourself"),
        ({f"{ACTION}.entity_name": "cube"}, "entity_name' is 'cube'"),
        ({f"{ACTION}.actuator_names": ("hip", "elbow")}, "has 'elbow', which is none of the joints"),
        ({f"{ACTION}.scale": {"hip|knee": 0.3727530387, "elbow": 1.0}}, "is the pattern of no joint"),
        ({f"{ACTION}.scale": {".*": 0.3727530387, "finger": 0.0865739}}, "is a second pattern of joint 'finger'"),
        ({f"{ACTION}.clip": {"hip": (-1.0, 1.0)}}, r"leaves out knee, finger.*--set action\.terms\.0\.clip="),
        (
            {f"{ACTION}.preserve_order": True, f"{ACTION}.actuator_names": ("finger", "hip|knee")},
            "mjlab's versions differ in what it does: hip, knee, finger, or finger, hip, knee",
        ),
        ({ACTUATORS: (actuator("hip", "knee"), actuator("knee"))}, "picks 'knee', which another actuator drives"),
    ],
)
def test_what_a_contract_can_not_state_is_refused_by_name(tmp_path: Path, edits: dict[str, Any], message: str) -> None:
    """Modifiers, a delay that is none, one-sided bounds, other actions: each says where it stands and what to do."""
    with pytest.raises(ContractError, match=message):
        made(tmp_path, edits=edits)


def test_a_refused_term_or_action_may_be_stated_whole(tmp_path: Path) -> None:
    """The remedies of these messages, --set of a whole term or action, work."""
    edits = {f"{TERMS}.joint_vel.delay_max_lag": 2, f"{ACTION}.gain": 3, f"{TERMS}.command.clip": (-1.0, float("inf"))}
    clips = {"observation_terms_clip": METADATA["observation_terms_clip"][: -len("-inf;inf")] + "-1.000;inf"}
    settings = {
        "observation.terms.joint_vel": {"term": "joint_vel"},
        "observation.terms.command.clip": [-1.0, 1.0],
        "action.terms": [{"term": "joint_position", "joints": ["hip", "knee", "finger"], "scale": 0.5, "offset": 0.0}],
    }
    result = made(tmp_path, edits=edits, metadata=clips, options={"settings": settings})
    assert result.contract.action.terms[0].scale == 0.5
    assert said(result)[4] == {"term": "joint_vel"}
    assert said(result)[6]["clip"] == (-1.0, 1.0)


def test_a_clip_of_some_joints_may_be_given_for_all(tmp_path: Path) -> None:
    """mjlab clips the joints that it has patterns for; a contract's bounds, given with --set, are of every joint."""
    edits = {f"{ACTION}.clip": {"hip": (-1.0, 1.0)}}
    bounds = {"hip": [-1.0, 1.0], "knee": [-9.0, 9.0], "finger": [-9.0, 9.0]}
    contract = made(tmp_path, edits=edits, options={"settings": {"action.terms.0.clip": bounds}}).contract
    assert contract.action.terms[0].clip == {"hip": (-1.0, 1.0), "knee": (-9.0, 9.0), "finger": (-9.0, 9.0)}
    edits = {f"{ACTION}.clip": {".*": (-1.0, 1.0)}}
    assert made(tmp_path / "b", edits=edits).contract.action.terms[0].clip == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"default_joint_pos": "0.102,-0.200,0.019,-0.019"}, r"init_state\.joint_pos of joint 'hip' is 0\.10049, but"),
        ({"action_scale": "0.373,0.373,0.439"}, r"actions\.joint_pos\.scale of joint 'finger' is 0\.0865739, but the"),
        (
            {"joint_stiffness": "40.179,41.179,109.814"},
            "40.1792 with a damping of 2.55789, but the metadata has .*knee",
        ),
        ({"joint_damping": "2.558,2.558,6.990"}, "109.814 with a damping of 69.9098, but the metadata has"),
        ({"joint_stiffness": "40.179,40.179"}, "has 2 numbers for 3 driven joints"),
        ({"action_scale": "0.373,0.373"}, "has 2 numbers for 3 joints"),
        ({"joint_names": "hip,knee,finger,other"}, None),
    ],
)
def test_metadata_of_another_run_is_refused(tmp_path: Path, metadata: dict[str, str], message: str | None) -> None:
    """Each value must round to what the metadata has, joint by joint."""
    if message is None:
        # A joint that no pattern names is nobody's business but the pose's, whose last pattern is `.*`.
        assert made(tmp_path, metadata=metadata).contract.joints["other"].default == -0.01875
        return
    with pytest.raises(ContractError, match=message):
        made(tmp_path, metadata=metadata)


def test_the_robots_name_is_asked_for_where_it_is_nobodys(tmp_path: Path) -> None:
    """A robot outside mjlab's asset_zoo is named by the user; an entity of another name is refused."""
    edits = {"scene.entities.robot.spec_fn": Name("mine.get_spec")}
    with pytest.raises(ContractError, match="1 thing that a contract needs is missing.*\n.*robot: env.yaml names"):
        made(tmp_path, edits=edits)
    assert made(tmp_path, edits=edits, options={"robot": "mine"}).contract.robot == "mine"
    with pytest.raises(ContractError, match="mjlab exports the entity of that name. There are: arm"):
        made(tmp_path, edits={"scene.entities": {"arm": {}}})


def test_an_arm_needs_one_flag_and_says_which(tmp_path: Path) -> None:
    """A base that no term observes may be bolted down."""
    arm = {"joint_pos", "joint_vel", "actions"}
    terms = {name: each for name, each in environment()["observations"]["actor"]["terms"].items() if name in arm}
    metadata = {"observation_names": "joint_pos,joint_vel,actions"} | {
        key: ",".join(METADATA[key].split(",")[:3]) for key in METADATA if key.startswith("observation_terms")
    }
    given: dict[str, Any] = {"edits": {TERMS: terms}, "metadata": metadata, "width": 11}
    with pytest.raises(ContractError, match=r"1 thing .*\n  base\.floating: .*give --set base\.floating=true or false"):
        made(tmp_path, **given)
    contract = made(tmp_path, **given, options={"settings": {"base.floating": False}}).contract
    assert (contract.base.floating, contract.base.height) == (False, None)


def test_env_yaml_alone_says_what_to_give(tmp_path: Path) -> None:
    """It has no order of joints: the ONNX file's, or a list of names; two networks are a question."""
    file = write_run(tmp_path / "walk")
    env = tmp_path / "walk/params/env.yaml"
    shutil.copy(file, tmp_path / "walk/other.onnx")
    with pytest.raises(ContractError, match="several networks lie in its run: .*other.onnx, .*walk.onnx. Name one"):
        imported(env)
    with pytest.raises(ContractError, match="are both networks; give one"):
        imported(file, tmp_path / "walk/other.onnx")
    file.unlink()
    (tmp_path / "walk/other.onnx").unlink()
    with pytest.raises(ContractError, match="does not list the robot's joints.*ONNX file of the run.*--names FILE"):
        imported(env)
    names = write(tmp_path / "names.yaml", {"joint_names": list(JOINTS)})
    with pytest.raises(ContractError, match="actuation.kind: env.yaml keeps no class"):
        imported(env, names=names)
    result = imported(env, names=names, actuation="implicit")
    assert result.contract.joints["hip"].stiffness == 40.17923
    assert result.contract.observation_size == WIDTH
    motor = write(tmp_path / "motor.yaml", {"motor_joint_names": list(JOINTS)})
    with pytest.raises(ContractError, match="has motor order only"):
        imported(env, names=motor)


def test_files_that_do_not_belong_are_refused_or_named(tmp_path: Path) -> None:
    """Another program's env.yaml near the file is not read, and that is said; one that is given is refused."""
    file = write_run(tmp_path / "walk")
    with pytest.raises(ContractError, match="--names .*: the metadata of .* has the joints; leave it out"):
        imported(file, names=write(tmp_path / "names.yaml", {"joint_names": list(JOINTS)}))
    other = write(tmp_path / "other.yaml", {"sim": {}, "scene": {"robot": {}}, "decimation": 4})
    with pytest.raises(ContractError, match="is no env.yaml or agent.yaml of mjlab"):
        imported(file, other)
    with pytest.raises(ContractError, match=r"are both a env\.yaml; give one"):
        imported(file, tmp_path / "walk/params/env.yaml", dump(tmp_path / "b/env.yaml", environment()))
    shutil.copy(other, tmp_path / "walk/params/env.yaml")
    with pytest.raises(ContractError, match="so that some joints are not driven"):
        imported(file, layout="mjlab_velocity")
    settings = {"decimation": 4, "action.terms.0.joints": ["hip", "knee", "finger"]}
    options: dict[str, Any] = {"robot": "toy", "timestep": 0.005, "actuation": "implicit", "settings": settings}
    notes = imported(file, layout="mjlab_velocity", **options).notes
    assert any("env.yaml lies beside walk.onnx and was not read, since it is not mjlab's" in note for note in notes)
