"""A contract as the descriptor of a runner, and the check that nothing was lost on the way.

What was written is imported again by the importer of its kind. What then differs and would change what the network sees
or does is an error that names it; what the runner takes from elsewhere (the simulator, the motors' bounds, the trained
ranges) goes into `rest.yaml`, with which `contract import --set-file` gives the same contract back.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from policy_port.contract import Contract
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.outwards.given import Given
from policy_port.descriptors.registry import import_contract
from policy_port.errors import ContractError, closest
from policy_port.files import output_folder

FORMATS: dict[str, str] = {
    "unitree_rl_lab": "deploy.yaml of unitree_rl_lab's C++ controllers",
    "rl_sar": "base.yaml and config.yaml of rl_sar",
    "isaac_lab": "IO descriptors as Isaac Lab exports them",
    "mjlab": "metadata in a copy of an ONNX file, as mjlab writes it",
}
"""Kinds by the name that `--to` takes; the module of that name writes it."""

REST = "rest.yaml"
ELSEWHERE = (
    *("robot", "trained_in", "quaternion_order", "timestep", "decimation", "base", "actuation", "command"),
    *("armature", "effort_limit", "lower", "upper"),
)
"""What a runner takes from elsewhere, and no number that the network sees or makes depends on."""
_ALWAYS = ("robot", "trained_in", "quaternion_order", "timestep", "decimation", "actuation.kind", "base.floating")


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written."""

    files: tuple[str, ...]
    """Files in the folder, those first that a runner reads."""
    rest: tuple[str, ...]
    """Keys of the contract that stand in `rest.yaml` alone."""
    command: str
    """What imports it again."""


def write_descriptor(contract: Contract, kind: str, out: Path, given: Given) -> Written:
    """Write a folder with the descriptor.

    Args:
        contract: The contract.
        kind: One of `FORMATS`.
        out: Folder to write; it must not exist.
        given: What the format needs beside the contract.

    Raises:
        ContractError: Naming what the format can't hold, or needs.
        OutputError: When the folder exists or can't be written.
    """
    if kind not in FORMATS:
        known = "; ".join(f"{name}: {what}" for name, what in FORMATS.items())
        raise ContractError(f"--to {kind}: unknown{closest(kind, FORMATS) or '.'} Known: {known}")
    module = importlib.import_module(f"policy_port.descriptors.outwards.{kind}")
    given.refuse_unread(kind, module.READS)
    with output_folder(out) as folder:
        sources: dict[str, Path] = {}
        for name, data in module.files(contract, given).items():
            text = data if isinstance(data, bytes) else _yaml(data).encode()
            (folder / name).write_bytes(text)
            sources[name] = folder / name
        options = module.options(contract, folder)
        rest = _rest(contract, module, list(sources.values()), options)
        (folder / REST).write_text(_yaml(rest), encoding="utf-8")
        words = ["policy-port", "contract", "import", *(str(out / name) for name in module.MAIN)]
        words += [word.replace(str(folder), str(out)) for word in _words(options)]
        command = " ".join([*words, "--set-file", str(out / REST), "--name", contract.name, "--out", "contract.yaml"])
        # One key for every joint that has it.
        keys = [f"joints.*.{key.rpartition('.')[2]}" if key.startswith("joints.") else key for key in rest]
        return Written(files=(*sources, REST), rest=tuple(dict.fromkeys(keys)), command=command)


def _yaml(data: Any) -> str:
    return yaml.safe_dump(data, sort_keys=False, width=160, default_flow_style=None, allow_unicode=True)


def _words(options: dict[str, Any]) -> Iterator[str]:
    for key, value in options.items():
        yield from (f"--{key.replace('_', '-')}", str(value))


