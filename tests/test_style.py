"""The style of what the program says."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "policy_port"


def messages(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the last words of every error that is made from a string."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith("Error") or not node.args:
            continue
        text = node.args[0].values[-1] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            yield node.lineno, text.value


def test_no_error_ends_in_a_full_stop() -> None:
    """The command line shows an error as one line among others, and callers join it to words of their own."""
    found = [
        (f"{path.relative_to(PACKAGE)}:{line}", text)
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, text in messages(ast.parse(path.read_text(encoding="utf-8")))
    ]
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
    assert [text for _, text in messages(ast.parse(code))] == ["a. b.", " b."]
