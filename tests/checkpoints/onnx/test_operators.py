"""Operators that reduce, route and slide: what ONNX Runtime computes, exported in both formats, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper

from policy_port.checkpoints import load_policy
from policy_port.errors import CheckpointError
from policy_port.export.onnx_graph import build_onnx
from policy_port.export.torchscript import save_torchscript
from policy_port.export.tracing import trace
from policy_port.port.torchscript import open_torchscript
from tests.checkpoints import written
from tests.checkpoints.onnx.test_file import model, weights
from tests.checkpoints.torchscript.test_file import differences

Nodes = list[onnx.NodeProto]


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(
        kind, inputs.split(), outputs.split(), name=f"the_{kind}_{outputs.split()[0]}", **attributes
    )


def reductions(opset: int) -> tuple[Nodes, dict[str, np.ndarray]]:
    """Every Reduce of (batch, 2, 3) along its last axis, by attribute before opset 18 and by input from then on."""
    kinds = "Mean Sum Max Min L1 L2 LogSumExp Prod SumSquare".split()
    nodes, arrays = [node("Reshape", "obs shape", "x")], {"shape": np.array([-1, 2, 3])}
    for kind in kinds:
        by_input = opset >= 18 or kind == "Sum"
        axes = {} if by_input else {"axes": [-1]}
        keep = {"keepdims": 0}
        nodes.append(node(f"Reduce{kind}", f"x{' axes' if by_input else ''}", f"r_{kind}", **axes, **keep))
    arrays["axes"] = np.array([2])
    parts = " ".join(f"r_{kind}" for kind in kinds)
    nodes += [node("Concat", parts, "all", axis=1), node("MatMul", "all w", "actions")]
    return nodes, arrays | {"w": weights(2 * len(kinds), 3)}


def experts() -> tuple[Nodes, dict[str, np.ndarray]]:
    """Four experts of which the gate's best two count: TopK, Softmax, ScatterElements, Einsum, GatherElements."""
    nodes = [
        node("Gemm", "obs gate", "scores"),
        node("TopK", "scores two", "best places", axis=-1),
        node("Softmax", "best", "shares", axis=-1),
        node("Mul", "scores zero", "nothing"),
        node("ScatterElements", "nothing places shares", "weights", axis=1),
        node("Einsum", "obs experts", "answers", equation="bi,eio->beo"),
        node("Einsum", "weights answers", "mixed", equation="be,beo->bo"),
        node("ArgMax", "scores", "first", axis=1, keepdims=1),
        node("GatherElements", "scores first", "highest", axis=1),
        node("Squeeze", "first axis", "winner"),
        node("Gather", "table winner", "style", axis=0),
        node("OneHot", "winner four off_on", "hot"),
        node("CumSum", "hot axis0", "steps"),
        node("MatMul", "steps w", "counted"),
        node("Sum", "mixed style highest counted", "actions"),
    ]
    arrays = {"gate": weights(6, 4), "two": np.array([2]), "zero": np.zeros(1, np.float32), "experts": weights(4, 6, 3)}
    arrays |= {"table": weights(4, 3), "axis": np.array([1]), "axis0": np.array(1), "w": weights(4, 3)}
    return nodes, arrays | {"four": np.array(4), "off_on": np.array([0.0, 2.0], np.float32)}


def slides() -> tuple[Nodes, dict[str, np.ndarray]]:
    """A convolution over time and pools, padding, tiling, scattering to fixed places, and masks of the file."""
    nodes = [
        node("Unsqueeze", "obs one", "line"),
        node("Pad", "line pads", "padded"),
        node("Conv", "padded kernel bias", "seen", strides=[2]),
        node("MaxPool", "seen", "most", kernel_shape=[2], strides=[1]),
        node("GlobalAveragePool", "most", "mean"),
        node("Flatten", "mean", "flat"),
        node("Tile", "flat twice", "many"),
        node("NonZero", "mask", "where"),
        node("Squeeze", "where zero", "kept"),
        node("Gather", "obs kept", "some", axis=1),
        node("Concat", "many some", "all", axis=1),
        node("MatMul", "all w", "actions"),
    ]
    arrays = {
        "one": np.array([1]),
        "pads": np.array([0, 0, 1, 0, 0, 1]),
        "kernel": weights(2, 1, 3),
        "bias": weights(2),
    }
    arrays |= {"twice": np.array([1, 2]), "mask": np.array([True, False, True, False, False, True])}
    return nodes, arrays | {"zero": np.array([0]), "w": weights(7, 3)}


