"""Claims about policies of LEAPP: the contract and the network that they are taken apart into compute what they do."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml

from policy_port.checkpoints.load import load_policy
from policy_port.contract import Contract
from policy_port.errors import CheckpointError, ContractError
from tests.checkpoints.onnx.leapp_files import (
    DEFAULT,
    JOINTS,
    NODE,
    Graph,
    gravity,
    moments,
    plain,
    robot,
    targets,
    usual,
    whole,
)
from tests.descriptors.importing import imported, unsourced
from tests.descriptors.leapp_run import GIVEN, agrees, contract_of, ported, terms


def test_a_velocity_task_is_taken_apart(tmp_path: Path) -> None:
    """Scales, default pose, order and point are in the contract, and nothing of them is left in the network."""
    contract = agrees(plain(tmp_path))
    assert terms(contract) == [
        {"term": "base_lin_vel", "scale": 2.0, "point": "com"},
        {"term": "base_ang_vel", "scale": 0.25},
        {"term": "projected_gravity"},
        {"term": "velocity_command", "scale": [2.0, 2.0, 0.25]},
        {"term": "joint_pos_rel"},
        {"term": "joint_vel", "scale": 0.05},
        {"term": "last_action"},
    ]
    assert [joint.default for joint in contract.joints.values()] == list(DEFAULT)
    assert [joint.stiffness for joint in contract.joints.values()] == [10.0, 20.0, 30.0]
    assert [joint.damping for joint in contract.joints.values()] == [1.0, 2.0, 3.0]
    (action,) = contract.action.terms
    assert (action.scale, action.offset) == (0.25, "default")
    assert (contract.timestep, contract.decimation, contract.quaternion_order) == (0.005, 4, "xyzw")
    assert contract.trained_in == "Isaac Lab"
    assert unsourced(contract) == []


def test_the_links_velocity_is_told_from_the_centre_of_masss(tmp_path: Path) -> None:
    """root_link_lin_vel_b is the link origin's."""

    def link(data: dict[str, Any]) -> None:
        data["models"][NODE]["inputs"][0]["isaaclab_connection"] = "state:robot:root_link_lin_vel_b"

    assert terms(contract_of(plain(tmp_path, edit=link)))[0]["point"] == "link"


def test_the_folder_and_the_model_lead_to_the_yaml(tmp_path: Path) -> None:
    """contract import takes the folder, or the ONNX file, as well."""
    path = plain(tmp_path)
    assert contract_of(tmp_path) == contract_of(tmp_path / f"{NODE}.onnx") == contract_of(path)


def test_a_scale_is_not_applied_twice(tmp_path: Path) -> None:
    """The network reads scaled numbers: with a contract of the raw ones, or scaled twice, its targets are others."""
    path = plain(tmp_path)
    data = contract_of(path).model_dump(mode="json", exclude_none=True)
    data["observation"]["terms"][5]["scale"] = 0.05**2
    twice = ported(path, Contract.model_validate(data), moments())
    data["observation"]["terms"][5]["scale"] = 1.0
    raw = ported(path, Contract.model_validate(data), moments())
    for wrong in (twice, raw):
        assert np.abs(wrong - whole(path, moments())).max() > 1e-3


def clipped(graph: Graph) -> str:
    of = robot(graph)
    observation = graph.cat(
        graph.do("Mul", graph.do("Clip", of.lin_vel, -1.0, 1.0), 2.0),
        graph.do("Clip", graph.do("Mul", of.ang_vel, 0.25), -0.1, 0.1),
        gravity(graph, of.quat),
        graph.do("Max", graph.do("Min", of.command, 0.5), -0.25),
        graph.do("Mul", graph.do("Clip", graph.do("Sub", of.joint_pos, [DEFAULT]), -0.5, 0.5), 3.0),
        graph.do("Mul", of.joint_vel, -0.05),
        of.last_action,
    )
    raw = graph.do("Clip", graph.network(observation, 21), -0.4, 0.3)
    graph.carry(of.last_action, raw)
    return raw


