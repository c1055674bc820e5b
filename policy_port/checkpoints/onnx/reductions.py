"""ONNX operators that reduce, rank or add up along axes, recorded as PyTorch operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from policy_port.checkpoints.networks.tape import BATCH
from policy_port.checkpoints.onnx.record import Attributes, GraphRecord, Translator, axes_of, meta, numbers
from policy_port.errors import CheckpointError

Reduction = Callable[[Tensor, list[int], bool], Tensor]


def _product(value: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted((axis % value.ndim for axis in axes), reverse=True):
        value = torch.prod(value, axis, keep)
    return value


_REDUCTIONS: dict[str, Reduction] = {
    "ReduceL1": lambda value, axes, keep: torch.sum(torch.abs(value), axes, keep),
    "ReduceL2": lambda value, axes, keep: torch.sqrt(torch.sum(value * value, axes, keep)),
    "ReduceLogSum": lambda value, axes, keep: torch.log(torch.sum(value, axes, keep)),
    "ReduceLogSumExp": torch.logsumexp,
    "ReduceMax": torch.amax,
    "ReduceMean": torch.mean,
    "ReduceMin": torch.amin,
    "ReduceProd": _product,
    "ReduceSum": torch.sum,
    "ReduceSumSquare": lambda value, axes, keep: torch.sum(value * value, axes, keep),
}


def _reduce(kind: str) -> Translator:
    label, function = kind.removeprefix("Reduce").lower(), _REDUCTIONS[kind]

    def run(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
        axes = axes_of(attributes, inputs)
        if not axes and attributes.get("noop_with_empty_axes", 0):
            return inputs[0]
        axes = axes or list(range(meta(inputs[0]).ndim))
        refuse_batch(reader, inputs[0], axes)
        return reader.apply(label, function, inputs[0], axes, bool(attributes.get("keepdims", 1)))

    return run


def refuse_batch(reader: GraphRecord, value: Any, axes: list[int]) -> None:
    """Raise where an operator would mix the observations of a batch."""
    shape = meta(value).shape
    if any(shape[axis] == BATCH for axis in axes):
        raise CheckpointError(
            f"{reader.where}: {reader.node} goes over the batch axis, so that the action of one observation would "
            "depend on the others beside it"
        )


def _extreme(label: str, function: Callable[..., Tensor]) -> Translator:
    def run(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
        if attributes.get("select_last_index", 0):
            raise CheckpointError(f"{reader.where}: {reader.node} takes the last of equal numbers; that is not read")
        axis = attributes.get("axis", 0)
        refuse_batch(reader, inputs[0], [axis])
        return reader.apply(label, function, inputs[0], axis, bool(attributes.get("keepdims", 1)))

    return run


def _top_k(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    axis, count = attributes.get("axis", -1), numbers(inputs[1])[0]
    refuse_batch(reader, inputs[0], [axis])
    options = (count, axis, bool(attributes.get("largest", 1)), bool(attributes.get("sorted", 1)))
    return reader.apply("topk", torch.topk, inputs[0], *options)


def _cumulated(reader: GraphRecord, attributes: Attributes, inputs: list[Any]) -> Any:
    if attributes.get("exclusive", 0) or attributes.get("reverse", 0):
        raise CheckpointError(f"{reader.where}: {reader.node} is exclusive or reverse, which is not read")
    axis = numbers(inputs[1])[0]
    refuse_batch(reader, inputs[0], [axis])
    return reader.apply("cumsum", torch.cumsum, inputs[0], axis)


REDUCTION_TRANSLATORS: dict[str, Translator] = {
    **{kind: _reduce(kind) for kind in _REDUCTIONS},
    "ArgMax": _extreme("argmax", torch.argmax),
    "ArgMin": _extreme("argmin", torch.argmin),
    "CumSum": _cumulated,
    "TopK": _top_k,
}
"""Translation of each operator."""
