"""Affine maps whose matrix has at most one entry per row: generalised permutations with an offset.

Everything that differs between two parsings of the same quantities is such a map: order, name, sign, unit, default
pose, scale, dropped and constant entries. They compose, and invert where every input is used exactly once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from policy_port.errors import MappingError

if TYPE_CHECKING:
    import torch

CONSTANT = -1
"""Index of an output that reads no input."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AffineMap:
    """y[i] = scale[i] * x[index[i]] + offset[i], or offset[i] where index[i] is -1."""

    inputs: tuple[str, ...]
    """Label of each input; its length is the map's input width."""
    outputs: tuple[str, ...]
    """Label of each output; its length is the map's output width."""
    index: NDArray[np.int64]
    """Input that each output reads, shape (outputs,); -1 for a constant."""
    scale: NDArray[np.float64]
    """Factor of each output, shape (outputs,); 0 for a constant."""
    offset: NDArray[np.float64]
    """Added to each output, shape (outputs,)."""
    _on_device: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        n = len(self.outputs)
        if not (self.index.shape == self.scale.shape == self.offset.shape == (n,)):
            raise ValueError(f"index, scale and offset must have shape ({n},)")
        if n and (self.index.max() >= len(self.inputs) or self.index.min() < CONSTANT):
            raise ValueError("index points outside the inputs")
        if not (np.isfinite(self.scale).all() and np.isfinite(self.offset).all()):
            raise ValueError("scale and offset must be finite")
        if (self.scale[self.index == CONSTANT] != 0.0).any():
            raise ValueError("a constant output must have scale 0")
        for array in (self.index, self.scale, self.offset):
            array.setflags(write=False)

    @staticmethod
    def of_rows(inputs: Sequence[str], outputs: Sequence[str], rows: Sequence[tuple[int, float, float]]) -> AffineMap:
        """Build a map from one (index, scale, offset) per output."""
        index, scale, offset = zip(*rows, strict=True) if rows else ((), (), ())
        return AffineMap(
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            index=np.asarray(index, dtype=np.int64),
            scale=np.asarray(scale, dtype=np.float64),
            offset=np.asarray(offset, dtype=np.float64),
        )

    @staticmethod
    def identity(labels: Sequence[str]) -> AffineMap:
        """The map that changes nothing."""
        return AffineMap.of_rows(labels, labels, [(i, 1.0, 0.0) for i in range(len(labels))])

    @staticmethod
    def by_name(inputs: Sequence[str], outputs: Sequence[str]) -> AffineMap:
        """The reorder that gives each output the input of the same name.

        Raises:
            MappingError: When an output has no input of its name.
        """
        position = {name: i for i, name in enumerate(inputs)}
        absent = [name for name in outputs if name not in position]
        if absent:
            raise MappingError(f"{', '.join(absent)} is not among {', '.join(inputs)}")
        return AffineMap.of_rows(inputs, outputs, [(position[name], 1.0, 0.0) for name in outputs])

    @property
    def n_in(self) -> int:
        """Input width."""
        return len(self.inputs)

    @property
    def n_out(self) -> int:
        """Output width."""
        return len(self.outputs)

    @property
    def is_identity(self) -> bool:
        """True when the map changes nothing."""
        return self.is_reorder and self.n_in == self.n_out and bool((self.index == np.arange(self.n_out)).all())

    @property
    def is_reorder(self) -> bool:
        """True when every output is an input, untouched."""
        return bool((self.scale == 1.0).all() and (self.offset == 0.0).all())

    @overload
    def __call__(self, x: NDArray[Any]) -> NDArray[Any]: ...
    @overload
    def __call__(self, x: torch.Tensor) -> torch.Tensor: ...
    def __call__(self, x: Any) -> Any:
        """Apply to the last axis of a NumPy array or a torch tensor, on its device and in its dtype.

        Args:
            x: Values of the inputs, shape (..., n_in).

        Returns:
            Values of the outputs, shape (..., n_out).
        """
        if x.shape[-1] != self.n_in:
            raise ValueError(f"expected {self.n_in} values in the last axis, got {x.shape[-1]}")
        if isinstance(x, np.ndarray):
            index, constant, scale, offset = self._arrays(x.dtype)
            y = x[..., index] * scale + offset
            if constant.size:
                y[..., constant] = offset[constant]
            return y
        return self._torch(x)

    def _arrays(self, dtype: Any) -> Any:
        if dtype not in self._on_device:
            self._on_device[dtype] = (
                np.maximum(self.index, 0),
                np.flatnonzero(self.index == CONSTANT),
                self.scale.astype(dtype),
                self.offset.astype(dtype),
            )
        return self._on_device[dtype]

    def _torch(self, x: torch.Tensor) -> torch.Tensor:
        import torch

        key = (x.device, x.dtype)
        if key not in self._on_device:
            self._on_device[key] = (
                torch.from_numpy(np.maximum(self.index, 0)).to(x.device),
                torch.from_numpy(self.index == CONSTANT).to(x.device),
                torch.from_numpy(self.scale.copy()).to(x.device, x.dtype),
                torch.from_numpy(self.offset.copy()).to(x.device, x.dtype),
            )
        index, constant, scale, offset = self._on_device[key]
        y = x.index_select(-1, index) * scale + offset
        # A constant must not become NaN because the input that it ignores is.
        return torch.where(constant, offset, y) if (self.index == CONSTANT).any() else y

    def then(self, after: AffineMap) -> AffineMap:
        """The map that applies this one first and `after` to its result.

        Raises:
            MappingError: When the two don't fit, naming the first label that differs.
        """
        if self.outputs != after.inputs:
            differ = next(
                (f"'{a}' and '{b}'" for a, b in zip(self.outputs, after.inputs, strict=False) if a != b), None
            )
            raise MappingError(
                f"the maps can't be composed: the first gives {self.n_out} values, the second reads {after.n_in}"
                + (f"; they first differ at {differ}" if differ else "")
            )
        reads = after.index != CONSTANT
        through = np.where(reads, after.index, 0)
        index = np.where(reads, self.index[through], CONSTANT)
        scale = np.where(index != CONSTANT, after.scale * self.scale[through], 0.0)
        offset = np.where(reads, after.scale * self.offset[through] + after.offset, after.offset)
        return AffineMap(inputs=self.inputs, outputs=after.outputs, index=index, scale=scale, offset=offset)

    def inverse(self) -> AffineMap:
        """The map from outputs back to inputs.

        Raises:
            MappingError: When an output reads nothing or an input is read never or twice, naming them.
        """
        stuck = [self.outputs[i] for i in np.flatnonzero((self.index == CONSTANT) | (self.scale == 0.0))]
        used = np.bincount(self.index[self.index != CONSTANT], minlength=self.n_in)
        lost = [self.inputs[i] for i in np.flatnonzero(used == 0)]
        twice = [self.inputs[i] for i in np.flatnonzero(used > 1)]
        if stuck or lost or twice:
            reasons = [
                f"{', '.join(names)} {what}"
                for names, what in (
                    (stuck, "is constant"),
                    (lost, "is dropped"),
                    (twice, "is read twice"),
                )
                if names
            ]
            raise MappingError(f"the remap can't be inverted: {'; '.join(reasons)}")
        back = np.empty(self.n_in, dtype=np.int64)
        back[self.index] = np.arange(self.n_out)
        scale = 1.0 / self.scale[back]
        # Adding 0.0 turns -0.0 into 0.0, so that the inverse of an identity is an identity.
        offset = -self.offset[back] * scale + 0.0
        return AffineMap(inputs=self.outputs, outputs=self.inputs, index=back, scale=scale, offset=offset)

    def matrix(self) -> NDArray[np.float64]:
        """The dense matrix, shape (n_out, n_in), without the offset; for reading and tests."""
        dense = np.zeros((self.n_out, self.n_in))
        rows = np.flatnonzero(self.index != CONSTANT)
        dense[rows, self.index[rows]] = self.scale[rows]
        return dense