def test_clips_of_observation_action_and_target_are_the_contracts(tmp_path: Path) -> None:
    """Before and after a scale, on both sides, and around a negative scale."""
    graph = Graph()
    target = graph.do("Add", graph.do("Mul", clipped(graph), [[0.25, -0.5, 1.0]]), [DEFAULT])
    targets(graph, graph.do("Clip", target, -0.9, 0.35))
    contract = agrees(graph.save(tmp_path))
    found = terms(contract)
    assert found[0] == {"term": "base_lin_vel", "scale": 2.0, "clip": [-1.0, 1.0], "point": "com"}
    assert found[1] == {"term": "base_ang_vel", "scale": 0.25, "clip": [-0.4, 0.4]}
    assert found[3] == {"term": "velocity_command", "clip": [-0.25, 0.5]}
    assert found[4] == {"term": "joint_pos_rel", "scale": 3.0, "clip": [-0.5, 0.5]}
    assert contract.action.raw_clip == (-0.4, 0.3)
    (action,) = contract.action.terms
    assert action.scale == {"hip": 0.25, "knee": -0.5, "ankle": 1.0}
    assert action.clip == (-0.9, 0.35)


def test_feedback_is_the_raw_action(tmp_path: Path) -> None:
    """What is fed back is the network's output, not the target: a graph that feeds back its target keeps it inside."""
    graph = Graph()
    of = robot(graph)
    observation = graph.cat(of.ang_vel, graph.do("Sub", of.joint_pos, [DEFAULT]), of.last_action)
    target = graph.do("Add", graph.do("Mul", graph.network(observation, 9), 0.25), [DEFAULT])
    graph.carry(of.last_action, target)
    targets(graph, target)
    path = graph.save(tmp_path)
    contract = agrees(path)
    assert [term["term"] for term in terms(contract)] == ["base_ang_vel", "joint_pos"]
    assert load_policy(tmp_path / f"{NODE}.onnx").actor.state_names == ("last_action_state",)
    assert any("last_action_in are fed back inside the network" in note for note in imported(path, **GIVEN).notes)


def history(graph: Graph, name: str, value: str, width: int, length: int) -> str:
    """Isaac Lab's history buffer: filled with the first frame while its counter is 0, else shifted."""
    buffer = graph.state(f"h_{name}_in", [length, 1, width])
    pushes = graph.state(f"h_{name}_num_pushes_in", [1], "int64")
    frame = graph.do("Unsqueeze", value, graph.constant([0], np.int64))
    ends = [graph.constant([number], np.int64) for number in (1, length, 0)]
    shifted = graph.do("Concat", graph.do("Slice", buffer, *ends), frame, axis=0)
    first = graph.do(
        "Reshape", graph.do("Equal", pushes, graph.constant(0, np.int64)), graph.constant([1, 1, 1], np.int64)
    )
    filled = graph.do("Where", first, frame, shifted)
    graph.carry(buffer, filled)
    graph.carry(pushes, graph.do("Add", pushes, graph.constant(1, np.int64)))
    return filled


def flat(graph: Graph, value: str) -> str:
    """Steps one after the other."""
    return graph.do("Reshape", graph.do("Transpose", value, perm=[1, 0, 2]), graph.constant([1, -1], np.int64))


@pytest.mark.parametrize("major", ["term_major", "time_major"])
def test_history_buffers_are_the_contracts_history(tmp_path: Path, major: str) -> None:
    """Oldest first and filled with the first frame, term by term or step by step; the last action's too."""
    graph = Graph()
    of = robot(graph)
    stacks = [
        history(graph, "w", graph.do("Mul", of.ang_vel, 0.25), 3, 3),
        history(graph, "q", graph.do("Sub", of.joint_pos, [DEFAULT]), 3, 3),
        history(graph, "a", of.last_action, 3, 3),
    ]
    if major == "time_major":
        observation = flat(graph, graph.do("Concat", *stacks, axis=2))
    else:
        observation = graph.cat(*(flat(graph, stack) for stack in stacks))
    raw = graph.network(observation, 27)
    graph.carry(of.last_action, raw)
    targets(graph, graph.do("Add", graph.do("Mul", raw, 0.25), [DEFAULT]))
    contract = agrees(graph.save(tmp_path))
    assert [(term["term"], term["history"]) for term in terms(contract)] == [
        ("base_ang_vel", 3),
        ("joint_pos_rel", 3),
        ("last_action", 3),
    ]
    assert contract.observation.history is not None
    assert contract.observation.history.model_dump() == {"layout": major, "order": "oldest_first", "fill": "first"}
    assert load_policy(tmp_path / f"{NODE}.onnx").actor.state_names == ()


