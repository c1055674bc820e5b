"""TorchScript operators about shapes, types, lists and numbers, settled while a graph is walked.

Each handler gets the walker and the arguments, and returns (True, result), or (False, None) to leave the node to
PyTorch.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from policy_port.checkpoints.networks.tape import BATCH, Recorder, Traced, compare, leaves
from policy_port.checkpoints.torchscript.operators import REASONS
from policy_port.errors import CheckpointError

Handled = tuple[bool, Any]
TRAINING = (
    "a batch normalisation is in training mode: it normalises by the batch that it is given, so that the action of one "
    "observation depends on the others. Call eval() on the network before it is traced, scripted or exported"
)
"""Why a graph in training mode is refused."""
_LEFT: Handled = (False, None)


class Walk:
    """What an operator may know of the walk over its graph."""

    def __init__(self, recorder: Recorder, obs: Traced) -> None:
        self.recorder = recorder
        self.where = recorder.where
        self.obs = obs

    def mark_view(self, base: Any, result: Any) -> None:
        """Remember that `result` may share memory with `base`."""
        if isinstance(base, Traced):
            base.viewed = True
        for leaf in leaves(result):
            if isinstance(leaf, Traced):
                leaf.view = True


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, Traced) and isinstance(value.meta, Tensor))


def _meta(value: Any) -> Tensor:
    tensor = value.meta if isinstance(value, Traced) else value
    assert isinstance(tensor, Tensor)
    return tensor


def _size(walker: Walk, arguments: list[Any]) -> Handled:
    value = arguments[0]
    if isinstance(value, Tensor):
        return True, list(value.shape) if len(arguments) == 1 else value.shape[arguments[1]]
    if len(arguments) > 1:
        return True, walker.recorder.size(value, arguments[1])
    return True, [walker.recorder.size(value, index) for index in range(_meta(value).ndim)]


def _slice(walker: Walk, arguments: list[Any]) -> Handled:
    if not _is_tensor(arguments[0]):
        items, start, end, step = arguments
        return True, list(items)[slice(start, end, step)]
    value = arguments[0]
    dimension, start, end, step = [*arguments[1:], *(0, None, None, 1)[len(arguments) - 1 :]]
    if not start and (end is None or end >= 2**62) and step == 1:
        # All of it: the same tensor, so that writing to the slice writes to the whole.
        return True, value
    result = walker.recorder.apply("slice", torch.ops.aten.slice, value, dimension, start, end, step)
    walker.mark_view(value, result)
    return True, result


def _select(walker: Walk, arguments: list[Any]) -> Handled:
    result = walker.recorder.apply("select", torch.ops.aten.select, *arguments)
    walker.mark_view(arguments[0], result)
    return True, result


def _view(walker: Walk, arguments: list[Any]) -> Handled:
    if isinstance(arguments[0], Traced):
        result = walker.recorder.reshape(arguments[0], leaves(arguments[1]))
        walker.mark_view(arguments[0], result)
        return True, result
    return True, arguments[0].reshape(arguments[1])


def _flatten(walker: Walk, arguments: list[Any]) -> Handled:
    value = arguments[0]
    if not isinstance(value, Traced):
        return True, value.flatten(*arguments[1:])
    shape = list(_meta(value).flatten(*arguments[1:]).shape)
    result = walker.recorder.reshape(value, shape)
    walker.mark_view(value, result)
    return True, result


def _to(walker: Walk, arguments: list[Any]) -> Handled:
    """Change the type; float32 means the precision the actor runs in."""
    value = arguments[0]
    wanted = next((item for item in arguments[1:] if isinstance(item, torch.dtype)), None)
    if wanted is None:
        other = next((item for item in arguments[1:] if _is_tensor(item)), None)
        numbers = [item for item in arguments[1:] if type(item) is int]
        wanted = _meta(other).dtype if other is not None else _dtype(numbers[0]) if numbers else None
    if wanted is None or not _is_tensor(value) or _meta(value).dtype == wanted:
        return True, value
    return True, cast(walker, value, wanted)


def cast(walker: Walk, value: Any, wanted: torch.dtype) -> Any:
    """Record a change of type."""
    if isinstance(value, Tensor):
        return value.to(wanted)
    if wanted == torch.float32:
        return walker.recorder.apply("cast", torch.Tensor.type_as, value, walker.obs)
    return walker.recorder.apply("cast", torch.Tensor.to, value, wanted)


def _dtype(number: int) -> torch.dtype | None:
    """The type behind TorchScript's number for it."""
    table = {1: torch.int8, 3: torch.int32, 4: torch.int64, 5: torch.float16, 6: torch.float32, 7: torch.float64}
    return table.get(number, {0: torch.uint8, 11: torch.bool, 15: torch.bfloat16}.get(number))


