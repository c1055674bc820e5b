"""The tensors of a checkpoint, handed out once each, so that none is forgotten or invented."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from policy_port.checkpoints.files.safe_load import require_finite
from policy_port.checkpoints.policy import Leftover
from policy_port.errors import CheckpointError

_OPTIMISER = re.compile(r"(?:\w+_)?optim(?:izer)?s?(?:_\w+)?")


class TensorBag:
    """Named tensors of one file; what has not been taken at the end is the rest."""

    def __init__(self, tree: Mapping[str, object], where: str) -> None:
        self.where = where
        self._tensors: dict[str, Tensor] = {}
        self._taken: set[str] = set()
        self._lists: dict[str, int] = {}
        self._summaries: list[str] = []
        for key, value in tree.items():
            if _OPTIMISER.fullmatch(key) and _is_optimiser(value):
                self._summaries.append(f"{key}: {_count(value)} tensors")
            else:
                self._collect(str(key), value)

    def _collect(self, name: str, value: object) -> None:
        if isinstance(value, Tensor):
            self._tensors[name] = value.detach()
        elif isinstance(value, Mapping):
            for key, inner in value.items():
                self._collect(f"{name}.{key}", inner)
        elif isinstance(value, list | tuple):
            if len(value) > 1 and all(isinstance(entry, int | float) for entry in value):
                self._lists[name] = len(value)
            else:
                for index, inner in enumerate(value):
                    self._collect(f"{name}.{index}", inner)

    @property
    def names(self) -> list[str]:
        """All names, in the file's order."""
        return list(self._tensors)

    def has(self, name: str) -> bool:
        """Whether the file has a tensor of this name."""
        return name in self._tensors

    def size(self, name: str) -> int:
        """The number of entries of a tensor, which is not taken."""
        return self._tensors[name].numel()

    def take(self, name: str) -> Tensor:
        """A tensor of the actor; it must exist and be finite."""
        if name not in self._tensors:
            raise CheckpointError(f"{self.where}: has no tensor {name}. It has {', '.join(self.names[:12])}, ...")
        tensor = self._tensors[name]
        require_finite({name: tensor}, self.where)
        self._taken.add(name)
        return tensor

    def take_weight(self, name: str) -> Tensor:
        """A weight as float32, the precision that actors run in."""
        tensor = self.take(name)
        if not tensor.is_floating_point():
            raise CheckpointError(f"{self.where}: {name} holds {tensor.dtype} values; a weight must be floating point")
        return tensor.float()

    def matrix_shape(self, name: str) -> tuple[int, int]:
        """Rows and columns of a matrix, which is not taken."""
        shape = tuple(self._tensors[name].shape) if self.has(name) else ()
        if len(shape) != 2:
            raise CheckpointError(f"{self.where}: {name} should be a matrix; it has shape {shape or 'none'}")
        return shape

    def take_linear(self, name: str) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of a linear layer."""
        weight = self.take_weight(f"{name}.weight")
        if weight.ndim != 2:
            norm = "; a layer norm or batch norm is not supported" if weight.ndim == 1 else ""
            raise CheckpointError(
                f"{self.where}: {name}.weight has shape {tuple(weight.shape)}, not that of a matrix{norm}"
            )
        bias = self.take_weight(f"{name}.bias") if self.has(f"{name}.bias") else None
        if bias is not None and tuple(bias.shape) != (weight.shape[0],):
            raise CheckpointError(
                f"{self.where}: {name}.bias has shape {tuple(bias.shape)} for a weight of {tuple(weight.shape)}"
            )
        return weight, bias

    def take_stack(self, prefix: str, *, first: int = 0, step: int = 2) -> list[tuple[Tensor, Tensor | None]]:
        """The linear layers prefix.0, prefix.2, ... with an activation behind each; their widths must join.

        Args:
            prefix: What stands before their numbers.
            first: Number of the first layer.
            step: From one layer to the next; more than 2 where a norm with tensors of its own stands between.
        """
        pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.weight")
        indices = sorted(int(match[1]) for name in self.names if (match := pattern.fullmatch(name)))
        if not indices:
            raise CheckpointError(f"{self.where}: has no layers {prefix}.N.weight")
        layers = [self.take_linear(f"{prefix}.{index}") for index in indices]
        if indices != list(range(first, first + step * len(indices), step)):
            raise CheckpointError(
                f"{self.where}: the layers of {prefix} have the numbers {', '.join(map(str, indices))}; expected "
                f"{first}, {first + step}, {first + 2 * step}, ... with an activation between them. Something without "
                "weights, such as dropout, a norm or another activation, stands there too, which the file does not name"
            )
        for index, (above, below) in enumerate(itertools.pairwise(layers)):
            if above[0].shape[0] != below[0].shape[1]:
                raise CheckpointError(
                    f"{self.where}: layer {prefix}.{indices[index]} writes {above[0].shape[0]} values and "
                    f"{prefix}.{indices[index + 1]} reads {below[0].shape[1]}"
                )
        return layers

    def take_memory(self, prefix: str) -> nn.LSTM | nn.GRU:
        """The recurrent layers whose tensors are prefix.weight_ih_l0 and so on."""
        width, inputs = self.matrix_shape(f"{prefix}.weight_ih_l0")
        _, hidden = self.matrix_shape(f"{prefix}.weight_hh_l0")
        kinds: dict[int, type[nn.LSTM] | type[nn.GRU]] = {4 * hidden: nn.LSTM, 3 * hidden: nn.GRU}
        if width not in kinds:
            raise CheckpointError(
                f"{self.where}: {prefix} has {width} rows for a hidden size of {hidden}; an LSTM has 4 times as many, "
                "a GRU 3 times"
            )
        count = sum(name.startswith(f"{prefix}.weight_ih_l") for name in self.names)
        memory = kinds[width](inputs, hidden, count)
        for name, parameter in list(memory.named_parameters()):
            tensor = self.take_weight(f"{prefix}.{name}")
            if tensor.shape != parameter.shape:
                raise CheckpointError(
                    f"{self.where}: {prefix}.{name} has shape {tuple(tensor.shape)}; expected {tuple(parameter.shape)}"
                )
            with torch.no_grad():
                parameter.copy_(tensor)
        return memory

    def rest(self) -> tuple[Leftover, ...]:
        """What was not taken, beside the optimisers: tensors, and lists of numbers."""
        tensors = [
            Leftover(name, str(tuple(tensor.shape)), tensor.numel())
            for name, tensor in self._tensors.items()
            if name not in self._taken
        ]
        return (*tensors, *(Leftover(name, f"[{count} numbers]", count) for name, count in self._lists.items()))

    def optimisers(self) -> tuple[str, ...]:
        """The optimisers, a line each."""
        return tuple(self._summaries)


def _is_optimiser(value: object) -> bool:
    """Whether this is the state of an optimiser, or of several."""
    if isinstance(value, list | tuple):
        return all(map(_is_optimiser, value))
    return isinstance(value, Mapping) and set(value) <= {"state", "param_groups"}


def _count(value: object) -> int:
    if isinstance(value, Tensor):
        return 1
    if isinstance(value, Mapping):
        return sum(_count(inner) for inner in value.values())
    if isinstance(value, (list, tuple)):
        return sum(_count(inner) for inner in value)
    return 0
