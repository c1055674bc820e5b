"""Claims about the metadata that holosoma writes into its ONNX files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from policy_port.contract import Contract
from policy_port.errors import ContractError
from tests.descriptors.importing import imported, linear_policy, unsourced

NAMES = ["left_hip", "left_knee", "right_hip"]
TERMS = "holosoma.managers.observation.terms.locomotion"
ACTION = "holosoma.managers.action.terms.joint_control:JointPositionActionTerm"


def term(function: str, dim: int, **more: Any) -> dict[str, Any]:
    """An entry of the layout as get_observation_layout writes it."""
    entry = {"group": "actor_obs", "name": function, "func": f"{TERMS}:{function}", "dim": dim, "history_length": 1}
    return entry | {"scale": 1.0, "clip": None, "params": {}} | more


LAYOUT = [
    term("actions", 3),
    term("base_ang_vel", 3, scale=0.25),
    term("command_ang_vel", 1),
    term("command_lin_vel", 2, scale=2.0),
    term("dof_pos", 3),
    term("dof_vel", 3, scale=0.05),
    term("projected_gravity", 3),
]
CONFIG = {
    "robot": {
        "dof_names": NAMES,
        "init_state": {"default_joint_angles": {"right_hip": 0.3, "left_hip": 0.1, "left_knee": -0.2}},
        "control": {"control_type": "P", "clip_actions": True, "action_clip_value": 100.0},
        "asset": {"fix_base_link": False},
        "dof_effort_limit_list": [88.0, 139.0, 88.0],
    },
    "simulator": {"config": {"sim": {"fps": 200, "control_decimation": "50Hz"}}},
    "action": {"terms": {"joint_control": {"func": ACTION}}},
}


def policy(path: Path, layout: list[dict[str, Any]] | None = None, **more: Any) -> Path:
    """A file of holosoma."""
    layout = LAYOUT if layout is None else layout
    metadata: dict[str, Any] = {
        "dof_names": NAMES,
        "kp": [40.179, 99.098, 40.179],
        "kd": [2.558, 6.309, 2.558],
        "action_scale": [0.5475464820861816, 0.35066, 0.5475464820861816],
        "command_ranges": {"lin_vel_x": [-1.0, 1.0], "lin_vel_y": [-0.5, 0.5], "ang_vel_yaw": [-1.5, 1.5]},
        "robot_urdf": "<robot/>",
        "robot_urdf_path": "x.urdf",
        "observation_layout": layout,
        "observation_clip": 100.0,
    }
    texts = {key: json.dumps(value) for key, value in (metadata | more).items() if value is not ...}
    width = sum(item["dim"] * item["history_length"] for item in layout)
    return linear_policy(path / "policy.onnx", width, len(NAMES), texts)


def read(path: Path, *, poses: dict[str, float] | None = None, **more: Any) -> Contract:
    """Its contract with what a bare file does not say."""
    pose = path.parent / "pose.yaml"
    pose.write_text(json.dumps({"default_joint_pos": poses or dict.fromkeys(NAMES, 0.1)}), encoding="utf-8")
    given = {"robot": "toy", "timestep": 0.005, "settings": {"decimation": 4}, "precise": pose}
    return imported(path, **(given | more)).contract


def terms(contract: Contract) -> list[dict[str, Any]]:
    return [
        item.model_dump(mode="json", exclude_none=True, exclude_defaults=True) for item in contract.observation.terms
    ]


def test_a_bare_file_is_a_whole_contract_but_pose_and_rates(tmp_path: Path) -> None:
    """Names, gains and scales at full precision; the order is the file's, which holosoma sorts by name."""
    contract = read(policy(tmp_path), poses={"right_hip": 0.3, "left_hip": 0.1, "left_knee": -0.2})
    assert contract.joint_names == tuple(NAMES)
    assert [joint.default for joint in contract.joints.values()] == [0.1, -0.2, 0.3]
    assert [(joint.stiffness, joint.damping) for joint in contract.joints.values()][1] == (99.098, 6.309)
    assert contract.actuation.kind == "explicit"
    assert [item["term"] for item in terms(contract)] == [
        *("last_action", "base_ang_vel", "goal", "goal", "joint_pos_rel", "joint_vel", "projected_gravity"),
    ]
    assert terms(contract)[3] == {
        "name": "command_lin_vel",
        "term": "goal",
        "size": 2,
        "frame": "commanded lin_vel_x, lin_vel_y [m/s]",
        "scale": 2.0,
        "low": [-1.0, -0.5],
        "high": [1.0, 0.5],
    }
    (action,) = contract.action.terms
    assert action.scale == {"left_hip": 0.5475464820861816, "left_knee": 0.35066, "right_hip": 0.5475464820861816}
    assert contract.observation.clip == (-100.0, 100.0)
    assert contract.command.element("ang_vel_z").range == (-1.5, 1.5)
    assert unsourced(contract) == []