def _expand(walker: Walk, arguments: list[Any]) -> Handled:
    """Keep the batch where a file for one observation wrote 1 for it."""
    value, sizes = arguments[0], arguments[1]
    if not walker.recorder.single or not isinstance(value, Traced):
        return _LEFT
    shape = [0] * (len(sizes) - _meta(value).ndim) + list(_meta(value).shape)
    kept = [-1 if size == 1 and has == BATCH else size for size, has in zip(sizes, shape, strict=True)]
    result = walker.recorder.apply("expand", torch.Tensor.expand, value, kept)
    walker.mark_view(value, result)
    return True, result


def _joined(walker: Walk, arguments: list[Any]) -> Handled:
    """Repeat for every row what a file for one observation joins to it."""
    parts, axis = arguments[0], arguments[1] if len(arguments) > 1 else 0
    ranks = {_meta(part).ndim for part in parts}
    if not walker.recorder.single or len(ranks) != 1:
        return _LEFT
    batched = {at for part in parts for at, size in enumerate(_meta(part).shape) if size == BATCH}
    rows = walker.recorder.size(walker.obs, 0)
    for at in batched - {axis % ranks.pop()}:
        parts[:] = [walker.recorder.with_batch(part, at, rows) for part in parts]
    return _LEFT


def _memory(walker: Walk, arguments: list[Any]) -> Handled:
    """Give every row the start that a file for one observation has for one."""
    if walker.recorder.single:
        rows, start = walker.recorder.size(walker.obs, 0), arguments[1]
        grown = [walker.recorder.with_batch(part, 1, rows) for part in leaves(start)]
        arguments[1] = grown if isinstance(start, (list, tuple)) else grown[0]
    return _LEFT


def _filled(number: float) -> Callable[[Walk, list[Any]], Handled]:
    def fill(walker: Walk, arguments: list[Any]) -> Handled:
        shape = arguments[0]
        if isinstance(shape, Traced):
            return True, walker.recorder.apply("full_like", torch.full_like, shape, number)
        if walker.recorder.single and len(shape) == 3 and shape[1] == 1:
            # The start of a recurrent layer, (layers, batch, hidden), for one observation.
            shape = [shape[0], walker.recorder.size(walker.obs, 0), shape[2]]
        if any(isinstance(leaf, Traced) for leaf in leaves(shape)):
            return True, walker.recorder.apply("new_full", torch.Tensor.new_full, walker.obs, shape, number)
        return True, torch.full(list(shape), number)

    return fill


def _number(function: Callable[..., Any]) -> Callable[[Walk, list[Any]], Handled]:
    """Handle arithmetic between plain numbers; leave tensors to PyTorch."""

    def run(walker: Walk, arguments: list[Any]) -> Handled:
        if any(_is_tensor(leaf) for leaf in leaves(arguments)):
            return _LEFT
        if isinstance(arguments[0], list) and function is operator.add:
            return True, arguments[0] + arguments[1]
        return True, walker.recorder.apply(function.__name__, function, *arguments[: 2 if len(arguments) > 1 else 1])

    return run


def _comparison(name: str) -> Callable[[Walk, list[Any]], Handled]:
    def run(walker: Walk, arguments: list[Any]) -> Handled:
        left, right = arguments
        if any(_is_tensor(leaf) for leaf in leaves(arguments)):
            return True, walker.recorder.apply(name, getattr(torch, name), left, right)
        if isinstance(left, (str, torch.dtype, torch.device)) or left is None or right is None:
            return True, getattr(operator, name)(left, right)
        return True, compare(walker.recorder, name, left, right)

    return run


def _plain(function: Callable[..., Any]) -> Callable[[Walk, list[Any]], Handled]:
    """Handle an operator whose arguments are never tensors."""

    def run(walker: Walk, arguments: list[Any]) -> Handled:
        return True, function(*arguments)

    return run


def _logical(name: str) -> Callable[[Walk, list[Any]], Handled]:
    def run(walker: Walk, arguments: list[Any]) -> Handled:
        if any(_is_tensor(item) for item in arguments):
            return True, walker.recorder.apply(name, getattr(torch, name), *arguments)
        return True, not arguments[0] if name == "logical_not" else (
            arguments[0] and arguments[1] if name == "logical_and" else arguments[0] or arguments[1]
        )

    return run


def _dropout(walker: Walk, arguments: list[Any]) -> Handled:
    if arguments[2]:
        raise CheckpointError(f"{walker.where}: dropout is active; export the policy in evaluation mode")
    return True, arguments[0]


def _batch_norm(walker: Walk, arguments: list[Any]) -> Handled:
    if arguments[5]:
        raise CheckpointError(f"{walker.where}: {TRAINING}")
    return _LEFT


