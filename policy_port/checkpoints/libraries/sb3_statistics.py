"""VecNormalize's statistics: which file beside a checkpoint is the checkpoint's own, and what is in it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from policy_port.checkpoints.files.inert_pickle import Inert, array_of, foreign_imports, read_inert
from policy_port.checkpoints.files.run_config import ZOO_FILES, normalises
from policy_port.checkpoints.files.safe_load import read_bounded
from policy_port.checkpoints.libraries.sb3_data import Block, Run
from policy_port.checkpoints.networks.layers import Normaliser
from policy_port.checkpoints.policy import NO_STATISTICS, LoadOptions, NormaliserInfo
from policy_port.errors import CheckpointError

_WORD = re.compile(r"vec_?norm(alize|alise|alized)?", re.IGNORECASE)
"""How a file name says that it holds statistics of VecNormalize."""
_STEPS = re.compile(r"(?:.*[_-])?(\d+)(?:[_-]steps)?")
_MAX_BYTES = 64 * 2**20
_RESETS = 4
"""Resets of all environments at most that lie between a checkpoint's steps and its statistics' observations."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """The normaliser of a checkpoint."""

    normaliser: nn.Module
    info: NormaliserInfo | None
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _File:
    """One file of statistics."""

    path: Path
    data: bytes
    wrapper: Inert

    @property
    def normalises(self) -> bool:
        return self.wrapper.field("norm_obs") is not False

    @property
    def moments(self) -> list[Any]:
        """One RunningMeanStd, or one for each key."""
        found = self.wrapper.field("obs_rms")
        return list(found.values()) if isinstance(found, dict) else [found]

    @property
    def observations(self) -> float | None:
        """Number of observations behind the statistics."""
        count = self.moments[0].field("count") if self.moments and isinstance(self.moments[0], Inert) else None
        return None if count is None else float(array_of(count, f"{self.path}: obs_rms.count"))


def statistics_of(checkpoint: Path, options: LoadOptions, run: Run, *, on_policy: bool) -> Statistics:
    """Find and read the statistics of a checkpoint.

    Args:
        checkpoint: The zip file.
        options: `statistics` names the file and ends the search.
        run: What the checkpoint says of its run.
        on_policy: Whether the algorithm keeps original observations only under VecNormalize.

    Raises:
        CheckpointError: When the run normalised and no file is this checkpoint's, when only those of others lie there,
            or when configuration and files contradict each other.
    """
    if options.statistics == NO_STATISTICS:
        return _none("no statistics, as --statistics none says: right only if the run normalised no observations")
    if options.statistics is not None:
        return _read(_open(Path(options.statistics)), run, "as --statistics says")
    folders = _folders(checkpoint)
    stated = normalises(_configurations(folders, options.agent_yaml))
    files = _statistics_files(folders)
    chosen, why = _own(checkpoint, files, run)
    ignored = [path for path in files if chosen is None or path != chosen.path]
    advice = "Name the right one with --statistics FILE, or say --statistics none if the run normalised no observations"
    beside = ", ".join(str(path.relative_to(checkpoint.parent)) for path in files)
    if stated is not None and not stated[1] and chosen is not None and chosen.normalises:
        raise CheckpointError(
            f"{checkpoint}: {stated[0]} says that observations are not normalised, and {chosen.path.name}, {why}, "
            f"normalises them. {advice}"
        )
    if chosen is not None:
        found = _read(chosen, run, why)
        return Statistics(
            normaliser=found.normaliser, info=found.info, notes=(*found.notes, *_foreign(ignored, "not taken"))
        )
    if stated is not None and not stated[1]:
        rest = f"; not taken: {beside}" if files else ""
        return _none(f"{stated[0]} says that observations are not normalised{rest}", *_foreign(ignored, "not taken"))
    reasons = [f"{stated[0]} says that observations are normalised"] if stated is not None else []
    if on_policy and run.kept_original:
        reasons.append("the run used VecNormalize (the file keeps an original observation beside the normalised one)")
    if not reasons and not files:
        return _none("no vecnormalize.pkl beside it: right only if the run did not use VecNormalize")
    known = f"; there {'lie' if len(files) > 1 else 'lies'} {beside}: {why}" if files else ""
    own = f"{checkpoint.stem}_vecnormalize.pkl" if files else f"vecnormalize.pkl or {checkpoint.stem}_vecnormalize.pkl"
    reads = f" (the network reads {run.reads()})" if run.blocks else ""
    raise CheckpointError(
        f"{checkpoint}: {' and '.join([*reasons, 'no file of statistics is known to be its own'])}{reads}{known}. "
        f"Looked for: {own} and the names of SB3's callbacks, Isaac Lab and RL Zoo. {advice}"
    )


def _none(*notes: str) -> Statistics:
    return Statistics(normaliser=nn.Identity(), info=None, notes=notes)


def _folders(checkpoint: Path) -> list[Path]:
    """The checkpoint's folder, and those inside in which RL Zoo keeps configuration and statistics of the run."""
    folder = checkpoint.parent
    inside = [
        path
        for path in sorted(folder.iterdir())
        if path.is_dir() and (path.name == checkpoint.stem or any((path / name).is_file() for name in ZOO_FILES))
    ]
    return [folder, *inside]