def _rest(contract: Contract, module: ModuleType, files: list[Path], options: dict[str, Any]) -> dict[str, Any]:
    """What the descriptor leaves to `rest.yaml`; the import of both is the contract, or this raises."""
    mine = dict(_entries(_plain(contract)))
    rest = {key: mine[key] for key in _ALWAYS if key in mine}
    rest |= module.said(contract) if hasattr(module, "said") else {}
    main = [next(file for file in files if file.name == name) for name in module.MAIN]
    again = _imported(contract, module, main, options, rest)
    theirs = dict(_entries(_plain(again)))
    for key in dict.fromkeys((*mine, *theirs)):
        if _same(mine.get(key), theirs.get(key)) or key in rest:
            continue
        parts = key.split(".")
        if key in mine and (parts[0] in ELSEWHERE or (parts[0] == "joints" and parts[-1] in ELSEWHERE)):
            rest[key] = mine[key]
        else:
            raise _lost(contract, module, key, mine.get(key), theirs.get(key))
    again = _imported(contract, module, main, options, rest)
    theirs = dict(_entries(_plain(again)))
    for key in dict.fromkeys((*mine, *theirs)):
        if not _same(mine.get(key), theirs.get(key)):
            raise _lost(contract, module, key, mine.get(key), theirs.get(key))
    return rest


def _lost(contract: Contract, module: ModuleType, key: str, mine: Any, theirs: Any) -> ContractError:
    says = f"would say {theirs}" if theirs is not None else "has no place for it"
    return ContractError(
        f"contract '{contract.name}': {key} is {mine if mine is not None else 'not stated'}, and {module.WHAT} {says}. "
        "Its runner would feed the network other numbers, so nothing was written"
    )


def _imported(
    contract: Contract, module: ModuleType, main: list[Path], options: dict[str, Any], rest: dict[str, Any]
) -> Contract:
    try:
        settings = {**rest, "name": contract.name}
        return import_contract(
            main, module.KIND, ImportOptions(name=contract.name, settings=settings, **options)
        ).contract
    except ContractError as cause:
        raise ContractError(
            f"contract '{contract.name}' can't be {module.WHAT}, since what that would be is refused: {cause}"
        ) from None


def _plain(contract: Contract) -> dict[str, Any]:
    """The contract's data with every number of a term under its element, however briefly it was written."""
    data = contract.model_dump(mode="json", exclude_none=True)
    for key in ("contract_version", "name", "sources"):
        data.pop(key, None)
    terms, observation = contract.observation.terms, data["observation"]
    observation["terms"] = {}
    for term in terms:
        plain = term.model_dump(mode="json", exclude_none=True, exclude={"scale", "offset", "clip", "joints", "name"})
        for element in term.elements(contract):
            numbers = {key: term.entry(key, element) for key in ("scale", "offset", "clip")}
            plain.setdefault("numbers", {})[element] = {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in numbers.items()
                if value is not None
            }
        for key in ("point", "frame"):
            if plain.get(key) == "link":
                del plain[key]
        observation["terms"][term.label if term.term == "external" else _unique(term.term, observation["terms"])] = (
            plain
        )
    observation["order"] = list(observation["terms"])
    data["action"]["terms"] = [_action(contract, index) for index in range(len(contract.action.terms))]
    data["joint_order"] = list(contract.joint_names)
    return data


def _unique(kind: str, taken: dict[str, Any]) -> str:
    return next(name for name in (kind, *(f"{kind} {i}" for i in range(2, 4096))) if name not in taken)


def _action(contract: Contract, index: int) -> dict[str, Any]:
    term = contract.action.terms[index]
    plain = term.model_dump(mode="json", exclude_none=True, exclude={"scale", "offset", "clip", "joints"})
    plain["numbers"] = {
        name: [term.entry("scale", name), term.zero(contract, name), term.entry("clip", name)]
        for name in contract.action_joints(term)
    }
    return plain


def _entries(data: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and what stands there; only mappings are gone into."""
    if not isinstance(data, dict):
        yield where, data
        return
    for key, value in data.items():
        yield from _entries(value, f"{where}.{key}".lstrip("."))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-12, abs_tol=0.0)
    return one == other