def _picked(walker: Walk, arguments: list[Any]) -> Handled:
    """Refuse picking rows by a mask that is computed, whose number is not known."""
    masks = arguments[1] if len(arguments) > 1 and isinstance(arguments[1], list) else []
    if len(arguments) == 1 or any(isinstance(mask, Traced) and _meta(mask).dtype == torch.bool for mask in masks):
        raise CheckpointError(f"{walker.where}: the graph {REASONS['aten::nonzero']}")
    return _LEFT


def _normal(walker: Walk, arguments: list[Any]) -> Handled:
    """The mean: a tensor, or one number in the shape of the deviation or of a stated size."""
    mean = arguments[0]
    if _is_tensor(mean):
        return True, mean
    return _filled(float(mean))(walker, [arguments[1] if _is_tensor(arguments[1]) else arguments[2]])


def _scalar(walker: Walk, arguments: list[Any]) -> Handled:
    value = arguments[0]
    if isinstance(value, Tensor):
        return True, value.item()
    if _is_tensor(value):
        raise CheckpointError(f"{walker.where}: the graph turns a value it computes into a number")
    return True, value


def _convolution(walker: Walk, arguments: list[Any]) -> Handled:
    return True, walker.recorder.apply("convolution", torch.ops.aten.convolution, *arguments[:9])


def _is_none(walker: Walk, arguments: list[Any]) -> Handled:
    left, right = arguments
    return True, left is right


def _append(walker: Walk, arguments: list[Any]) -> Handled:
    arguments[0].append(arguments[1])
    return True, arguments[0]


def _text(walker: Walk, arguments: list[Any]) -> Handled:
    """Build a message; it is only ever shown when the graph refuses its input."""
    shown = [item for item in arguments[1:] if not any(isinstance(leaf, Traced) for leaf in leaves(item))]
    return True, " ".join(map(str, [arguments[0], *shown]))


def _tensor(walker: Walk, arguments: list[Any]) -> Handled:
    return True, torch.tensor(arguments[0])


SHAPE_OPERATORS: dict[str, Callable[[Walk, list[Any]], Handled]] = {
    "size": _size,
    "dim": lambda walker, arguments: (True, _meta(arguments[0]).ndim),
    "len": lambda walker, arguments: (
        (True, walker.recorder.size(arguments[0], 0)) if isinstance(arguments[0], Traced) else (True, len(arguments[0]))
    ),
    "list": _plain(list),
    "slice": _slice,
    "select": _select,
    "view": _view,
    "reshape": _view,
    "flatten": _flatten,
    "expand": _expand,
    "cat": _joined,
    "stack": _joined,
    "lstm": _memory,
    "gru": _memory,
    "to": _to,
    "type_as": _to,
    "float": lambda walker, arguments: (True, cast(walker, arguments[0], torch.float32)),
    "cpu": _plain(lambda value: value),
    "contiguous": _plain(lambda value, *_: value),
    "detach": _plain(lambda value: value),
    "alias": _plain(lambda value: value),
    "requires_grad_": _plain(lambda value, *_: value),
    "zeros": _filled(0.0),
    "ones": _filled(1.0),
    "zeros_like": _filled(0.0),
    "ones_like": _filled(1.0),
    "tensor": _tensor,
    "scalar_tensor": _tensor,
    "_convolution": _convolution,
    "batch_norm": _batch_norm,
    "dropout": _dropout,
    "index": _picked,
    "where": _picked,
    "normal": _normal,
    "rand": _filled(0.5),
    "rand_like": _filled(0.5),
    "randn": _filled(0.0),
    "randn_like": _filled(0.0),
    "feature_dropout": _dropout,
    "__getitem__": _plain(operator.getitem),
    "append": _append,
    "__contains__": _plain(operator.contains),
    "__is__": _is_none,
    "__isnot__": lambda walker, arguments: (True, not _is_none(walker, arguments)[1]),
    "__not__": _logical("logical_not"),
    "__and__": _logical("logical_and"),
    "__or__": _logical("logical_or"),
    **{name: _comparison(name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    "add": _number(operator.add),
    "sub": _number(operator.sub),
    "mul": _number(operator.mul),
    "floordiv": _number(operator.floordiv),
    "remainder": _number(operator.mod),
    "div": _number(operator.truediv),
    "neg": _number(operator.neg),
    "Int": _scalar,
    "Float": _scalar,
    "Bool": _scalar,
    "ScalarImplicit": _scalar,
    "IntImplicit": _scalar,
    "FloatImplicit": _scalar,
    "item": _scalar,
    "is_floating_point": lambda walker, arguments: (True, _meta(arguments[0]).is_floating_point()),
    "format": _text,
    "str": _text,
    "warn": _plain(lambda *_: None),
    "__range_length": _plain(lambda low, high, step: len(range(low, high, step))),
    "__derive_index": _plain(lambda index, start, step: start + index * step),
}
"""Handlers by operator name."""
