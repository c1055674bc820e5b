"""Claims about a run whose IO descriptors are not there: env.yaml and the joints' order make the same contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from policy_port.contract import Contract
from policy_port.contract.diff import differences
from policy_port.contract.layout import observation_slots
from policy_port.descriptors.registry import Imported
from policy_port.errors import ContractError
from tests.descriptors.importing import imported, linear_policy, unsourced, write
from tests.descriptors.test_isaac_lab import DEFAULT, JOINTS, action, descriptor, joint_term, term
from tests.descriptors.test_isaac_lab_params import actuator, written
from tests.descriptors.test_isaac_lab_robot import run

POSITION = {
    "class_type": "isaaclab.envs.mdp.actions.joint_actions:JointPositionAction",
    "asset_name": "robot",
    "joint_names": [".*"],
    "scale": 0.5,
    "offset": 0.0,
    "preserve_order": False,
    "use_default_offset": True,
    "clip": None,
}
STATE = {
    "pos": [0.0, 0.0, 0.4],
    "rot": [0.0, 0.0, 0.0, 1.0],
    "joint_pos": {"L_hip": 0.1, "R_hip": -0.1, "L_knee": 0.4, "R_knee": -0.4},
    "joint_vel": {".*": 0.0},
}
TERMS = {
    "lin_vel": written("base_lin_vel", scale=2.0, clip=[-5.0, 5.0]),
    "ang_vel": written("base_ang_vel", scale=0.25),
    "command": written("generated_commands", params={"command_name": "base_velocity"}),
    "joint_pos": written("joint_pos_rel", params={"asset_cfg": {"name": "robot", "joint_names": ["L_.*"]}}),
    "joint_vel": written("joint_vel_rel", scale=[0.05, 0.05, 0.1, 0.1]),
    "actions": written("last_action"),
    "gone": None,
}
COMMANDS = {"base_velocity": {"class_type": "m:UniformVelocityCommand", "ranges": {"lin_vel_x": [-1.0, 1.0]}}}


def whole(terms: dict[str, Any] | None = None, robot: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """An env.yaml that says all but the joints' order."""
    gains = actuator("DCMotor", stiffness=25.0, damping=0.5, armature=0.01, actuator_effort_limit=20.0)
    parts = {
        "observations": {"policy": TERMS if terms is None else terms},
        "commands": COMMANDS,
        "actions": {"joint_pos": POSITION},
    }
    return run({"init_state": STATE, "actuators": {"legs": gains}} | (robot or {}), **(parts | more))


def names(path: Path, order: list[str] | None = None, key: str = "joint_names") -> Path:
    return write(path / "names.yaml", {key: order or JOINTS})


def alone(path: Path, env: dict[str, Any] | None = None, **options: Any) -> Imported:
    file = write(path / "params/env.yaml", yaml.safe_dump(env or whole(), sort_keys=False))
    listed = options.pop("names") if "names" in options else names(path)
    return imported(file, **({"robot": "toy", "names": listed} | options))


def stated(term: Any) -> dict[str, Any]:
    return term.model_dump(exclude_defaults=True)


MOTION = {"motion": {"class_type": "w:MotionCommand", "motion_file": "d.npz", "anchor_body_name": "torso",
                     "body_names": ["pelvis", "torso"]}}  # fmt: skip


def tracking(function: str, module: str = "whole_body_tracking.tasks.tracking.mdp.observations", **more: Any) -> Any:
    return {"func": f"{module}:{function}", "params": {"command_name": "motion"}} | more


