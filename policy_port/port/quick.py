"""A graph as ONNX Runtime computes it fastest on a CPU; for the memory of the process that runs it, not for files."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

_DOMAIN = "ai.onnx.ml"
_WIDEST = 32
"""Columns up to which a product with a diagonal matrix is quicker than two operations."""


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


def narrower(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with each product by a row of constants and the sum behind it, in float64, as one operation.

    An operation costs 0.3 us whatever it does, and a product with a diagonal matrix of a robot's width no more than
    that. Its other numbers are zeros, so the result is the same bit for bit.
    """
    fewer = onnx.ModelProto()
    fewer.CopyFrom(model)
    graph = fewer.graph
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    leaving = {output.name for output in graph.output}
    shapes = onnx.shape_inference.infer_shapes(fewer).graph
    sizes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*shapes.value_info, *shapes.input, *shapes.output)
    }
    for first in [node for node in graph.node if node.op_type == "Mul"]:
        factors = [known.get(name) for name in first.input]
        readers = [node for node in graph.node if first.output[0] in node.input]
        if factors[0] is not None or factors[1] is None or first.output[0] in leaving:
            continue
        if len(readers) != 1 or readers[0].op_type != "Add" or not _is_row(factors[1]):
            continue
        # One column would be spread over the row, which a product of matrices does not do.
        if sizes.get(first.input[0]) != factors[1].shape:
            continue
        [second] = readers
        [added] = [name for name in second.input if name != first.output[0]] or [""]
        if (known[added].shape if added in known else sizes.get(added)) != factors[1].shape:
            continue
        matrix = f"{first.output[0]}/diagonal"
        graph.initializer.append(numpy_helper.from_array(np.diag(factors[1][0]), matrix))
        second.op_type = "Gemm"
        second.input[:] = [first.input[0], matrix, added]
        graph.node.remove(first)
    return fewer


def within(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with a product that is added to the network's answer as what its last layer adds.

    The layer's own bias goes into that product, which is of zeros, so the answer is the same bit for bit.
    """
    fewer = onnx.ModelProto()
    fewer.CopyFrom(model)
    graph = fewer.graph
    constants = {tensor.name for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    read = [name for node in graph.node for name in node.input] + [output.name for output in graph.output]
    for total in [node for node in graph.node if node.op_type == "Add"]:
        layer, product = (makers.get(name) for name in total.input)
        if layer is None or product is None or (layer.op_type, product.op_type) != ("Gemm", "MatMul"):
            continue
        unscaled = all(attribute.f == 1.0 for attribute in layer.attribute if attribute.name in ("alpha", "beta"))
        if not unscaled or len(layer.input) != 3 or layer.input[2] not in constants:
            continue
        if any(read.count(name) != 1 for name in total.input):
            continue
        product.op_type = "Gemm"
        product.input.append(layer.input[2])
        layer.input[2], layer.output[0] = product.output[0], total.output[0]
        graph.node.remove(total)
        graph.node.remove(product)
        graph.node.insert(list(graph.node).index(layer), product)
    return fewer


def _is_row(factor: NDArray[Any]) -> bool:
    return factor.dtype == np.float64 and factor.ndim == 2 and len(factor) == 1 and 1 < factor.shape[1] <= _WIDEST
