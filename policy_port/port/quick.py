"""A graph as ONNX Runtime computes it fastest on a CPU; for the memory of the process that runs it, not for files."""

from __future__ import annotations

import onnx
from onnx import numpy_helper

_DOMAIN = "ai.onnx.ml"


def quicker(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with its choices of columns in the form that ONNX Runtime is quick at.

    ONNX Runtime's Gather copies element by element, which at batch 4096 takes half as long as a small LSTM;
    ArrayFeatureExtractor is the same choice of columns at a fortieth of the time, bit for bit. It belongs to a domain
    that other runtimes do not have, so files keep Gather.
    """
    quick = onnx.ModelProto()
    quick.CopyFrom(model)
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in quick.graph.initializer}
    shapes = onnx.shape_inference.infer_shapes(quick).graph
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in (*shapes.value_info, *shapes.input)}
    changed = False
    for node in quick.graph.node:
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
        chooses = node.op_type == "Gather" and ranks.get(node.input[0]) == 2 and axis in (1, -1)
        if chooses and node.input[1] in known and known[node.input[1]].ndim == 1 and known[node.input[1]].min() >= 0:
            node.op_type, node.domain = "ArrayFeatureExtractor", _DOMAIN
            del node.attribute[:]
            changed = True
    if changed and all(entry.domain != _DOMAIN for entry in quick.opset_import):
        quick.opset_import.append(onnx.helper.make_opsetid(_DOMAIN, 3))
    return quick
