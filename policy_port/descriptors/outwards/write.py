"""A contract as the descriptor of a runner, and the check that nothing was lost on the way.

What was written is imported again by the importer of its kind. What then differs and would change what the network sees
or does is an error that names it; what the runner takes from elsewhere (the simulator, the motors' bounds, the trained
ranges) goes into `rest.yaml`, with which `contract import --set-file` gives the same contract back.
"""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from policy_port.contract import Contract
from policy_port.contract.diff import disagreements
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
    "leapp": "a pipeline of LEAPP around an ONNX file, as its runners and Isaac Lab 3 read it",
}
"""Kinds by the name that `--to` takes; the module of that name writes it."""

REST = "rest.yaml"
ELSEWHERE = (
    *("robot", "trained_in", "quaternion_order", "timestep", "decimation", "base", "actuation", "command"),
    *("armature", "effort_limit", "lower", "upper"),
)
"""What a runner takes from elsewhere, and no number that the network sees or makes depends on."""
_CLIPS = ("motion.files", "motion.chain", "motion.end")
"""Of a motion: how a clip's file is read, where a link hangs and what comes after the last frame."""
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
        rest = _rest(contract, module, sources, options)
        words = ["policy-port", "contract", "import", *(str(out / name) for name in module.MAIN)]
        words += [word.replace(str(folder), str(out)) for word in _words(options)]
        if rest:
            (folder / REST).write_text(_yaml(rest), encoding="utf-8")
            sources[REST] = folder / REST
            words += ["--set-file", str(out / REST), "--name", contract.name]
        # One key for every joint that has it.
        keys = [f"joints.*.{key.rpartition('.')[2]}" if key.startswith("joints.") else key for key in rest]
        command = shlex.join([*words, "--out", "contract.yaml"])
        return Written(files=tuple(sources), rest=tuple(dict.fromkeys(keys)), command=command)


def _yaml(data: Any) -> str:
    return yaml.safe_dump(data, sort_keys=False, width=160, default_flow_style=None, allow_unicode=True)


def _words(options: dict[str, Any]) -> Iterator[str]:
    for key, value in options.items():
        yield from (f"--{key.replace('_', '-')}", str(value))


def _rest(contract: Contract, module: ModuleType, files: dict[str, Path], options: dict[str, Any]) -> dict[str, Any]:
    """What the descriptor leaves to `rest.yaml`; the import of both is the contract, or this raises."""
    main = [files[name] for name in module.MAIN]
    rest: dict[str, Any] = {}
    if not getattr(module, "WHOLE", False):
        data = contract.model_dump(mode="json", exclude_none=True)
        rest = {key: value for key in _ALWAYS if (value := _at(data, key)) is not None}
        rest |= module.said(contract) if hasattr(module, "said") else {}
        for key, (mine, theirs) in _lacking(contract, _imported(contract, module, main, options, rest)).items():
            parts = key.split(".")
            elsewhere = parts[0] in ELSEWHERE or (parts[0] == "joints" and parts[-1] in ELSEWHERE)
            elsewhere = elsewhere or key.startswith(_CLIPS)
            if mine is None or not elsewhere:
                raise _lost(contract, module, key, mine, theirs)
            rest[key] = mine
    for key, pair in _lacking(contract, _imported(contract, module, main, options, rest)).items():
        raise _lost(contract, module, key, *pair)
    return rest


def _lacking(contract: Contract, again: Contract) -> dict[str, tuple[Any, Any]]:
    return disagreements(contract, again, relative_tolerance=1e-12)


def _at(data: dict[str, Any], key: str) -> Any:
    """What stands under a dotted key; None where nothing does."""
    first, _, rest = key.partition(".")
    return _at(data[first], rest) if rest and first in data else data.get(first)


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
        settings = {**rest, "name": contract.name} if rest else {}
        return import_contract(
            main, module.KIND, ImportOptions(name=contract.name, settings=settings, **options)
        ).contract
    except ContractError as cause:
        raise ContractError(
            f"contract '{contract.name}' can't be {module.WHAT}, since what that would be is refused: {cause}"
        ) from None
