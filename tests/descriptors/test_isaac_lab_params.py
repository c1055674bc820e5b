"""Claims about the parameters of Isaac Lab's terms and actuators: read, noted or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from policy_port.contract import Contract
from policy_port.descriptors.registry import Imported
from policy_port.errors import ContractError
from tests.descriptors.importing import COMPLETE, imported, write
from tests.descriptors.test_isaac_lab import descriptor, joint_term, term

LEFT = ["L_knee", "L_hip"]


def env(terms: dict[str, Any], actuators: dict[str, Any] | None = None, **group: Any) -> str:
    data = {
        "sim": {"dt": 0.005},
        "decimation": 4,
        "scene": {"robot": {"spawn": {"articulation_props": {}}, "actuators": actuators or {"legs": actuator()}}},
        "observations": {"policy": group | terms},
        "actions": {"joint_pos": {"class_type": "x"}, "other": None},
        "commands": {"base_velocity": {"class_type": "m:UniformVelocityCommand", "ranges": {}}},
    }
    return yaml.safe_dump(data, sort_keys=False)


def actuator(kind: str = "ImplicitActuator", **more: Any) -> dict[str, Any]:
    return {"class_type": f"isaaclab.actuators:{kind}", "joint_names_expr": [".*"], "stiffness": 25.0} | more


def written(function: str, **more: Any) -> dict[str, Any]:
    """A term as env.yaml has it."""
    return {"func": f"isaaclab.envs.mdp.observations:{function}", "params": {}} | more


def read(path: Path, terms: list[dict[str, Any]], run: str | None = None, **options: Any) -> Imported:
    file = write(path / "io/IO_descriptors.yaml", descriptor(terms, **options.pop("changes", {})))
    if run is not None:
        write(path / "io/env.yaml", run)
    given = COMPLETE | {"timestep": None, "actuation": None if run is not None else "implicit"}
    settings = {"base.floating": True} | options.pop("settings", {})
    return imported(file, settings=settings, **(given | options))


def only(path: Path, described: dict[str, Any], in_env: dict[str, Any], **options: Any) -> Contract:
    return read(path, [described], env({"it": in_env}), **options).contract


def test_the_joints_of_a_term_are_those_that_both_files_name(tmp_path: Path) -> None:
    """IO descriptors list them, env.yaml selects them by pattern or index; two files that differ are two runs."""
    described = joint_term("joint_vel", joint_names=LEFT, shape=[2])
    for asset in (
        {"name": "robot", "joint_names": LEFT, "preserve_order": True},
        {"joint_ids": [2, 0]},
        {"joint_names": LEFT, "joint_ids": [2, 0], "preserve_order": True},
    ):
        made = only(tmp_path, described, written("joint_vel", params={"asset_cfg": asset}))
        assert made.observation.terms[0].joints == tuple(LEFT)  # type: ignore[union-attr]
    with pytest.raises(ContractError, match="joint_names' is L_knee, L_hip, but env.yaml selects L_hip, L_knee"):
        only(tmp_path, described, written("joint_vel", params={"asset_cfg": {"joint_names": ["L_.*"]}}))
    with pytest.raises(ContractError, match="but env.yaml selects L_hip, R_hip, L_knee, R_knee for this term"):
        only(tmp_path, described, written("joint_vel"))


def test_a_joint_term_without_names_is_told_by_env_yaml_or_its_size(tmp_path: Path) -> None:
    """Two numbers of four joints are nobody's, until env.yaml selects them."""
    described = term("joint_vel", 2)
    with pytest.raises(ContractError, match="shape' is 2, but nothing says which of 4 joints these are"):
        read(tmp_path, [described])
    made = only(tmp_path, described, written("joint_vel", params={"asset_cfg": {"joint_names": ["L_.*"]}}))
    assert made.observation.terms[0].joints == ("L_hip", "L_knee")  # type: ignore[union-attr]


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (term("projected_gravity", body_names=["head"]), {}, "body_names' picks bodies"),
    (term("base_ang_vel"), {"params": {"asset_cfg": {"name": "cart"}}}, "is 'cart', not 'robot'"),
    (term("projected_gravity"), {"params": {"asset_cfg": {"body_names": ["head"]}}}, "which a contract's projected_gr"),
    (term("projected_gravity"), {"params": {"asset_cfg": {"body_ids": [4]}}}, "which a contract's projected_gravity"),
    (term("base_lin_vel"), {"params": {"sensor_cfg": {"name": "imu"}}}, r"env\.yaml: key .*it\.params\.sensor_cfg'"),
    (term("base_lin_vel"), {"modifiers": [{"func": "m:DigitalFilter"}]}, "modifiers' change the value before"),
    (term("base_lin_vel"), {"delay_min_lag": -1}, "delay_min_lag' makes a delay of -1 to 0 steps, which is none"),
    (
        term("base_lin_vel", overloads={"delay_min_lag": 1}),
        {},
        "overloads.delay_max_lag' makes a delay of 1 to 0",
    ),
    (term("base_lin_vel", overloads={"offset": 1.0}), {}, "overloads.offset' is '1.0', which this program does not"),
    (term("base_lin_vel", bias=[0.1]), {}, "bias' is a list of 1, which this program does not know"),
    (term("base_lin_vel"), {"bias": 0.1}, "it.bias' is '0.1', which this program does not know"),
    (term("last_action", 2), {}, "shape' is 2, but the action has 4 numbers: only a part is observed"),
    (term("last_action", 4), {"params": {"action_name": "arm"}}, "picks one of the action terms joint_pos"),
    (term("base_lin_vel", 6), {}, "shape' is 6, but base_lin_vel has 3 numbers"),
]


