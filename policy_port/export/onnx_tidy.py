"""What the exporter leaves untidy: constants among the nodes, doubled steps, names that say nothing.

Nothing here changes a number.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from policy_port.port.format import constants

_WEIGHT_INPUTS = {
    "LSTM": {1: "weight", 2: "recurrent_weight", 3: "bias"},
    "GRU": {1: "weight", 2: "recurrent_weight", 3: "bias"},
}


def tidy(model: onnx.ModelProto) -> None:
    """Tidy a graph in place."""
    graph = model.graph
    _constants_become_initializers(graph)
    _merge_squeezes(graph)
    _name_recurrent_weights(graph)
    _share_equal_axes(graph)
    drop_unused(graph)


def consumers(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    """Return the nodes that read the tensor `name`."""
    return [node for node in graph.node if name in node.input]


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove initializers that no node reads, and shape notes of tensors that are gone."""
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    keep = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(keep)
    del graph.value_info[:]


def _constants_become_initializers(graph: onnx.GraphProto) -> None:
    for node in [node for node in graph.node if node.op_type == "Constant"]:
        [attribute] = node.attribute
        array = onnx.helper.get_attribute_value(attribute)
        value = numpy_helper.to_array(array) if attribute.name == "value" else np.asarray(array)
        graph.initializer.append(numpy_helper.from_array(np.array(value), node.output[0]))
        graph.node.remove(node)


def _merge_squeezes(graph: onnx.GraphProto) -> None:
    """Merge the two squeezes behind every recurrent layer: of the direction, then of the time."""
    known = constants(graph)
    for second in [node for node in graph.node if node.op_type == "Squeeze"]:
        for first in [node for node in graph.node if node.output[0] == second.input[0]]:
            mergeable = first.op_type == "Squeeze" and len(consumers(graph, first.output[0])) == 1
            if not mergeable or first.input[1] not in known or second.input[1] not in known:
                continue
            before, after = known[first.input[1]].tolist(), known[second.input[1]].tolist()
            if min(*before, *after) < 0 or len(before) != 1:
                continue
            axes = sorted([*before, *(axis + (axis >= before[0]) for axis in after)])
            merged = numpy_helper.from_array(np.array(axes, dtype=np.int64), f"{second.output[0]}_axes")
            graph.initializer.append(merged)
            second.input[0], second.input[1] = first.input[0], merged.name
            graph.node.remove(first)


def _name_recurrent_weights(graph: onnx.GraphProto) -> None:
    """Name the gate matrices that the exporter reordered after their layer, instead of by number."""
    renamed: dict[str, str] = {}
    for op_type, roles in _WEIGHT_INPUTS.items():
        for layer, node in enumerate(node for node in graph.node if node.op_type == op_type):
            for slot, role in roles.items():
                if slot < len(node.input) and node.input[slot].startswith("onnx::"):
                    renamed[node.input[slot]] = f"{op_type.lower()}.{layer}.{role}"
    for tensor in graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
    for node in graph.node:
        for slot, name in enumerate(node.input):
            node.input[slot] = renamed.get(name, name)


def _share_equal_axes(graph: onnx.GraphProto) -> None:
    """Keep one of each integer constant that says which axis or slice; every layer brings its own."""
    first: dict[tuple[object, ...], str] = {}
    shared: dict[str, str] = {}
    for name, value in constants(graph).items():
        if value.dtype == np.int64 and value.size <= 2:
            shared[name] = first.setdefault((value.shape, value.tobytes()), name)
    for node in graph.node:
        for slot, name in enumerate(node.input):
            node.input[slot] = shared.get(name, name)
