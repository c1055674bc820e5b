"""Folding the affine nodes around a network into its first and last weights, in a finished ONNX graph.

A folded port costs nothing at run time. Its weights are no longer the trained ones: they are computed in float64 and
rounded once, so actions differ from the unfolded port's by rounding. An input that nothing reads has weight zero,
which does not hold back a NaN as the unfolded port's nodes do.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from policy_port.errors import PortError
from policy_port.export.affine_chain import CONSTANT, Chain
from policy_port.export.onnx_tidy import consumers, drop_unused
from policy_port.port.format import constants

Floats = NDArray[np.float64]


def fold(model: onnx.ModelProto, *, observation: bool = True, action: bool = True) -> onnx.ModelProto:
    """Return the graph with everything affine before its first and behind its last layer folded into them.

    Args:
        model: The graph; it is not changed.
        observation: A remap stands before the network: when it can't be folded, that is an error. Where none stands,
            a normaliser that can't be folded stays.
        action: The same behind the network.

    Raises:
        PortError: Naming the node that stands between the remap and the weights.
    """
    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    for wanted, one_side in ((observation, _fold_observation), (action, _fold_action)):
        try:
            one_side(folded.graph)
        except PortError:
            if wanted:
                raise
    drop_unused(folded.graph)
    return folded


def _fold_observation(graph: onnx.GraphProto) -> None:
    source = graph.input[0].name
    known = constants(graph)
    chain = Chain.start(graph.input[0].type.tensor_type.shape.dim[1].dim_value)
    nodes: list[onnx.NodeProto] = []
    tensor, rank_node = source, None
    while True:
        readers = consumers(graph, tensor)
        if len(readers) != 1 or tensor in {output.name for output in graph.output}:
            raise _refusal("observation", " and ".join(map(_label, readers)) or "an output", f"all read '{tensor}'")
        [node] = readers
        longer = chain.then(node, tensor, known)
        if longer is None:
            break
        chain, tensor = longer, node.output[0]
        # The change of rank before a recurrent layer stays; it costs nothing and the layer needs it.
        if node.op_type == "Unsqueeze":
            rank_node = node
        else:
            nodes.append(node)
    _require_layer(node, tensor, chain.rank, known, "observation")
    if not nodes:
        return
    _absorb_input(graph, node, chain, known)
    if rank_node is not None:
        rank_node.input[0] = source
    else:
        node.input[0] = source
    _remove(graph, nodes)


def _fold_action(graph: onnx.GraphProto) -> None:
    target = graph.output[0].name
    producers = {name: node for node in graph.node for name in node.output}
    known = constants(graph)
    nodes: list[onnx.NodeProto] = []
    tensor = target
    while True:
        node = producers[tensor]
        if node.op_type in ("Gemm", "MatMul"):
            break
        inputs = [name for name in node.input if name not in known]
        affine = len(inputs) == 1 and node.op_type in ("Gather", "Mul", "Div", "Add", "Sub", "Where", "Identity")
        if not affine or inputs[0] not in producers:
            if nodes:
                raise _refusal("action", _label(node), "is not affine")
            return
        nodes.insert(0, node)
        tensor = inputs[0]
    if not nodes:
        return
    _require_layer(node, node.input[0], 2, known, "action")
    readers = consumers(graph, tensor)
    if len(readers) != 1:
        raise _refusal("action", " and ".join(map(_label, readers)), f"all read '{tensor}'")
    chain = Chain.start(_layer(node, known)[0].shape[1])
    for step in nodes:
        longer = chain.then(step, tensor, known)
        if longer is None:
            raise _refusal("action", _label(step), "is not affine")
        chain, tensor = longer, step.output[0]
    weight, bias = _layer(node, known)
    reads = chain.index != CONSTANT
    picks = np.where(reads, chain.index, 0)
    factor = np.where(reads, chain.scale, 0.0)
    _set_layer(graph, node, weight[:, picks] * factor, bias[picks] * factor + chain.offset)
    node.output[0] = target
    _remove(graph, nodes)


def _absorb_input(
    graph: onnx.GraphProto, node: onnx.NodeProto, chain: Chain, known: dict[str, NDArray[np.generic]]
) -> None:
    """Give `node` weights that read the chain's input: W' x + b' = W (scale * x[index] + offset) + b."""
    width = graph.input[0].type.tensor_type.shape.dim[1].dim_value
    if node.op_type in ("LSTM", "GRU"):
        weight = known[node.input[1]].astype(np.float64)
        folded = weight @ _matrix(chain, width)
        gates = weight.shape[1]
        bias = np.zeros((1, 2 * gates))
        if len(node.input) > 3 and node.input[3]:
            bias = known[node.input[3]].astype(np.float64)
        # The first half is the input's bias; a GRU's recurrent half is multiplied by a gate and must not be touched.
        bias[:, :gates] += weight @ chain.offset
        node.input[1] = _store(graph, f"{node.input[1]}.folded", folded)
        node.input.extend([""] * (4 - len(node.input)))
        node.input[3] = _store(graph, f"{node.input[1]}.bias", bias)
        return
    weight, bias = _layer(node, known)
    _set_layer(graph, node, _matrix(chain, width).T @ weight, bias + chain.offset @ weight)


