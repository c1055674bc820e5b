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
        """All of its nodes, outer ones first, but for the marks that say whether a name is read or written."""
        found: list[ast.AST] = [self.tree]
        # `ast.walk` takes three times as long.
        for node in found:
            for field in node._fields:
                value = None if field == "ctx" else getattr(node, field, None)
                if isinstance(value, ast.AST):
                    found.append(value)
                elif isinstance(value, list):
                    found += [part for part in value if isinstance(part, ast.AST)]
        return found


@functools.cache
def sources() -> tuple[Source, ...]:
    """Every file, by place."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found.append(Source(path.relative_to(PACKAGE).as_posix(), text, ast.parse(text)))
    return tuple(found)
