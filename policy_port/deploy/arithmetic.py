"""A program without a network, run by NumPy: plain Python numbers for one row, whole arrays for many.

One environment is the case of a real robot and of most replays. There, plain numbers through a memoryview take a tenth
of the time of the array operations that many environments need, so the operations are written out number by number and
compiled once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.deploy.program import Node, Program

WIDEST = 16
"""Numbers of an operation, on average, up to which plain ones are quicker: a scan of hundreds of rays is not for them.
"""


def bound(program: Program, arrays: Mapping[str, Array], rows: int) -> Callable[[], object]:
    """A call that performs a program.

    Args:
        program: The program; a value that it puts out is no input that it writes before it is read.
        arrays: Every input and output by name, shape (rows, width): read, and written when all is computed.
        rows: Number of rows.
    """
    whole = _by_array(program, arrays)
    if rows > 1:
        return whole
    written = _Written(program)
    return whole if len(written.lines) > WIDEST * len(program.nodes) else _by_number(written, arrays, whole)


_ARRAYS: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Max": np.maximum,
    "Min": np.minimum,
    "MatMul": np.matmul,
    "Sin": np.sin,
    "Cos": np.cos,
    "Asin": np.arcsin,
    "Atan": np.arctan,
    "Floor": np.floor,
    "Round": np.rint,
    "Abs": np.abs,
    "Sqrt": np.sqrt,
    "IsNaN": np.isnan,
    "Less": np.less,
    "Greater": np.greater,
    "Equal": np.equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Not": np.logical_not,
}


def _by_array(program: Program, arrays: Mapping[str, Array]) -> Callable[[], None]:
    known: dict[str, NDArray[Any]] = {**program.constants, **{name: arrays[name] for name in program.inputs}}
    calls: list[Callable[[], object]] = []
    with np.errstate(all="ignore"):
        for node in program.nodes:
            known[node.outputs[0]], call = _array_call(node, [known[name] for name in node.inputs])
            calls += [] if call is None else [call]
    calls += [partial(np.copyto, arrays[name], known[value.name]) for name, value in program.outputs.items()]

    def perform() -> None:
        with np.errstate(all="ignore"):
            for call in calls:
                call()

    return perform


def _array_call(node: Node, given: list[NDArray[Any]]) -> tuple[NDArray[Any], Callable[[], object] | None]:
    """Where the result of an operation is, and what computes it; None where it is a view of what was there."""
    about, first = node.about, given[0]
    match node.op:
        case "Gather":
            columns = np.array(about["columns"])
            if (np.diff(columns) == 1).all():
                return first[:, columns[0] : columns[-1] + 1], None
            out = first.take(columns, 1)
            return out, partial(first.take, columns, 1, out, "clip")
        case "Concat":
            rows = max(map(len, given))
            parts = [np.broadcast_to(part, (rows, part.shape[1])) for part in given]
            out = np.concatenate(parts, 1)
            return out, partial(np.concatenate, parts, 1, out)
        case "Cast":
            if about["to"] == "float32":
                # Only a graph lacks some functions of float64.
                return first, None
            out = first.astype(about["to"])
            return out, partial(np.copyto, out, first, "unsafe")
        case "Clip":
            out = first.clip(about["low"], about["high"])
            return out, partial(first.clip, about["low"], about["high"], out)
        case "Rows":
            out = first.take(given[1][:, 0], 0)
            return out, partial(first.take, given[1][:, 0], 0, out, "clip")
        case "Where":
            mask, then, other = given
            out = np.where(mask, then, other)

            def choose() -> None:
                np.copyto(out, other)
                np.copyto(out, then, where=mask)

            return out, choose
        case _:
            out = _ARRAYS[node.op](*given)
            return out, partial(_ARRAYS[node.op], *given, out)


_NUMBERS = {
    "Add": "{0} + {1}",
    "Sub": "{0} - {1}",
    "Mul": "{0} * {1}",
    "Div": "{0} / {1}",
    # A NaN stays one.
    "Max": "{0} if {0} > {1} or {0} != {0} else {1}",
    "Min": "{0} if {0} < {1} or {0} != {0} else {1}",
    "Sin": "sin({0})",
    "Cos": "cos({0})",
    "Asin": "asin({0})",
    "Atan": "atan({0})",
    "Floor": "{0} // 1.0",
    "Round": "float(round({0}))",
    "Abs": "abs({0})",
    "Sqrt": "sqrt({0})",
    "IsNaN": "{0} != {0}",
    "Where": "{1} if {0} else {2}",
    "Less": "{0} < {1}",
    "Greater": "{0} > {1}",
    "Equal": "{0} == {1}",
    "And": "{0} and {1}",
    "Or": "{0} or {1}",
    "Not": "not {0}",
}
_CASTS = {"float64": "float({0})", "float32": "{0}", "int64": "int({0})"}
_MATHS = {name: getattr(math, name) for name in ("sin", "cos", "asin", "atan", "sqrt")}


def _by_number(written: _Written, arrays: Mapping[str, Array], whole: Callable[[], None]) -> Callable[[], object]:
    program, scope = written.program, {**_MATHS, "whole": whole}
    lines = ["def perform():", "    try:", *(f"        {line}" for line in (*written.lines, "pass"))]
    # What plain numbers refuse, as to divide by zero, arrays go on with; nothing has been written yet.
    lines += ["    except (ArithmeticError, ValueError):", "        return whole()"]
    for number, (name, value) in enumerate(program.outputs.items()):
        scope[f"out_{number}"] = memoryview(arrays[name].reshape(-1))
        lines += [f"    out_{number}[{at}] = {text}" for at, text in enumerate(written.numbers[value.name])]
    scope |= {f"in_{number}": memoryview(arrays[name].reshape(-1)) for number, name in enumerate(program.inputs)}
    scope |= {name: array.tolist() for name, array in program.constants.items()}
    exec("\n".join(lines), scope)
    return scope["perform"]


class _Written:
    """A program as lines of Python, a variable for each number that it works out."""

    def __init__(self, program: Program) -> None:
        self.lines: list[str] = []
        self.numbers: dict[str, list[str]] = {}
        """What stands for each number of each value: a variable or a literal."""
        self.program, self._read = program, set[str]()
        for number, (name, value) in enumerate(program.inputs.items()):
            self.numbers[name] = [f"in_{number}[{at}]" for at in range(value.width)]
        for name, array in program.constants.items():
            # Of a table, rows are read.
            self.numbers[name] = [repr(number) for number in array[0].tolist()] if len(array) == 1 else []
        for node in program.nodes:
            self.numbers[node.outputs[0]] = self._written(node, [self.numbers[name] for name in node.inputs])

    def _variable(self, text: str, name: str) -> str:
        self.lines.append(f"{name} = {text}")
        return name

    def _once(self, number: str) -> str:
        """A number, read from memory the first time."""
        if not number.startswith("in_"):
            return number
        name = number.replace("[", "_").rstrip("]")
        if name not in self._read:
            self._read.add(name)
            self._variable(number, name)
        return name

    def _written(self, node: Node, given: list[list[str]]) -> list[str]:
        about, out = node.about, node.outputs[0]
        match node.op:
            case "Gather":
                return [given[0][column] for column in about["columns"]]
            case "Concat":
                return list(itertools.chain(*given))
            case "Rows":
                row = self._variable(f"{node.inputs[0]}[{given[1][0]}]", f"{out}_row")
                return [f"{row}[{column}]" for column in range(self.program.constants[node.inputs[0]].shape[1])]
            case "MatMul":
                return self._product([*map(self._once, given[0])], self.program.constants[node.inputs[1]], out)
            case "Cast":
                text = _CASTS[about["to"]]
            case "Clip":
                low, high = float(about["low"]), float(about["high"])
                text = f"min(max({{0}}, {low!r}), {high!r})"
            case _:
                text = _NUMBERS[node.op]
        found = []
        for at in range(max(map(len, given))):
            parts = [self._once(part[at if len(part) > 1 else 0]) for part in given]
            if node.op == "Where" and parts[0] in ("True", "False"):
                found.append(parts[1 if parts[0] == "True" else 2])
            elif (node.op, parts[-1]) in (("Add", "0.0"), ("Mul", "1.0")):
                found.append(parts[0])
            else:
                found.append(self._variable(text.format(*parts), f"{out}_{at}"))
        return found

    def _product(self, row: list[str], matrix: Array, out: str) -> list[str]:
        found = []
        for column, factors in enumerate(matrix.T.tolist()):
            parts = [f"{part} * {factor!r}" for part, factor in zip(row, factors, strict=True) if factor]
            found.append(self._variable(" + ".join(parts) or "0.0", f"{out}_{column}"))
        return found
