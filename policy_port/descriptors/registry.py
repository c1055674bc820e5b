"""Telling which kind a descriptor is, and turning it into a contract."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from policy_port.checkpoints.files.leapp_yaml import beside, looks_like_leapp
from policy_port.contract import Contract
from policy_port.contract.spec import unset_values
from policy_port.descriptors.draft import Draft
from policy_port.descriptors.mjlab_env import is_run
from policy_port.descriptors.network import check_width
from policy_port.descriptors.options import ALWAYS, ImportOptions, flag
from policy_port.descriptors.record import Record
from policy_port.errors import ContractError, closest

KINDS: dict[str, str] = {
    "isaac_lab": "Isaac Lab IO descriptors with env.yaml and agent.yaml beside them, or env.yaml alone with --names",
    "leapp": "YAML of LEAPP beside its ONNX file, as Isaac Lab 3 exports policies, with env.yaml of the run",
    "unitree_rl_lab": "deploy.yaml of unitree_rl_lab and unitree_rl_mjlab",
    "rl_sar": "rl_sar base.yaml and config.yaml",
    "humanoidverse": "config.yaml of HumanoidVerse, ASAP, PBHC (KungfuBot) and FALCON",
    "unitree_rl_gym": "deploy YAML of unitree_rl_gym or OpenWBT, beside a file of joint names",
    "booster_gym": "Booster's deploy YAML (T1.yaml), with the training's envs/T1.yaml, beside a file of joint names",
    "newton_assets": "newton-assets policy YAML",
    "limx": "params.yaml of LimX's tron1-rl-deploy-python",
    "onnx_metadata": "metadata in an ONNX file: mjlab with its params/env.yaml, BeyondMimic, or a port of this program",
    "holosoma": "metadata in an ONNX file of holosoma",
    "lerobot_config": "LeRobot policy config.json",
    "maniskill_env": "a ManiSkill environment, which is asked itself",
}
"""Kinds by the name that `--from` takes; the module of that name has the importer."""

_IN_ONNX = ("onnx_metadata", "holosoma")
"""Kinds that stand in the metadata of an ONNX file."""

_OF_FILES = tuple(kind for kind in KINDS if kind not in (*_IN_ONNX, "maniskill_env"))

_STANDS_IN = {"isaac_lab": "env.yaml"}
"""Role whose file a kind can be worked out from without its main one."""

_IN_FOLDERS = (
    "io_descriptors/*IO_descriptors.yaml",
    "*IO_descriptors.yaml",
    "deploy.yaml",
    "params/deploy.yaml",
    "config.yaml",
    "config.json",
    "policy.onnx",
)


@dataclass(frozen=True, kw_only=True)
class Imported:
    """An imported contract and what the user must know of it."""

    contract: Contract
    """The contract."""
    kind: str
    """Kind of the descriptor."""
    files: tuple[Path, ...]
    """Files that were read."""
    notes: tuple[str, ...]
    """What the numbers don't show."""
    unset: tuple[str, ...]
    """What the descriptor left open and a replay may need."""


def import_contract(sources: list[Path], kind: str | None, options: ImportOptions) -> Imported:
    """Read descriptors into a contract.

    Args:
        sources: Files or folders; none for a ManiSkill environment.
        kind: One of `KINDS`; told from the files when None.
        options: What the user adds.

    Raises:
        ContractError: When the files are no descriptor, contradict themselves, or leave open what a contract needs.
    """
    if kind is not None and kind not in KINDS:
        raise ContractError(f"--from {kind}: unknown{_likely(kind, sources)} Known: {', '.join(KINDS)}")
    if kind == "maniskill_env" or (kind is None and options.env is not None):
        if sources:
            asked = " and ".join(["--from"] * (kind is not None) + ["--env"] * (options.env is not None))
            raise ContractError(
                f"{sources[0]}: a ManiSkill environment is read by itself; leave out the file or {asked}"
            )
        return _finish(_module("maniskill_env"), options, ())
    if not sources:
        other = "--from maniskill_env" if options.env is not None else "a ManiSkill environment with --env"
        raise ContractError(f"no descriptor given: name its file or folder, or {other}")
    files = [_file(path) for path in sources]
    if kind in _IN_ONNX or (kind is None and (any(map(_is_onnx, files)) or is_run(files))):
        return _from_onnx(files, kind, options)
    return _from_yaml(files, kind, options)