def _matrix(chain: Chain, width: int) -> Floats:
    """The chain as a dense matrix (outputs, width): products with it are exact up to sums of doubled inputs."""
    matrix = np.zeros((len(chain.index), width))
    rows = np.flatnonzero(chain.index != CONSTANT)
    matrix[rows, chain.index[rows]] = chain.scale[rows]
    return matrix


def _layer(node: onnx.NodeProto, known: dict[str, NDArray[np.generic]]) -> tuple[Floats, Floats]:
    """Weight (inputs, outputs) and bias (outputs,) of a Gemm or MatMul, its factors multiplied in."""
    weight = known[node.input[1]].astype(np.float64)
    if _number(node, "transB", 0):
        weight = weight.T
    weight = weight * _number(node, "alpha", 1.0)
    bias = np.zeros(weight.shape[1])
    if len(node.input) > 2 and node.input[2]:
        bias = bias + known[node.input[2]].astype(np.float64).reshape(-1) * _number(node, "beta", 1.0)
    return weight, bias


def _set_layer(graph: onnx.GraphProto, node: onnx.NodeProto, weight: Floats, bias: Floats) -> None:
    """Make `node` a Gemm with these numbers."""
    stem = node.input[1]
    stored = [_store(graph, f"{stem}.folded", weight.T), _store(graph, f"{stem}.folded.bias", bias)]
    node.op_type = "Gemm"
    del node.attribute[:]
    node.attribute.append(onnx.helper.make_attribute("transB", 1))
    del node.input[1:]
    node.input.extend(stored)


def _store(graph: onnx.GraphProto, name: str, value: Floats) -> str:
    """Add a float32 initializer and return its name, which is made one that no other tensor has."""
    taken = {tensor.name for tensor in graph.initializer}
    while name in taken:
        name += "_"
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype=np.float32), name))
    return name


def _require_layer(
    node: onnx.NodeProto,
    tensor: str,
    rank: int,
    known: dict[str, NDArray[np.generic]],
    side: Literal["observation", "action"],
) -> None:
    """Refuse unless `node` is a linear or recurrent layer on `tensor` whose weights are in the file."""
    given = {"Gemm": (1, 2), "MatMul": (1,), "LSTM": (1, 3), "GRU": (1, 3)}.get(node.op_type)
    if given is None:
        raise _refusal(side, _label(node), "is not affine")
    fixed = all(node.input[slot] in known for slot in given if slot < len(node.input) and node.input[slot])
    one_way = _text(node, "direction", "forward") == "forward"
    flat = rank == (3 if node.op_type in ("LSTM", "GRU") else 2) and not _number(node, "transA", 0)
    if node.input[0] != tensor or not (fixed and one_way and flat):
        raise _refusal(side, _label(node), "is no layer with weights of its own")


def _remove(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    for node in nodes:
        graph.node.remove(node)


def _refusal(side: Literal["observation", "action"], node: str, why: str) -> PortError:
    place = "before the first" if side == "observation" else "behind the last"
    return PortError(
        f"the {side} remap can't be folded into the weights: {node} stands {place} layer and {why}. Leave out --fold: "
        "the remap then stays as nodes of the graph, at a small cost"
    )


def _label(node: onnx.NodeProto) -> str:
    return f"{node.op_type} '{node.name or node.output[0]}'"


def _number(node: onnx.NodeProto, name: str, default: float) -> float:
    for attribute in node.attribute:
        if attribute.name == name:
            return onnx.helper.get_attribute_value(attribute)
    return default


def _text(node: onnx.NodeProto, name: str, default: str) -> str:
    for attribute in node.attribute:
        if attribute.name == name:
            return attribute.s.decode()
    return default
