"""Claims about params/env.yaml of an mjlab run: exact numbers, what each term is, and metadata held against it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from policy_port.errors import ContractError
from tests.descriptors.importing import imported, linear_policy, unsourced, write
from tests.descriptors.mjlab_run import (
    JOINTS,
    METADATA,
    TERMS,
    WIDTH,
    Name,
    dump,
    environment,
    made,
    said,
    term,
    write_run,
)


def test_a_run_needs_no_flag(tmp_path: Path) -> None:
    """Scale, gains, pose, period, commands, robot and kind of actuation come from env.yaml at full precision."""
    result = made(tmp_path)
    contract = result.contract
    assert (contract.robot, contract.timestep, contract.decimation) == ("toy_two", 0.005, 4)
    assert (contract.actuation.kind, contract.base.floating, contract.base.height) == ("implicit", True, 0.8)
    assert contract.trained_in == "mjlab, MuJoCo Warp"
    hip, finger, mimic = (contract.joints[name] for name in ("hip", "finger", "mimic"))
    assert (hip.default, hip.stiffness, hip.damping) == (0.10049, 40.17923, 2.557889)
    assert (hip.armature, hip.effort_limit, finger.effort_limit) == (0.004, 88.0, None)
    assert contract.command.element("lin_vel_x").range == (-1.5, 2.0)
    assert unsourced(contract) == []
    assert not any("rounded" in note for note in result.notes)
    assert (mimic.default, mimic.stiffness) == (-0.01875, None)


def test_sensors_are_the_point_and_the_frame(tmp_path: Path) -> None:
    """base_lin_vel is a velocimeter of the robot's MJCF; mjlab's own function of that name is the link's origin."""
    terms = said(made(tmp_path))
    assert terms[0] == {"term": "base_lin_vel", "point": {"sensor": "imu_lin_vel"}}
    assert terms[1] == {"term": "base_ang_vel", "frame": {"sensor": "imu_ang_vel"}}
    named = {f"{TERMS}.base_lin_vel.params": {"sensor_name": "robot/imu_in_torso_lin_vel"}}
    assert said(made(tmp_path / "b", edits=named))[0]["point"] == {"sensor": "imu_in_torso_lin_vel"}
    edits = {
        f"{TERMS}.base_lin_vel": environment()["observations"]["actor"]["terms"]["joint_vel"]
        | {"func": Name("mjlab.envs.mdp.observations.base_lin_vel")},
        f"{TERMS}.projected_gravity.func": Name("mjlab.envs.mdp.observations.projected_gravity_from_sensor"),
        f"{TERMS}.projected_gravity.params": {"sensor_name": "robot/imu_upvector"},
    }
    terms = said(made(tmp_path / "c", edits=edits))
    assert terms[0] == {"term": "base_lin_vel", "point": "link"}
    assert terms[2] == {"term": "projected_gravity", "frame": {"sensor": "imu_upvector"}}


def test_the_encoder_bias_is_told(tmp_path: Path) -> None:
    """`biased` with the event that draws it is a note; without the event there is none to speak of."""
    assert any("encoder bias" in note and "(-0.015, 0.015)" in note for note in made(tmp_path).notes)
    assert not any("bias" in note for note in made(tmp_path / "b", edits={"events": {}}).notes)
    plain = {f"{TERMS}.joint_pos.params": {}}
    assert not any("bias" in note for note in made(tmp_path / "c", edits=plain).notes)


@pytest.mark.parametrize(
    ("edits", "metadata", "place", "entry"),
    [
        ({f"{TERMS}.joint_pos.clip": (-0.1, 0.1)}, {}, 3, {"clip": (-0.1, 0.1)}),
        ({f"{TERMS}.joint_pos.clip": (float("-inf"), float("inf"))}, {}, 3, {}),
        ({f"{TERMS}.joint_vel.scale": 0.0504}, {}, 4, {"scale": 0.0504}),
        ({f"{TERMS}.command.scale": (2.0, 2.0, 0.25)}, {}, 6, {"scale": (2.0, 2.0, 0.25)}),
        (
            {f"{TERMS}.joint_vel.scale": (1.0, 1.0, 1.0, 0.5)},
            {},
            4,
            {"scale": dict(zip(JOINTS, (1.0, 1.0, 1.0, 0.5), strict=True))},
        ),
        ({f"{TERMS}.joint_vel.scale": 1.0}, {}, 4, {}),
        ({f"{TERMS}.joint_vel.scale": 0.0004}, {}, 4, {"scale": 0.0004}),
    ],
)
def test_scale_and_clip_are_exact(
    tmp_path: Path, edits: dict[str, Any], metadata: dict[str, str], place: int, entry: dict[str, Any]
) -> None:
    """A number, or one per element; what three decimals lose is there."""
    key, value = next(iter(edits.items()))
    which = "observation_terms_clip" if key.endswith("clip") else "observation_terms_scale"
    words = METADATA[which].split(",")
    words[place] = ";".join(f"{n:.3f}" for n in (value if isinstance(value, tuple) else (value,)))
    term = said(made(tmp_path, edits=edits, metadata={which: ",".join(words)}))[place]
    assert {name: term[name] for name in ("scale", "clip") if name in term} == entry
    # The same env.yaml beside metadata that knows nothing of it is of another run.
    if entry and value != 0.0004:
        with pytest.raises(ContractError, match="which no rounding explains; is it the env.yaml of this policy"):
            made(tmp_path / "other", edits=edits)


