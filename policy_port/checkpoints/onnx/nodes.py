"""ONNX operators with attributes, recorded as PyTorch operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from policy_port.checkpoints.networks.tape import MAX_ELEMENTS, Traced
from policy_port.checkpoints.onnx.images import IMAGE_TRANSLATORS
from policy_port.checkpoints.onnx.operators import ELEMENTWISE
from policy_port.checkpoints.onnx.record import Attributes, GraphRecord, Translator, axes_of, is_size, meta, numbers
from policy_port.checkpoints.onnx.recurrent import recurrent
from policy_port.checkpoints.onnx.reductions import REDUCTION_TRANSLATORS
from policy_port.checkpoints.onnx.routing import ROUTING_TRANSLATORS, grown
from policy_port.errors import CheckpointError, UnsafeFileError

_DTYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
}


def _optional(inputs: Sequence[Any], index: int) -> Any:
    return inputs[index] if index < len(inputs) else None


def _gemm(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    left, weight, bias = inputs[0], inputs[1], _optional(inputs, 2)
    alpha, beta = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
    if attributes.get("transA", 0):
        raise CheckpointError(f"{reader.where}: a Gemm transposes the batch; that can't be followed")
    if not attributes.get("transB", 0):
        transposed = reader.apply("t", Tensor.t, weight)
        if isinstance(weight, Tensor):
            reader.recorder.name_constant(transposed, f"{reader.recorder.constant_name(weight)}_t")
        weight = transposed
    plain = bias is None or (meta(bias).ndim == 1 and meta(bias).shape[0] == meta(weight).shape[0])
    if alpha == 1.0 and beta == 1.0 and plain:
        return reader.apply("linear", functional.linear, inputs[0], weight, bias)
    product = reader.apply("mul", torch.mul, reader.apply("linear", functional.linear, left, weight), alpha)
    if bias is None:
        return product
    return reader.apply("add", torch.add, product, reader.apply("mul", torch.mul, bias, beta))


def _constant(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    value = next(iter(attributes.values()))
    if isinstance(value, Tensor):
        return value
    return torch.tensor(value, dtype=torch.int64 if "value_int" in next(iter(attributes)) else torch.float32)


def _constant_of_shape(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    shape = numbers(inputs[0])
    value = attributes.get("value", torch.zeros(1))
    fixed = [item for item in shape if not isinstance(item, Traced)]
    if torch.Size(fixed).numel() > MAX_ELEMENTS:
        raise UnsafeFileError(f"{reader.where}: a constant of shape {fixed} is more than any policy has")
    if len(fixed) == len(shape):
        return value.reshape(()).expand(shape).clone()
    return reader.apply("expand", Tensor.expand, value.reshape(()), shape)


def _unary(label: str, function: Callable[..., Tensor], **defaults: float) -> Translator:
    """Translate an operator whose attributes are the function's next arguments, in the order of `defaults`."""

    def run(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
        given = [attributes.get(name, default) for name, default in defaults.items()]
        return reader.apply(label, function, inputs[0], *given)

    return run


def _selu(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    alpha, gamma = attributes.get("alpha", 1.67326319217681), attributes.get("gamma", 1.05070102214813)
    if abs(alpha - 1.6732632) > 1e-6 or abs(gamma - 1.0507010) > 1e-6:
        return reader.apply("elu", torch.ops.aten.elu, inputs[0], alpha, gamma)
    return reader.apply("selu", torch.selu, inputs[0])


def _gelu(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    approximate = attributes.get("approximate", "none")
    return reader.apply("gelu", lambda value: functional.gelu(value, approximate=approximate), inputs[0])


def _hard_sigmoid(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    scaled = reader.apply("mul", torch.mul, inputs[0], attributes.get("alpha", 0.2))
    shifted = reader.apply("add", torch.add, scaled, attributes.get("beta", 0.5))
    return reader.apply("clamp", torch.clamp, shifted, 0.0, 1.0)


def _clip(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    low = attributes.get("min", _optional(inputs, 1))
    high = attributes.get("max", _optional(inputs, 2))
    bounds = [bound.item() if isinstance(bound, Tensor) else bound for bound in (low, high)]
    return reader.apply("clamp", torch.clamp, inputs[0], *bounds) if bounds != [None, None] else inputs[0]


def _cast(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    dtype = _DTYPES.get(attributes["to"])
    if dtype is None:
        raise CheckpointError(f"{reader.where}: a Cast to the ONNX type {attributes['to']} is not understood")
    value = inputs[0]
    if is_size(value):
        return value
    if meta(value).dtype == dtype:
        return value
    if dtype == torch.float32 and isinstance(value, Traced):
        return reader.apply("cast", Tensor.type_as, value, reader.obs)
    return reader.apply("cast", Tensor.to, value, dtype)


def _concat(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    if any(isinstance(item, list) for item in inputs):
        return [number for item in inputs for number in numbers(item)]
    axis = attributes["axis"]
    if axis and reader.ports.fixed_batch:
        inputs = grown(reader, inputs)
    return reader.apply("cat", torch.cat, inputs, axis)


def _slice(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    value = inputs[0]
    if len(inputs) > 1:
        starts, ends = numbers(inputs[1]), numbers(inputs[2])
        axes = numbers(inputs[3]) if _optional(inputs, 3) is not None else list(range(len(starts)))
        steps = numbers(inputs[4]) if _optional(inputs, 4) is not None else [1] * len(starts)
    else:
        starts, ends = attributes["starts"], attributes["ends"]
        axes, steps = attributes.get("axes", list(range(len(starts)))), [1] * len(starts)
    if isinstance(value, list):
        return value[starts[0] : ends[0] : steps[0]]
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 1:
            raise CheckpointError(f"{reader.where}: a Slice that runs backwards is not understood")
        value = reader.apply("slice", torch.ops.aten.slice, value, axis, start, min(end, 2**62), step)
    return value


def _split(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    axis = attributes.get("axis", 0)
    sizes = attributes.get("split") or (numbers(inputs[1]) if _optional(inputs, 1) is not None else None)
    if sizes is None:
        total, parts = meta(inputs[0]).shape[axis], reader.output_count
        width = -(-total // parts)
        sizes = [min(width, total - index * width) for index in range(parts)]
    return reader.apply("split", torch.split, inputs[0], list(sizes), axis)


def _shape(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    value = inputs[0]
    if isinstance(value, Traced):
        sizes = [reader.recorder.size(value, index) for index in range(meta(value).ndim)]
    else:
        sizes = list(value.shape)
    return sizes[attributes.get("start", 0) : attributes.get("end", len(sizes))]


def _reshape(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    value, target = inputs[0], numbers(inputs[1])
    if isinstance(value, list):
        return value
    if not attributes.get("allowzero", 0):
        target = [
            (reader.recorder.size(value, index) if isinstance(value, Traced) else value.shape[index])
            if isinstance(item, int) and item == 0
            else item
            for index, item in enumerate(target)
        ]
    return reader.reshape(value, target)


def _flatten(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    axis = attributes.get("axis", 1)
    shape = meta(inputs[0]).shape
    if axis < 0:
        axis += len(shape)
    target = [shape[:axis].numel(), shape[axis:].numel()]
    if isinstance(inputs[0], Traced):
        return reader.recorder.reshape(inputs[0], target)
    return inputs[0].reshape(target)


def _squeeze(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    value, axes = inputs[0], axes_of(attributes, inputs)
    if isinstance(value, list):
        return value[0]
    if axes is None:
        axes = [index for index, size in enumerate(meta(value).shape) if size == 1]
    for axis in sorted((axis % meta(value).ndim for axis in axes), reverse=True):
        value = reader.apply("squeeze", torch.squeeze, value, axis)
    return value


def _unsqueeze(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    value, axes = inputs[0], axes_of(attributes, inputs) or []
    if not isinstance(value, Tensor) and not (isinstance(value, Traced) and isinstance(value.meta, Tensor)):
        return numbers(value)
    rank = meta(value).ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        value = reader.apply("unsqueeze", torch.unsqueeze, value, axis)
    return value


def _expand(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    value, target = inputs[0], numbers(inputs[1])
    own = list(meta(value).shape)
    padded = [1] * (len(target) - len(own)) + own
    target = [1] * (len(own) - len(target)) + target
    # ONNX lets a 1 in the target stand for the size that is there.
    sizes = [
        -1 if isinstance(wanted, int) and wanted == 1 and index >= len(padded) - len(own) else wanted
        for index, wanted in enumerate(target)
    ]
    return reader.apply("expand", Tensor.expand, value, sizes)


def _transpose(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    order = attributes.get("perm") or list(reversed(range(meta(inputs[0]).ndim)))
    return reader.apply("permute", torch.permute, inputs[0], list(order))


def _layer_norm(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    shape = list(meta(inputs[0]).shape[attributes.get("axis", -1) :])
    epsilon = attributes.get("epsilon", 1e-5)
    return reader.apply("layer_norm", functional.layer_norm, inputs[0], shape, inputs[1], _optional(inputs, 2), epsilon)


def _batch_norm(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    if attributes.get("training_mode", 0) or reader.output_count > 1:
        raise CheckpointError(
            f"{reader.where}: {reader.node} is in training mode: it normalises by the batch that it is given, so that "
            "the action of one observation depends on the others. Call eval() on the network before the export (and "
            "leave out training=TrainingMode.TRAINING)"
        )
    value, scale, bias, mean, variance = inputs
    arguments = (value, mean, variance, scale, bias, False, 0.0, attributes.get("epsilon", 1e-5))
    return reader.apply("batch_norm", functional.batch_norm, *arguments)


def _dropout(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    training = _optional(inputs, 2)
    if training is not None and (not isinstance(training, Tensor) or bool(training)):
        raise CheckpointError(
            f"{reader.where}: {reader.node} is in training mode and drops numbers at random. Call eval() on the "
            "network before the export (and leave out training=TrainingMode.TRAINING)"
        )
    return [inputs[0], None] if reader.output_count > 1 else inputs[0]


TRANSLATORS: dict[str, Translator] = {
    **IMAGE_TRANSLATORS,
    **REDUCTION_TRANSLATORS,
    **ROUTING_TRANSLATORS,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Celu": _unary("celu", functional.celu, alpha=1.0),
    "Clip": _clip,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Dropout": _dropout,
    "Elu": _unary("elu", functional.elu, alpha=1.0),
    "Expand": _expand,
    "Flatten": _flatten,
    "GRU": lambda reader, attributes, inputs: recurrent(reader, "GRU", attributes, inputs),
    "Gelu": _gelu,
    "Gemm": _gemm,
    "HardSigmoid": _hard_sigmoid,
    "Identity": lambda reader, attributes, inputs: inputs[0],
    "LSTM": lambda reader, attributes, inputs: recurrent(reader, "LSTM", attributes, inputs),
    "LayerNormalization": _layer_norm,
    "LogSoftmax": _unary("log_softmax", torch.log_softmax, axis=-1),
    "LeakyRelu": _unary("leaky_relu", functional.leaky_relu, alpha=0.01),
    "Reshape": _reshape,
    "Selu": _selu,
    "Shape": _shape,
    "Slice": _slice,
    "Softmax": _unary("softmax", torch.softmax, axis=-1),
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""Translation of each operator that has attributes."""

OPERATORS = frozenset(ELEMENTWISE) | frozenset(TRANSLATORS)
"""Everything that may appear in a model: what is translated here, and nothing else."""
