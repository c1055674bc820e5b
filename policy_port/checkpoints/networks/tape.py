"""A foreign graph, recorded once as a straight list of tensor operations with explicit state.

A graph is walked on PyTorch's meta device with a batch of `BATCH` rows: shapes are known, nothing is computed, and a
size equal to `BATCH` is recognised as the batch wherever it appears. Whatever depends on shapes alone (checks,
branches, loops) is settled during the walk, so that the recording traces and exports like a hand-written network.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from policy_port.checkpoints.actor import Actor, ImageSpec
from policy_port.errors import CheckpointError, UnsafeFileError

BATCH = 1_000_003
"""Number of rows during the walk: a prime no network uses as a width."""

GRAPH_ERRORS = (
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
)
"""What PyTorch and the translation raise on a graph whose parts do not fit together."""

MAX_ELEMENTS = 2**27
"""Largest tensor that a graph may compute for one observation."""


@dataclass(frozen=True)
class Ref:
    """The result of a step, by its number."""

    index: int


@dataclass(frozen=True)
class ConstantRef:
    """A tensor of the file, by its name in the actor."""

    name: str


@dataclass(frozen=True)
class Step:
    """One operation."""

    function: Callable[..., object]
    arguments: tuple[object, ...]
    outputs: tuple[int, ...]
    label: str


class Traced:
    """A value that depends on the observation, the state or the batch.

    It is a handle: an operation in place gives the handle a new `ref`, so that every holder sees the new value.
    """

    def __init__(self, ref: Ref, meta: Tensor | int, *, view: bool = False) -> None:
        self.ref = ref
        self.meta = meta
        self.view = view
        """Whether it shares memory with another handle."""
        self.viewed = False
        """Whether another handle shares memory with it."""


class Recorder:
    """Collects the steps while a graph is walked."""

    def __init__(self, where: str, *, single: bool = False) -> None:
        self.where = where
        self.single = single
        """Whether a 1 that the file wrote for its batch becomes the batch."""
        self.steps: list[Step] = []
        self.constants: dict[str, Tensor] = {}
        self._names: dict[int, str] = {}
        self._metas: dict[int, Tensor] = {}
        self._count = 0

    def input(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Traced:
        """A new input; inputs must be made before the first step, in the order of the call."""
        return Traced(self._ref(), torch.empty(tuple(shape), dtype=dtype, device="meta"))

    def name_constant(self, tensor: Tensor, name: str) -> None:
        """Register a tensor of the file under its own name; a tensor already known keeps its first name."""
        if id(tensor) not in self._names:
            clean = name.replace(".", "_").replace("/", "_").replace(":", "_") or "constant"
            while clean in self.constants or hasattr(nn.Module, clean):
                clean += "_"
            self._names[id(tensor)] = clean
            self.constants[clean] = tensor

    def constant_name(self, tensor: Tensor) -> str:
        """The name of a registered tensor, or a general one."""
        return self._names.get(id(tensor), "constant")

    def apply(self, label: str, function: Callable[..., object], *arguments: object) -> object:
        """Run `function` now if nothing in it depends on the inputs, otherwise record it."""
        if not any(isinstance(leaf, Traced) for leaf in leaves(arguments)):
            if any(isinstance(leaf, Tensor) for leaf in leaves(arguments)):
                self._bound(function(*self._on_meta(arguments)), rows=1)
            return function(*arguments)
        result = function(*self.metas(arguments))
        self._bound(result, rows=BATCH)
        outputs: list[int] = []
        wrapped = self._wrap(result, outputs)
        self.steps.append(Step(function, self._references(arguments), tuple(outputs), label))
        return wrapped

    def metas(self, arguments: tuple[object, ...]) -> tuple[object, ...]:
        """Replace handles and constants by what stands for them on the meta device."""
        return _map_each(arguments, self._meta)

    def _bound(self, result: object, *, rows: int) -> None:
        """Raise before a tensor is computed that is far larger than a policy has need of."""
        for leaf in leaves(result):
            if isinstance(leaf, Tensor) and leaf.numel() > rows * MAX_ELEMENTS:
                raise UnsafeFileError(f"{self.where}: the graph computes a tensor of shape {tuple(leaf.shape)}")

    @staticmethod
    def _on_meta(arguments: tuple[object, ...]) -> tuple[object, ...]:
        return _map_each(arguments, lambda leaf: leaf.to("meta") if isinstance(leaf, Tensor) else leaf)

    def size(self, value: Traced, dimension: int) -> object:
        """A size as a number, or as a handle where it is the batch."""
        assert isinstance(value.meta, Tensor)
        size = value.meta.shape[dimension]
        if size % BATCH or size == 0:
            return size
        return self.apply("size", _size, value, dimension)

    def reshape(self, value: Traced, shape: Sequence[object]) -> object:
        """Record a reshape whose target names the batch as -1, so that any batch fits."""
        assert isinstance(value.meta, Tensor)
        if self.single and all(isinstance(item, int) and (item % BATCH or item == 0) for item in shape):
            shape = self._opened(value.meta, shape)
        numbers: list[Any] = [item.meta if isinstance(item, Traced) else item for item in shape]
        target = list(torch.reshape(value.meta, numbers).shape)
        batched = [index for index, size in enumerate(target) if size and size % BATCH == 0]
        if len(batched) != 1:
            raise CheckpointError(f"{self.where}: reshapes {tuple(value.meta.shape)} in a way that loses the batch")
        target[batched[0]] = -1
        return self.apply("reshape", torch.reshape, value, target)

    @staticmethod
    def _opened(meta: Tensor, shape: Sequence[Any]) -> Sequence[Any]:
        """The target of a reshape with the batch where a file for one observation wrote 1."""
        one = torch.empty([1 if size == BATCH else size for size in meta.shape], device="meta")
        fixed = list(one.reshape(list(shape)).shape)
        places = [index for index, size in enumerate(fixed) if size == 1]
        batched = list(meta.shape).index(BATCH)
        place = places[0] if len(places) == 1 else batched if batched in places else None
        return shape if place is None else [BATCH if index == place else size for index, size in enumerate(fixed)]

    def with_batch(self, value: object, axis: int, rows: object) -> object:
        """A tensor for one observation repeated for all `rows` along `axis`, where it has a 1 there."""
        meta = value.meta if isinstance(value, Traced) else value
        if not isinstance(meta, Tensor) or meta.ndim <= axis or meta.shape[axis] != 1:
            return value
        return self.apply("expand", Tensor.expand, value, [rows if at == axis else -1 for at in range(meta.ndim)])

    def _ref(self) -> Ref:
        self._count += 1
        return Ref(self._count - 1)

    def _meta(self, leaf: object) -> object:
        if isinstance(leaf, Traced):
            return leaf.meta
        if isinstance(leaf, Tensor):
            if id(leaf) not in self._metas:
                self.name_constant(leaf, f"constant_{len(self.constants)}")
                self._metas[id(leaf)] = leaf.to("meta")
            return self._metas[id(leaf)]
        return leaf

    def _references(self, arguments: tuple[object, ...]) -> tuple[object, ...]:
        def reference(leaf: object) -> object:
            if isinstance(leaf, Traced):
                return leaf.ref
            return ConstantRef(self._names[id(leaf)]) if isinstance(leaf, Tensor) else leaf

        return _map_each(arguments, reference)

    def _wrap(self, result: object, outputs: list[int]) -> object:
        if isinstance(result, (list, tuple)):
            return [self._wrap(item, outputs) for item in result]
        if not isinstance(result, (Tensor, int)) or isinstance(result, bool):
            raise CheckpointError(f"{self.where}: an operator's {type(result).__name__} can't be followed")
        ref = self._ref()
        outputs.append(ref.index)
        return Traced(ref, result)


def in_batches(shape: Sequence[int]) -> tuple[int | str, ...]:
    """A shape with the batch, and multiples of it, in words."""
    return tuple(
        size if size % BATCH or not size else "batch" if size == BATCH else f"{size // BATCH} x batch" for size in shape
    )


def _size(value: Tensor, dimension: int) -> int:
    return value.size(dimension)


def leaves(value: object) -> list[object]:
    """The items of nested lists and tuples."""
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


def _map(value: object, function: Callable[[object], object]) -> object:
    if isinstance(value, tuple):
        return _map_each(value, function)
    if isinstance(value, list):
        return [_map(item, function) for item in value]
    return function(value)


def _map_each(values: tuple[object, ...], function: Callable[[object], object]) -> tuple[object, ...]:
    return tuple(_map(item, function) for item in values)


class TapeActor(Actor):
    """Replays a recording."""

    def __init__(
        self,
        recorder: Recorder,
        *,
        outputs: Sequence[Ref],
        obs_size: int,
        action_size: int,
        state_names: tuple[str, ...],
        state_shapes: tuple[tuple[int, int], ...],
        initial: tuple[Tensor, ...],
        images: tuple[ImageSpec, ...] = (),
    ) -> None:
        """Keep what the outputs need of the recording.

        Args:
            recorder: The recording; its first input is the observation, then come images and state.
            outputs: Where the actions are, then the new state tensors.
            obs_size: Width of one observation.
            action_size: Width of one action.
            state_names: Names of the state tensors.
            state_shapes: (layers, hidden) of each.
            initial: The state at the start, shape (layers, 1, hidden) each.
            images: Images that the graph reads.
        """
        super().__init__()
        self.obs_size = obs_size
        self.action_size = action_size
        self.state_names = state_names
        self.state_shapes = state_shapes
        self.images = images
        self._outputs = tuple(output.index for output in outputs)
        self._steps = _needed(recorder.steps, set(self._outputs))
        used = {leaf.name for step in self._steps for leaf in leaves(step.arguments) if isinstance(leaf, ConstantRef)}
        for name, tensor in recorder.constants.items():
            if name in used:
                self.register_buffer(name, tensor.detach())
        for name, tensor in zip(state_names, initial, strict=True):
            self.register_buffer(f"initial_state_{name}", tensor.detach(), persistent=False)

    def forward(self, obs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """Replay every step."""
        values: dict[int, Any] = dict(enumerate((obs, *rest)))

        def resolve(leaf: object) -> object:
            if isinstance(leaf, Ref):
                return values[leaf.index]
            return getattr(self, leaf.name) if isinstance(leaf, ConstantRef) else leaf

        for step in self._steps:
            result = step.function(*_map_each(step.arguments, resolve))
            results = leaves(result) if len(step.outputs) > 1 or isinstance(result, (list, tuple)) else [result]
            values.update(zip(step.outputs, results, strict=True))
        return tuple(values[index] for index in self._outputs)

    def initial_state(
        self, batch: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, ...]:
        """The state that the file starts from, for every row."""
        return tuple(
            getattr(self, f"initial_state_{name}").to(dtype=dtype, device=device).repeat(1, batch, 1)
            for name in self.state_names
        )

    def describe(self) -> tuple[str, ...]:
        """One line for each step."""
        lines = []
        for step in self._steps:
            shapes = [
                f"{leaf.name} {tuple(getattr(self, leaf.name).shape)}"
                for leaf in leaves(step.arguments)
                if isinstance(leaf, ConstantRef)
            ]
            lines.append(" ".join([step.label, *shapes]))
        return tuple(lines)

    def constant_names(self) -> tuple[str, ...]:
        """The names of the tensors of the file that the recording uses."""
        return tuple(name for name, _ in self.named_buffers() if not name.startswith("initial_state_"))


def _needed(steps: list[Step], wanted: set[int]) -> tuple[Step, ...]:
    """The steps that the wanted values depend on, in order."""
    kept: list[Step] = []
    for step in reversed(steps):
        if wanted.intersection(step.outputs):
            kept.append(step)
            wanted |= {leaf.index for leaf in leaves(step.arguments) if isinstance(leaf, Ref)}
    return tuple(reversed(kept))


def compare(recorder: Recorder, operation: str, left: object, right: object) -> bool:
    """Compare numbers or lists of numbers during the walk; whether a batch has one size can't be asked."""
    lefts, rights = leaves(left), leaves(right)
    if len(lefts) == len(rights):
        for one, other in zip(lefts, rights, strict=True):
            if isinstance(one, Traced) != isinstance(other, Traced):
                raise CheckpointError(f"{recorder.where}: the graph behaves differently for different batch sizes")
    plain_left, plain_right = recorder.metas((left, right))
    return bool(getattr(operator, operation)(plain_left, plain_right))