def _configurations(folders: Sequence[Path], given: Path | None) -> list[Path]:
    if given is not None:
        return [given]
    folder = folders[0]
    isaac_lab = [folder / "params/agent.yaml", folder / "agent.yaml", folder.parent / "params/agent.yaml"]
    return isaac_lab + [place / name for place in folders for name in ZOO_FILES]


def _statistics_files(folders: Sequence[Path]) -> list[Path]:
    """Every file of statistics, told by its name or, under any other name, by its content."""
    return [
        path
        for folder in folders
        for path in sorted(folder.glob("*.pkl"))
        if path.is_file() and (_WORD.search(path.stem) or _holds_statistics(path))
    ]


def _holds_statistics(path: Path) -> bool:
    return 0 < path.stat().st_size <= _MAX_BYTES and b"VecNormalize" in read_bounded(path, _MAX_BYTES)


def _rest(path: Path) -> str:
    """What a name says beside that it is one of statistics: `model_64000_steps` of model_vecnormalize_64000_steps."""
    parts = re.split(r"[_\-. ]+", _WORD.sub("_", path.stem))
    return "_".join(part for part in parts if part and part not in ("stats", "statistics")).lower()


def _own(checkpoint: Path, files: Sequence[Path], run: Run) -> tuple[_File | None, str]:
    """The file that is this checkpoint's and why, or None and why no file is."""
    name = "_".join(filter(None, re.split(r"[_\-. ]+", checkpoint.stem))).lower()
    steps = _STEPS.fullmatch(name)
    fitting = [path for path in files if _rest(path) == name]
    if not fitting and steps is not None:
        fitting = [path for path in files if (match := _STEPS.fullmatch(_rest(path))) and match[0] in (
            steps[1], f"{steps[1]}_steps")]  # fmt: skip
    if len(fitting) > 1:
        return None, "more than one is named after this checkpoint"
    if fitting:
        file = _open(fitting[0])
        return file, "named after this checkpoint" + _doubt(file, run)
    general = [_open(path) for path in files if not _rest(path)]
    fits = {file.path: _fits(file, run) for file in general}
    sure = [file for file in general if fits[file.path]]
    if len(sure) == 1:
        return sure[0], f"of as many observations as the checkpoint has steps ({run.steps})"
    unsure = [file for file in general if fits[file.path] is None]
    if not sure and len(unsure) == 1 and steps is None:
        return unsure[0], "the only one of a general name; how many observations are behind it can't be compared"
    if sure or unsure:
        return None, "which of them is this checkpoint's can't be told"
    counts = ", ".join(f"{file.path.name} {file.observations:.0f}" for file in general if file.observations is not None)
    held = f" (steps of the checkpoint: {run.steps}; observations behind {counts})" if counts else ""
    return None, f"by name and content of another checkpoint{held}"


def _fits(file: _File, run: Run) -> bool | None:
    """Whether as many observations are behind statistics as the checkpoint has steps; None where that is not known."""
    if not file.normalises:
        return True
    if run.steps is None or file.observations is None:
        return None
    return -1 <= file.observations - run.steps <= _RESETS * run.envs + 1


def _doubt(file: _File, run: Run) -> str:
    if _fits(file, run) is not False:
        return ""
    return f"; {file.observations:.0f} observations are behind it, and the checkpoint has {run.steps} steps"


def _open(path: Path) -> _File:
    data = read_bounded(path, _MAX_BYTES)
    wrapper = read_inert(data, str(path))
    if not isinstance(wrapper, Inert) or not wrapper.dotted.endswith(".VecNormalize"):
        raise CheckpointError(f"{path}: is not a pickled VecNormalize, which `env.save(FILE)` writes")
    _require_own(wrapper, path)
    return _File(path=path, data=data, wrapper=wrapper)