def test_what_has_no_term_leaves_the_graph_as_it_is(tmp_path: Path) -> None:
    """A tanh of the velocities, a sine of the positions, a history of those: the inputs are observed in SI units."""
    graph = Graph()
    of = robot(graph)
    stack = history(graph, "v", graph.do("Tanh", of.joint_vel), 3, 2)
    observation = graph.cat(
        gravity(graph, of.quat),
        graph.do("Sin", graph.do("Sub", of.joint_pos, [DEFAULT])),
        flat(graph, stack),
        of.last_action,
    )
    raw = graph.network(observation, 15)
    graph.carry(of.last_action, raw)
    targets(graph, graph.do("Add", graph.do("Mul", raw, 0.25), [DEFAULT]))
    path = graph.save(tmp_path)
    contract = agrees(path)
    assert terms(contract) == [
        {"term": "projected_gravity"},
        {"term": "joint_pos"},
        {"term": "joint_vel"},
        {"term": "last_action"},
    ]
    assert any("the graph is used as it is" in note for note in imported(path, **GIVEN).notes)


def test_targets_with_a_memory_are_the_action_themselves(tmp_path: Path) -> None:
    """A moving average of targets is kept inside, and the action is the target in radians."""
    graph = Graph()
    of = robot(graph)
    before = graph.state("previous_in", [1, len(JOINTS)])
    raw = graph.network(graph.cat(of.ang_vel, graph.do("Sub", of.joint_pos, [DEFAULT]), of.last_action), 9)
    graph.carry(of.last_action, raw)
    target = graph.do(
        "Add",
        graph.do("Mul", graph.do("Add", graph.do("Mul", raw, 0.25), [DEFAULT]), 0.3),
        graph.do("Mul", before, 0.7),
    )
    graph.carry(before, target)
    targets(graph, target)
    path = graph.save(tmp_path)
    with pytest.raises(ContractError, match="no default pose.*give --set joints.*default=NUMBER, or one by one"):
        contract_of(path)
    contract = agrees(path, settings={"joints.*.default": 0.0})
    (action,) = contract.action.terms
    assert (action.scale, action.offset) == (1.0, 0.0)


def test_a_relative_action_is_a_delta_on_the_measured_position(tmp_path: Path) -> None:
    """Isaac Lab's RelativeJointPositionAction."""
    graph = Graph()
    raw = usual(graph)
    targets(graph, graph.do("Add", graph.do("Mul", raw, 0.1), "robot_joint_pos"))
    (action,) = agrees(graph.save(tmp_path)).action.terms
    assert action.model_dump()["reference"] == "joint_pos"


def test_a_recurrent_policy_keeps_its_state_beside_a_contract(tmp_path: Path) -> None:
    """A GRU in Isaac Lab's manner: states in the file, everything else in the contract."""
    graph = Graph()
    of = robot(graph)
    hidden = graph.state("h_in", [1, 1, 4])
    random = np.random.default_rng(0)
    observation = graph.cat(graph.do("Mul", of.ang_vel, 0.25), graph.do("Sub", of.joint_pos, [DEFAULT]), of.last_action)
    sequence = graph.do("Unsqueeze", observation, graph.constant([0], np.int64))
    weights = [random.standard_normal(shape) for shape in ((1, 12, 9), (1, 12, 4), (1, 24))]
    graph.nodes.append(
        onnx.helper.make_node(
            "GRU",
            [sequence, *map(graph.constant, weights), "", hidden],
            ["y", "y_h"],
            hidden_size=4,
            linear_before_reset=1,
        )
    )
    graph.carry(hidden, "y_h")
    raw = graph.do("Gemm", graph.do("Squeeze", "y_h", graph.constant([0], np.int64)), random.standard_normal((4, 3)))
    graph.carry(of.last_action, raw)
    targets(graph, graph.do("Add", graph.do("Mul", raw, 0.25), [DEFAULT]))
    contract = agrees(graph.save(tmp_path))
    assert terms(contract)[1] == {"term": "joint_pos_rel"}
    assert load_policy(tmp_path / f"{NODE}.onnx").actor.state_names == ("h_state",)