def test_whole_body_trackings_terms_are_the_motions(tmp_path: Path) -> None:
    """With IO descriptors, which lack them, and without: the clip and the anchor, and how the two are aligned."""
    terms = {
        "command": written("generated_commands", params={"command_name": "motion"}, scale=0.5),
        "motion_anchor_pos_b": tracking("motion_anchor_pos_b"),
        "motion_anchor_ori_b": tracking("motion_anchor_ori_b", clip=[-1.0, 1.0], history_length=2),
        "actions": written("last_action"),
    }
    env = whole(terms, commands=MOTION)
    settings = {"motion.chain": [], "motion.anchor": "torso"}
    made = alone(tmp_path, env, settings=settings).contract
    history = made.observation.history
    assert [stated(each) for each in made.observation.terms] == [
        {"term": "motion_command", "scale": 0.5},
        {"term": "motion_anchor_pos_b"},
        {"term": "motion_anchor_ori_b", "clip": (-1.0, 1.0), "history": 2},
        {"term": "last_action"},
    ]
    assert made.motion is not None
    assert history is not None
    assert (made.motion.align, made.motion.anchor, made.motion.files.quaternion_order) == (
        "yaw_and_position", "torso", "wxyz")  # fmt: skip
    file = write(tmp_path / "io/params/IO_descriptors.yaml", yaml.safe_dump(descriptor([
        term("generated_commands", shape=[2 * len(JOINTS)], overloads={"scale": 0.5}), term("last_action", shape=[4]),
    ])))  # fmt: skip
    beside = write(tmp_path / "io/params/env.yaml", yaml.safe_dump(env, sort_keys=False))
    again = imported(file, beside, robot="toy", settings=settings).contract
    assert again.observation == made.observation
    assert again.motion == made.motion
    terms["motion_anchor_pos_b"] = tracking("motion_anchor_pos_b", "mine.observations")
    with pytest.raises(ContractError, match="--size motion_anchor_pos_b=N"):
        alone(tmp_path / "mine", whole(terms, commands=MOTION), settings=settings)


def test_env_yaml_and_names_make_the_descriptors_contract(tmp_path: Path) -> None:
    """Terms, scales, selections, offsets, gains and rates are those of the IO descriptors of the same run."""
    made = alone(tmp_path).contract
    described = [
        term("base_lin_vel", overloads={"scale": 2.0, "clip": [-5.0, 5.0]}),
        term("base_ang_vel", overloads={"scale": 0.25}),
        term("generated_commands"),
        joint_term("joint_pos_rel", joint_names=["L_hip", "L_knee"], shape=[2], joint_pos_offsets=DEFAULT[::2]),
        joint_term("joint_vel_rel", joint_vel_offsets=[0.0] * 4, overloads={"scale": [0.05, 0.05, 0.1, 0.1]}),
        term("last_action", 4),
    ]
    file = write(tmp_path / "io_descriptors/IO_descriptors.yaml", descriptor(described))
    other = imported(file, robot="toy").contract
    left = [line for line in differences(made, other) if ".lower" not in line and ".upper" not in line]
    assert [line for line in left if ".default" not in line] == []
    assert all(abs(made.joints[name].default - value) < 1e-7 for name, value in zip(JOINTS, DEFAULT, strict=True))
    assert stated(made.observation.terms[0])["point"] == "com"


def test_each_number_says_where_it_stands(tmp_path: Path) -> None:
    """No source names a file that is not there."""
    made = alone(tmp_path).contract
    assert unsourced(made) == []
    assert made.sources["joints"] == f"--names {tmp_path / 'names.yaml'}"
    assert made.sources["joints.*.default"] == "env.yaml: scene.robot.init_state.joint_pos"
    assert made.sources["timestep"] == "env.yaml: sim.dt"
    assert not any("articulations" in text for text in made.sources.values())


