"""Files that hold more than a network: the network is found inside, or the reason why not is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from policy_port.checkpoints import load_policy
from policy_port.errors import CheckpointError
from tests.checkpoints.onnx.test_file import weights
from tests.checkpoints.torchscript.test_file import differences

FLOAT = TensorProto.FLOAT
DEFAULT = np.array([0.1, -0.2, 0.3], np.float32)


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    arrays: dict[str, np.ndarray],
    inputs: dict[str, list[int | str]],
    outputs: dict[str, list[int | str]],
    **metadata: str,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "environment",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    loaded = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(loaded, metadata)
    onnx.save(loaded, str(path))
    return path


def network() -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """A perceptron from obs (9) to actions (3)."""
    nodes = [
        helper.make_node("Gemm", ["obs", "w0", "b0"], ["x0"], transB=1),
        helper.make_node("Elu", ["x0"], ["x1"]),
        helper.make_node("Gemm", ["x1", "w1", "b1"], ["actions"], transB=1),
    ]
    return nodes, {"w0": weights(8, 9), "b0": weights(8), "w1": weights(3, 8), "b1": weights(3)}


def beyond_mimic(path: Path) -> Path:
    """A network, and beside it a motion of which time_step chooses a frame."""
    nodes, arrays = network()
    nodes += [
        helper.make_node("Cast", ["time_step"], ["step"], to=TensorProto.INT64),
        helper.make_node("Squeeze", ["step"], ["frame"]),
        helper.make_node("Gather", ["motion", "frame"], ["row"], axis=0),
        helper.make_node("Reshape", ["row", "one_row"], ["joint_pos"]),
    ]
    arrays |= {"motion": weights(20, 3), "one_row": np.array([1, 3])}
    return save(
        path, nodes, arrays, {"obs": [1, 9], "time_step": [1, 1]}, {"actions": [1, 3], "joint_pos": [1, 3]}
    )  # fmt: skip


def exploy(path: Path, *, shows: str = "obs", bypass: bool = False, operator: str = "Sinh") -> Path:
    """An environment: observation from raw signals in front, targets and memory behind the network."""
    nodes, arrays = network()
    front = [
        helper.make_node("Sub", ["articulation.joints.pos", "default"], ["relative"]),
        # Sinh is an operator that no network needs: it is in front, and never executed.
        helper.make_node(operator, ["command.base_velocity"], ["command"]),
        helper.make_node("Concat", ["relative", "command", "memory.actions.in"], ["obs"], axis=1),
    ]
    if bypass:
        nodes[-1].output[0] = "bare"
        nodes.append(helper.make_node("Add", ["bare", "command.base_velocity"], ["actions"]))
    behind = [
        helper.make_node("Mul", ["actions", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "default"], ["output.joint_pos.pos"]),
        helper.make_node("Identity", ["actions"], ["memory.actions.out"]),
    ]
    arrays |= {"default": DEFAULT, "scale": np.array(0.25, np.float32)}
    outputs: dict[str, list[int | str]] = {"actions": [1, 3], "output.joint_pos.pos": [1, 3]}
    outputs |= {shows: [1, 9], "memory.actions.out": [1, 3]} if shows == "obs" else {"memory.actions.out": [1, 3]}
    names = ("command.base_velocity", "articulation.joints.pos", "memory.actions.in")
    return save(path, [*front, *nodes, *behind], arrays, {name: [1, 3] for name in names}, outputs)


def test_the_network_of_a_motion_file_is_read(tmp_path: Path) -> None:
    """BeyondMimic: time_step moves only the reference, so the network is read without either, and it is said."""
    policy = load_policy(beyond_mimic(tmp_path / "policy.onnx"))
    assert (policy.actor.obs_size, policy.actor.action_size) == (9, 3)
    assert any("left out" in note and "time_step" in note and "joint_pos" in note for note in policy.notes)
    assert any("motion" in leftover for leftover in policy.leftovers)
    assert differences(policy, 7) < 1e-5


def test_the_network_of_an_environment_is_what_the_whole_file_runs(tmp_path: Path) -> None:
    """Exploy: cut at obs, the network gives the actions that the uncut file gives for the signals behind that obs."""
    path = exploy(tmp_path / "policy.onnx")
    rng = np.random.default_rng(5)
    joint_pos, command, last = (rng.standard_normal((1, 3)).astype(np.float32) for _ in range(3))
    with pytest.raises(CheckpointError, match="Sinh"):
        load_policy(exploy_without_cut(tmp_path / "whole.onnx"))
    policy = load_policy(path)
    assert policy.actor.obs_size == 9
    assert any("begins at obs" in note and "memory.actions.in" in note for note in policy.notes)
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    wanted = session.run(
        ["actions"],
        {"articulation.joints.pos": joint_pos, "command.base_velocity": command, "memory.actions.in": last},
    )[0]
    obs = np.concatenate([joint_pos - DEFAULT, np.sinh(command), last], axis=1)
    runner = policy.original()
    assert np.abs(runner.step(obs) - wanted).max() < 1e-5
    assert differences(policy, 5) < 1e-5


def exploy_without_cut(path: Path) -> Path:
    """The same with one vector as its input, where nothing needs to be cut."""
    nodes, arrays = network()
    nodes.insert(0, helper.make_node("Sinh", ["raw"], ["obs"]))
    return save(path, nodes, arrays, {"raw": [1, 9]}, {"actions": [1, 3]})


def test_an_action_that_needs_several_vectors_is_refused(tmp_path: Path) -> None:
    """No output shows the observation, or something goes round it: reading obs alone would be another policy."""
    for name, options in (("hidden", {"shows": ""}), ("bypass", {"bypass": True})):
        with pytest.raises(CheckpointError, match=r"several vectors.*a group or term of the same name"):
            load_policy(exploy(tmp_path / f"{name}.onnx", operator="Sin", **options))


def test_a_controller_wrapped_in_its_decimation_names_the_other_file(tmp_path: Path) -> None:
    """Exploy's outermost file branches on the physics step; the message says which file to give."""
    branch = helper.make_graph(
        [helper.make_node("Identity", ["obs"], ["out"])], "b", [], [helper.make_tensor_value_info("out", FLOAT, [1, 3])]
    )
    nodes = [
        helper.make_node("Greater", ["context", "zero"], ["first"]),
        helper.make_node("Squeeze", ["first"], ["flag"]),
        helper.make_node("If", ["flag"], ["actions"], then_branch=branch, else_branch=branch),
    ]
    path = save(
        tmp_path / "policy.onnx",
        nodes,
        {"zero": np.zeros((1, 1), np.float32)},
        {"obs": [1, 3], "context": [1, 1]},
        {"actions": [1, 3]},
        decimation="4",
    )
    with pytest.raises(CheckpointError, match="give the file of one control step"):
        load_policy(path)
