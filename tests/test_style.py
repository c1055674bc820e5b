"""The style of what the program says."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from itertools import pairwise

from tests.sources import sources


def messages(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    """Yield the line and the last words of every error that is made from a string."""
    for node in nodes:
        if not isinstance(node, ast.Call) or not node.args:
            continue
        if not getattr(node.func, "id", getattr(node.func, "attr", "")).endswith("Error"):
            continue
        text = node.args[0].values[-1] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            yield node.lineno, text.value


def test_no_error_ends_in_a_full_stop() -> None:
    """The command line shows an error as one line among others, and callers join it to words of their own."""
    found = [(f"{source.file}:{line}", text) for source in sources() for line, text in messages(source.nodes)]
    assert len(found) > 400
    stopped = [f"{where}: ...{text[-60:]}" for where, text in found if text.endswith(".") and not text.endswith("...")]
    assert not stopped, "\n".join(stopped)


def test_a_full_stop_is_seen() -> None:
    """In a plain string, at the end of an f-string, and in an error that is returned; not inside a sentence."""
    code = """
raise CheckpointError("a. b.")
raise errors.PortError(f"{a} b.")
def make():
    return CheckpointError(f"a. {b}")
"""
    assert [text for _, text in messages(ast.walk(ast.parse(code)))] == ["a. b.", " b."]


def suggestions_stopped(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the words behind each suggestion ("did you mean 'x'?") that is followed by a full stop."""
    for scope in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        assigned = [node for node in ast.walk(scope) if isinstance(node, ast.Assign)]
        names = {ast.unparse(node.targets[0]) for node in assigned if _suggests(node.value)}
        for node in ast.walk(scope):
            if not isinstance(node, ast.JoinedStr):
                continue
            for part, behind in pairwise(node.values):
                if not (isinstance(part, ast.FormattedValue) and isinstance(behind, ast.Constant)):
                    continue
                shown = ast.unparse(part.value) in names or _suggests(part.value)
                if shown and str(behind.value).startswith("."):
                    yield node.lineno, str(behind.value)


def _suggests(value: ast.expr) -> bool:
    """Whether a text may end in a suggestion."""
    match value:
        case ast.Call(func=ast.Name(id="closest")):
            return True
        case ast.BoolOp(values=parts):
            return any(map(_suggests, parts))
        case ast.IfExp(body=body, orelse=otherwise):
            return _suggests(body) or _suggests(otherwise)
        case ast.JoinedStr(values=[*_, ast.FormattedValue(value=last)]):
            return _suggests(last)
        case _:
            return False


def test_no_suggestion_is_followed_by_a_full_stop() -> None:
    """A sentence does not end in "did you mean 'x'?.": what follows says `closest(...) or '.'`."""
    stopped = [
        f"{source.file}:{line}: ?{text[:40]}"
        for source in sources()
        if "closest(" in source.text
        for line, text in suggestions_stopped(source.tree)
    ]
    assert not stopped, "\n".join(stopped)


def test_a_stopped_suggestion_is_seen() -> None:
    """Where it is asked for in the message, where a name holds it, alone or behind other words; not elsewhere."""
    code = """
def first():
    raise RobotError(f"no '{name}'{closest(name, names)}. a")
def second():
    hint = closest(name, names) if names else ""
    raise RobotError(f"no '{name}'{hint}. b")
def third():
    given = "nothing" if name is None else f"'{name}'{closest(name, names)}"
    raise RobotError(f"{given}. c")
def fourth():
    raise RobotError(f"no '{name}'{closest(name, names) or '.'} There are {hint}. d")
"""
    assert sorted({text for _, text in suggestions_stopped(ast.parse(code))}) == [". a", ". b", ". c"]
