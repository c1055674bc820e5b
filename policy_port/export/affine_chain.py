"""Reading a run of affine ONNX nodes as one map: y[i] = scale[i] * x[index[i]] + offset[i], in float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

CONSTANT = -1


@dataclass(frozen=True, kw_only=True)
class Chain:
    """The affine map that some nodes compute together."""

    index: NDArray[np.int64]
    """Input that each output reads, shape (n,); -1 for a constant."""
    scale: NDArray[np.float64]
    """Factor of each output, shape (n,)."""
    offset: NDArray[np.float64]
    """Added to each output, shape (n,)."""
    rank: int = 2
    """Rank of the tensor; the map works on its last axis."""

    @classmethod
    def start(cls, width: int) -> Chain:
        """The chain of no nodes."""
        return cls(index=np.arange(width), scale=np.ones(width), offset=np.zeros(width))

    def then(self, node: onnx.NodeProto, tensor: str, constants: Mapping[str, NDArray[np.generic]]) -> Chain | None:
        """The chain with `node` behind it, or None when `node` is not an affine step on `tensor`.

        Args:
            node: The node.
            tensor: Which of its inputs carries the values so far.
            constants: The graph's initializers.
        """
        others = [name for name in node.input if name != tensor]
        if any(name not in constants for name in others):
            return None
        match node.op_type:
            case "Identity":
                return self
            case "Unsqueeze" if others and constants[others[0]].tolist() == [0]:
                return replace(self, rank=self.rank + 1)
            case "Gather" if _axis(node) in (self.rank - 1, -1) and constants[node.input[1]].ndim == 1:
                return self._gather(constants[node.input[1]])
            case "Where" if node.input[2] == tensor and len(others) == 2:
                return self._replace(*(self._row(constants[name]) for name in others))
            case "Mul" | "Div" | "Add" | "Sub" if len(others) == 1:
                value = self._row(constants[others[0]])
                return None if value is None else self._arithmetic(node, tensor, value.astype(np.float64))
            case _:
                return None

    def _row(self, value: NDArray[np.generic]) -> NDArray[np.generic] | None:
        """A constant as one number per entry, or None when it is not that."""
        fits = value.size == 1 or value.shape[-1] == value.size == len(self.index)
        return np.broadcast_to(value.reshape(-1), self.index.shape) if fits else None

    def _gather(self, chosen: NDArray[np.generic]) -> Chain:
        picks = chosen.astype(np.int64) % len(self.index)
        return replace(self, index=self.index[picks], scale=self.scale[picks], offset=self.offset[picks])

    def _replace(self, mask: NDArray[np.generic] | None, value: NDArray[np.generic] | None) -> Chain | None:
        if mask is None or value is None:
            return None
        replaced = mask.astype(bool)
        return replace(
            self,
            index=np.where(replaced, CONSTANT, self.index),
            scale=np.where(replaced, 0.0, self.scale),
            offset=np.where(replaced, value.astype(np.float64), self.offset),
        )

    def _arithmetic(self, node: onnx.NodeProto, tensor: str, value: NDArray[np.float64]) -> Chain | None:
        scale, offset = self.scale, self.offset
        match node.op_type, node.input[0] == tensor:
            case "Mul", _:
                scale, offset = scale * value, offset * value
            case "Add", _:
                offset = offset + value
            case "Div", True:
                scale, offset = scale / value, offset / value
            case "Sub", True:
                offset = offset - value
            case "Sub", False:
                scale, offset = -scale, value - offset
            case _:
                return None
        return replace(self, scale=scale, offset=offset)


def _axis(node: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
