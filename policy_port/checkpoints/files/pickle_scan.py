"""What a pickle would import and how much memory it declares, found by reading its opcodes, never running them."""

from __future__ import annotations

import pickletools
from dataclasses import dataclass

from policy_port.errors import CheckpointError

_MAX_OPCODES = 5_000_000


@dataclass(frozen=True, kw_only=True)
class Storage:
    """A tensor storage that a pickle declares."""

    key: str
    """Name of the archive member that holds its bytes."""
    dtype: str
    """Name of its type, as in "FloatStorage"."""
    count: int
    """Number of elements."""


@dataclass(frozen=True, kw_only=True)
class PickleScan:
    """Everything a pickle asks for from outside itself."""

    imports: frozenset[str]
    """Dotted names, as in "os.system"."""
    storages: tuple[Storage, ...]


class _Import(str):
    """A dotted name on the simulated stack."""


_MARK = object()
_UNKNOWN = object()


def scan_pickle(data: bytes, where: str) -> PickleScan:
    """Walk the opcodes of the first pickle in `data`; `where` names it in errors.

    The stack is simulated with strings, integers, tuples and imported names only; everything else is opaque.
    """
    stack: list[object] = []
    memo: dict[int, object] = {}
    imports: set[str] = set()
    storages: list[Storage] = []
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count > _MAX_OPCODES:
                raise CheckpointError(f"{where}: more than {_MAX_OPCODES} pickle instructions; this is not a policy")
            _step(opcode, argument, stack, memo, imports, storages)
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise CheckpointError(f"{where}: the pickle is broken or cut off ({error})") from error
    return PickleScan(imports=frozenset(imports), storages=tuple(storages))


def _step(
    opcode: pickletools.OpcodeInfo,
    argument: object,
    stack: list[object],
    memo: dict[int, object],
    imports: set[str],
    storages: list[Storage],
) -> None:
    """Apply one opcode to the simulated stack."""
    name = opcode.name
    if name in ("PUT", "BINPUT", "LONG_BINPUT"):
        if int(str(argument)) > _MAX_OPCODES:
            raise ValueError("memo index out of range")
        memo[int(str(argument))] = stack[-1]
        return
    if name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
        return
    if name in ("GET", "BINGET", "LONG_BINGET"):
        stack.append(memo[int(str(argument))])
        return
    if name == "DUP":
        stack.append(stack[-1])
        return
    popped = _pop(opcode, stack)
    if name in ("GLOBAL", "INST"):
        dotted = _Import(str(argument).replace(" ", "."))
        imports.add(dotted)
        stack.append(dotted)
    elif name == "STACK_GLOBAL":
        module, attribute = (part if isinstance(part, str) else "(computed)" for part in popped)
        dotted = _Import(f"{module}.{attribute}")
        imports.add(dotted)
        stack.append(dotted)
    elif name in ("EXT1", "EXT2", "EXT4"):
        imports.add(f"copyreg extension {argument}")
        stack.append(_UNKNOWN)
    elif name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
        stack.append(tuple(popped))
    elif name == "BINPERSID":
        storage = _storage(popped[0])
        if storage is None:
            raise ValueError("it refers to data in a way that can't be checked")
        storages.append(storage)
        stack.append(_UNKNOWN)
    elif name == "PERSID":
        raise ValueError("it refers to data by a name that can't be checked")
    else:
        for produced in opcode.stack_after:
            if produced is pickletools.markobject:
                stack.append(_MARK)
            else:
                stack.append(argument if isinstance(argument, (str, int)) else _UNKNOWN)


def _pop(opcode: pickletools.OpcodeInfo, stack: list[object]) -> list[object]:
    """Remove what the opcode consumes; return it without marks, deepest first."""
    before = opcode.stack_before
    popped: list[object] = []
    if pickletools.markobject in before:
        while stack[-1] is not _MARK:
            popped.append(stack.pop())
        stack.pop()
        before = before[: before.index(pickletools.markobject)]
    for _ in before:
        popped.append(stack.pop())
    popped.reverse()
    return popped


def _storage(identity: object) -> Storage | None:
    """Read a persistent id of the form ("storage", type, key, device, count); None for any other."""
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
        return None
    kind, key, count = identity[1], identity[2], identity[4]
    if not isinstance(key, str) or not isinstance(count, int):
        return None
    return Storage(key=key, dtype=str(kind).rsplit(".", 1)[-1], count=count)