def test_without_the_order_one_sentence_says_what_to_give(tmp_path: Path) -> None:
    """The order is in no env.yaml; the descriptor has it, or the user."""
    with pytest.raises(ContractError) as caught:
        alone(tmp_path, names=None)
    assert "describes the run but not the order of its joints. Give IO_descriptors.yaml of the run" in str(caught.value)
    assert "or the names as the run's robot.joint_names lists them with --names FILE" in str(caught.value)
    listed = alone(tmp_path, whole(robot={"joint_ordering": JOINTS[::-1]}), names=None)
    assert list(listed.contract.joints) == JOINTS[::-1]
    assert listed.contract.sources["joints"].startswith("env.yaml: scene.robot.joint_ordering")
    assert alone(tmp_path).contract.joint_names == tuple(JOINTS)
    with pytest.raises(ContractError, match="has the joints in motor order; Isaac Lab's are in the policy's order"):
        alone(tmp_path, names=names(tmp_path, key="motor_joint_names"))
    with pytest.raises(ContractError, match="joint_ordering' is another order than"):
        alone(tmp_path, whole(robot={"joint_ordering": JOINTS[::-1]}))


def test_the_user_is_told_that_nothing_confirms_the_order(tmp_path: Path) -> None:
    """Another order of the same names has the right width, so the note says what it is that was taken."""
    made = alone(tmp_path, names=names(tmp_path, JOINTS[::-1]))
    assert list(made.contract.joints) == JOINTS[::-1]
    assert any("env.yaml does not confirm it" in note and "moves the wrong joints" in note for note in made.notes)


def test_names_of_another_robot_are_refused(tmp_path: Path) -> None:
    """The configuration's patterns lead to no joint of another robot."""
    with pytest.raises(
        ContractError, match=r"joint_pos\.L_hip' is none of the joints a, b; is the file of another run"
    ):
        alone(tmp_path, names=names(tmp_path, ["a", "b"]))


def test_a_descriptor_beside_needs_no_names(tmp_path: Path) -> None:
    """Names for a file that has its own would be a second order."""
    file = write(tmp_path / "io_descriptors/IO_descriptors.yaml", descriptor([term("base_ang_vel")]))
    with pytest.raises(ContractError, match=r"--names: .*IO_descriptors\.yaml has the joint names; leave"):
        imported(file, robot="toy", actuation="implicit", names=names(tmp_path))
    assert imported(file, robot="toy", actuation="implicit").contract.joint_names == tuple(JOINTS)


def test_a_run_folder_is_told_by_its_env_yaml(tmp_path: Path) -> None:
    """The folder of a run of Isaac Lab without descriptors is read like its env.yaml, agent.yaml with it."""
    alone(tmp_path)
    write(tmp_path / "params/agent.yaml", {"algorithm": {}, "clip_actions": 3.0})
    made = imported(tmp_path, robot="toy", names=names(tmp_path)).contract
    assert made.action.raw_clip == (-3.0, 3.0)


def test_terms_without_a_size_are_asked_for(tmp_path: Path) -> None:
    """A function of the task's own has a width that only the function knows; a height scan's is its sensor's."""
    terms = {"a": written("base_ang_vel"), "mine": {"func": "task.mdp:gait", "params": {}}}
    policy = linear_policy(tmp_path / "policy.onnx", 10, 4)
    with pytest.raises(ContractError) as caught:
        alone(tmp_path, whole(terms), policy=policy)
    assert "env.yaml has mine without a size, which only their functions know" in str(caught.value)
    assert "The network reads 10 numbers and 3 are described: 7 are missing; give --size mine=N" in str(caught.value)
    assert alone(tmp_path, whole(terms), policy=policy, sizes={"mine": 7}).contract.observation_size == 10


def test_a_term_of_another_asset_is_none_of_the_robots(tmp_path: Path) -> None:
    """The same function over a drawer's joints has a width of its own, and does not take the robot's place."""
    drawer = written("joint_pos_rel", params={"asset_cfg": {"name": "cabinet", "joint_names": ["drawer"]}})
    terms = {"drawer": drawer, "robot": written("joint_pos_rel"), "base": written("base_ang_vel")}
    with pytest.raises(ContractError, match="give --size drawer=N"):
        alone(tmp_path, whole(terms))
    made = alone(tmp_path, whole(terms), sizes={"drawer": 1}).contract
    assert [made.term_size(term) for term in made.observation.terms] == [1, 4, 3]
    assert [term.label for term in made.observation.terms] == ["drawer", "joint_pos_rel", "base_ang_vel"]