def test_history_is_the_terms_or_the_groups(tmp_path: Path) -> None:
    """The group's length wins, 0 too; the order is term by term, oldest first."""
    stacked = {"observation_terms_history_length": ",".join(["0.000"] * 4 + ["3.000"] + ["0.000"] * 2)}
    contract = made(
        tmp_path, edits={f"{TERMS}.joint_vel.history_length": 3}, metadata=stacked, width=WIDTH + 8
    ).contract
    assert [term.history for term in contract.observation.terms] == [1, 1, 1, 1, 3, 1, 1]
    history = contract.observation.history
    assert history is not None
    assert (history.layout, history.order, history.fill) == ("term_major", "oldest_first", "first")
    grouped = {"observation_terms_history_length": ",".join(["2.000"] * 7)}
    edits = {f"{TERMS}.joint_vel.history_length": 3, "observations.actor.history_length": 2}
    contract = made(tmp_path / "b", edits=edits, metadata=grouped, width=2 * WIDTH).contract
    assert {term.history for term in contract.observation.terms} == {2}
    none = {f"{TERMS}.joint_vel.history_length": 3, "observations.actor.history_length": 0}
    assert {term.history for term in made(tmp_path / "c", edits=none).contract.observation.terms} == {1}
    rows = edits | {"observations.actor.flatten_history_dim": False}
    with pytest.raises(ContractError, match="flatten_history_dim' is false for 'base_lin_vel': .* not a flat vector"):
        made(tmp_path / "d", edits=rows, metadata=grouped, width=2 * WIDTH)


def test_the_delay_of_a_term_is_stated(tmp_path: Path) -> None:
    """mjlab's lags are control steps; what --set says of one goes before the file."""
    edits = {f"{TERMS}.joint_vel.delay_min_lag": 2, f"{TERMS}.joint_vel.delay_max_lag": 2}
    late = {term.label: term.delay for term in made(tmp_path, edits=edits).contract.observation.terms}
    assert late["joint_vel"] == 2
    assert set(late.values()) == {0, 2}
    told = made(tmp_path, edits=edits, options={"settings": {"observation.terms.joint_vel.delay": 1}})
    assert {term.label: term.delay for term in told.contract.observation.terms}["joint_vel"] == 1


def test_mjlabs_tracking_is_not_beyondmimics(tmp_path: Path) -> None:
    """The same names, but the IMU's velocity where BeyondMimic has that of the centre of mass."""
    names = "command,motion_anchor_ori_b,base_lin_vel,base_ang_vel,joint_pos,joint_vel,actions"
    metadata = METADATA | {"observation_names": names, "action_scale": "0.500", "command_names": "motion"}
    metadata |= {"joint_stiffness": "1,1,1,1", "joint_damping": "1,1,1,1"}
    file = linear_policy(tmp_path / "p.onnx", 8 + 6 + 6 + 12, 4, metadata)
    options: dict[str, Any] = {
        "robot": "toy",
        "timestep": 0.005,
        "actuation": "implicit",
        "settings": {"decimation": 4},
    }
    with pytest.raises(ContractError, match="give --layout mjlab_tracking"):
        imported(file, layout="beyondmimic", **options)
    options["settings"] |= {"motion.anchor": "pelvis", "motion.chain": []}
    assert said(imported(file, layout="mjlab_tracking", **options))[2]["point"] == {"sensor": "imu_lin_vel"}
    older = {key: value for key, value in metadata.items() if not key.startswith("observation_terms")}
    linear_policy(file, 8 + 6 + 6 + 12, 4, older)
    terms = said(imported(file, layout="beyondmimic", **options))
    assert terms[0] == {"term": "motion_command"}
    assert terms[2] == {"term": "base_lin_vel", "point": "com"}


