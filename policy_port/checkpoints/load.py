"""Telling which library wrote a file, and loading it."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from policy_port.checkpoints.actor import ImageSpec
from policy_port.checkpoints.files.networks_yaml import is_wiring
from policy_port.checkpoints.files.safe_load import read_source
from policy_port.checkpoints.files.wrapped import COMPILED, DISTRIBUTED
from policy_port.checkpoints.libraries.lerobot_folder import read_folder
from policy_port.checkpoints.libraries.training_only import split_ignored, unexplained
from policy_port.checkpoints.policy import NO_STATISTICS, Loaded, LoadedPolicy, LoadOptions, Source
from policy_port.checkpoints.wiring import Names, load_wired, wire_vectors
from policy_port.errors import CheckpointError, closest

LIBRARIES: dict[str, tuple[str, str]] = {
    "rsl_rl": ("torch", "libraries.rsl_rl"),
    "maniskill": ("torch", "libraries.maniskill"),
    "cleanrl": ("torch", "libraries.cleanrl"),
    "skrl": ("torch", "libraries.skrl"),
    "rl_games": ("torch", "libraries.rl_games"),
    "sb3": ("sb3", "libraries.sb3"),
    "torchscript": ("torchscript", "torchscript.file"),
    "onnx": ("onnx", "onnx.file"),
    "lerobot": ("lerobot", "libraries.lerobot"),
}
"""By the name that `--from` takes: the container of a library's files, and the module that loads them."""


_WRAPPERS = {COMPILED: "torch.compile", DISTRIBUTED: "distributed training"}


def load_policy(
    path: Path | str,
    *,
    kind: str | None = None,
    statistics: Path | str | None = None,
    width: int | None = None,
    terms: Sequence[tuple[str, int]] = (),
    outputs: Mapping[str, str] | None = None,
    activation: str | None = None,
    agent_yaml: Path | str | None = None,
    teacher: bool = False,
    image_sizes: Mapping[str, tuple[int, int]] | None = None,
    ignore: Sequence[str] = (),
    mean: bool = False,
    names: Names | None = None,
) -> LoadedPolicy:
    """Read a policy file without executing anything from it.

    Args:
        path: The file, the folder that LeRobot wrote, or a YAML that wires several networks.
        kind: Library that wrote it, one of `LIBRARIES`; told from the file when None.
        statistics: File of VecNormalize's statistics, or "none"; found by the checkpoint's own name when None.
        width: Width of the observation, taken where the file does not say it.
        terms: Name and width of each of the contract's `observation_blocks`; a file's own are held against them.
        outputs: Which output of an ONNX graph has which role: `actions`, or the name of a state's input.
        activation: Activation of the hidden layers where the file does not say.
        agent_yaml: The trainer's configuration; looked for beside the file when None.
        teacher: Take the teacher of a distillation file.
        image_sizes: Height and width by image name, taken where the weights leave the size open and this one fits.
        ignore: Names of what the policy does not need although no part of a training is known by that name; each a
            name, its beginning up to a dot, or a pattern with * and ?. While anything else of the kind is left, the
            policy is `unexplained` and can't be ported.
        mean: Take the mean of every random number that a graph draws; without it such a graph is refused.
        names: The contract's `named_columns`, by which several networks, or vectors of one, find what they read.

    Raises:
        CheckpointError: The file is not a policy, it can't be read rightly, or a name to ignore matches nothing.
        UnsafeFileError: Reading it would execute code or reach outside it.
    """
    said: dict[str, Any] = {"kind": kind, "statistics": statistics, "outputs": outputs, "activation": activation}
    said |= {"agent_yaml": agent_yaml, "teacher": teacher, "ignore": ignore, "mean": mean}
    if is_wiring(Path(path)):
        if given := [key for key, value in said.items() if value]:
            option = {"kind": "from", "agent_yaml": "agent", "outputs": "output"}.get(given[0], given[0])
            raise CheckpointError(
                f"{path}: wires several networks, and --{option} is said of one of them; leave it out and write "
                f"`{option}` under the part in that file"
            )
        load = functools.partial(_load_file, image_sizes=image_sizes)
        return load_wired(Path(path), width, names or {}, load)
    policy = _load_file(path, width=width, terms=terms, image_sizes=image_sizes, **said)
    return policy if len(policy.vectors) < 2 else wire_vectors(policy, names or {}, width)


def _load_file(
    path: Path | str,
    *,
    kind: str | None,
    statistics: Path | str | None,
    width: int | None,
    outputs: Mapping[str, str] | None,
    ignore: Sequence[str],
    **more: Any,
) -> LoadedPolicy:
    """One file; see `load_policy`. The observation of a graph of several vectors is all of them in its own order."""
    source = read_folder(Path(path)) if Path(path).is_dir() else read_source(Path(path))
    _refuse_foreign_options(source, statistics, outputs)
    library, evidence = _library(source, kind)
    more["agent_yaml"] = None if more.get("agent_yaml") is None else Path(more["agent_yaml"])
    more |= {"terms": tuple(more.get("terms") or ()), "image_sizes": more.get("image_sizes") or {}}
    options = LoadOptions(statistics=statistics, width=width, outputs=outputs or {}, **more)
    return _judged(source, library, evidence, loader_of(library).load(source, options), ignore)


