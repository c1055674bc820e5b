"""Functions fit on a screen and in a head: at most 60 lines and 8 parameters, but for those listed with a reason."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

from tests.sources import sources

MOST_LINES = 60
MOST_PARAMETERS = 8

Function = ast.FunctionDef | ast.AsyncFunctionDef

PUBLIC = "public: its keywords, each described in the docstring, are what a caller may choose"

LONG: dict[str, str] = {}
"""Function of over 60 lines, from `def` to its end -> why it is not shorter."""

WIDE: dict[str, str] = {
    "checkpoints.load.load_policy": PUBLIC,
    "export.write.write_port": PUBLIC,
}
"""Function of over 8 parameters -> why it takes so many."""


def functions(node: ast.AST, place: str) -> Iterator[tuple[str, Function]]:
    """Yield every function under `node`, those in classes and functions too, by its dotted name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            continue
        named = isinstance(child, ast.ClassDef | Function)
        inside = f"{place}.{child.name}" if named else place  # type: ignore[attr-defined]
        if isinstance(child, Function):
            yield inside, child
        yield from functions(child, inside)


def lines(function: Function) -> int:
    """From `def` to the last line, docstring and all; decorators are not counted."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def parameters(function: Function) -> int:
    """How many a caller may give; `self` and `cls` are not given."""
    taken = function.args
    names = [argument.arg for argument in (*taken.posonlyargs, *taken.args)]
    own = 1 if names[:1] in (["self"], ["cls"]) else 0
    return len(names) - own + len(taken.kwonlyargs) + (taken.vararg is not None) + (taken.kwarg is not None)


@functools.cache
def all_functions() -> dict[str, list[Function]]:
    """Every function of the package by its dotted name: a property and its setter share one."""
    found: dict[str, list[Function]] = {}
    for source in sources():
        place = ".".join(Path(source.file).with_suffix("").parts)
        for name, function in functions(source.tree, place):
            found.setdefault(name, []).append(function)
    return found


def test_functions_fit_on_a_screen() -> None:
    """A function over 60 lines is a listed one; a listed one is over 60 lines."""
    measured = {name: max(map(lines, found)) for name, found in all_functions().items()}
    assert {name: count for name, count in measured.items() if count > MOST_LINES and name not in LONG} == {}
    assert {name: measured.get(name, 0) for name in LONG if measured.get(name, 0) <= MOST_LINES} == {}


def test_functions_take_few_parameters() -> None:
    """A function with over 8 parameters is a listed one; a listed one has over 8."""
    measured = {name: max(map(parameters, found)) for name, found in all_functions().items()}
    assert {name: count for name, count in measured.items() if count > MOST_PARAMETERS and name not in WIDE} == {}
    assert {name: measured.get(name, 0) for name in WIDE if measured.get(name, 0) <= MOST_PARAMETERS} == {}


def test_the_measure_is_right() -> None:
    """Methods and inner functions are measured too; every kind of parameter counts, `self` does not."""
    code = """
class A:
    def f(self, a, /, b, *c, d=1, **e):
        def g(): pass
        return (
            g
        )
"""
    found = dict(functions(ast.parse(code), "file"))
    assert {name: (lines(function), parameters(function)) for name, function in found.items()} == {
        "file.A.f": (5, 5),
        "file.A.f.g": (1, 0),
    }
    assert len(all_functions()) > 1500
