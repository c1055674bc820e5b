"""A model of LEAPP in the making: its ONNX graph, and what the YAML says of its tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 8
"""Those of the networks that ports hold."""

_TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int64": TensorProto.INT64}
_COUNT = "steps_since_reset"
_MOST = float(np.finfo(np.float32).max)


class Model:
    """One model. Values are rows, shape (1, width), float32 unless said otherwise; a state is zeros at reset."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inputs: list[dict[str, Any]] = []
        self.outputs: list[dict[str, Any]] = []
        self.fed: dict[str, str] = {}
        """The output that fills each input at the next step."""
        self._nodes: list[onnx.NodeProto] = []
        self._stored: dict[str, onnx.TensorProto] = {}
        self._fresh: str | None = None

    def read(self, name: str, width: int, dtype: str = "float32", **said: Any) -> str:
        """An input, the same one when it is asked for again; `said` is what the YAML says of it."""
        if name not in [item["name"] for item in self.inputs]:
            self.inputs.append({"name": name, "dtype": dtype, "shape": [1, width], "type": "tensor", **said})
        return name

    def write(self, name: str, value: str, width: int, dtype: str = "float32", **said: Any) -> None:
        """An output."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append({"name": name, "dtype": dtype, "shape": [1, width], "type": "tensor", **said})

    def state(self, name: str, width: int, dtype: str = "float32") -> str:
        """What `carry` filled in the step before."""
        self.fed[f"{name}_in"] = f"{name}_out"
        return self.read(f"{name}_in", width, dtype)

    def carry(self, name: str, value: str, width: int, dtype: str = "float32") -> None:
        """What fills a state at the next step."""
        self.write(f"{name}_out", value, width, dtype)

    def do(self, op: str, *inputs: Any, **attributes: Any) -> str:
        """A node's output; numbers among the inputs are constants."""
        names = [item if isinstance(item, str) else self.constant(item) for item in inputs]
        value = f"{self.name}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, names, [value], **attributes))
        return value

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """A constant's name; a list is a row."""
        array = np.asarray(value, dtype)
        if array.ndim == 1 and dtype != np.int64:
            array = array[None]
        name = f"{self.name}_number_{len(self._stored)}"
        self._stored[name] = numpy_helper.from_array(array, name)
        return name

    def joined(self, values: Sequence[str]) -> str:
        """Values side by side."""
        return values[0] if len(values) == 1 else self.do("Concat", *values, axis=1)

    def chosen(self, value: str, columns: Sequence[int], width: int) -> str:
        """Some columns of a value of a width, in an order."""
        if list(columns) == list(range(width)):
            return value
        return self.do("Gather", value, self.constant(list(columns), np.int64), axis=1)

    def scaled(self, value: str, factors: Sequence[float], summands: Sequence[float] = (0.0,)) -> str:
        """Element by element: factor * value + summand."""
        if any(factor != 1.0 for factor in factors):
            value = self.do("Mul", value, list(factors))
        return self.do("Add", value, list(summands)) if any(summands) else value

    def bounded(self, value: str, bounds: Sequence[tuple[float, float]]) -> str:
        """Element by element within bounds, which may be infinite."""
        low, high = (np.clip(ends, -_MOST, _MOST) for ends in np.transpose(bounds))
        if (low > -_MOST).any():
            value = self.do("Max", value, low.tolist())
        return self.do("Min", value, high.tolist()) if (high < _MOST).any() else value

    @property
    def count(self) -> str:
        """Control steps since reset, shape (1, 1), int64."""
        self.fresh()
        return f"{_COUNT}_in"

    def fresh(self) -> str:
        """Whether this is the first step after a reset, shape (1, 1)."""
        if self._fresh is None:
            count = self.state(_COUNT, 1, "int64")
            self.carry(_COUNT, self.do("Add", count, self.constant([[1]], np.int64)), 1, "int64")
            self._fresh = self.do("Equal", count, self.constant([[0]], np.int64))
        return self._fresh

    def at_first(self, first: str, later: str) -> str:
        """One value in the first step, the other ever after."""
        return self.do("Where", self.fresh(), first, later)

    def past(self, name: str, value: str, width: int, depth: int, before: str | None) -> str:
        """The value of this step and of so many before it, newest first, shape (1, (depth + 1) * width).

        Args:
            name: Of the state.
            value: The value.
            width: Its width.
            depth: How many steps before this one.
            before: What stands for steps before reset; zeros, if None.
        """
        kept = self.state(name, depth * width)
        if before is not None:
            repeated = before if depth == 1 else self.do("Concat", *[before] * depth, axis=1)
            kept = self.at_first(repeated, kept)
        whole = self.do("Concat", value, kept, axis=1)
        ends = [self.constant([number], np.int64) for number in (0, depth * width, 1)]
        self.carry(name, self.do("Slice", whole, *ends), depth * width)
        return whole

    def aged(self, whole: str, age: int, width: int) -> str:
        """What `past` kept of some steps ago."""
        return self.do("Slice", whole, *(self.constant([n], np.int64) for n in (age * width, (age + 1) * width, 1)))

    def model(self) -> onnx.ModelProto:
        """The graph."""
        ports = [
            [helper.make_tensor_value_info(item["name"], _TYPES[item["dtype"]], item["shape"]) for item in side]
            for side in (self.inputs, self.outputs)
        ]
        graph = helper.make_graph(self._nodes, self.name, ports[0], ports[1], list(self._stored.values()))
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        made.producer_name = "policy-port"
        onnx.checker.check_model(made)
        return made
