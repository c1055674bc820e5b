"""Walking an ONNX graph with formulas in place of numbers.

A node that has no form as a formula (a layer of a network) gives new atoms under its output's name, so that what comes
behind it is told in terms of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from policy_port.checkpoints.onnx.elements import Condition, Element, Held, OpaqueError, atoms, plain_atom
from policy_port.errors import UnsafeFileError

Formula = NDArray[Any]
"""Numbers, or elements among numbers."""

_LARGEST = 8192
"""Most numbers of a value that is followed; an image is more."""
_MOST_NUMBERS = 1 << 24
"""Most numbers of any value; a policy computes nothing larger for one observation."""


def formulas(model: onnx.ModelProto, where: str) -> dict[str, Formula | None]:
    """What each value of a graph is made of; None for what is too large or has no fixed shape.

    Args:
        model: A model that was checked. A size that is not fixed is taken for a batch of 1.
        where: Its file, for the message.
    """
    graph = onnx.shape_inference.infer_shapes(model).graph
    described = {item.name: item for item in (*graph.input, *graph.value_info, *graph.output)}
    for name in described:
        sizes = _sizes(described[name])
        if np.prod(sizes, dtype=float) > _MOST_NUMBERS:
            raise UnsafeFileError(f"{where}: {name} has the sizes {sizes}; no policy computes that much")
    values: dict[str, Formula | None] = {"": None}
    for item in graph.input:
        values[item.name] = _opaque(described, item.name)
    for tensor in graph.initializer:
        values[tensor.name] = _number(tensor)
    for node in graph.node:
        try:
            results = _computed(node, [values[name] for name in node.input])
        except (OpaqueError, ArithmeticError, IndexError, KeyError, TypeError, ValueError):
            results = [_opaque(described, name) for name in node.output]
        values.update(zip(node.output, results, strict=True))
    return values


def is_constant(value: Formula | None) -> bool:
    """Whether a value depends on nothing."""
    return value is not None and value.dtype != object


def _number(tensor: onnx.TensorProto) -> Formula:
    array = numpy_helper.to_array(tensor)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _opaque(described: Mapping[str, onnx.ValueInfoProto], name: str) -> Formula | None:
    if name not in described or not described[name].type.tensor_type.HasField("shape"):
        return None
    shape = _sizes(described[name])
    return atoms(name, shape) if 0 < np.prod(shape, dtype=float) <= _LARGEST else None


def _sizes(item: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(size.dim_value if size.HasField("dim_value") else 1 for size in item.type.tensor_type.shape.dim)


def _computed(node: onnx.NodeProto, inputs: list[Formula | None]) -> list[Formula]:
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    if node.op_type == "Constant":
        value = next(iter(attributes.values()))
        return [_number(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)]
    given = [item for item, name in zip(inputs, node.input, strict=True) if name]
    if node.op_type not in _FORMS or any(item is None for item in given):
        raise OpaqueError
    result = _FORMS[node.op_type](inputs, attributes, len(node.output))
    results = result if isinstance(result, list) else [result]
    if len(results) != len(node.output) or any(np.size(item) > _MOST_NUMBERS for item in results):
        raise OpaqueError
    return [np.asarray(item) for item in results]


def _axes(inputs: Sequence[Any], attributes: Mapping[str, Any], place: int = 1) -> tuple[int, ...] | None:
    if len(inputs) > place and inputs[place] is not None:
        return tuple(int(axis) for axis in inputs[place].reshape(-1))
    return tuple(attributes["axes"]) if "axes" in attributes else None


def _divide(inputs: Sequence[Any], attributes: Mapping[str, Any], count: int) -> Any:
    left, right = inputs
    return left // right if left.dtype.kind in "iu" and right.dtype.kind in "iu" else left / right


def _cast(inputs: Sequence[Any], attributes: Mapping[str, Any], count: int) -> Any:
    value, to = inputs[0], onnx.helper.tensor_dtype_to_np_dtype(attributes["to"])
    if value.dtype == object:
        if to.kind != "f":
            raise OpaqueError
        return value
    return value.astype(np.float64 if to.kind == "f" else to)


def _gather_nd(inputs: Sequence[Any], attributes: Mapping[str, Any], count: int) -> Any:
    if attributes.get("batch_dims", 0):
        raise OpaqueError
    return inputs[0][tuple(np.moveaxis(inputs[1], -1, 0))]


def _slice(inputs: Sequence[Any], attributes: Mapping[str, Any], count: int) -> Any:
    if len(inputs) > 1:
        starts, ends = inputs[1].reshape(-1), inputs[2].reshape(-1)
        axes = _axes(inputs, {}, 3) or range(len(starts))
        steps = _axes(inputs, {}, 4) or [1] * len(starts)
    else:
        starts, ends = attributes["starts"], attributes["ends"]
        axes, steps = attributes.get("axes", range(len(starts))), [1] * len(starts)
    cut = [slice(None)] * inputs[0].ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 1:
            raise OpaqueError
        cut[axis] = slice(int(start), int(end), int(step))
    return inputs[0][tuple(cut)]


def _split(inputs: Sequence[Any], attributes: Mapping[str, Any], count: int) -> Any:
    value, axis = inputs[0], attributes.get("axis", 0)
    sizes = inputs[1] if len(inputs) > 1 and inputs[1] is not None else attributes.get("split")
    if sizes is None:
        width = -(-value.shape[axis] // count)
        return np.split(value, [width * part for part in range(1, count)], axis)
    return np.split(value, np.cumsum(np.asarray(sizes).reshape(-1))[:-1], axis)


def _reshape(inputs: Sequence[Any], attributes: Mapping[str, Any], count: int) -> Any:
    value, target = inputs[0], [int(size) for size in inputs[1].reshape(-1)]
    if not attributes.get("allowzero", 0):
        target = [value.shape[place] if size == 0 else size for place, size in enumerate(target)]
    return value.reshape(target)


def _flatten(inputs: Sequence[Any], attributes: Mapping[str, Any], count: int) -> Any:
    axis = attributes.get("axis", 1)
    return inputs[0].reshape(int(np.prod(inputs[0].shape[:axis])), -1)


def _squeeze(inputs: Sequence[Any], attributes: Mapping[str, Any], count: int) -> Any:
    return np.squeeze(inputs[0], _axes(inputs, attributes))


def _unsqueeze(inputs: Sequence[Any], attributes: Mapping[str, Any], count: int) -> Any:
    return np.expand_dims(inputs[0], _axes(inputs, attributes) or ())


def _expand(inputs: Sequence[Any], attributes: Mapping[str, Any], count: int) -> Any:
    shape = tuple(int(size) for size in inputs[1].reshape(-1))
    return np.broadcast_to(inputs[0], np.broadcast_shapes(inputs[0].shape, shape))


def _transpose(inputs: Sequence[Any], attributes: Mapping[str, Any], count: int) -> Any:
    return np.transpose(inputs[0], attributes.get("perm"))


def _clip(inputs: Sequence[Any], attributes: Mapping[str, Any], count: int) -> Any:
    low = inputs[1] if len(inputs) > 1 and inputs[1] is not None else attributes.get("min", -np.inf)
    high = inputs[2] if len(inputs) > 2 and inputs[2] is not None else attributes.get("max", np.inf)
    return _between(inputs[0], low, high)


def _between(value: Any, low: Any, high: Any) -> Any:
    if any(np.asarray(bound).dtype == object for bound in (low, high)):
        raise OpaqueError
    if value.dtype != object:
        return np.clip(value, low, high)
    return np.frompyfunc(_clipped, 3, 1)(value, low, high)


def _clipped(item: Any, low: float, high: float) -> Any:
    if isinstance(item, Condition):
        raise OpaqueError
    if isinstance(item, Element | Held):
        return item.clipped(float(low), float(high))
    return min(max(item, low), high)


def _bound(lower: bool) -> Callable[[Sequence[Any], Mapping[str, Any], int], Any]:
    def run(inputs: Sequence[Any], attributes: Mapping[str, Any], count: int) -> Any:
        value = next((item for item in inputs if item.dtype == object), inputs[0])
        for other in inputs:
            if other is not value:
                value = _between(value, other, np.inf) if lower else _between(value, -np.inf, other)
        return value

    return run


def _equal(inputs: Sequence[Any], attributes: Mapping[str, Any], count: int) -> Any:
    return np.frompyfunc(_is_zero, 2, 1)(*inputs)


def _is_zero(left: Any, right: Any) -> Any:
    if not isinstance(left, Element) and not isinstance(right, Element):
        return left == right
    atom = plain_atom(left if isinstance(left, Element) else right)
    if atom is None or (right if isinstance(left, Element) else left) != 0:
        raise OpaqueError
    return Condition(atom)


def _where(inputs: Sequence[Any], attributes: Mapping[str, Any], count: int) -> Any:
    return np.frompyfunc(_chosen, 3, 1)(*inputs)


def _chosen(condition: Any, yes: Any, no: Any) -> Any:
    if not isinstance(condition, Condition):
        if isinstance(condition, Element | Held):
            raise OpaqueError
        return yes if condition else no
    if isinstance(yes, Element) and isinstance(no, Element):
        return yes if yes == no else Held(condition.atom, yes, no)
    raise OpaqueError


def _sum(inputs: Sequence[Any], attributes: Mapping[str, Any], count: int) -> Any:
    axes = _axes(inputs, attributes)
    if axes is None and attributes.get("noop_with_empty_axes", 0):
        return inputs[0]
    return np.add.reduce(inputs[0], axis=axes, keepdims=bool(attributes.get("keepdims", 1)))


_Form = Callable[[Sequence[Any], Mapping[str, Any], int], Any]
_FORMS: dict[str, _Form] = {
    "Add": lambda inputs, attributes, count: inputs[0] + inputs[1],
    "Sub": lambda inputs, attributes, count: inputs[0] - inputs[1],
    "Mul": lambda inputs, attributes, count: inputs[0] * inputs[1],
    "Pow": lambda inputs, attributes, count: inputs[0] ** inputs[1],
    "Neg": lambda inputs, attributes, count: -inputs[0],
    "Identity": lambda inputs, attributes, count: inputs[0],
    "Shape": lambda inputs, attributes, count: np.asarray(inputs[0].shape, dtype=np.int64),
    "Concat": lambda inputs, attributes, count: np.concatenate(inputs, attributes["axis"]),
    "Gather": lambda inputs, attributes, count: np.take(inputs[0], inputs[1], attributes.get("axis", 0)),
    "GatherND": _gather_nd,
    "Cast": _cast,
    "Clip": _clip,
    "Div": _divide,
    "Equal": _equal,
    "Expand": _expand,
    "Flatten": _flatten,
    "Max": _bound(True),
    "Min": _bound(False),
    "ReduceSum": _sum,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}
"""Operators that have a form; everything else begins anew with atoms."""