def _from_onnx(files: list[Path], kind: str | None, options: ImportOptions) -> Imported:
    """Read an ONNX file's metadata, with what lies beside it: mjlab's env.yaml, or the YAML of LEAPP."""
    network = next(filter(_is_onnx, files), None)
    if kind is None and network is not None:
        metadata = _module("onnx_metadata").OnnxMetadata(network)
        if not metadata.entries and (pipeline := beside(network)) is not None:
            return _from_yaml([pipeline.path], "leapp", options)
        if _module("holosoma").is_holosoma(metadata):
            kind = "holosoma"
    if kind == "holosoma":
        if len(files) > 1:
            raise ContractError(f"{files[1]}: holosoma's metadata is read by itself; leave out the other files")
        return _finish(_module(kind), options, (files[0],), files[0])
    if network is None and (likely := _accepting(files)):
        what = "is no ONNX file."
        raise ContractError(f"{files[0]}: {what} It is read with --from {' or '.join(likely)}")
    module = _module("onnx_metadata")
    found = module.with_run(files)
    return _finish(module, options, tuple(found), found)


def _from_yaml(files: list[Path], kind: str | None, options: ImportOptions) -> Imported:
    given = [Record.read(file) for file in files]
    fitting = [name for name in ([kind] if kind else _OF_FILES) if all(_module(name).role(record) for record in given)]
    if len(fitting) > 1:
        # env.yaml goes with several kinds; the file that describes the policy says which it is.
        told = [name for name in fitting if _module(name).MAIN in map(_module(name).role, given)]
        fitting = told or [name for name in fitting if name in _STANDS_IN] or fitting
    if len(fitting) != 1:
        if fitting:
            raise ContractError(f"{files[0]}: could be {' or '.join(fitting)}; say which with --from")
        _refuse_odd_one(given, [kind] if kind else list(_OF_FILES))
        keys = ", ".join(list(given[0].entries())[:12]) or "none"
        what = f"is no descriptor of {kind or 'a known kind'}. Its keys are: {keys}."
        if likely := [name for name in _accepting(files) if name != kind]:
            raise ContractError(f"{files[0]}: {what} It is read with --from {' or '.join(likely)}")
        what += " Leave --from out, or name another kind." if kind else ""
        raise ContractError(f"{files[0]}: {what} Known: " + "; ".join(f"{name}: {KINDS[name]}" for name in _OF_FILES))
    module = _module(fitting[0])
    records: dict[str, Record] = {}
    for record in given:
        role = module.role(record)
        if role in records:
            raise ContractError(f"{record.path} and {records[role].path} are both a {role}; give one")
        records[role] = record
    folder = (records.get(module.MAIN) or given[0]).path.parent
    beside = (next(filter(Path.is_file, (_at(folder, place) for place in places)), None) for places in module.BESIDE)
    for record in map(Record.read, filter(None, beside)):
        records.setdefault(module.role(record) or record.path.name, record)
    if module.MAIN not in records and _STANDS_IN.get(fitting[0]) not in records:
        raise ContractError(
            f"{files[0]}: is the {next(iter(records))} of {fitting[0]}; the {module.MAIN} is what describes the policy"
        )
    return _finish(module, options, tuple(record.path for record in records.values()), records)


def _refuse_odd_one(given: list[Record], kinds: list[str]) -> None:
    """Name the file that is not of the kind of those beside it, which may be right."""
    roles = {name: [_module(name).role(record) for record in given] for name in kinds}
    near = max(kinds, key=lambda name: len(given) - roles[name].count(None))
    if len(given) > 1 and any(roles[near]):
        odd = given[roles[near].index(None)]
        whose = next(record for record, role in zip(given, roles[near], strict=True) if role)
        raise ContractError(
            f"{odd.path}: is no file of {near}, which {whose.path} is. Its keys are: "
            f"{', '.join(list(odd.entries())[:12]) or 'none'}. Give the one that belongs to it, or leave it out"
        )


