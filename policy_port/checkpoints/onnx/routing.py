"""ONNX operators that pick, place and repeat numbers, as mixtures of experts need them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from policy_port.checkpoints.networks.tape import BATCH, Traced
from policy_port.checkpoints.onnx.record import Attributes, GraphRecord, Translator, meta, numbers
from policy_port.errors import CheckpointError

PREFIXED = "policy_port_prefixed"
"""Attribute of an operator on whose first axis, the batch, its indices say nothing."""


def gather(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    """Pick entries along one axis; a table of the file may be read by indices that are computed."""
    value, index = inputs
    if isinstance(value, list):
        return value[int(index)] if index.ndim == 0 else [value[item] for item in numbers(index)]
    axis = attributes.get("axis", 0) % meta(value).ndim
    if isinstance(index, Traced):
        return _looked_up(reader, value, index, axis)
    index = torch.where(index < 0, index + meta(value).shape[axis], index)
    if index.ndim == 0:
        return reader.apply("select", torch.select, value, axis, int(index))
    picked = reader.apply("index_select", torch.index_select, value, axis, index.reshape(-1))
    if index.ndim == 1:
        return picked
    shape = _sizes(reader, value)
    return reader.reshape(picked, [*shape[:axis], *index.shape, *shape[axis + 1 :]])


def _looked_up(reader: GraphRecord, table: Any, index: Traced, axis: int) -> Any:
    if not isinstance(table, Tensor) or axis != 0:
        raise CheckpointError(
            f"{reader.where}: {reader.node} picks entries by indices that depend on the observation, from numbers that "
            "do so too. Where each row picks its own, export torch.gather or torch.take_along_dim instead of x[index]"
        )
    rows = table.reshape(table.shape[0], -1)
    reader.recorder.name_constant(rows, f"{reader.recorder.constant_name(table)}_rows")
    found = reader.apply("embedding", functional.embedding, index, rows)
    if table.ndim == 2:
        return found
    return reader.reshape(found, [*_sizes(reader, index), *table.shape[1:]])


def _sizes(reader: GraphRecord, value: Any) -> list[Any]:
    if isinstance(value, Traced):
        return [reader.recorder.size(value, at) for at in range(meta(value).ndim)]
    return list(value.shape)


def _gather_elements(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    value, index = grown(reader, inputs)
    return reader.apply("gather", torch.gather, value, attributes.get("axis", 0), index)


def _scatter_elements(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    value, index, updates = grown(reader, inputs)
    axis, kind = attributes.get("axis", 0), attributes.get("reduction", "none")
    if kind not in ("none", "add"):
        raise CheckpointError(f"{reader.where}: {reader.node} reduces by {kind}, which is not read")
    function = torch.scatter if kind == "none" else torch.scatter_add
    return reader.apply("scatter", function, value, axis, index, updates)


def _places(reader: GraphRecord, attributes: Attributes, index: Any) -> list[Any]:
    """Fixed indices, one tensor for each axis that they are of."""
    if not isinstance(index, Tensor) or attributes.get("batch_dims", 0):
        raise CheckpointError(
            f"{reader.where}: {reader.node} has indices that depend on the observation. Compute it for every row and "
            "choose with torch.where, or export torch.gather or torch.scatter, which pick by row"
        )
    lead: list[Any] = [None] * attributes.get(PREFIXED, 0)
    return [*lead, *index.unbind(-1)]


def _gather_nd(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    return reader.apply("index", torch.ops.aten.index, inputs[0], _places(reader, attributes, inputs[1]))


def _scatter_nd(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    kind = attributes.get("reduction", "none")
    if kind not in ("none", "add"):
        raise CheckpointError(f"{reader.where}: {reader.node} reduces by {kind}, which is not read")
    value, places, updates = inputs[0], _places(reader, attributes, inputs[1]), inputs[2]
    if not isinstance(value, Traced) and isinstance(updates, Traced):
        rows = reader.recorder.size(reader.obs, 0)
        value = reader.apply("expand", Tensor.expand, value, [rows, *value.shape[1:]])
    return reader.apply("index_put", torch.ops.aten.index_put, value, places, updates, kind == "add")


def _non_zero(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    if not isinstance(inputs[0], Tensor):
        raise CheckpointError(
            f"{reader.where}: {reader.node} picks by what the network computes, so that the number of rows differs "
            "from one observation to the next. Compute it for every row and choose with torch.where; of a mixture of "
            "experts, compute each expert and add them up by the gate's weights"
        )
    return torch.nonzero(inputs[0]).T.contiguous()


def _one_hot(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    index, depth, values = inputs
    if attributes.get("axis", -1) not in (-1, meta(index).ndim) or not isinstance(values, Tensor):
        raise CheckpointError(f"{reader.where}: {reader.node} along an axis that is not the last is not read")
    off, on = values.tolist()
    classes = torch.arange(numbers(depth)[0])
    hot = reader.apply("eq", torch.eq, reader.apply("unsqueeze", torch.unsqueeze, index, -1), classes)
    number = reader.apply("cast", Tensor.type_as, hot, reader.obs)
    return reader.apply("add", torch.add, reader.apply("mul", torch.mul, number, on - off), off)


def _einsum(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    equation = attributes["equation"]
    return reader.apply("einsum", lambda *operands: torch.einsum(equation, *operands), *inputs)


def _tile(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    value, repeats = inputs[0], numbers(inputs[1])
    shape = meta(value).shape
    if any(size == BATCH and times != 1 for size, times in zip(shape, repeats, strict=True)):
        raise CheckpointError(f"{reader.where}: {reader.node} repeats the batch")
    return reader.apply("repeat", Tensor.repeat, value, repeats)


def _pad(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    if attributes.get("mode", "constant") != "constant":
        raise CheckpointError(f"{reader.where}: {reader.node} pads by {attributes['mode']}, which is not read")
    rank = meta(inputs[0]).ndim
    pads = attributes.get("pads") or numbers(inputs[1])
    axes = numbers(inputs[3]) if len(inputs) > 3 and inputs[3] is not None else list(range(rank))
    by_axis = {axis % rank: (pads[at], pads[at + len(axes)]) for at, axis in enumerate(axes)}
    value = inputs[2] if len(inputs) > 2 and inputs[2] is not None else attributes.get("value", 0.0)
    flat = [end for axis in reversed(range(rank)) for end in by_axis.get(axis, (0, 0))]
    number = float(value.item()) if isinstance(value, Tensor) else float(value)
    while len(flat) > 2 and flat[-2:] == [0, 0]:
        flat = flat[:-2]
    return reader.apply("pad", functional.pad, inputs[0], flat, "constant", number)


def _range(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    if any(isinstance(item, Traced) for item in inputs):
        raise CheckpointError(f"{reader.where}: {reader.node} counts up to a number that depends on the batch")
    return torch.arange(*[item.item() if isinstance(item, Tensor) else item for item in inputs])


def _triangle(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    diagonal = numbers(inputs[1])[0] if len(inputs) > 1 and inputs[1] is not None else 0
    function = torch.triu if attributes.get("upper", 1) else torch.tril
    return reader.apply(function.__name__, function, inputs[0], diagonal)


def grown(reader: GraphRecord, inputs: Sequence[Any]) -> list[Any]:
    """Tensors of which some have the batch in front, and others a 1 there, which is repeated for every row."""
    shapes = [meta(item).shape for item in inputs]
    if not any(shape and shape[0] == BATCH for shape in shapes):
        return list(inputs)
    rows = reader.recorder.size(reader.obs, 0)
    return [reader.recorder.with_batch(item, 0, rows) for item in inputs]


ROUTING_TRANSLATORS: dict[str, Translator] = {
    "Einsum": _einsum,
    "Gather": gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "NonZero": _non_zero,
    "OneHot": _one_hot,
    "Pad": _pad,
    "Range": _range,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "Tile": _tile,
    "Trilu": _triangle,
}
"""Translation of each operator."""
