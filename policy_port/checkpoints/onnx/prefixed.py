"""A batch axis in front of every value of a graph that computes one observation at a time.

Such a graph has fixed sizes throughout, so that each node has one counterpart with the batch in front: an axis counted
from the front moves on by one, and a fixed target of a reshape stands behind the batch. What has none is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from policy_port.checkpoints.onnx.operators import ELEMENTWISE
from policy_port.checkpoints.onnx.routing import PREFIXED
from policy_port.errors import CheckpointError

Shape = tuple[int, ...]
_SAME = frozenset(("Cast", "Celu", "Dropout", "Elu", "Gelu", "HardSigmoid", "Identity", "LeakyRelu", "Selu"))
"""One input, and the numbers stay where they are."""
_AXIS: dict[str, int] = {
    "ArgMax": 0,
    "ArgMin": 0,
    "Concat": 0,
    "Gather": 0,
    "GatherElements": 0,
    "LayerNormalization": -1,
    "LogSoftmax": -1,
    "Softmax": -1,
    "Split": 0,
    "TopK": -1,
    "ScatterElements": 0,
}
"""Operators along one axis, and which it is where the node does not say."""
_MARK = "policy_port_batch_"


def with_batch_axis(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """The same graph with a batch axis in front of each input and of all that is computed from it.

    Args:
        model: A checked model. A size of an input that is not fixed is taken for 1.
        where: Its file, for the messages.

    Raises:
        CheckpointError: Naming the node that has no counterpart.
    """
    return _Prefixed(model, where).model


class _Prefixed:
    """Rewrites node by node."""

    def __init__(self, model: onnx.ModelProto, where: str) -> None:
        self.where = where
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        graph = self.model.graph
        self._stored = {tensor.name for tensor in graph.initializer}
        self._stored |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
        self._shapes = self._fixed_shapes()
        self._carried = {item.name for item in graph.input if item.name not in self._stored}
        old, self._nodes = list(graph.node), list[onnx.NodeProto]()
        for node in old:
            self._rewrite(node)
        for field, items in ((graph.node, self._nodes), (graph.value_info, ())):
            del field[:]
            field.extend(items)  # type: ignore[arg-type]
        for item in (*graph.input, *graph.output):
            if item.name in self._carried:
                item.CopyFrom(_value(item, ["batch", *self._shape(item.name)]))

    def _fixed_shapes(self) -> dict[str, Shape]:
        """The shape of every value, for one observation."""
        fixed = onnx.ModelProto()
        fixed.CopyFrom(self.model)
        for item in (*fixed.graph.input, *fixed.graph.output):
            sizes = [size.dim_value or 1 for size in item.type.tensor_type.shape.dim]
            item.CopyFrom(_value(item, sizes))
        del fixed.graph.output[:]
        del fixed.graph.value_info[:]
        try:
            told = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
        except Exception as error:
            # Shape inference raises a class of its own, whose base is Exception.
            raise CheckpointError(f"{self.where}: its shapes don't fit together ({error})") from error
        found = {tensor.name: tuple(tensor.dims) for tensor in told.initializer}
        for item in (*told.input, *told.value_info):
            sizes = item.type.tensor_type.shape.dim
            if item.type.tensor_type.HasField("shape") and all(size.HasField("dim_value") for size in sizes):
                found[item.name] = tuple(size.dim_value for size in sizes)
        return found

    def _shape(self, name: str, node: onnx.NodeProto | None = None) -> Shape:
        if name not in self._shapes:
            raise self._refused(node, f"{name} has no fixed shape")
        return self._shapes[name]

    def _refused(self, node: onnx.NodeProto | None, why: str) -> CheckpointError:
        which = "" if node is None else f"{node.op_type} {node.name or node.output[0]}: "
        return CheckpointError(
            f"{self.where}: {which}{why}, so the network can't be made to take any number of observations. Export it "
            "with a batch axis in front that is left open (dynamic_axes, or dynamic_shapes)"
        )

    def _rewrite(self, node: onnx.NodeProto) -> None:
        if not self._carried.intersection(node.input):
            self._nodes.append(node)
            return
        if node.op_type in ("Shape", "Size"):
            shape = np.array(self._shape(node.input[0], node), np.int64)
            attributes = {attribute.name: attribute.i for attribute in node.attribute}
            part = shape[attributes.get("start", 0) : attributes.get("end", len(shape))]
            value = part if node.op_type == "Shape" else np.array(shape.prod())
            self._nodes.append(helper.make_node("Constant", [], [node.output[0]], value=numpy_helper.from_array(value)))
            return
        rule = _RULES.get(node.op_type)
        if node.op_type in ELEMENTWISE or node.op_type == "Clip":
            rule = _Prefixed._broadcast if node.op_type != "MatMul" else _Prefixed._product
        elif node.op_type in _SAME:
            rule = _Prefixed._keep
        elif node.op_type in _AXIS:
            rule = _Prefixed._along
        elif node.op_type.startswith("Reduce"):
            rule = _Prefixed._reduce
        if rule is None:
            raise self._refused(node, "it can't be given a batch axis")
        rule(self, node)
        self._carried.update(filter(None, node.output))

    # One method for each kind of node.

    def _keep(self, node: onnx.NodeProto) -> None:
        self._nodes.append(node)

    def _broadcast(self, node: onnx.NodeProto) -> None:
        """Values of fewer axes get theirs behind the batch."""
        rank = max(len(self._shape(name, node)) for name in node.input if name)
        self._nodes.append(_like(node, [self._ranked(name, rank, node) for name in node.input]))

    def _ranked(self, name: str, rank: int, node: onnx.NodeProto) -> str:
        missing = rank - len(self._shape(name, node)) if name in self._carried else 0
        return name if missing < 1 else self._add("Unsqueeze", [name], axes=list(range(1, 1 + missing)))

    def _product(self, node: onnx.NodeProto) -> None:
        left, right = node.input
        ranks = [len(self._shape(name, node)) for name in node.input]
        if left not in self._carried and ranks == [2, 1]:
            # A matrix times one vector: the vector becomes a column.
            column = self._add("MatMul", [left, self._add("Unsqueeze", [right], axes=[2])])
            self._nodes.append(helper.make_node("Squeeze", [column], list(node.output), axes=[2]))
        elif right not in self._carried and ranks[1] <= 2:
            self._nodes.append(node)
        elif min(ranks) >= 2:
            self._nodes.append(_like(node, [self._ranked(name, max(ranks), node) for name in node.input]))
        else:
            raise self._refused(node, "it multiplies two vectors that both depend on the observation")

    def _gemm(self, node: onnx.NodeProto) -> None:
        attributes = {attribute.name: attribute.i for attribute in node.attribute}
        if attributes.get("transA", 0) or node.input[1] in self._carried:
            raise self._refused(node, "it multiplies a matrix that depends on the observation from the right")
        self._nodes.append(node)

    def _along(self, node: onnx.NodeProto) -> None:
        """An axis counted from the front moves on by one; one counted from the end stays."""
        named = {attribute.name: attribute for attribute in node.attribute}
        axis = named["axis"].i if "axis" in named else _AXIS[node.op_type]
        data = node.input[0] in self._carried or node.op_type == "Concat"
        if not data:
            raise self._refused(node, "it picks among numbers of the file by what it computes")
        inputs = list(node.input)
        if node.op_type == "Gather" and inputs[1] in self._carried:
            raise self._refused(node, "it picks entries that depend on the observation")
        if node.op_type in ("Concat", "GatherElements", "ScatterElements"):
            inputs = [name if name in self._carried else self._add("Unsqueeze", [name], axes=[0]) for name in inputs]
        changed = _like(node, inputs, without="axis")
        changed.attribute.append(helper.make_attribute("axis", axis + 1 if axis >= 0 else axis))
        self._nodes.append(changed)

    def _axes(self, node: onnx.NodeProto) -> list[int] | None:
        """Axes of a node, from its attribute or a constant."""
        for attribute in node.attribute:
            if attribute.name == "axes":
                return list(attribute.ints)
        if len(node.input) < 2 or not node.input[1]:
            return None
        return self._numbers(node.input[1], node)

    def _numbers(self, name: str, node: onnx.NodeProto) -> list[int]:
        for tensor in self.model.graph.initializer:
            if tensor.name == name:
                return [int(item) for item in numpy_helper.to_array(tensor).reshape(-1)]
        for made in self._nodes:
            if made.op_type == "Constant" and made.output[0] == name:
                value = helper.get_attribute_value(made.attribute[0])
                array = numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)
                return [int(item) for item in array.reshape(-1)]
        raise self._refused(node, f"{name} is computed")

    def _squeeze(self, node: onnx.NodeProto) -> None:
        axes = self._axes(node)
        if axes is None:
            axes = [axis for axis, size in enumerate(self._shape(node.input[0], node)) if size == 1]
        self._moved(node, axes)

    def _unsqueeze(self, node: onnx.NodeProto) -> None:
        self._moved(node, self._axes(node) or [])

    def _reduce(self, node: onnx.NodeProto) -> None:
        axes = self._axes(node)
        if not axes:
            if any(attribute.name == "noop_with_empty_axes" and attribute.i for attribute in node.attribute):
                self._nodes.append(node)
                return
            axes = list(range(len(self._shape(node.input[0], node))))
        self._moved(node, axes)

    def _moved(self, node: onnx.NodeProto, axes: Sequence[int]) -> None:
        changed = _like(node, [node.input[0]], without="axes")
        changed.attribute.append(helper.make_attribute("axes", [axis + 1 if axis >= 0 else axis for axis in axes]))
        self._nodes.append(changed)

    def _slice(self, node: onnx.NodeProto) -> None:
        named = {attribute.name: list(attribute.ints) for attribute in node.attribute}
        starts = named.get("starts") or self._numbers(node.input[1], node)
        ends = named.get("ends") or self._numbers(node.input[2], node)
        axes = named.get("axes") or (self._numbers(node.input[3], node) if len(node.input) > 3 else None)
        steps = self._numbers(node.input[4], node) if len(node.input) > 4 else [1] * len(starts)
        axes = [axis + 1 if axis >= 0 else axis for axis in axes or range(len(starts))]
        lists = [self._constant(values) for values in (starts, ends, axes, steps)]
        self._nodes.append(helper.make_node("Slice", [node.input[0], *lists], list(node.output)))

    def _reshape(self, node: onnx.NodeProto) -> None:
        target = self._constant([-1, *self._shape(node.output[0], node)])
        self._nodes.append(helper.make_node("Reshape", [node.input[0], target], list(node.output), name=node.name))

    def _expand(self, node: onnx.NodeProto) -> None:
        shape = self._shape(node.output[0], node)
        inputs = [self._ranked(node.input[0], len(shape), node), self._constant([1, *shape])]
        self._nodes.append(helper.make_node("Expand", inputs, list(node.output)))

    def _transpose(self, node: onnx.NodeProto) -> None:
        rank = len(self._shape(node.input[0], node))
        order = next((list(item.ints) for item in node.attribute if item.name == "perm"), [*reversed(range(rank))])
        perm = [0, *(axis + 1 for axis in order)]
        self._nodes.append(helper.make_node("Transpose", [node.input[0]], list(node.output), perm=perm))

    def _recurrent(self, node: onnx.NodeProto) -> None:
        """A layer that is called for one step of one sequence takes the batch as its sequences."""
        shape = self._shape(node.input[0], node)
        if shape[:2] != (1, 1):
            raise self._refused(node, f"it reads {shape[0]} steps of {shape[1]} sequences")
        inputs = list(node.input)
        for place in (0, 5, 6):
            if place < len(inputs) and inputs[place] in self._carried:
                last = self._shape(inputs[place], node)[-1]
                inputs[place] = self._add("Reshape", [inputs[place], self._constant([1, -1, last])])
        outputs = [f"{_MARK}{name}" if name else "" for name in node.output]
        changed = _like(node, inputs)
        changed.output[:] = outputs
        self._nodes.append(changed)
        for inner, name in zip(outputs, node.output, strict=True):
            if name:
                target = self._constant([-1, *self._shape(name, node)])
                self._nodes.append(helper.make_node("Reshape", [inner, target], [name]))

    def _folded(self, node: onnx.NodeProto) -> None:
        """A layer that reads a batch of 1 of its own takes the batch there."""
        shape = self._shape(node.input[0], node)
        if shape[0] != 1 or self._carried.intersection(node.input[1:]) or len(node.output) > 1:
            raise self._refused(node, f"it reads {list(shape)}, whose first axis is no batch of 1")
        inputs = [self._add("Reshape", [node.input[0], self._constant([-1, *shape[1:]])]), *node.input[1:]]
        changed = _like(node, inputs)
        changed.output[:] = [f"{_MARK}{node.output[0]}"]
        self._nodes.append(changed)
        target = self._constant([-1, *self._shape(node.output[0], node)])
        self._nodes.append(helper.make_node("Reshape", [changed.output[0], target], list(node.output)))

    def _einsum(self, node: onnx.NodeProto) -> None:
        equation = helper.get_attribute_value(node.attribute[0]).decode()
        free = next(letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter not in equation)
        terms, arrow, result = equation.partition("->")
        if not arrow or "..." in equation:
            raise self._refused(node, f"its equation {equation} leaves axes open")
        pairs = zip(terms.split(","), node.input, strict=True)
        with_batch = [f"{free if name in self._carried else ''}{term.strip()}" for term, name in pairs]
        changed = _like(node, list(node.input), without="equation")
        changed.attribute.append(helper.make_attribute("equation", f"{','.join(with_batch)}->{free}{result.strip()}"))
        self._nodes.append(changed)

    def _placed(self, node: onnx.NodeProto) -> None:
        """Fixed indices say nothing of the batch in front."""
        if node.input[1] in self._carried:
            raise self._refused(node, "its indices depend on the observation")
        inputs = list(node.input)
        if inputs[0] not in self._carried:
            inputs[0] = self._add("Unsqueeze", [inputs[0]], axes=[0])
        changed = _like(node, inputs)
        changed.attribute.append(helper.make_attribute(PREFIXED, 1))
        self._nodes.append(changed)

    def _add(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"{_MARK}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def _constant(self, numbers: Sequence[int]) -> str:
        name = f"{_MARK}constant_{len(self.model.graph.initializer)}"
        self.model.graph.initializer.append(numpy_helper.from_array(np.array(numbers, np.int64), name))
        return name


_RULES: dict[str, Callable[[_Prefixed, onnx.NodeProto], None]] = {
    **dict.fromkeys(("AveragePool", "BatchNormalization", "Conv", "MaxPool"), _Prefixed._folded),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _Prefixed._folded),
    **dict.fromkeys(("GatherND", "ScatterND"), _Prefixed._placed),
    "Einsum": _Prefixed._einsum,
    "Expand": _Prefixed._expand,
    "Flatten": _Prefixed._reshape,
    "GRU": _Prefixed._recurrent,
    "Gemm": _Prefixed._gemm,
    "LSTM": _Prefixed._recurrent,
    "Reshape": _Prefixed._reshape,
    "Slice": _Prefixed._slice,
    "Squeeze": _Prefixed._squeeze,
    "Transpose": _Prefixed._transpose,
    "Unsqueeze": _Prefixed._unsqueeze,
}


def _like(node: onnx.NodeProto, inputs: Sequence[str], without: str = "") -> onnx.NodeProto:
    """The node with other inputs, and without an attribute."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = inputs
    kept = [attribute for attribute in node.attribute if attribute.name != without]
    del copy.attribute[:]
    copy.attribute.extend(kept)
    return copy


def _value(item: onnx.ValueInfoProto, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(item.name, item.type.tensor_type.elem_type, shape)