def test_an_onnx_file_away_from_a_strange_run_is_read_by_itself(tmp_path: Path) -> None:
    """The remedy of the messages above: a copy away from the run, with --set action.terms.0.joints."""
    file = write_run(tmp_path / "walk", metadata={"action_scale": "0.373,0.373,0.439"})
    with pytest.raises(ContractError, match="import a copy of the ONNX file that lies away from it"):
        imported(file)
    (tmp_path / "away").mkdir()
    copy = shutil.copy(file, tmp_path / "away")
    settings = {"decimation": 4, "action.terms.0.joints": ["hip", "knee", "finger"]}
    options: dict[str, Any] = {"robot": "toy", "timestep": 0.005, "actuation": "implicit", "settings": settings}
    contract = imported(Path(copy), layout="mjlab_velocity", **options).contract
    assert contract.action.terms[0].scale == {"hip": 0.373, "knee": 0.373, "finger": 0.439}
    assert contract.joints["finger"].stiffness == 109.814
    assert contract.action.terms[0].joints == ("hip", "knee", "finger")


def test_terms_of_tasks_are_external_with_their_size(tmp_path: Path) -> None:
    """mjlab's own task functions have known sizes; another's size is asked for, with what the width leaves."""
    lift = "mjlab.tasks.manipulation.mdp.observations."
    extra = {
        "ee_to_cube": {"func": Name(lift + "ee_to_object_distance"), "params": {"object_name": "cube"}},
        "scan": {"func": Name("mjlab.envs.mdp.observations.height_scan"), "params": {"sensor_name": "scan"}},
    }
    terms = environment()["observations"]["actor"]["terms"] | extra
    metadata = {"observation_names": ",".join(terms)} | {
        key: ",".join([word] * 9)
        for key, word in (
            ("observation_terms_scale", "1.000"),
            ("observation_terms_clip", "-inf;inf"),
            ("observation_terms_history_length", "0.000"),
            ("observation_terms_flatten_history_dim", "1.000"),
        )
    }
    given: dict[str, Any] = {"edits": {TERMS: terms}, "metadata": metadata, "width": WIDTH + 3 + 187}
    with pytest.raises(
        ContractError, match="height_scan, which only its task knows: give its size with --size scan=187"
    ):
        made(tmp_path, **given)
    result = made(tmp_path, **given, options={"sizes": {"scan": 187}})
    assert said(result)[-2:] == [
        {"term": "external", "name": "ee_to_cube", "size": 3},
        {"term": "external", "name": "scan", "size": 187},
    ]
    with pytest.raises(ContractError, match="--size joint_pos: env.yaml has that term"):
        made(tmp_path, **given, options={"sizes": {"scan": 187, "joint_pos": 4}})
    with pytest.raises(ContractError, match=r"--size scam: env\.yaml has no term 'scam'; did you mean 'scan'"):
        made(tmp_path, **given, options={"sizes": {"scan": 187, "scam": 4}})


def test_a_function_of_the_same_name_elsewhere_is_another(tmp_path: Path) -> None:
    """my_task.observations.joint_pos_rel may compute anything."""
    edits = {f"{TERMS}.joint_pos.func": Name("my_task.observations.joint_pos_rel")}
    with pytest.raises(ContractError, match="'joint_pos' is computed by my_task.observations.joint_pos_rel"):
        made(tmp_path, edits=edits)
    assert said(made(tmp_path, edits=edits, options={"sizes": {"joint_pos": 4}}))[3]["term"] == "external"
    settings = {"observation.terms.joint_pos": {"term": "joint_pos_rel"}}
    assert said(made(tmp_path, edits=edits, options={"settings": settings}))[3] == {"term": "joint_pos_rel"}


def test_a_tracking_run_follows_its_motion(tmp_path: Path) -> None:
    """The command is positions and velocities of the clip; the anchor and the links are the command's."""
    edits: dict[str, Any] = {
        "commands": {"twist": {"motion_file": "walk.npz", "body_names": ("a", "b"), "anchor_body_name": "b"}}
    }
    result = made(tmp_path, edits=edits, width=WIDTH - 3 + 8)
    assert said(result)[6] == {"term": "motion_command"}
    motion = result.contract.motion
    assert motion is not None
    assert (motion.anchor, motion.align, motion.files.links) == (None, "yaw", ("a", "b"))
    function = f"{TERMS}.command.func"
    for kind, size in (("motion_anchor_ori_b", 6), ("motion_anchor_pos_b", 3)):
        edits[function] = Name(f"mjlab.tasks.tracking.mdp.observations.{kind}")
        with pytest.raises(ContractError, match=r"motion.chain: the joints between base and 'b' stand in a robot file"):
            made(tmp_path / kind, edits=edits, width=WIDTH - 3 + size)
        result = made(tmp_path / kind, edits=edits, width=WIDTH - 3 + size, options={"settings": {"motion.chain": []}})
        assert said(result)[6] == {"term": kind}
        assert result.contract.motion is not None
        # A position is compared with where the robot began, as HybridRobotics' controller does.
        assert result.contract.motion.align == ("yaw" if size == 6 else "yaw_and_position")
    edits[function] = Name("mjlab.tasks.tracking.mdp.observations.robot_body_ori_b")
    assert said(made(tmp_path / "b", edits=edits, width=WIDTH - 3 + 12))[6]["size"] == 12


