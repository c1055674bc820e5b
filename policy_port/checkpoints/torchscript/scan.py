"""What the code inside a TorchScript archive calls, read as text before PyTorch sees the file.

Loading an archive can already run code (`__setstate__`, which is refused), so the check comes first.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping

from policy_port.checkpoints.torchscript.operators import DRAWN, IN_PLACE, LANGUAGE, PRIM, REASONS, TENSOR, UNREAD
from policy_port.checkpoints.torchscript.shapes import SHAPE_OPERATORS
from policy_port.errors import CheckpointError, UnsafeFileError, closest

_MAX_CODE_BYTES = 16 * 1024 * 1024
_TELLING = (ast.FunctionDef, ast.ClassDef, ast.Assign, ast.Call, ast.Import, ast.ImportFrom)
"""Nodes that say what is called and what a name stands for."""

OPERATORS = (
    frozenset(f"aten::{name}" for name in TENSOR | IN_PLACE | frozenset(SHAPE_OPERATORS) | UNREAD)
    | frozenset(f"prim::{name}" for name in PRIM)
) - DRAWN
"""Everything that may appear in a file: what the reader translates, and the named rest."""


def scan_code(members: Mapping[str, bytes], where: str, also: frozenset[str] = frozenset()) -> frozenset[str]:
    """The operators that the archive's code calls; raise on one that is neither in OPERATORS nor in `also`."""
    files = {name: content for name, content in members.items() if name.startswith("code/") and name.endswith(".py")}
    if sum(len(content) for content in files.values()) > _MAX_CODE_BYTES:
        raise UnsafeFileError(f"{where}: more than {_MAX_CODE_BYTES} bytes of code; this is not a policy network")
    found: dict[str, list[ast.AST]] = {}
    for name, content in files.items():
        try:
            with warnings.catch_warnings():
                # TorchScript writes numbers in ways that Python is only about to forbid.
                warnings.simplefilter("ignore")
                tree = ast.parse(content.decode("utf-8"))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise CheckpointError(f"{where}: {name} can't be read, so it can't be checked ({error})") from error
        found[name] = [node for node in ast.walk(tree) if isinstance(node, _TELLING)]
    methods = {
        node.name for nodes in found.values() for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }
    if "__setstate__" in methods:
        raise UnsafeFileError(
            f"{where}: defines __setstate__, which runs while the file is loaded; a policy network has no need of it"
        )
    called: set[str] = set()
    for name, nodes in found.items():
        aliases = _aliases(nodes)
        for node in nodes:
            if isinstance(node, ast.Call):
                named = aliases.get(node.func.id, [node.func]) if isinstance(node.func, ast.Name) else [node.func]
                for operator in filter(None, (_operator(function, methods) for function in named)):
                    called.add(operator)
                    refuse_operator(operator, f"{where}: {name}, line {node.lineno}", also)
            elif isinstance(node, (ast.Import, ast.ImportFrom)) and not _is_own(node):
                raise UnsafeFileError(f"{where}: {name}, line {node.lineno} imports {ast.unparse(node)!r}")
    return frozenset(called)


def refuse_operator(operator: str, where: str, also: frozenset[str] = frozenset()) -> None:
    """Raise when an operator is not on the list of those that networks use."""
    if operator in REASONS and operator not in also:
        raise UnsafeFileError(f"{where}: {operator} {REASONS[operator]}")
    if operator not in OPERATORS and operator not in also:
        raise UnsafeFileError(
            f"{where}: calls {operator}, which a policy network has no need of{closest(operator, OPERATORS) or '.'} "
            "The file was not loaded"
        )


def _aliases(nodes: list[ast.AST]) -> dict[str, list[ast.expr]]:
    """What local names stand for, as in `_57 = __torch__.torch.nn.functional.elu`."""
    aliases: dict[str, list[ast.expr]] = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    aliases.setdefault(target.id, []).append(node.value)
    return aliases


def _operator(function: ast.expr, methods: set[str]) -> str | None:
    """The operator that a call names, or None for a call into the archive's own code."""
    if isinstance(function, ast.Name):
        if function.id == "print":
            return "prim::Print"
        return None if function.id in LANGUAGE or function.id in methods else f"language function {function.id}"
    if not isinstance(function, ast.Attribute):
        return "a computed function"
    parts: list[str] = []
    node: ast.expr = function
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        parts.append(node.id)
    else:
        # A method of a submodule, as in `(_0).forward(x, )`: it must be defined in the archive.
        return None if function.attr in methods else f"method {function.attr}"
    parts.reverse()
    if parts[0] == "torch":
        return f"aten::{'.'.join(parts[1:])}"
    if parts[0] == "ops" and len(parts) >= 3:
        return f"{parts[1]}::{'.'.join(parts[2:])}"
    if parts[0] == "__torch__" and parts[1:3] != ["torch", "classes"]:
        return None if parts[-1] in methods or parts[-1].startswith("__") else f"class {'.'.join(parts)}"
    if parts[0] == "__torch__":
        return f"class {'.'.join(parts)}"
    return None if function.attr in methods else f"method {'.'.join(parts)}"


def _is_own(node: ast.Import | ast.ImportFrom) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    return all(name.startswith("__torch__") for name in names)