def test_joints_are_followed_by_name(tmp_path: Path) -> None:
    """Velocities of a part of the joints in another order, and targets and gains in their own."""
    graph = Graph()
    of = robot(graph)
    picked = graph.do("Transpose", of.joint_vel, perm=[1, 0])
    picked = graph.do("Transpose", graph.do("GatherND", picked, graph.constant([[2], [0]], np.int64)), perm=[1, 0])
    raw = graph.network(graph.cat(graph.do("Sub", of.joint_pos, [DEFAULT]), picked, of.last_action), 8)
    graph.carry(of.last_action, raw)
    order = ("ankle", "hip", "knee")
    zero = [[DEFAULT[JOINTS.index(name)] for name in order]]
    targets(graph, graph.do("Add", graph.do("Mul", raw, 0.25), zero), names=order, gains=("knee", "ankle", "hip"))
    contract = agrees(graph.save(tmp_path), settings={"base.floating": True})
    assert terms(contract)[1] == {"term": "joint_vel", "joints": ["ankle", "hip"]}
    assert contract.action_joint_names == order
    assert {name: joint.stiffness for name, joint in contract.joints.items()} == {
        "hip": 30.0,
        "knee": 10.0,
        "ankle": 20.0,
    }


def test_gains_of_zero_are_left_out_and_said(tmp_path: Path) -> None:
    """Isaac Lab 3.0.0 writes 0 for actuators whose gains it does not know; a robot without gains would fall."""
    graph = Graph()
    raw = usual(graph)
    targets(graph, graph.do("Add", graph.do("Mul", raw, 0.25), [DEFAULT]), kp=(0.0, 0.0, 0.0))
    path = graph.save(tmp_path)
    made = imported(path, **GIVEN)
    assert {joint.stiffness for joint in made.contract.joints.values()} == {None}
    assert any("kp and kd are 0 for every joint" in note for note in made.notes)
    told = contract_of(path, settings={"joints.*.stiffness": 25.0, "joints.*.damping": 0.5})
    assert {joint.stiffness for joint in told.joints.values()} == {25.0}


def test_env_yaml_of_the_run_says_rates_and_is_held_against_the_frequency(tmp_path: Path) -> None:
    """params/env.yaml above the export gives physics step and decimation, and must be of the same run."""
    env = {"sim": {"dt": 0.005}, "decimation": 4, "scene": {"num_envs": 1}}
    path = plain(tmp_path / "Task")
    beside = tmp_path / "params/env.yaml"
    beside.parent.mkdir()
    beside.write_text(yaml.safe_dump(env), encoding="utf-8")
    contract = imported(path, robot="toy", actuation="explicit").contract
    assert (contract.timestep, contract.decimation) == (0.005, 4)
    beside.write_text(yaml.safe_dump(env | {"decimation": 2}), encoding="utf-8")
    with pytest.raises(ContractError, match="control period of 0.01 s, but .*frequency is 50 Hz"):
        imported(path, robot="toy", actuation="explicit")


def test_a_wxyz_quaternion_is_read_in_its_order(tmp_path: Path) -> None:
    """Names and graph agree on wxyz; without names the graph alone tells."""
    for names in (["qw", "qx", "qy", "qz"], None):
        graph = Graph()
        of = robot(graph, quat=("qw", "qx", "qy", "qz"))
        raw = graph.network(graph.cat(gravity(graph, of.quat, order="wxyz"), of.joint_pos, of.last_action), 9)
        graph.carry(of.last_action, raw)
        targets(graph, graph.do("Add", graph.do("Mul", raw, 0.25), [DEFAULT]))
        path = graph.save(tmp_path / str(names))
        agrees(path)
        if names is None:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
            data["models"][NODE]["inputs"][2].pop("element_names")
            path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
            assert terms(contract_of(path))[0] == {"term": "projected_gravity"}