def test_the_actors_groups_are_the_agents(tmp_path: Path) -> None:
    """The actor may read several groups, or another one; the metadata is of one. A clip of actions is the wrapper's."""
    more: dict[str, Any] = {"observations.goal": {"terms": {"actions": term("last_action", scale=0.5)}}}
    for names, first in ((("goal", "actor"), 0), (("actor", "goal"), 7)):
        agent = {"obs_groups": {"actor": names}}
        terms = said(made(tmp_path, edits=more, agent=agent, width=WIDTH + 3))
        assert terms[first]["scale"] == 0.5
        assert len(terms) == 8
    with pytest.raises(ContractError, match="'height' is computed by mjlab.*--size height=20"):
        made(tmp_path, agent={"obs_groups": {"actor": ("critic",)}}, width=20)
    fewer = {"observations.actor.terms.command": ...}
    with pytest.raises(ContractError, match="observations.actor has the terms base_lin_vel.*but the metadata of"):
        made(tmp_path, edits=fewer)
    with pytest.raises(ContractError, match="its commands are twist, but the metadata of .* has motion"):
        made(tmp_path, metadata={"command_names": "motion"})
    assert made(tmp_path, agent={"clip_actions": 5.0}).contract.action.raw_clip == (-5.0, 5.0)
    run = write_run(tmp_path / "walk")
    (tmp_path / "walk/params/agent.yaml").unlink()
    assert any("agent.yaml is not there" in note for note in imported(run).notes)


def test_a_keyframes_pose_is_the_metadatas(tmp_path: Path) -> None:
    """`joint_pos: null` leaves the pose to the robot's file: three decimals, and a note."""
    result = made(tmp_path, edits={"scene.entities.robot.init_state.joint_pos": None})
    assert result.contract.joints["finger"].default == 0.019
    assert any("default_joint_pos" in note and "rounded" in note for note in result.notes)
    precise = write(
        tmp_path / "p.yaml", {"default_joint_pos": {"hip": 0.1, "knee": -0.2, "finger": 0.01875, "mimic": -0.01875}}
    )
    result = made(tmp_path, edits={"scene.entities.robot.init_state.joint_pos": None}, options={"precise": precise})
    assert result.contract.joints["finger"].default == 0.01875
    assert result.contract.sources["joints.*.default"] == "p.yaml: default_joint_pos"
    with pytest.raises(ContractError, match="which .* has at full precision; leave it out of --precise"):
        made(tmp_path, options={"precise": precise})


def test_older_runs_are_read(tmp_path: Path) -> None:
    """Before 1.0: group 'policy' with its terms in it, other keys for joints and entity, gains in actuator order."""
    data = environment()
    group = data["observations"].pop("actor")
    data["observations"] = {"policy": group.pop("terms") | group}
    for each in data["scene"]["entities"]["robot"]["articulation"]["actuators"]:
        each["joint_names_expr"] = each.pop("target_names_expr")
        del each["transmission_type"]
    action = data["actions"]["joint_pos"]
    action["asset_name"] = action.pop("entity_name")
    action["class_type"] = Name("mjlab.envs.mdp.actions.joint_actions.JointPositionAction")
    later = [key for key in METADATA if key.startswith("observation_terms")]
    metadata = {key: value for key, value in METADATA.items() if key not in later}
    metadata |= {"joint_stiffness": "109.814,40.179,40.179", "joint_damping": "69.910,2.558,2.558"}
    dump(tmp_path / "walk/params/env.yaml", data)
    file = linear_policy(tmp_path / "walk/walk.onnx", WIDTH, 3, metadata)
    contract = imported(file, actuation="implicit").contract
    assert contract.joints["finger"].stiffness == 109.81411
    assert contract.observation_size == WIDTH
    metadata["joint_stiffness"] = "109.814,40.179,45.000"
    with pytest.raises(ContractError, match="of one joint is 40.1792, but the metadata"):
        imported(linear_policy(file, WIDTH, 3, metadata), actuation="implicit")