def test_what_is_missing_is_asked_for_with_options_that_work(tmp_path: Path) -> None:
    """Pose, timestep and decimation, each with its option; what the message says is what the other tests give."""
    with pytest.raises(ContractError) as caught:
        imported(policy(tmp_path), robot="toy")
    text = str(caught.value)
    for option in ("--timestep SECONDS", "--set decimation=N", "--precise FILE", "--set joints.JOINT.default=NUMBER"):
        assert option in text
    assert "3 things" in text
    poses = {f"joints.{name}.default": 0.2 for name in NAMES}
    told = imported(policy(tmp_path), robot="toy", timestep=0.005, settings={"decimation": 4} | poses).contract
    assert {joint.default for joint in told.joints.values()} == {0.2}


def test_the_configuration_inside_a_file_says_the_rest(tmp_path: Path) -> None:
    """holosoma's own export keeps its whole configuration: nothing but a name is asked for."""
    contract = imported(policy(tmp_path, experiment_config=CONFIG), robot="toy").contract
    assert [joint.default for joint in contract.joints.values()] == [0.1, -0.2, 0.3]
    assert [joint.effort_limit for joint in contract.joints.values()] == [88.0, 139.0, 88.0]
    assert (contract.timestep, contract.decimation, contract.base.floating) == (0.005, 4, True)
    (action,) = contract.action.terms
    assert action.clip is not None
    assert action.clip["left_knee"] == pytest.approx((-0.2 - 35.066, -0.2 + 35.066))
    assert unsourced(contract) == []


def test_history_is_oldest_first_with_zeros_before_reset(tmp_path: Path) -> None:
    """As ObservationManager stacks it, term by term."""
    layout = [term("actions", 3, history_length=4), term("dof_pos", 3, history_length=4)]
    contract = read(policy(tmp_path, layout), settings={"decimation": 4, "base.floating": True})
    assert contract.observation.history is not None
    assert contract.observation.history.model_dump() == {
        "layout": "term_major",
        "order": "oldest_first",
        "fill": "zero",
    }
    assert contract.observation_size == 24


def test_a_clip_comes_after_the_scale(tmp_path: Path) -> None:
    """A contract clips before it scales: its bounds are divided, and turn round under a negative scale."""
    layout = [
        term("base_ang_vel", 3, scale=0.25, clip=[-1.0, 2.0]),
        term("dof_vel", 3, scale=[0.5, -0.5, 1.0], clip=[-1.0, 2.0]),
        term("projected_gravity", 3, scale=[1.0, 2.0, 1.0], clip=[-1.0, 1.0]),
        term("actions", 3, scale=[0.1, 0.2, 0.1]),
    ]
    found = terms(read(policy(tmp_path, layout)))
    assert found[0]["clip"] == [-4.0, 8.0]
    assert found[2]["clip"] == {"x": [-1.0, 1.0], "y": [-0.5, 0.5], "z": [-1.0, 1.0]}
    assert found[3]["scale"] == {"left_hip": 0.1, "left_knee": 0.2, "right_hip": 0.1}
    assert found[1]["clip"] == {"left_hip": [-2.0, 4.0], "left_knee": [-4.0, 2.0], "right_hip": [-1.0, 2.0]}


