"""A control step as an ONNX graph, the policy's own graph in the middle of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from policy_port.deploy.program import Node
from policy_port.deploy.step import Step
from policy_port.errors import PortError
from policy_port.port.format import ACTIONS, INSIDE, STATE_IN, STATE_OUT
from policy_port.port.format import OBSERVATION as NETWORK_INPUT

_KINDS = {
    "float64": TensorProto.DOUBLE,
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}


def graph_of(step: Step, network: onnx.ModelProto, batch: int | str = "batch") -> onnx.ModelProto:
    """The graph of a step.

    Args:
        step: The step.
        network: The port's graph: `obs` and its memory to `actions` and its memory.
        batch: Number of environments, or the name of an open axis.

    Returns:
        Inputs are the step's (signals or the row, and states), then the network's memory; outputs likewise.

    Raises:
        PortError: When the network's memory has the name of a state of the step.
    """
    writer = _Writer(step)
    for node in step.program.nodes:
        if node.op == "Network":
            writer.put_network(node, network.graph)
        else:
            writer.put(node)
    program, memory = step.program, [each for each in network.graph.input if each.name.endswith(STATE_IN)]
    clash = sorted({each.name for each in memory} & set(program.inputs))
    if clash:
        raise PortError(
            f"the policy's recurrent state '{clash[0].removesuffix(STATE_IN)}' has the name of a state of the control "
            "step; rename it in the graph"
        )
    info = helper.make_tensor_value_info
    inputs = [info(name, _KINDS[value.kind], [batch, value.width]) for name, value in program.inputs.items()]
    outputs = [info(name, _KINDS[value.kind], [batch, value.width]) for name, value in program.outputs.items()]
    outputs += [_with_batch(each, batch) for each in network.graph.output if each.name.endswith(STATE_OUT)]
    inputs += [_with_batch(each, batch) for each in memory]
    graph = helper.make_graph(writer.finished(), "control_step", inputs, outputs, writer.tensors)
    model = helper.make_model(graph, opset_imports=list(network.opset_import))
    model.ir_version = network.ir_version
    return model


def _with_batch(value: onnx.ValueInfoProto, batch: int | str) -> onnx.ValueInfoProto:
    """A state of the network, shape (layers, batch, hidden), with this batch."""
    sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    return helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, [sizes[0], batch, sizes[2]])


class _Writer:
    def __init__(self, step: Step) -> None:
        self._program = step.program
        self._nodes: list[onnx.NodeProto] = []
        self.tensors = [numpy_helper.from_array(array, name) for name, array in step.program.constants.items()]
        # What leaves the graph has the name under which it leaves; a second name is a copy.
        self._called: dict[str, str] = {}
        self._copies: list[onnx.NodeProto] = []
        for name, value in step.program.outputs.items():
            if value.name in self._called or value.name in step.program.inputs:
                self._copies.append(helper.make_node("Identity", [self._called.get(value.name, value.name)], [name]))
            else:
                self._called[value.name] = name

    def finished(self) -> list[onnx.NodeProto]:
        return [*self._nodes, *self._copies]

    def _constant(self, name: str, numbers: Any, kind: type = np.int64) -> str:
        array = np.asarray(numbers, kind)
        for tensor in self.tensors:
            known = numpy_helper.to_array(tensor)
            if known.dtype == array.dtype and known.shape == array.shape and np.array_equal(known, array):
                return tensor.name
        self.tensors.append(numpy_helper.from_array(array, name))
        return name

    def put(self, node: Node) -> None:
        """Write an operation down."""
        inputs = [self._called.get(name, name) for name in node.inputs]
        [out] = (self._called.get(name, name) for name in node.outputs)
        for op, names, attributes in self._operations(node, inputs, out):
            self._nodes.append(helper.make_node(op, names, [out], **attributes))
            inputs = [out]

    def _operations(
        self, node: Node, inputs: list[str], out: str
    ) -> Iterator[tuple[str, list[str], Mapping[str, Any]]]:
        about = node.about
        match node.op:
            case "Gather":
                yield "Gather", [*inputs, self._constant(f"{out}_columns", about["columns"])], {"axis": 1}
            case "Concat":
                yield "Concat", inputs, {"axis": 1}
            case "Cast":
                yield "Cast", inputs, {"to": _KINDS[about["to"]]}
            case "Clip":
                ends = [self._constant(f"{out}_{key}", about[key], np.float64) for key in ("low", "high")]
                yield "Clip", [*inputs, *ends], {}
            case "Rows":
                table, index = inputs
                flat = f"{out}_index"
                self._nodes.append(helper.make_node("Squeeze", [index, self._constant("axis", [1])], [flat]))
                yield "Gather", [table, flat], {"axis": 0}
            case "Sum":
                shape = self._constant(f"{out}_shape", [0, about["blocks"], -1])
                self._nodes.append(helper.make_node("Reshape", [*inputs, shape], [f"{out}_blocks"]))
                yield "ReduceSum", [f"{out}_blocks", self._constant("axis", [1])], {"keepdims": 0}
            case _:
                yield node.op, inputs, {}

    def put_network(self, node: Node, graph: onnx.GraphProto) -> None:
        """Write the policy's graph down."""
        [observation], [action] = node.inputs, node.outputs
        outside = {each.name: each.name for each in (*graph.input, *graph.output)} | {"": ""}
        outside |= {
            NETWORK_INPUT: self._called.get(observation, observation),
            ACTIONS: self._called.get(action, action),
        }
        for tensor in graph.initializer:
            mine = onnx.TensorProto()
            mine.CopyFrom(tensor)
            mine.name = f"{INSIDE}{tensor.name}"
            self.tensors.append(mine)
        for number, operation in enumerate(graph.node):
            mine = onnx.NodeProto()
            mine.CopyFrom(operation)
            mine.name = f"{INSIDE}{operation.name or number}"
            for names in (mine.input, mine.output):
                names[:] = [outside.get(name, f"{INSIDE}{name}") for name in names]
            self._nodes.append(mine)
