"""A straight line of operations on batches of rows, which torch runs and ONNX writes down.

The operations are ONNX's, by ONNX's names. A value has one row per environment; a constant has one row for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Constant = float | NDArray[Any] | Sequence[float]
Kind = str
"""Type of a value's numbers: float64, float32, int64 or bool."""
LARGEST = float(np.finfo(np.float32).max)
"""What stands for infinity in a constant."""


class Node(NamedTuple):
    """One operation."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    about: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Value:
    """What an operation puts out, shape (num_envs, width)."""

    program: Program = field(repr=False)
    name: str
    width: int
    kind: Kind

    def __add__(self, other: Value | Constant) -> Value:
        return self.program.apply("Add", self, other)

    def __sub__(self, other: Value | Constant) -> Value:
        return self.program.apply("Sub", self, other)

    def __mul__(self, other: Value | Constant) -> Value:
        return self.program.apply("Mul", self, other)

    def __truediv__(self, other: Value | Constant) -> Value:
        return self.program.apply("Div", self, other)

    def __neg__(self) -> Value:
        return self * -1.0

    def __lt__(self, other: Value | Constant) -> Value:
        return self.program.apply("Less", self, other)

    def __gt__(self, other: Value | Constant) -> Value:
        return self.program.apply("Greater", self, other)

    def equals(self, other: Value | Constant) -> Value:
        """Where both are the same number."""
        return self.program.apply("Equal", self, other)

    def both(self, other: Value) -> Value:
        """Where both are true."""
        return self.program.apply("And", self, other)

    def inverted(self) -> Value:
        """Where it is false."""
        return self.program.apply("Not", self)

    def __getitem__(self, columns: int | slice | Sequence[int]) -> Value:
        """Some columns, in the order in which they are named."""
        if isinstance(columns, int):
            columns = [columns]
        chosen = list(range(self.width))[columns] if isinstance(columns, slice) else list(columns)
        if chosen == list(range(self.width)):
            return self
        assert chosen, "a value has columns"
        return self.program.add("Gather", [self], len(chosen), self.kind, columns=tuple(chosen))

    def cast(self, kind: Kind) -> Value:
        """The same numbers as another type."""
        return self if kind == self.kind else self.program.add("Cast", [self], self.width, kind, to=kind)

    def call(self, op: str) -> Value:
        """A function of each number: Sin, Cos, Floor, Round, Abs, Sqrt, IsNaN; Asin and Atan in float32."""
        if op in ("Asin", "Atan"):
            # ONNX Runtime has neither for float64, and an observation has float32 anyway.
            return self.program.add(op, [self.cast("float32")], self.width, "float32").cast(self.kind)
        return self.program.add(op, [self], self.width, "bool" if op == "IsNaN" else self.kind)

    def clip(self, low: ArrayLike, high: ArrayLike) -> Value:
        """Numbers within bounds, one pair for each column; no operation where all are infinite."""
        lower, upper = np.unique(low), np.unique(high)
        if len(lower) == len(upper) == 1 and np.isfinite([*lower, *upper]).all():
            return self.program.add("Clip", [self], self.width, self.kind, low=lower[0], high=upper[0])
        value = self
        for op, bound in (("Max", low), ("Min", high)):
            if np.isfinite(bound).any():
                value = self.program.apply(op, value, np.asarray(bound))
        return value

    def times(self, matrix: NDArray[np.float64]) -> Value:
        """The product with a matrix of shape (width, columns)."""
        return self.program.add("MatMul", [self, self.program.constant(matrix, self.kind)], matrix.shape[1], self.kind)


class Program:
    """Operations in the order in which they run; every name in it stands for one value."""

    def __init__(self) -> None:
        self.inputs: dict[str, Value] = {}
        self.outputs: dict[str, Value] = {}
        self.constants: dict[str, NDArray[Any]] = {}
        self.nodes: list[Node] = []

    def input(self, name: str, width: int, kind: Kind = "float64") -> Value:
        """A value that the caller gives."""
        self.inputs[name] = Value(self, name, width, kind)
        return self.inputs[name]

    def constant(self, numbers: Constant, kind: Kind = "float64") -> str:
        """The name of a constant of shape (1, columns), or of the shape of a matrix."""
        array = np.atleast_2d(np.asarray(numbers, np.dtype(kind)))
        if np.isinf(array).any():
            # A port's graphs hold finite numbers only; no signal is beyond these.
            array = np.clip(array, -LARGEST, LARGEST)
        for name, known in self.constants.items():
            if known.dtype == array.dtype and known.shape == array.shape and known.tobytes() == array.tobytes():
                return name
        name = f"constant_{len(self.constants)}"
        self.constants[name] = array
        return name

    def add(self, op: str, inputs: Sequence[Value | str], width: int, kind: Kind, **about: Any) -> Value:
        """Put an operation at the end; `about` is what ONNX calls attributes."""
        names = tuple(each.name if isinstance(each, Value) else each for each in inputs)
        value = Value(self, f"value_{len(self.nodes)}", width, kind)
        self.nodes.append(Node(op, names, (value.name,), about))
        return value

    def apply(self, op: str, *given: Value | Constant) -> Value:
        """An operation number by number; one row or one column stands for all."""
        first = next(each for each in given if isinstance(each, Value))
        names, widths = [], []
        for each in given:
            if isinstance(each, Value):
                names.append(each.name)
                widths.append(each.width)
            else:
                names.append(self.constant(each, first.kind))
                widths.append(self.constants[names[-1]].shape[1])
        truth = op in ("Less", "Greater", "Equal", "And", "Not")
        return self.add(op, names, max(widths), "bool" if truth else first.kind)

    def where(self, condition: Value, then: Value | Constant, other: Value | Constant) -> Value:
        """One of two numbers."""
        kind = next((each.kind for each in (then, other) if isinstance(each, Value)), "float64")
        parts = [each if isinstance(each, Value) else self.constant(each, kind) for each in (then, other)]
        widths = [each.width if isinstance(each, Value) else self.constants[each].shape[1] for each in parts]
        return self.add("Where", [condition, *parts], max(condition.width, *widths), kind)

    def choose(self, mask: NDArray[np.bool_], then: Value, other: Value | Constant) -> Value:
        """One of two numbers, by column."""
        name = self.constant(mask, "bool")
        part = other if isinstance(other, Value) else self.constant(other, then.kind)
        return self.add("Where", [name, then, part], then.width, then.kind)

    def concat(self, parts: Sequence[Value]) -> Value:
        """Columns one beside the other."""
        if len(parts) == 1:
            return parts[0]
        return self.add("Concat", parts, sum(part.width for part in parts), parts[0].kind)

    def rows(self, table: NDArray[np.float64], index: Value) -> Value:
        """The rows of a table that a column of numbers names."""
        return self.add("Rows", [self.constant(table), index.cast("int64")], table.shape[1], "float64")

    def network(self, observation: Value, action_size: int) -> Value:
        """The policy's answer; its memory is the business of whoever runs the program."""
        return self.add("Network", [observation], action_size, "float32")

    def sum_of_blocks(self, value: Value, blocks: int) -> Value:
        """The sum of so many equal parts that stand one beside the other."""
        return self.add("Sum", [value], value.width // blocks, value.kind, blocks=blocks)