def test_the_run_is_found_from_either_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ONNX file, its folder, env.yaml of it, both, a subfolder, or all in one folder: the same contract."""
    file = write_run(tmp_path / "walk")
    expected = imported(file).contract
    env, agent = tmp_path / "walk/params/env.yaml", tmp_path / "walk/params/agent.yaml"
    (tmp_path / "walk/exported").mkdir()
    below = Path(shutil.copy(file, tmp_path / "walk/exported/policy.onnx"))
    for given in ([file, env], [env, file], [file, env, agent], [env], [env, agent], [tmp_path / "walk"]):
        result = imported(*given)
        assert result.contract == expected
        assert {path.name for path in result.files} == {"walk.onnx", "env.yaml", "agent.yaml"}
    assert imported(below).contract.action == expected.action
    for where, name in (("walk", "walk.onnx"), ("walk/params", "env.yaml"), ("walk", "params/env.yaml")):
        monkeypatch.chdir(tmp_path / where)
        assert imported(Path(name)).contract == expected
    monkeypatch.chdir(tmp_path / "walk/exported")
    assert len(imported(Path("policy.onnx")).files) == 3
    monkeypatch.chdir(tmp_path)
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in (file, env, agent):
        shutil.copy(path, flat)
    assert imported(flat / "walk.onnx").contract == imported(flat / "env.yaml").contract == expected


def test_a_layout_is_not_needed_beside_env_yaml(tmp_path: Path) -> None:
    """Flags of a command line from before stay harmless, and say so."""
    options = {"layout": "mjlab_velocity", "robot": "g1", "timestep": 0.005, "settings": {"decimation": 4}}
    result = made(tmp_path, options=options | {"quaternion_order": "wxyz", "actuation": "implicit"})
    assert any("--layout mjlab_velocity was not needed" in note for note in result.notes)
    assert result.contract.robot == "g1"


@pytest.mark.shared
def test_the_go1_of_mjlab_is_exact(shared: Path, tmp_path: Path) -> None:
    """env.yaml of mjlab's own Go1 task beside its exporter's file: 0.3727530387083568, not 0.373."""
    peers = shared / "failing_inputs/peers"
    (tmp_path / "params").mkdir()
    for name in ("env.yaml", "agent.yaml"):
        shutil.copy(peers / "mjlab_env_yaml" / name, tmp_path / "params")
    file = Path(shutil.copy(peers / "mjlab_terms_clip/d_Go1.onnx", tmp_path))
    # The two are of different runs: one has a clip, a scale and a history.
    with pytest.raises(ContractError, match="has for 'base_ang_vel' a history of 3, not 1"):
        imported(file)
    text = (tmp_path / "params/env.yaml").read_text(encoding="utf-8")
    for name, old, new in (
        ("joint_pos:", "clip: null", "clip: !!python/tuple [-0.1, 0.1]"),
        ("joint_vel:", "scale: null", "scale: 0.05"),
        ("base_ang_vel:", "history_length: 0", "history_length: 3"),
    ):
        head, found, tail = text.partition(f"      {name}\n        func:")
        text = head + found + tail.replace(old, new, 1)
    write(tmp_path / "params/env.yaml", text)
    contract = imported(file).contract
    scale = contract.action.terms[0].scale
    assert isinstance(scale, dict)
    assert (scale["FR_hip_joint"], scale["RL_calf_joint"]) == (0.3727530387083568, 0.24850202580557115)
    assert contract.joints["FR_calf_joint"].stiffness == 35.76429596977857
    assert contract.joints["FR_calf_joint"].effort_limit == 35.55
    assert (contract.robot, contract.timestep, contract.decimation) == ("unitree_go1", 0.005, 4)
    assert contract.observation_size == 54


@pytest.mark.shared
def test_the_g1_of_mjlab_reads_its_imu(shared: Path) -> None:
    """The layouts of mjlab's tasks have a sensor for a point, BeyondMimic's the centre of mass; the two differ."""
    file = shared / "failing_inputs/peers/mjlab_base_lin_vel_is_imu/v_G1.onnx"
    options: dict[str, Any] = {"robot": "g1", "timestep": 0.005, "actuation": "implicit"}
    settings = {"decimation": 4}
    terms = imported(file, layout="mjlab_velocity", settings=settings, **options).contract.observation.terms
    assert terms[0].model_dump(exclude_none=True)["point"] == {"sensor": "imu_lin_vel"}
    with pytest.raises(ContractError, match="is mjlab's, not BeyondMimic's.*give --layout mjlab_tracking"):
        imported(file, layout="beyondmimic", settings=settings, **options)