def history(path: Path, group: dict[str, Any], **first: Any) -> Contract:
    terms = group | {"a": written("base_ang_vel", **first), "b": written("projected_gravity", history_length=2)}
    return alone(path, whole(terms)).contract


def test_histories_follow_the_groups_rule(tmp_path: Path) -> None:
    """The group's length overrules the terms'; time order holds only where the group states a length."""
    made = history(tmp_path, {"history_length": 3, "history_order": "time"})
    assert [term.history for term in made.observation.terms] == [3, 3]
    assert made.observation.history is not None
    assert made.observation.history.layout == "time_major"
    made = history(tmp_path, {"history_length": None, "history_order": "time"}, history_length=4)
    assert [term.history for term in made.observation.terms] == [4, 2]
    assert made.observation.history is not None
    assert made.observation.history.layout == "term_major"
    made = history(tmp_path, {"history_length": 0, "history_order": "term"})
    assert made.observation.history is None
    with pytest.raises(ContractError, match="flatten_history_dim' is false"):
        history(tmp_path, {"history_length": 3, "flatten_history_dim": False})
    with pytest.raises(ContractError, match="flatten_history_dim' is false"):
        history(tmp_path, {}, history_length=3, flatten_history_dim=False)


def test_two_groups_by_time_are_not_one(tmp_path: Path) -> None:
    """Each group has all its steps before the next begins: as one vector by time their numbers would be mixed up."""
    write(tmp_path / "params/agent.yaml", {"algorithm": {}, "obs_groups": {"actor": ["policy", "extra"]}})
    stacked = {"history_length": 2, "history_order": "time"}
    groups = {
        "policy": stacked | {"a": written("base_ang_vel")},
        "extra": stacked | {"b": written("projected_gravity")},
    }
    made = alone(tmp_path, whole(observations=groups)).contract
    assert {name: (group.ages, group.layout) for name, group in made.observation.groups.items()} == {
        "policy_2": ((1, 0), "time_major"),
        "extra_2": ((1, 0), "time_major"),
    }
    assert [str(slot) for slot in observation_slots(made)][3::3] == [
        "base_ang_vel[x]",
        "projected_gravity[x]@-1",
        "projected_gravity[x]",
    ]
    groups = {name: group | {"history_order": "term"} for name, group in groups.items()}
    assert alone(tmp_path, whole(observations=groups)).contract.observation_size == 12


def test_modifiers_and_delays_that_are_none_are_refused_by_name(tmp_path: Path) -> None:
    """They would be lost without a word otherwise; with the whole term stated the import goes on."""
    for late, words in (
        ({"delay_min_lag": 3, "delay_max_lag": 2}, "delay_max_lag' makes a delay of 3 to 2 steps"),
        ({"modifiers": [{}]}, "modifiers' change"),
    ):
        terms = {"a": written("base_ang_vel", **late)}
        with pytest.raises(ContractError, match=words):
            alone(tmp_path, whole(terms))
        told = {"observation.terms.a": {"term": "base_ang_vel"}}
        assert alone(tmp_path, whole(terms), settings=told).contract.observation_size == 3


