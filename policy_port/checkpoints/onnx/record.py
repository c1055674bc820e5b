"""What an ONNX graph is recorded on while its nodes are read, for all who translate nodes.

A vector of sizes (from Shape, or a constant that shapes something) is a Python list, so that the batch in it stays
known.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import onnx
from torch import Tensor

from policy_port.checkpoints.networks.tape import BATCH, Recorder, Traced
from policy_port.checkpoints.onnx.graph_inputs import GraphInputs
from policy_port.errors import CheckpointError

Attributes = dict[str, Any]


class GraphRecord:
    """A recorder and what is known of the graph that is being read."""

    def __init__(self, ports: GraphInputs, where: str) -> None:
        self.where = where
        self.ports = ports
        self.recorder = Recorder(where, single=ports.fixed_batch and not ports.prefixed)
        self.obs = self.recorder.input((BATCH, ports.width))
        self.forgets = False
        """Whether a recurrent layer starts anew at every call."""
        self.node = ""
        """The node being read, in words."""
        self.output_count = 0
        """Number of outputs of the node being read."""

    def apply(self, label: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Record one operation."""
        return self.recorder.apply(label, function, *arguments)

    def reshape(self, value: Any, target: list[Any]) -> Any:
        """Record a reshape."""
        if isinstance(value, Tensor):
            return value.reshape(numbers(target))
        return self.recorder.reshape(value, target)


Translator = Callable[[GraphRecord, Attributes, list[Any]], Any]
"""Records one node, from its attributes and its inputs; returns one output or a list of them."""


def label(node: onnx.NodeProto) -> str:
    """A node as messages name it."""
    return f"{node.op_type} {node.name or next(filter(None, node.output), '')}"


def axes_of(attributes: Attributes, inputs: list[Any]) -> list[int] | None:
    """Axes of a node, from its attribute or its second input; None where it has neither."""
    if "axes" in attributes:
        return list(attributes["axes"])
    return numbers(inputs[1]) if len(inputs) > 1 and inputs[1] is not None else None


def numbers(value: Any) -> list[Any]:
    """A vector of sizes as a list."""
    if isinstance(value, Tensor):
        return [int(item) for item in value.reshape(-1).tolist()]
    return list(value) if isinstance(value, (list, tuple)) else [value]


def is_size(value: Any) -> bool:
    """Whether a value is a vector of sizes or one size, rather than a tensor."""
    return isinstance(value, (list, int)) or (isinstance(value, Traced) and isinstance(value.meta, int))


def size_arithmetic(reader: GraphRecord, kind: str, inputs: list[Any]) -> Any:
    """Compute with sizes, entry by entry."""
    functions = {"Add": operator.add, "Sub": operator.sub, "Mul": operator.mul, "Div": operator.floordiv}
    if kind not in functions or len(inputs) != 2:
        raise CheckpointError(f"{reader.where}: {kind} of a shape is not understood")
    left, right = numbers(inputs[0]), numbers(inputs[1])
    length = max(len(left), len(right))
    left, right = left * (length // len(left)), right * (length // len(right))
    results = [reader.apply(kind, functions[kind], *pair) for pair in zip(left, right, strict=True)]
    return results if any(isinstance(item, list) for item in inputs) else results[0]


def meta(value: Any) -> Tensor:
    """What stands for a tensor on the meta device."""
    tensor = value.meta if isinstance(value, Traced) else value
    assert isinstance(tensor, Tensor)
    return tensor
