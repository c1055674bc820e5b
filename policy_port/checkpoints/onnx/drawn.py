"""Random numbers in an ONNX graph: refused, or replaced by their mean where the user asks for that."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from policy_port.errors import CheckpointError

_LIKE = {"RandomNormalLike": 1, "RandomUniformLike": 1, "RandomNormal": 0, "RandomUniform": 0}
"""Operators whose mean is a number, and how many inputs they have, whose shape the result has."""
DRAWN = frozenset((*_LIKE, "Bernoulli", "Multinomial"))
"""Operators that draw."""


def drawn_error(node: onnx.NodeProto, where: str) -> CheckpointError:
    """Why a graph that draws is refused."""
    name = f"{node.op_type} {node.name or node.output[0]}"
    if node.op_type not in _LIKE:
        return CheckpointError(
            f"{where}: {name} draws a choice at random, which has no mean that could be taken; export the network "
            "without sampling"
        )
    return CheckpointError(
        f"{where}: {name} draws random numbers, so that two calls differ. Export the network without sampling, or "
        "take the mean of every random number with --mean"
    )


def without_draws(model: onnx.ModelProto, where: str, *, mean: bool) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The model with the mean in place of every random number, and a note on it; refused unless `mean` says so."""
    found = [node for node in model.graph.node if node.op_type in DRAWN]
    if not found:
        return model, ()
    if not mean or any(node.op_type not in _LIKE for node in found):
        raise drawn_error(next((node for node in found if node.op_type not in _LIKE), found[0]), where)
    settled = onnx.ModelProto()
    settled.CopyFrom(model)
    nodes: list[onnx.NodeProto] = []
    for node in settled.graph.node:
        if node.op_type not in DRAWN:
            nodes.append(node)
            continue
        said = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        number = (
            said.get("mean", 0.0) if "Normal" in node.op_type else (said.get("low", 0.0) + said.get("high", 1.0)) / 2
        )
        value = numpy_helper.from_array(np.array([number], np.float32))
        shape = f"policy_port_shape_of_{node.output[0]}"
        if node.input:
            nodes.append(helper.make_node("Shape", [node.input[0]], [shape]))
        else:
            sizes = numpy_helper.from_array(np.array(said["shape"], np.int64))
            nodes.append(helper.make_node("Constant", [], [shape], value=sizes))
        nodes.append(helper.make_node("ConstantOfShape", [shape], list(node.output), value=value, name=node.name))
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del settled.graph.node[:]
    settled.graph.node.extend(copies)
    kinds = ", ".join(f"{node.op_type} {node.name or node.output[0]}" for node in found)
    return settled, (f"{kinds}: {NOTE}",)


NOTE = (
    "the mean stands in place of random numbers, as --mean says; what is computed from it is the mean of the action "
    "only where nothing bends it on the way (a tanh does)"
)