def test_a_single_command_and_strange_terms(tmp_path: Path) -> None:
    """Three numbers of a command are a velocity command; a phase and another project's term stay with their task."""
    layout = [term("command", 3), term("sin_phase", 2), term("dof_pos", 3, func="mine.terms:dof_pos")]
    made = imported(policy(tmp_path, layout, experiment_config=CONFIG), robot="toy", settings={"base.floating": True})
    assert [item["term"] for item in terms(made.contract)] == ["velocity_command", "external", "external"]
    assert sum("known to its task only" in note for note in made.notes) == 2


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"kp": [1.0, 2.0]}, "has 2 numbers, expected 3"),
        ({"action_scale": [1.0, 2.0]}, "has 2 numbers, expected 3"),
        ({"dof_names": "left_hip"}, "expected a list"),
        ({"observation_layout": [term("dof_pos", 2)]}, "is 2, but dof_pos has 3 numbers"),
        ({"observation_layout": [term("dof_pos", 3, delay=1)]}, "does not know"),
        ({"observation_clip": 0.0}, "expected a positive bound"),
        ({"experiment_config": {"robot": {"control": {"control_type": "T"}}}}, "is T; a contract's action"),
        ({"experiment_config": {"action": {"terms": {"a": {"func": "mine:Torque"}}}}}, "is no JointPositionActionTerm"),
        (
            {"experiment_config": {"simulator": {"config": {"sim": {"fps": 200, "control_decimation": "60Hz"}}}}},
            "expected whole steps",
        ),
    ],
)
def test_what_can_not_be_stated_is_refused_by_its_key(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    """Lists of another length, unknown keys, torque control, rates that don't divide."""
    with pytest.raises(ContractError, match=words):
        read(policy(tmp_path, **{"layout": changed.pop("observation_layout", None), **changed}))


def test_what_the_user_knows_is_taken_as_the_messages_ask(tmp_path: Path) -> None:
    """A term with a key that is unknown, an action of another project, the point of a velocity."""
    layout = [term("base_lin_vel", 3), term("dof_pos", 3, delay=1)]
    path = policy(tmp_path, layout, experiment_config=CONFIG | {"action": {"terms": {"a": {"func": "mine:Position"}}}})
    settings: dict[str, Any] = {"action.terms": [{"term": "joint_position", "scale": 0.5, "offset": "default"}]}
    with pytest.raises(ContractError, match=r"does not know.*--set observation\.terms\.1='\{term: KIND"):
        imported(path, robot="toy", settings=settings)
    settings |= {"observation.terms.1": {"term": "joint_pos_rel"}}
    made = imported(path, robot="toy", settings=settings)
    assert any("--set observation.terms.base_lin_vel.point=com or link" in note for note in made.notes)
    told = imported(path, robot="toy", settings=settings | {"observation.terms.base_lin_vel.point": "com"}).contract
    assert terms(told) == [{"term": "base_lin_vel", "point": "com"}, {"term": "joint_pos_rel"}]
    assert told.action.terms[0].scale == 0.5


def test_metadata_that_is_no_json_is_refused(tmp_path: Path) -> None:
    """A damaged entry is named."""
    path = linear_policy(tmp_path / "policy.onnx", 3, 3, {"dof_names": "[", "observation_layout": "[]"})
    with pytest.raises(ContractError, match="'dof_names' is no JSON"):
        read(path)


def test_the_width_is_held_against_the_network(tmp_path: Path) -> None:
    """A layout that lost a term does not fit its own file."""
    text = json.dumps([entry for entry in LAYOUT if entry["name"] != "projected_gravity"])
    path = policy(tmp_path)
    import onnx

    model = onnx.load(path)
    for entry in model.metadata_props:
        if entry.key == "observation_layout":
            entry.value = text
    onnx.save(model, path)
    with pytest.raises(ContractError, match="3 numbers are missing"):
        read(path)


def test_another_file_is_no_file_of_holosoma(tmp_path: Path) -> None:
    """--from holosoma on a file without its keys says which are missing."""
    path = linear_policy(tmp_path / "policy.onnx", 3, 3, {"dof_names": "[]"})
    with pytest.raises(ContractError, match="has no observation_layout, which holosoma writes"):
        imported(path, kind="holosoma", robot="toy")


@pytest.mark.shared
def test_the_file_that_holosomas_exporter_wrote(shared: Path, tmp_path: Path) -> None:
    """Its own attach_onnx_metadata, on a network of its layout."""
    pose = tmp_path / "pose.yaml"
    pose.write_text("default_joint_pos: 0.1\n", encoding="utf-8")
    path = shared / "failing_inputs/peers/holosoma/policy.onnx"
    made = imported(path, robot="go1", timestep=0.005, settings={"decimation": 4}, precise=pose).contract
    assert made.observation_size == 45
    assert terms(made)[1] == {"term": "base_ang_vel", "scale": 0.25}
    assert {(joint.stiffness, joint.damping) for joint in made.joints.values()} == {(20.0, 0.5)}
