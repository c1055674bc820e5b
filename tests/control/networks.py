"""ONNX graphs of the port's shape, written node by node."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def save(path: Path, nodes: list, weights: dict[str, np.ndarray], inputs: dict, outputs: dict) -> Path:
    """Write a graph; `inputs` and `outputs` give shapes by name."""

    def info(shapes: dict) -> list:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "policy", info(inputs), info(outputs), constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def save_linear(path: Path, matrix: np.ndarray, batch: int | str = "batch") -> Path:
    """actions = obs @ matrix."""
    matrix = matrix.astype(np.float32)
    return save(
        path,
        [helper.make_node("MatMul", ["obs", "matrix"], ["actions"])],
        {"matrix": matrix},
        {"obs": [batch, matrix.shape[0]]},
        {"actions": [batch, matrix.shape[1]]},
    )


def save_mlp(path: Path, sizes: tuple[int, ...], seed: int = 0) -> Path:
    """Linear layers with ELU between."""
    rng = np.random.default_rng(seed)
    nodes, weights, last = [], {}, "obs"
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        weights[f"w{layer}"] = (rng.normal(size=(fan_in, fan_out)) / np.sqrt(fan_in)).astype(np.float32)
        weights[f"b{layer}"] = rng.normal(size=fan_out).astype(np.float32)
        final = layer == len(sizes) - 2
        nodes.append(helper.make_node("Gemm", [last, f"w{layer}", f"b{layer}"], ["actions" if final else f"g{layer}"]))
        if not final:
            nodes.append(helper.make_node("Elu", [f"g{layer}"], [f"e{layer}"]))
        last = f"e{layer}"
    return save(path, nodes, weights, {"obs": ["batch", sizes[0]]}, {"actions": ["batch", sizes[-1]]})


def save_lstm(path: Path, obs: int = 4, hidden: int = 3, seed: int = 0) -> Path:
    """One LSTM layer whose hidden state is the action."""
    rng = np.random.default_rng(seed)
    weights = {
        "W": rng.normal(size=(1, 4 * hidden, obs)).astype(np.float32),
        "R": rng.normal(size=(1, 4 * hidden, hidden)).astype(np.float32),
        "B": rng.normal(size=(1, 8 * hidden)).astype(np.float32),
        "axis": np.array([0], dtype=np.int64),
    }
    nodes = [
        helper.make_node("Unsqueeze", ["obs", "axis"], ["sequence"]),
        helper.make_node(
            "LSTM",
            ["sequence", "W", "R", "B", "", "h_in", "c_in"],
            ["", "h_out", "c_out"],
            hidden_size=hidden,
        ),
        helper.make_node("Squeeze", ["h_out", "axis"], ["actions"]),
    ]
    state = [1, "batch", hidden]
    return save(
        path,
        nodes,
        weights,
        {"obs": ["batch", obs], "h_in": state, "c_in": state},
        {"actions": ["batch", hidden], "h_out": state, "c_out": state},
    )
