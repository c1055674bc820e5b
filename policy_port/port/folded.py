"""The policy's network inside a deploy graph, where what is affine was folded into its weights."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from policy_port.port.format import ACTIONS, DEPLOY_ACTION, DEPLOY_OBSERVATION, INSIDE, OBSERVATION


def network_in(data: bytes) -> bytes:
    """The policy's own graph out of a step's: `obs` and its memory to `actions` and its memory."""
    model = onnx.load_model_from_string(data)
    graph, back = model.graph, {DEPLOY_OBSERVATION: OBSERVATION, DEPLOY_ACTION: ACTIONS}

    def plain(name: str) -> str:
        return back.get(name, name.removeprefix(INSIDE))

    nodes = []
    for node in graph.node:
        if node.name.startswith(INSIDE):
            mine = onnx.NodeProto()
            mine.CopyFrom(node)
            mine.name = node.name.removeprefix(INSIDE)
            for names in (mine.input, mine.output):
                names[:] = [plain(name) for name in names]
            nodes.append(mine)
    tensors = []
    for tensor in graph.initializer:
        if tensor.name.startswith(INSIDE):
            mine = onnx.TensorProto()
            mine.CopyFrom(tensor)
            mine.name = plain(tensor.name)
            tensors.append(mine)
    read = {name for node in nodes for name in node.input}
    made = {name for node in nodes for name in node.output}
    inputs = [each for each in graph.input if each.name in read]
    outputs = [each for each in graph.output if each.name in made]
    observation, action = (
        next(each for each in graph.output if each.name == name) for name in (DEPLOY_OBSERVATION, DEPLOY_ACTION)
    )
    ends = [(observation, OBSERVATION), (action, ACTIONS)]
    first, last = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", value.type.tensor_type.shape.dim[1].dim_value])
        for value, name in ends
    )
    inner = helper.make_graph(nodes, "policy", [first, *inputs], [last, *outputs], tensors)
    found = helper.make_model(inner, opset_imports=list(model.opset_import))
    found.ir_version = model.ir_version
    return found.SerializeToString()