@pytest.mark.parametrize("batch", ["batch", 1])
@pytest.mark.parametrize(
    ("graph", "opset"), [(reductions(17), 17), (reductions(18), 18), (experts(), 17), (slides(), 17)]
)
def test_reducing_routing_and_sliding_equal_onnxruntime(
    tmp_path: Path, graph: tuple[Nodes, dict[str, np.ndarray]], opset: int, batch: int | str
) -> None:
    """Read, and exported to both formats, they give what ONNX Runtime gives, for one row and for seven."""
    path = model(*graph, tmp_path / "policy.onnx", batch=batch, opset_imports=[helper.make_opsetid("", opset)])
    policy = load_policy(path)
    assert max(differences(policy, rows, 2) for rows in (1, 7)) < 1e-5
    if batch == 1:
        return
    traced = trace(policy.actor)
    session = onnxruntime.InferenceSession(build_onnx(traced, policy.actor).SerializeToString())
    save_torchscript(tmp_path / "policy.pt", traced, policy.actor, {})
    scripted = open_torchscript(tmp_path / "policy.pt")
    for rows in (1, 7):
        obs = written.observations(rows, 6)
        wanted = policy.actor(torch.from_numpy(obs))[0].numpy()
        assert np.abs(session.run(None, {"obs": obs})[0] - wanted).max() < 1e-5
        assert np.abs(scripted(torch.from_numpy(obs)).numpy() - wanted).max() < 1e-5


