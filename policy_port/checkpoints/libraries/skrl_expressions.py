"""The expressions that skrl's agent.yaml puts before and behind a network, parsed and never run."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable

import torch
from torch import nn

from policy_port.checkpoints.libraries.stated import LARGEST, Stated
from policy_port.checkpoints.networks.activations import ACTIVATIONS
from policy_port.checkpoints.networks.layers import Rescale

_FUNCTIONS = ("elu", "leaky_relu", "relu", "selu", "sigmoid", "softplus", "softsign", "tanh")
"""Functions of one value that skrl finds by their names."""
_PLACES = ("", "torch.", "nn.functional.", "torch.nn.functional.")
_LONGEST = 200
_INPUTS = ("OBSERVATIONS", "STATES")
_SIGNS: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def network_input(stated: Stated, expression: object) -> str:
    """Which of OBSERVATIONS and STATES a network reads, as it is; anything else is refused by name."""
    node = _parsed(expression)
    while isinstance(node, ast.Call) and _dotted(node.func) == "concatenate" and len(node.args) == 1:
        # Of one part, it is that part.
        inside = node.args[0]
        node = inside.elts[0] if isinstance(inside, ast.List | ast.Tuple) and len(inside.elts) == 1 else None
    found = _dotted(node).removeprefix("Shape.").upper()
    if found not in _INPUTS:
        raise stated.error(
            f"the policy's network has the input '{expression!s:.60}'; understood are {' or '.join(_INPUTS)} as they "
            "are"
        )
    return found


def output_of(stated: Stated, expression: object) -> list[nn.Module]:
    """What an output expression does to the network's output, from the inside out."""
    modules = _modules(_parsed(expression))
    if modules is None:
        raise stated.error(
            f"the policy's output is '{expression!s:.60}'; understood are ACTIONS, numbers with + - * / and "
            f"{', '.join(_FUNCTIONS)}, as in 2 * tanh(ACTIONS)"
        )
    return modules


def _parsed(expression: object) -> ast.AST | None:
    text = str(expression).strip()
    try:
        # A longer one is nobody's, and might be nested beyond what can be walked.
        return ast.parse(text, mode="eval").body if len(text) <= _LONGEST else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _dotted(node: ast.AST | None) -> str:
    """A name with dots, or nothing."""
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return node.id if isinstance(node, ast.Name) else ""


def _modules(node: ast.AST | None) -> list[nn.Module] | None:
    """The modules that an expression of ACTIONS stands for; None where it is another."""
    if _dotted(node) in ("ACTIONS", "Shape.ACTIONS"):
        return []
    match node:
        case ast.Call(args=[inside], keywords=[]):
            function = next((name for name in _FUNCTIONS for place in _PLACES if _called(node, place, name)), None)
            before = _modules(inside)
            return None if function is None or before is None else [*before, ACTIVATIONS[function]()]
        case ast.UnaryOp(op=ast.UAdd() | ast.USub(), operand=inside):
            return _rescaled(inside, -1.0 if isinstance(node.op, ast.USub) else 1.0, 0.0)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _SIGNS:
            number, act = _number(right), _SIGNS[type(sign)]
            if number is not None and not (number == 0 and isinstance(sign, ast.Div)):
                offset = act(0.0, number)
                return _rescaled(left, act(1.0, number) - offset, offset)
            number = _number(left)
            if number is not None and not isinstance(sign, ast.Div):
                offset = act(number, 0.0)
                return _rescaled(right, act(number, 1.0) - offset, offset)
    return None


def _called(node: ast.Call, place: str, name: str) -> bool:
    """Whether a call is of a function; skrl's own names may be written in capitals, too."""
    dotted = _dotted(node.func)
    return dotted == f"{place}{name}" if place else dotted.lower() == name


def _number(node: ast.AST) -> float | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inside = _number(node.operand)
        return None if inside is None else -inside
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST:
        return None
    return float(value)


def _rescaled(inside: ast.AST, scale: float, offset: float) -> list[nn.Module] | None:
    before = _modules(inside)
    return None if before is None else [*before, Rescale(torch.tensor(scale), torch.tensor(offset))]