@pytest.mark.parametrize(("described", "more", "message"), REFUSED)
def test_a_parameter_that_nobody_understands_stops_until_the_term_is_stated(
    tmp_path: Path, described: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    """Wherever it stands, in the descriptor or in env.yaml, it is refused, and the way out that is named works."""
    in_env = written(described["name"], **more)
    with pytest.raises(ContractError, match=message) as caught:
        only(tmp_path, described, in_env)
    assert "--set observation.terms.it='{term: KIND, ...}'" in str(caught.value)
    whole = {"term": "external", "name": "mine", "size": described["shape"][0]}
    made = only(tmp_path, described, in_env, settings={"observation.terms.it": whole})
    assert made.observation.terms[0].label == "mine"


def test_what_changes_nothing_at_play_is_passed_over(tmp_path: Path) -> None:
    """Noise, an action's one name, and selections of everything leave the term as it is."""
    asset = {"name": "robot", "joint_names": None, "body_ids": "slice(None, None, None)", "preserve_order": False}
    for name, count, more in (
        ("projected_gravity", 3, {"params": {"asset_cfg": asset}, "noise": {"std": 0.1}, "modifiers": None}),
        ("last_action", 4, {"params": {"action_name": "joint_pos"}}),
        ("base_ang_vel", 3, {"delay_max_lag": 0, "delay_hold_prob": 0.2, "flatten_history_dim": True}),
    ):
        made = only(tmp_path, term(name, count), written(name, **more))
        assert made.observation.terms[0].model_dump(exclude_defaults=True) == {"term": name}


def test_a_groups_own_parameters_are_read(tmp_path: Path) -> None:
    """history_order turns the layout round; terms that are not one vector are refused."""
    described = term("base_lin_vel", overloads={"history_length": 3})
    for order, layout in (("time", "time_major"), ("term", "term_major")):
        run = env({"it": written("base_lin_vel")}, history_order=order, history_length=3)
        history = read(tmp_path, [described], run).contract.observation.history
        assert history is not None
        assert history.layout == layout
    with pytest.raises(ContractError, match="history_order' is 'random'"):
        read(tmp_path, [described], env({"it": written("base_lin_vel")}, history_order="random"))
    with pytest.raises(ContractError, match="concatenate_terms' is false: the network reads its terms one by one"):
        read(tmp_path, [described], env({"it": written("base_lin_vel")}, concatenate_terms=False))


def test_a_tensor_of_indices_leaves_the_names_to_say_it(tmp_path: Path) -> None:
    """Isaac Lab 3 may write joint_ids as a tensor, which only code reads; joint_names beside it say the same."""
    described = joint_term("joint_vel", joint_names=["L_hip", "L_knee"], shape=[2])
    asset: dict[str, Any] = {"joint_names": ["L_.*"], "joint_ids": "TENSOR"}
    tensor = "!!python/object/apply:torch._utils._rebuild_tensor_v2 [1]"
    run = env({"it": written("joint_vel", params={"asset_cfg": asset})})
    made = read(tmp_path, [described], run.replace("TENSOR", tensor)).contract
    assert made.observation.terms[0].joints == ("L_hip", "L_knee")  # type: ignore[union-attr]
    del asset["joint_names"]
    run = env({"it": written("joint_vel", params={"asset_cfg": asset})}).replace("TENSOR", tensor)
    with pytest.raises(ContractError, match=r"joint_ids' is a value with the tag !!python/object/apply:torch"):
        read(tmp_path, [described], run)


def test_what_both_files_say_of_a_term_is_the_same(tmp_path: Path) -> None:
    """Scale, clip and history stand in both; other numbers are another run's, single precision is not."""
    overloads = {"scale": 0.20000000298023224, "clip": [-5.0, 5.0], "history_length": 2}
    described = term("base_ang_vel", overloads=overloads)
    same = {"scale": 0.2, "clip": [-5.0, 5.0], "history_length": 2}
    assert only(tmp_path, described, written("base_ang_vel", **same)).observation_size == 6
    for key, other in (("scale", 0.25), ("scale", None), ("clip", [-5.0, 6.0]), ("clip", None), ("history_length", 3)):
        with pytest.raises(ContractError, match=rf"it\.{key}' makes .* the two files are of different runs"):
            only(tmp_path, described, written("base_ang_vel", **(same | {key: other})))
    per_joint = joint_term("joint_vel", overloads={"scale": [0.5] * 4})
    assert only(tmp_path, per_joint, written("joint_vel", scale=0.5)).observation.terms[0].scale == 0.5  # type: ignore[union-attr]


def test_history_of_time_order_needs_the_groups_own_length(tmp_path: Path) -> None:
    """Isaac Lab passes over history_order: time where only terms have a length; taken as time-major it is wrong."""
    described = term("base_ang_vel", overloads={"history_length": 3})
    beside = written("base_ang_vel", history_length=3)
    for group, words in (
        ({}, "history_length of the group is not set"),
        ({"history_length": 3, "concatenate_dim": 1}, "concatenate_dim is 1"),
    ):
        made = read(tmp_path, [described], env({"it": beside}, history_order="time", **group))
        assert made.contract.observation.history is not None
        assert made.contract.observation.history.layout == "term_major"
        assert any("Isaac Lab passes over" in note and words in note for note in made.notes)


def test_an_action_that_the_exporter_left_out_is_missed(tmp_path: Path) -> None:
    """env.yaml has two action terms and the descriptor one: the network writes more than it describes."""
    run = env({"it": written("base_ang_vel")}).replace("other: null", "grip: {class_type: y}")
    with pytest.raises(ContractError, match="has the action terms joint_pos, grip, but the descriptor describes 1"):
        read(tmp_path, [term("base_ang_vel")], run)


ACTUATORS: list[tuple[dict[str, Any], str]] = [
    (actuator("DCMotor", saturation_effort=23.5, velocity_limit=10.0, friction=0.0),
     "legs (DCMotor, saturation_effort 23.5, velocity_limit 10)"),
    (actuator("RemotizedPDActuator", joint_parameter_lookup=[[0.0, 1.0, 2.0]] * 30, min_delay=None),
     "legs (RemotizedPDActuator, joint_parameter_lookup of 30 entries)"),
    (actuator("ImplicitActuator", velocity_limit_sim={".*": 10.0}, friction=0.1),
     "legs (ImplicitActuator, velocity_limit_sim {.*: 10}, friction 0.1)"),
    (actuator("IdealPDActuator", dynamic_friction=0.2, viscous_friction=None),
     "legs (IdealPDActuator, dynamic_friction 0.2)"),
    (actuator("ActuatorNetLSTM", stiffness=None, network_file="x.pt"), "legs (ActuatorNetLSTM, network_file x.pt)"),
    (actuator("ActuatorNetMLP", pos_scale=-1.0, input_order="pos_vel"),
     "legs (ActuatorNetMLP, pos_scale -1, input_order pos_vel)"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "words"), ACTUATORS, ids=[words.split(",")[0] for _, words in ACTUATORS])
def test_an_actuator_that_does_more_is_named_with_what_it_does(
    tmp_path: Path, model: dict[str, Any], words: str
) -> None:
    """The note and the contract's sources name the model and each parameter that a contract has no word for."""
    run = env({"it": written("base_lin_vel")}, {"legs": model})
    asked = "Net" in words
    if asked:
        with pytest.raises(ContractError) as caught:
            read(tmp_path, [term("base_lin_vel")], run)
        assert f"no single kind covers ({words})" in str(caught.value)
    made = read(tmp_path, [term("base_lin_vel")], run, actuation="explicit" if asked else None)
    assert any(f"no words for all of the actuators {words}; a replay" in note for note in made.notes)
    assert words in made.contract.sources["actuation"]


def test_groups_of_several_kinds_are_listed_and_asked_for(tmp_path: Path) -> None:
    """No kind covers an implicit arm on delayed legs; each group is named with what it does."""
    models = {
        "legs": actuator("DelayedPDActuator", joint_names_expr=[".*_hip"], max_delay=5),
        "arm": actuator(joint_names_expr=[".*_knee"]),
    }
    run = env({"it": written("base_lin_vel")}, models)
    with pytest.raises(ContractError) as caught:
        read(tmp_path, [term("base_lin_vel")], run)
    assert "(legs (DelayedPDActuator), arm (ImplicitActuator)); give --actuation" in str(caught.value)
    made = read(tmp_path, [term("base_lin_vel")], run, actuation="explicit")
    assert made.contract.actuation.kind == "explicit"
    assert made.contract.action.delay == 0
    assert any("legs 0 to 5, arm 0 to 0" in note and "none is stated" in note for note in made.notes)


def test_the_delay_of_actuators_is_stated_in_physics_steps(tmp_path: Path) -> None:
    """One delay is stated as it is, a range by its middle with a note; --set states another."""
    for low, high, steps in ((3, 3, 3), (4, 8, 6)):
        legs = actuator("DelayedPDActuator", min_delay=low, max_delay=high)
        run = env({"it": written("base_lin_vel")}, {"legs": legs})
        made = read(tmp_path, [term("base_lin_vel")], run)
        assert made.contract.action.late.physics_steps == steps
        assert made.contract.actuation.kind == "explicit"
        assert any("4 to 8 physics steps late" in note for note in made.notes) == (low != high)
    wrong = env({"it": written("base_lin_vel")}, {"legs": actuator("DelayedPDActuator", min_delay=-1)})
    with pytest.raises(ContractError, match="a delay of -1 to 0 steps, which is none; state it yourself: --set action"):
        read(tmp_path, [term("base_lin_vel")], wrong)
    settings = {"action.delay": {"physics_steps": 2, "fill": "first"}}
    assert read(tmp_path, [term("base_lin_vel")], run, settings=settings).contract.action.late.physics_steps == 2


def test_a_plain_actuator_needs_no_note(tmp_path: Path) -> None:
    """What a contract can say is said there: armature, effort limit and gains; nothing else is claimed."""
    plain = actuator(armature=0.01, effort_limit_sim=30.0, velocity_limit=None, friction=0.0, damping=0.5)
    made = read(tmp_path, [term("base_lin_vel")], env({"it": written("base_lin_vel")}, {"legs": plain}))
    assert not any("actuators" in note for note in made.notes)
    assert {joint.effort_limit for joint in made.contract.joints.values()} == {30.0}


def test_friction_of_the_descriptor_is_noted(tmp_path: Path) -> None:
    """A contract has no joint friction; nobody is left to think that it was carried over."""
    data = descriptor()["articulations"]["robot"] | {"default_joint_friction": [0.0, 0.03, 0.0, 0.0]}
    made = read(tmp_path, [term("base_lin_vel")], changes={"articulations": {"robot": data}})
    assert any("default_joint_friction is up to 0.03" in note for note in made.notes)


def test_a_foreign_tag_matters_only_where_its_value_is_needed(tmp_path: Path) -> None:
    """Under events and rewards it is let be; as a gain, a switch or a class it is refused by name."""
    run = env({"it": written("base_lin_vel")})
    unread = "rewards: {w: !!binary 'AAA='}\nevents: {x: !!python/object/apply:numpy.core.multiarray.scalar [1]}\n"
    assert read(tmp_path, [term("base_lin_vel")], run + unread).contract.joints["L_hip"].stiffness == 25.0
    scalar = "!!python/object/apply:numpy.core.multiarray.scalar [1]"
    for needed, there in (
        ("articulation_props: {}", f"articulation_props: {{fix_root_link: {scalar}}}"),
        ("class_type: isaaclab.actuators:ImplicitActuator", f"class_type: {scalar}"),
        ("params: {}", f"params: {{asset_cfg: {scalar}}}"),
        ("params: {}", f"params: {{asset_cfg: {{body_ids: {scalar}}}}}"),
        ("stiffness: 25.0", f"effort_limit: {scalar}"),
    ):
        assert needed in run
        with pytest.raises(ContractError, match="a value with the tag !!python/object/apply:numpy"):
            read(tmp_path, [term("base_lin_vel")], run.replace(needed, there, 1))
    # The descriptor has the stiffness already, so that nobody asks env.yaml.
    resolved = run.replace("stiffness: 25.0", f"stiffness: {scalar}")
    assert read(tmp_path, [term("base_lin_vel")], resolved).contract.joints["L_hip"].stiffness == 25.0


@pytest.mark.shared
@pytest.mark.parametrize("name", ["delayed", "dcmotor", "numpytag", "binarytag"])
def test_the_public_reports_are_read_and_their_actuators_noted(shared: Path, name: str) -> None:
    """unitree_rl_lab's issue 14, Isaac Lab's 4075, robot_lab's 51, mjlab's 145."""
    file = shared / f"failing_inputs/isaac_actuators/{name}/IO_descriptors.yaml"
    made = imported(file, robot="r", settings={"base.floating": True})
    words = "4 to 8 physics steps" if name == "delayed" else "saturation_effort 23.5, velocity_limit 10"
    assert any(words in note for note in made.notes)


@pytest.mark.shared
def test_a_history_by_time_of_isaac_lab_is_time_major(shared: Path) -> None:
    """A run whose env.yaml says history_order: time."""
    folder = shared / "failing_inputs/peers/isaaclab3_history_order_time"
    file = folder / "io_descriptors/IO_descriptors.yaml"
    history = imported(file, robot="go2", settings={"base.floating": True}).contract.observation.history
    assert history is not None
    assert history.layout == "time_major"