def _accepting(files: list[Path]) -> list[str]:
    """Kinds whose importer takes these files; none where they can't be read."""
    try:
        if any(map(_is_onnx, files)):
            metadata = _module("onnx_metadata").OnnxMetadata(files[0])
            if _module("holosoma").is_holosoma(metadata):
                return ["holosoma"]
            return ["onnx_metadata"] if "joint_names" in metadata.entries or metadata.contract() else []
        given = [Record.read(file) for file in files]
    except ContractError:
        return []
    roles = {name: [_module(name).role(record) for record in given] for name in _OF_FILES}
    return [name for name, each in roles.items() if _module(name).MAIN in each and None not in each]


def _likely(kind: str, sources: list[Path]) -> str:
    """What to say of a kind that there is not: what reads the files, or the nearest word where there are none."""
    if not sources:
        return closest(kind, KINDS) or "."
    accepting = _accepting([_file(path) for path in sources])
    read = f"; {sources[0]} is read with --from {' or '.join(accepting)}." if accepting else "."
    return closest(kind, accepting) or read


def _finish(
    module: ModuleType, options: ImportOptions, files: tuple[Path, ...], *given: Path | list[Path] | dict[str, Record]
) -> Imported:
    """Let a module read what is given; `files` says what that comes from."""
    kind = module.__name__.rpartition(".")[2]
    _refuse_stray_flags(module, kind, options)
    network = files[0] if kind in _IN_ONNX and _is_onnx(files[0]) else None
    named = whole = None
    if kind == "onnx_metadata" and network is not None:
        whole = module.OnnxMetadata(network).contract()
    elif kind == "leapp" and isinstance(given[0], dict):
        whole, named = module.whole_contract(given[0])
    if whole is not None:
        contract, notes, hint = whole, ["the file holds a whole contract, which was taken as it is"], ""
        if stray := [flag(option) for option in options.given() if option not in ("name", "policy")]:
            raise ContractError(
                f"{files[0]}: holds a whole contract, to which {', '.join(stray)} add nothing; leave them out"
            )
    else:
        draft: Draft = module.read(*given, options)
        contract, notes, hint, named = draft.build(options), draft.notes, draft.width_hint, draft.policy
    policy = options.policy or network or named
    if policy is not None:
        check_width(contract, policy, hint)
    else:
        notes = [*notes, "the width was not held against the network; do so with --policy FILE or `contract check`"]
    return Imported(contract=contract, kind=kind, files=files, notes=tuple(notes), unset=tuple(unset_values(contract)))


def _refuse_stray_flags(module: ModuleType, kind: str, options: ImportOptions) -> None:
    stray = [option for option in options.given() if option not in ALWAYS | module.FLAGS]
    if stray:
        taken = ", ".join(sorted(flag(option) for option in module.FLAGS)) or "none of its own"
        raise ContractError(f"{flag(stray[0])} means nothing for {kind}, which takes {taken}")


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    if len(pipelines := [file for file in sorted(path.glob("*.yaml")) if looks_like_leapp(file)]) == 1:
        return pipelines[0]
    found = [file for pattern in _IN_FOLDERS for file in sorted(path.glob(pattern))]
    found = found or [file for file in (path / "params/env.yaml", path / "env.yaml") if file.is_file()]
    if len(found) != 1:
        what = f"holds {', '.join(str(file.relative_to(path)) for file in found)}" if found else "holds no descriptor"
        raise ContractError(f"{path}: {what}; name the file")
    return found[0]


def _is_onnx(path: Path) -> bool:
    return path.suffix.lower() == ".onnx"


def _at(folder: Path, place: str) -> Path:
    """A place seen from a folder, written as it would be by hand."""
    return folder.parent / place.removeprefix("../") if place.startswith("../") else folder / place


def _module(kind: str) -> ModuleType:
    return importlib.import_module(f"policy_port.descriptors.{kind}")