def bare(tmp_path: Path, nodes: Nodes, arrays: dict[str, np.ndarray], out: list[int], **states: list[int]) -> Path:
    """A graph of a vector of six numbers without a batch axis, and of states that have none either."""
    floats = onnx.TensorProto.FLOAT
    inputs = {"x": [6]} | {f"{name}_in": shape for name, shape in states.items()}
    outputs = {"y": out} | {f"{name}_out": shape for name, shape in states.items()}
    graph = helper.make_graph(
        nodes,
        "bare",
        [helper.make_tensor_value_info(name, floats, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, floats, shape) for name, shape in outputs.items()],
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    path = tmp_path / "bare.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def test_a_graph_without_a_batch_axis_gets_one(tmp_path: Path) -> None:
    """Slices, joins, reshapes, transposes, products from both sides and a GRU, all counted from the front: with a
    batch in front each row is what ONNX Runtime computes for it alone, and the state is kept row by row.
    """
    nodes = [
        node("Slice", "x start end axis", "head"),
        node("Concat", "head fixed", "joined", axis=0),
        node("MatMul", "left joined", "turned"),
        node("Reshape", "x square", "s"),
        node("Transpose", "s", "t"),
        node("ReduceMean", "t", "m", axes=[0], keepdims=0),
        node("Unsqueeze", "x axis", "row"),
        node("Gemm", "row w b", "g", transB=1),
        node("Softmax", "g", "p", axis=1),
        node("Flatten", "p", "f", axis=0),
        node("Squeeze", "f axis", "q"),
        node("Unsqueeze", "x axes", "sequence"),
        node("GRU", "sequence W R B  h_in", "Y h_out", hidden_size=4, linear_before_reset=1),
        node("Shape", "Y", "sizes"),
        node("Slice", "sizes last end axis", "width"),
        node("Reshape", "Y width", "memory"),
        node("Split", "memory halves", "one two", axis=0),
        node("Concat", "turned m q one two", "all", axis=0),
        node("MatMul", "all out", "y"),
    ]
    nodes[12].input[:] = ["sequence", "W", "R", "B", "", "h_in"]
    arrays = {"start": np.array([2]), "end": np.array([2**40]), "axis": np.array([0]), "fixed": weights(2)}
    arrays |= {"left": weights(3, 6), "square": np.array([2, -1]), "w": weights(5, 6), "b": weights(5)}
    arrays |= {"axes": np.array([0, 1]), "W": weights(1, 12, 6), "R": weights(1, 12, 4), "B": weights(1, 24)}
    arrays |= {"last": np.array([3]), "halves": np.array([1, 3]), "out": weights(3 + 2 + 5 + 4, 3)}
    policy = load_policy(bare(tmp_path, nodes, arrays, [3], h=[1, 1, 4]))
    assert (policy.actor.obs_size, policy.actor.state_names, policy.actor.state_shapes) == (6, ("h",), ((1, 4),))
    assert max(differences(policy, rows, 4) for rows in (1, 7)) < 1e-5


def test_a_batch_of_one_that_is_folded_away_comes_back(tmp_path: Path) -> None:
    """A file for one observation that squeezes its batch, softmaxes along the first axis and puts it back is read by
    what it does with one row, and any number of rows then is that row by row.
    """
    nodes = [
        node("Squeeze", "obs", "bare"),
        node("Softmax", "bare", "shares", axis=0),
        node("ReduceSum", "shares", "total"),
        node("Div", "shares total", "even"),
        node("MatMul", "even w", "bare_actions"),
        node("Unsqueeze", "bare_actions zero", "actions"),
    ]
    arrays = {"w": weights(6, 3), "zero": np.array([0])}
    policy = load_policy(model(nodes, arrays, tmp_path / "policy.onnx", batch=1))
    assert max(differences(policy, rows, 2) for rows in (1, 7)) < 1e-6


REFUSED: list[tuple[Nodes, dict[str, np.ndarray], str]] = [
    (
        [node("NonZero", "obs", "n"), node("Cast", "n", "c", to=1), node("Gemm", "c w", "actions")],
        {"w": weights(6, 3)},
        r"the_NonZero_\w+ picks by what the network computes.*mixture of experts",
    ),
    (
        [node("ReduceMean", "obs", "m", axes=[0]), node("Sub", "obs m", "s"), node("Gemm", "s w", "actions")],
        {"w": weights(6, 3)},
        r"the_ReduceMean_\w+ goes over the batch axis",
    ),
    (
        [node("BatchNormalization", "obs s b m v", "n rm rv", training_mode=1), node("Gemm", "n w", "actions")],
        {"w": weights(6, 3)} | {name: np.abs(weights(6)) for name in ("s", "b", "m", "v")},
        r"the_BatchNormalization_\w+ is in training mode.*Call eval\(\)",
    ),
    (
        [node("Dropout", "obs ratio training", "d"), node("Gemm", "d w", "actions")],
        {"w": weights(6, 3), "ratio": np.array(0.5, np.float32), "training": np.array(True)},
        r"the_Dropout_\w+ is in training mode.*Call eval\(\)",
    ),
    (
        [node("Reshape", "obs shape", "r"), node("Gemm", "r w", "actions")],
        {"w": weights(3, 3), "shape": np.array([-1, 3])},
        r"actions of Gemm the_Gemm_actions has shape \('2 x batch', 3\), without the batch",
    ),
    (
        [node("Gemm", "obs w", "g"), node("Bernoulli", "g", "actions")],
        {"w": weights(6, 3)},
        r"the_Bernoulli_\w+ draws a choice at random, which has no mean",
    ),
]


@pytest.mark.parametrize(("nodes", "arrays", "message"), REFUSED, ids=[message[4:12] for *_, message in REFUSED])
def test_what_can_not_be_read_is_refused_by_its_nodes_name(
    tmp_path: Path, nodes: Nodes, arrays: dict[str, np.ndarray], message: str
) -> None:
    """Choices by data, batches that mix, training mode: the message has the node's name, the reason and the mend."""
    path = model(nodes, arrays, tmp_path / "policy.onnx")
    for mean in (False, True):
        with pytest.raises(CheckpointError, match=message):
            load_policy(path, mean=mean)


def test_random_numbers_are_refused_or_their_mean_is_taken(tmp_path: Path) -> None:
    """A policy that draws is refused by the node's name; with the mean asked for it is what its mean computes."""
    nodes = [
        node("Gemm", "obs w", "mu"),
        node("RandomNormalLike", "mu", "noise", mean=0.25, scale=2.0),
        node("RandomUniform", "", "shift", low=0.0, high=1.0, shape=[1, 3]),
        node("Add", "mu noise", "drawn"),
        node("Add", "drawn shift", "actions"),
    ]
    nodes[2].ClearField("input")
    gains = weights(6, 3)
    path = model(nodes, {"w": gains}, tmp_path / "policy.onnx")
    with pytest.raises(CheckpointError, match=r"the_RandomNormalLike_\w+ draws random numbers.* with --mean"):
        load_policy(path)
    policy = load_policy(path, mean=True)
    obs = written.observations(7, 6)
    assert np.abs(policy.actor(torch.from_numpy(obs))[0].numpy() - (obs @ gains + 0.75)).max() < 1e-6
    assert differences(policy, 7, 2) < 1e-6
    assert any("the mean stands in place of random numbers" in note for note in policy.notes)
