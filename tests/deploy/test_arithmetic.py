"""The program of a step in NumPy: number by number for one row, in arrays for many."""

from __future__ import annotations

import math

import numpy as np
import pytest

from policy_port.deploy import arithmetic
from policy_port.deploy.program import Program, Value

ROW = [0.5, -1.25, 0.0, math.nan, math.inf, 2.5]


def everything(program: Program) -> dict[str, Value]:
    """An output for each operation, on numbers of every sort against each other."""
    left = program.input("row", len(ROW))
    right = left[[5, 2, 0, 1, 3, 4]]
    unit = left.clip([-1.0] * 6, [1.0] * 6)
    table = np.arange(12.0).reshape(4, 3)
    mask = np.array([True, False] * 3)
    found = {op: program.apply(op, left, right) for op in ("Add", "Sub", "Mul", "Max", "Min")}
    found |= {op: program.apply(op, left, right).cast("float64") for op in ("Less", "Greater", "Equal")}
    found |= {op: left.call(op) for op in ("Sin", "Cos", "Abs")}
    found |= {"Asin": unit.call("Asin"), "Atan": left.call("Atan"), "Sqrt": (left * left).call("Sqrt")}
    found |= {"Round": unit[[0, 1, 2, 5]].call("Round"), "Floor": left[[0, 1, 2, 3, 5]].call("Floor")}
    found["Rows"] = program.concat([program.rows(table, left[0] * 4.0), program.rows(table, left[2])])
    found["Where"] = program.where((left < 1.0).both((left > 0.0).inverted()), left, right)
    found |= {"choose": program.choose(mask, left, right), "IsNaN": left.call("IsNaN").cast("float64")}
    found |= {"Clip": left.clip(-1.0, 1.0), "MatMul": left[[0, 1, 2]].times(np.array([[1.0, 2.0], [0.5, 0.0], [4, 3]]))}
    found["Or"] = program.apply("Or", left < 0.0, right < 0.0).cast("float64")
    return found


def outputs(rows: int, *extra: str) -> dict[str, np.ndarray]:
    program = Program()
    program.outputs |= everything(program)
    row = program.inputs["row"]
    # Dividing by zero is what plain numbers refuse.
    program.outputs |= {name: row / row[2] for name in extra}
    arrays = {name: np.zeros((rows, value.width)) for name, value in program.outputs.items()}
    arrays["row"] = np.tile(ROW, (rows, 1))
    arithmetic.bound(program, arrays, rows)()
    return {name: array[-1] for name, array in arrays.items()}


@pytest.mark.parametrize("extra", [(), ("Div",)])
def test_plain_numbers_are_the_arrays(monkeypatch: pytest.MonkeyPatch, extra: tuple[str, ...]) -> None:
    """Every operation gives one row what it gives many, NaN and infinity as well, also where Python would refuse."""
    arrays = outputs(2, *extra)
    if not extra:
        # Of plain numbers alone: nothing of this is left to the arrays.
        monkeypatch.setattr(arithmetic, "_by_array", lambda *given: pytest.fail)
        monkeypatch.setattr(arithmetic, "_MATHS", {**arithmetic._MATHS, "sin": quiet(math.sin), "cos": quiet(math.cos)})
    plain = outputs(1, *extra)
    assert set(plain) == set(arrays)
    for name, found in plain.items():
        np.testing.assert_allclose(found, arrays[name], rtol=1e-15, err_msg=name)
    assert np.isnan(arrays["Max"]).sum() == np.isnan(arrays["Min"]).sum() == 2


def quiet(function):  # type: ignore[no-untyped-def]
    return lambda x: function(x) if math.isfinite(x) else math.nan


def test_a_wide_program_is_run_in_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan of hundreds of rays is not written out number by number."""
    monkeypatch.setattr(arithmetic, "_by_number", lambda *given: pytest.fail("written out"))
    program = Program()
    row = program.input("row", 400)
    program.outputs["twice"] = row * 2.0
    arrays = {"row": np.ones((1, 400)), "twice": np.zeros((1, 400))}
    arithmetic.bound(program, arrays, 1)()
    assert (arrays["twice"] == 2.0).all()
