"""Names of tensors without what torch's wrappers put into them: torch.compile and distributed training."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from policy_port.errors import CheckpointError

COMPILED, DISTRIBUTED = "_orig_mod", "module"


def unwrapped(tree: Mapping[str, object], where: str) -> tuple[dict[str, object], tuple[str, ...]]:
    """The tree under plain names, and the wrappers whose words were taken out of them.

    torch.compile's word may stand at any depth, since parts of a network are compiled as well. The other one is an
    ordinary word, so it is taken out where every tensor of a table begins with it, and nowhere else.

    Raises:
        CheckpointError: When two tensors have one name without it.
    """
    found: set[str] = set()
    plain = _table(tree, where, found)
    return plain, tuple(sorted(found))


def _table(table: Mapping[str, object], where: str, found: set[str]) -> dict[str, object]:
    plain: dict[str, object] = {}
    came: dict[str, str] = {}
    for key, value in table.items():
        words = str(key).split(".")
        name = ".".join(word for word in words if word != COMPILED) if len(words) > 1 else str(key)
        if name != str(key):
            found.add(COMPILED)
        _put(plain, came, name, str(key), _table(value, where, found) if isinstance(value, Mapping) else value, where)
    tensors = [name for name, value in plain.items() if isinstance(value, Tensor)]
    if not tensors or not all(name.startswith(f"{DISTRIBUTED}.") for name in tensors):
        return plain
    found.add(DISTRIBUTED)
    shorter: dict[str, object] = {}
    before: dict[str, str] = {}
    for name, value in plain.items():
        _put(shorter, before, name.removeprefix(f"{DISTRIBUTED}."), name, value, where)
    return shorter


def _put(table: dict[str, object], came: dict[str, str], name: str, key: str, value: object, where: str) -> None:
    if name in table:
        raise CheckpointError(
            f"{where}: holds {came[name]} and {key}, which are one tensor without torch's {COMPILED} and "
            f"{DISTRIBUTED}; save the network's own state_dict"
        )
    table[name], came[name] = value, key