def test_delays_of_terms_are_stated(tmp_path: Path) -> None:
    """A delay that is drawn is stated by its middle, with a note that names the range and how to state another."""
    terms = {"a": written("base_ang_vel", delay_min_lag=2, delay_max_lag=2), "b": written("base_lin_vel")}
    made = alone(tmp_path, whole(terms))
    assert [term.delay for term in made.contract.observation.terms] == [2, 0]
    terms["a"] = written("base_ang_vel", delay_max_lag=3)
    made = alone(tmp_path, whole(terms))
    assert made.contract.observation.terms[0].delay == 1
    assert any("'a' is 0 to 3 control steps late" in note for note in made.notes)
    settings = {"observation.terms.a.delay": 0}
    assert alone(tmp_path, whole(terms), settings=settings).contract.observation.terms[0].delay == 0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"scale": {".*_hip": 0.25}}, {"scale": dict(zip(JOINTS, [0.25, 0.25, 1.0, 1.0], strict=True))}),
        ({"joint_names": ["R_.*", "L_hip"], "preserve_order": True}, {"joints": ("R_hip", "R_knee", "L_hip")}),
        ({"joint_names": ["R_.*", "L_hip"]}, {"joints": ("L_hip", "R_hip", "R_knee")}),
        (
            {"use_default_offset": False, "offset": {"L_hip": 0.3}},
            {"offset": dict.fromkeys(JOINTS, 0.0) | {"L_hip": 0.3}},
        ),
        ({"clip": {".*": [-1.0, 1.0]}}, {"clip": (-1.0, 1.0)}),
        (
            {"clip": {".*_hip": [-1.0, 1.0], ".*_knee": [0.0, 2.0]}},
            {"clip": {"L_hip": (-1.0, 1.0), "R_knee": (0.0, 2.0)}},
        ),
        ({"class_type": "m:RelativeJointPositionAction"}, {"term": "joint_position_delta", "offset": 0.0}),
    ],
)
def test_actions_are_resolved_as_isaac_lab_does(
    tmp_path: Path, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Patterns, order, defaults and relative targets make the numbers of the descriptor."""
    made = alone(tmp_path, whole({"a": written("base_ang_vel")}, actions={"joint_pos": POSITION | changes}))
    found = made.contract.action.terms[0].model_dump()
    for key, value in expected.items():
        if key == "clip" and isinstance(value, dict):
            assert {name: found[key][name] for name in value} == value
        else:
            assert found[key] == value


REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        whole(actions={"joint_pos": POSITION | {"class_type": "m:BinaryJointPositionAction"}}),
        "is m.BinaryJointPositionAction|BinaryJoint",
    ),
    (whole(actions={"joint_pos": POSITION | {"clip": {"L_hip": [-1.0, 1.0]}}}), "leaves 'R_hip' free"),
    (whole(actions={"joint_pos": POSITION | {"asset_name": "cart"}}), "asset_name' is 'cart', not the articulation"),
    (whole(scene={"ground": {}}), "no articulation with actuators"),
    (whole(scene={"a": {"actuators": {}}, "b": {"actuators": {}}}), "has a, b; choose the robot with --articulation"),
    (whole(observations=None), r"direct workflow\), which no file describes"),
]


@pytest.mark.parametrize(("env", "message"), REFUSED)
def test_what_can_not_be_worked_out_is_refused(tmp_path: Path, env: dict[str, Any], message: str) -> None:
    """Each with what there is instead."""
    with pytest.raises(ContractError, match=message):
        alone(tmp_path, env)


def test_one_of_several_articulations_is_chosen(tmp_path: Path) -> None:
    """--articulation picks it by name, and a name that is not there is answered with those that are."""
    scene = whole()["scene"]
    terms = {"a": written("base_ang_vel", params={"asset_cfg": {"name": "a"}})}
    two = whole(
        terms, scene={"a": scene["robot"], "b": {"actuators": {}}}, actions={"x": POSITION | {"asset_name": "a"}}
    )
    assert alone(tmp_path, two, articulation="a").contract.joint_names == tuple(JOINTS)
    with pytest.raises(ContractError, match=r"--articulation c: not in .* There are: a, b"):
        alone(tmp_path, two, articulation="c")


def test_the_functions_of_1_are_known_by_their_old_name(tmp_path: Path) -> None:
    """Isaac Lab 1.x had no descriptors, and other module names."""
    old = {"func": "omni.isaac.lab.envs.mdp.observations:base_ang_vel", "params": {}}
    made = alone(tmp_path, whole({"a": old})).contract
    assert [stated(term) for term in made.observation.terms] == [{"term": "base_ang_vel"}]


def test_a_scale_by_joint_that_the_exporter_can_not_write_is_env_yamls(tmp_path: Path) -> None:
    """The exporter hands a tensor to YAML; env.yaml beside it has the numbers, and other numbers are another run's."""
    env = whole({"a": written("base_ang_vel")}, actions={"joint_pos": POSITION | {"scale": {".*_hip": 0.25}}})
    write(tmp_path / "params/env.yaml", env)
    data = yaml.safe_dump(descriptor([term("base_ang_vel")], actions=[action(scale="TENSOR")]))
    tensor = data.replace("TENSOR", "!!python/object/apply:torch._utils._rebuild_tensor_v2 [1]")
    made = imported(write(tmp_path / "io_descriptors/IO_descriptors.yaml", tensor), robot="toy").contract
    assert made.action.terms[0].scale == {"L_hip": 0.25, "R_hip": 0.25, "L_knee": 1.0, "R_knee": 1.0}
    plain = write(tmp_path / "io_descriptors/IO_descriptors.yaml", descriptor([term("base_ang_vel")]))
    with pytest.raises(ContractError, match=r"scale' is 0.25 for 'L_hip', but the descriptor has 0.5; .* runs"):
        imported(plain, robot="toy")


@pytest.mark.shared
@pytest.mark.parametrize("robot", ["g1", "h1", "go2", "anymal"])
def test_runs_of_3_without_their_descriptors(shared: Path, tmp_path: Path, robot: str) -> None:
    """Isaac Lab 3.0.0's own runs: env.yaml and the names alone differ in limits and what the robot's file holds."""
    folder = shared / f"failing_inputs/peers/isaaclab3_env_yaml/{robot}"
    full = imported(folder / "io_descriptors/IO_descriptors.yaml", robot=robot).contract
    listed = names(tmp_path, list(full.joint_names))
    made = imported(folder / "params/env.yaml", robot=robot, names=listed).contract
    assert made.model_dump(exclude={"joints", "sources"}) == full.model_dump(exclude={"joints", "sources"})
    for name, joint in made.joints.items():
        other = full.joints[name]
        assert joint.default == pytest.approx(other.default, rel=1e-6)
        assert (joint.stiffness, joint.damping, joint.effort_limit) == (
            other.stiffness,
            other.damping,
            other.effort_limit,
        )
        assert joint.armature in (None, pytest.approx(other.armature, rel=1e-6))


def test_wheels_have_an_action_of_their_own(tmp_path: Path) -> None:
    """A velocity action adds the default joint velocity, an effort action nothing but its own offset."""
    legs = POSITION | {"joint_names": [".*_hip"]}
    wheels = POSITION | {"class_type": "isaaclab.envs.mdp.actions.joint_actions:JointVelocityAction", "scale": 5.0}
    motor = {key: value for key, value in wheels.items() if key != "use_default_offset"}
    motor |= {"class_type": "m:JointEffortAction", "joint_names": ["R_knee"], "scale": 3.0}
    gains = {
        "legs": actuator(
            "ImplicitActuator", joint_names_expr=[".*_hip"], stiffness=25.0, damping=0.5, effort_limit_sim=20.0
        ),
        "wheels": actuator(
            "ImplicitActuator", joint_names_expr=[".*_knee"], stiffness=0.0, damping=0.5, effort_limit_sim=20.0
        ),
    }
    state = STATE | {"joint_vel": {"L_knee": 1.5}}
    actions = {"legs": legs, "wheels": wheels | {"joint_names": ["L_knee"]}, "motor": motor}
    env = whole(robot={"init_state": state, "actuators": gains}, actions=actions)
    made = alone(tmp_path, env).contract
    assert [stated(term) for term in made.action.terms[1:]] == [
        {"term": "joint_velocity", "joints": ("L_knee",), "scale": 5.0, "offset": 1.5},
        {"term": "joint_effort", "joints": ("R_knee",), "scale": 3.0},
    ]
    assert made.joints["L_knee"].stiffness == 0.0