def test_a_height_scan_stays_with_its_task(tmp_path: Path) -> None:
    """Rays of a sensor, made relative, cut and put beside the rest, are one external term as the network reads it."""
    graph = Graph()
    of = robot(graph)
    hits = graph.read("scanner_ray_hits_w", [1, 5, 3], isaaclab_connection="state:scanner:ray_hits_w")
    place = graph.read("scanner_pos_w", [1, 3], isaaclab_connection="state:scanner:pos_w")
    last = graph.constant(2, np.int64)
    heights = graph.do(
        "Sub", graph.do("Gather", place, graph.constant([2], np.int64), axis=1), graph.do("Gather", hits, last, axis=2)
    )
    scan = graph.do("Clip", graph.do("Sub", heights, 0.5), -1.0, 1.0)
    raw = graph.network(graph.cat(of.ang_vel, graph.do("Sub", of.joint_pos, [DEFAULT]), of.last_action, scan), 14)
    graph.carry(of.last_action, raw)
    targets(graph, graph.do("Add", graph.do("Mul", raw, 0.25), [DEFAULT]))
    path = graph.save(tmp_path)
    found = terms(contract_of(path))
    assert found[:3] == [{"term": "base_ang_vel"}, {"term": "joint_pos_rel"}, {"term": "last_action"}]
    assert (found[3]["term"], found[3]["size"]) == ("external", 5)
    name = "scanner_pos_w_and_scanner_ray_hits_w"
    told = {f"observation.terms.{name}": {"term": "goal", "name": "scan", "size": 5, "frame": "below the sensor, m"}}
    assert terms(contract_of(path, settings=told))[3]["name"] == "scan"


# Files that LEAPP 0.7.2 and Isaac Lab 3.0.0 wrote themselves.


@pytest.mark.shared
def test_isaac_labs_own_export_of_its_go2_task(shared: Path) -> None:
    """The contract is the task's, and its port computes what the export does, to the last bits."""
    folder = shared / "failing_inputs/peers/leapp/isaaclab_go2"
    path = folder / "Isaac-Velocity-Flat-UnitreeGo2.yaml"
    contract = contract_of(path)
    assert [term["term"] for term in terms(contract)] == [
        *("base_lin_vel", "base_ang_vel", "projected_gravity", "velocity_command"),
        *("joint_pos_rel", "joint_vel", "last_action"),
    ]
    assert terms(contract)[0]["point"] == "com"
    assert [joint.default for joint in contract.joints.values()][:6] == [0.1, 0.8, -1.5, -0.1, 0.8, -1.5]
    steps = moments(joints=12)
    names = contract.joint_names
    np.testing.assert_allclose(
        ported(path, contract, steps, "Isaac-Velocity-Flat-UnitreeGo2.onnx"), whole(path, steps, names), atol=1e-6
    )


@pytest.mark.shared
def test_the_go2_export_beside_its_runs_env_yaml_asks_for_a_name_alone(shared: Path, tmp_path: Path) -> None:
    """Rates, drives and gains, which the export has as 0, are env.yaml's."""
    peers = shared / "failing_inputs/peers"
    shutil.copytree(peers / "leapp/isaaclab_go2", tmp_path / "Task")
    shutil.copytree(peers / "isaaclab3_env_yaml/go2/params", tmp_path / "params")
    made = imported(tmp_path / "Task", robot="go2")
    assert {(joint.stiffness, joint.damping) for joint in made.contract.joints.values()} == {(25.0, 0.5)}
    assert (made.contract.timestep, made.contract.decimation, made.contract.actuation.kind) == (0.005, 4, "explicit")
    assert not any("kp and kd are 0" in note for note in made.notes)


@pytest.mark.shared
def test_leapps_own_files(shared: Path) -> None:
    """Named inputs become terms; a bare network is read and says that it can't be described; one of two is refused."""
    folder = shared / "failing_inputs/peers/leapp"
    contract = contract_of(folder / "multi/multi.yaml", trained_in="a script", settings={"decimation": 4})
    steps = moments(joints=6)
    path = folder / "multi/multi.yaml"
    np.testing.assert_allclose(
        ported(path, contract, steps, "policy.onnx"), whole(path, steps, contract.joint_names), atol=1e-6
    )
    assert terms(contract)[0] == {"term": "base_ang_vel", "scale": 0.2}
    for name, states in (("mlp", ()), ("lstm", ("h", "c"))):
        assert load_policy(folder / name / "policy.onnx").actor.state_names == states
        with pytest.raises(ContractError, match=r"no kind, no element_names.*inspect, export and remap"):
            contract_of(folder / name / f"{name}.yaml")
    with pytest.raises(CheckpointError, match=r"is one model of several\. pipeline\.yaml"):
        load_policy(folder / "pipeline/preprocess.pt")
    with pytest.raises(CheckpointError, match=r"preprocess is exported as jit"):
        load_policy(folder / "pipeline/policy.onnx")
    with pytest.raises(CheckpointError, match=r"preprocess is exported as jit"):
        contract_of(folder / "pipeline/pipeline.yaml")