def _judged(
    source: Source, library: str, evidence: tuple[str, ...], loaded: Loaded, ignore: Sequence[str]
) -> LoadedPolicy:
    """What was loaded, with what the actor leaves out told apart: parts of a training, what is ignored, the rest."""
    actor = loaded.actor.eval().requires_grad_(False)
    strange = unexplained(loaded.rest, library, loaded.training, actor.obs_size) if loaded.rest else ()
    left, ignored = split_ignored(ignore, loaded.rest, strange, source.path)
    told = [f"names are given without {word}., which {_WRAPPERS[word]} puts into them" for word in source.wrappers]
    told += [f"ignored as --ignore says: {', '.join(map(str, ignored))}"] if ignored else []
    return LoadedPolicy(
        path=source.path,
        sha256=source.sha256,
        library=library,
        version=loaded.version,
        evidence=evidence,
        actor=actor,
        normaliser=loaded.normaliser,
        distribution=loaded.distribution,
        architecture=loaded.architecture,
        leftovers=(*map(str, loaded.rest), *loaded.leftovers),
        notes=(*loaded.notes, *told),
        original=loaded.original,
        unexplained=left,
        ignored=ignored,
        clip=loaded.clip,
        vectors=loaded.vectors,
    )


def _refuse_foreign_options(source: Source, statistics: Path | str | None, outputs: Mapping[str, str] | None) -> None:
    """Raise where a user says something of another kind of file, which would go unheard."""
    named = None if statistics == NO_STATISTICS else statistics
    for option, given, container in (("--statistics", named, "sb3"), ("--output", outputs, "onnx")):
        if given and source.container != container:
            raise CheckpointError(f"{source.path}: is a {source.container} file; {option} goes with {container} files")


def inspect_file(path: Path | str, **options: Any) -> dict[str, object]:
    """Everything `policy-port inspect` prints, ready for JSON; `options` are the keywords of `load_policy`."""
    policy, width = load_policy(path, **options), options.get("width")
    actor = policy.actor
    if width is not None and actor.obs_size != width:
        raise CheckpointError(f"{policy.path}: reads observations of width {actor.obs_size}; --width says {width}")
    states = [
        {"name": name, "shape": [layers, "batch", hidden]}
        for name, (layers, hidden) in zip(actor.state_names, actor.state_shapes, strict=True)
    ]
    images = [{"name": port.name, "shape": ["batch", *port.shape(0)[1:]], **_image(port)} for port in actor.images]
    chunk = [] if actor.chunk is None else [actor.chunk]
    return {
        "file": str(policy.path),
        "sha256": policy.sha256,
        "bytes": _size(policy.path),
        "library": policy.library,
        "version": policy.version,
        "evidence": list(policy.evidence),
        "inputs": [{"name": "obs", "shape": ["batch", actor.obs_size]}, *images, *states],
        "outputs": [{"name": "actions", "shape": ["batch", *chunk, actor.action_size]}, *states],
        "architecture": list(policy.architecture),
        "parameters": sum(tensor.numel() for tensor in _stored(actor)),
        "normaliser": None if policy.normaliser is None else _plain(asdict(policy.normaliser)),
        "distribution": policy.distribution,
        "leftovers": list(policy.leftovers),
        "stops_export": [str(leftover) for leftover in policy.unexplained],
        "notes": list(policy.notes),
    }


def _size(path: Path) -> int:
    files = [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def _image(port: ImageSpec) -> dict[str, object]:
    return {"layout": port.layout, "dtype": port.dtype, "scale": port.scale}


def _library(source: Source, kind: str | None) -> tuple[str, tuple[str, ...]]:
    """The library that wrote the file and why; `kind` settles it."""
    fitting = [name for name, (container, _) in LIBRARIES.items() if container == source.container]
    if kind is not None:
        if kind not in LIBRARIES:
            known = ", ".join(LIBRARIES)
            raise CheckpointError(f"--from {kind}: unknown{closest(kind, LIBRARIES) or '.'} Known are {known}")
        if kind not in fitting:
            raise CheckpointError(
                f"{source.path}: --from {kind} does not fit; the file is a {source.container} file"
                f" ({', '.join(fitting) or 'no library here'})"
            )
        return kind, (*loader_of(kind).evidence(source), f"--from {kind}")
    found = {name: why for name in fitting if (why := loader_of(name).evidence(source))}
    if not found:
        keys = ", ".join(list(source.tree)[:12]) or ", ".join(sorted(source.members)[:12])
        raise CheckpointError(
            f"{source.path}: a {source.container} file of a layout that none of {', '.join(fitting) or 'the loaders'} "
            f"writes. It holds {keys or 'nothing'}. If you know the library, say --from"
        )
    if len(found) > 1:
        reasons = "; ".join(f"{name} ({', '.join(why)})" for name, why in found.items())
        raise CheckpointError(f"{source.path}: could be {reasons}. Say which with --from {' or --from '.join(found)}")
    return next(iter(found.items()))


def loader_of(library: str) -> ModuleType:
    """The module that loads a library's files, by its name in `LIBRARIES`."""
    return importlib.import_module(f"policy_port.checkpoints.{LIBRARIES[library][1]}")


def _stored(actor: nn.Module) -> list[Tensor]:
    state = actor.state_dict()
    return [tensor for tensor in state.values() if tensor.is_floating_point()]


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    """Turn tuples into lists, as JSON has them."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