def _require_own(value: Inert, path: Path) -> None:
    """Raise where a class of the statistics is none of the library's, and may normalise in another way."""
    if value.dotted.split(".")[0] not in ("stable_baselines3", "stable_baselines"):
        raise CheckpointError(
            f"{path}: holds a {value.dotted}, a class of its own, which may normalise in another way than "
            "Stable-Baselines3's. If it does not, write its statistics with the library's own VecNormalize.save; if it "
            "does, export the policy together with it as TorchScript or ONNX"
        )


def _foreign(paths: Sequence[Path], what: str) -> tuple[str, ...]:
    """What files of statistics hold beside statistics, a sentence each."""
    notes = []
    for path in paths:
        try:
            notes += _holds_more(path, read_bounded(path, _MAX_BYTES), what)
        except CheckpointError as error:
            notes.append(f"{what}: {error}")
    return tuple(notes)


def _holds_more(path: Path, data: bytes, what: str) -> tuple[str, ...]:
    names = ", ".join(foreign_imports(data, str(path))[:4])
    told = f"{path.name} ({what}) holds more than statistics: plain unpickling would import and run {names}"
    return (f"{told}; nothing of it was",) if names else ()


def _read(file: _File, run: Run, why: str) -> Statistics:
    """Build the normaliser; only numbers are read."""
    found, digest = file.path, hashlib.sha256(file.data).hexdigest()
    notes = (f"statistics: {found.name} ({why}), sha256 {digest}", *_holds_more(found, file.data, "taken"))
    if not file.normalises:
        return _none(*notes, f"{found.name} does not normalise observations (norm_obs is false)")
    moments = _moments(file, run.blocks)
    for part in moments:
        _require_own(part, found)
    mean, variance = (
        np.concatenate([array_of(part.field(name), f"{found}: obs_rms.{name}").reshape(-1) for part in moments])
        for name in ("mean", "var")
    )
    clip = float(array_of(file.wrapper.field("clip_obs"), f"{found}: clip_obs"))
    epsilon = float(array_of(file.wrapper.field("epsilon"), f"{found}: epsilon"))
    if mean.shape != variance.shape or not np.isfinite(mean).all() or not (variance >= 0).all():
        raise CheckpointError(f"{found}: obs_rms is not finite or its parts differ in size")
    if not clip > 0 or not np.isfinite(epsilon) or not (variance + epsilon > 0).all():
        raise CheckpointError(f"{found}: clip_obs {clip:g} or epsilon {epsilon:g} is none that VecNormalize works with")
    denominator = np.sqrt(variance + epsilon)
    count = file.observations
    info = NormaliserInfo.of(
        torch.from_numpy(mean),
        torch.from_numpy(np.sqrt(variance)),
        where=found.name,
        formula=f"(obs - obs_rms.mean) / sqrt(obs_rms.var + {epsilon:g})",
        clip=clip,
        samples=None if count is None or not np.isfinite(count) else torch.tensor(count),
    )
    parts = (torch.from_numpy(mean).float(), torch.from_numpy(denominator).float())
    return Statistics(normaliser=Normaliser(*parts, clip=clip), info=info, notes=notes)


def _moments(file: _File, blocks: tuple[Block, ...]) -> list[Inert]:
    """The running moments, of a Dict observation in the order in which the network reads it."""
    given, keys = file.wrapper.field("obs_rms"), file.wrapper.field("norm_obs_keys")
    if isinstance(given, Inert) and not blocks and keys is None:
        return [given]
    names = [name for name, _ in blocks]
    if not isinstance(given, dict) or not blocks:
        kinds = ("one vector", "a Dict of observations")
        there, read = kinds if isinstance(given, Inert) else kinds[::-1]
        raise CheckpointError(f"{file.path}: normalises {there}, and the network reads {read}: of another policy")
    absent = [name for name in names if not isinstance(given.get(name), Inert)]
    if absent:
        raise CheckpointError(
            f"{file.path}: normalises {', '.join(map(str, given))} and not {', '.join(absent)}; a Dict of which only a "
            "part is normalised is not supported"
        )
    for name, width in blocks:
        if (size := array_of(given[name].field("mean"), f"{file.path}: {name}").size) != width:
            raise CheckpointError(f"{file.path}: has {size} entries for {name}, of which the network reads {width}")
    return [given[name] for name in names]
