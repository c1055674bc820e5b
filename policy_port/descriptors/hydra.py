"""References in a Hydra configuration: `${robot.dof_obs_size}`, `${len:...}`, `${sum:...}` and `${eval:'3 * 4'}`."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

from policy_port.descriptors.record import Record
from policy_port.errors import ContractError, closest

_INNERMOST = re.compile(r"\$\{([^${}]*)\}")
_SUMS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
_DEEPEST = 40
"""References that may lead on to one another."""
MISSING = "???"
"""What OmegaConf writes for a value that somebody else has to give."""
FILLED_LATER = f"is {MISSING}, which the training's own code fills; write its value there"


class HydraConfig:
    """A configuration whose values are resolved where they are asked for; nothing else of it is computed."""

    def __init__(self, record: Record) -> None:
        """Wrap the whole file."""
        self._record = record

    def section(self, key: str) -> Record:
        """The mapping at a dotted key; a value of it is resolved when it is asked for, and the others are let be."""
        value = self.get(key)
        if not isinstance(value, dict):
            raise self._record.error(key, "is no mapping")
        return _Section(self, self._record, value, key)

    def has(self, key: str) -> bool:
        """Whether a dotted key leads to a value that is neither null nor `???`."""
        found: Any = self._record.data
        for part in key.split("."):
            if not isinstance(found, dict) or part not in found:
                return False
            found = found[part]
        return found is not None and found != MISSING

    def get(self, key: str) -> Any:
        """The resolved value at a dotted key.

        Raises:
            ContractError: When the key is missing, or a reference leads nowhere or round in a circle.
        """
        return self._value(key, (key,))

    def resolved(self, value: Any, key: str) -> Any:
        """A value that stands at `key`, resolved."""
        return self._resolve(value, key, (key,))

    def _value(self, key: str, way: tuple[str, ...]) -> Any:
        found: Any = self._record.data
        done: list[str] = []
        for part in key.split("."):
            if isinstance(found, str):
                found = self._resolve(found, ".".join(done), way)
            if not isinstance(found, dict) or part not in found:
                names = list(map(str, found)) if isinstance(found, dict) else []
                behind = f"; it is asked for by {way[-2]}" if len(way) > 1 else ""
                raise ContractError(
                    f"{self._record.path}: the key '{key}' is missing{closest(part, names) or '.'} The keys of "
                    f"'{'.'.join(done) or 'the file'}' are: {', '.join(names[:40]) or 'none'}{behind}"
                )
            found = found[part]
            done.append(part)
        if found == MISSING:
            raise self._record.error(key, FILLED_LATER)
        return self._resolve(found, key, way)

    def _resolve(self, value: Any, key: str, way: tuple[str, ...]) -> Any:
        if isinstance(value, list):
            return [self._resolve(item, key, way) for item in value]
        while isinstance(value, str) and (match := _INNERMOST.search(value)) is not None:
            text = match[1].strip()
            found = self._reference(text, key, way)
            # A value that is nothing but the reference keeps its type.
            whole = match[0] == value
            value = found if whole else value[: match.start()] + str(found) + value[match.end() :]
        return value

    def _reference(self, text: str, key: str, way: tuple[str, ...]) -> Any:
        name, colon, argument = text.partition(":")
        if not colon:
            target = f"{key.rpartition('.')[0]}{text}".lstrip(".") if text.startswith(".") else text
            if target in way or len(way) > _DEEPEST:
                raise self._record.error(key, f"refers to itself: {' -> '.join([*way, target])}")
            return self._value(target, (*way, target))
        if name in ("len", "sum") and (items := _listed(argument)) is not None:
            return len(items) if name == "len" else sum(items)
        if name == "eval":
            return self._computed(argument.strip().strip("'\""), key)
        raise self._record.error(
            key, f"is ${{{text}}}, and the resolver '{name}' is not known here; write the plain value there"
        )

    def _computed(self, text: str, key: str) -> float:
        def value(node: ast.AST) -> float:
            match node:
                case ast.Expression(body=body):
                    return value(body)
                case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                    return number
                case ast.UnaryOp(op=ast.USub(), operand=operand):
                    return -value(operand)
                case ast.BinOp(left=left, op=op, right=right) if type(op) in _SUMS:
                    return _SUMS[type(op)](value(left), value(right))
            raise ValueError

        try:
            return value(ast.parse(text, mode="eval"))
        except (ValueError, SyntaxError, ZeroDivisionError, RecursionError):
            raise self._record.error(
                key, f"computes {text!r}, which is no sum of numbers; write the plain value there"
            ) from None


def _listed(text: str) -> list[Any] | None:
    """The list that a text is; None where it is none."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return found if isinstance(found, list) else None


class _Section(Record):
    """A mapping of a Hydra configuration."""

    def __init__(self, config: HydraConfig, record: Record, data: dict[str, Any], where: str) -> None:
        super().__init__(record.path, data, where)
        self._config = config

    def get(self, key: str) -> Any:
        """The resolved value; the key must be there."""
        value = super().get(key)
        if value == MISSING:
            raise self.error(key, FILLED_LATER)
        return self._config.resolved(value, self.key(key))
