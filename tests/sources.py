"""The package's own source, parsed once for all tests that read it."""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "policy_port"


@dataclass(frozen=True)
class Source:
    """A file of the package."""

    file: str
    """Its place in the package."""
    text: str
    tree: ast.Module

    @functools.cached_property
    def nodes(self) -> list[ast.AST]:
        """All of its nodes, outer ones first."""
        return list(ast.walk(self.tree))


@functools.cache
def sources() -> tuple[Source, ...]:
    """Every file, by place."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found.append(Source(path.relative_to(PACKAGE).as_posix(), text, ast.parse(text)))
    return tuple(found)
