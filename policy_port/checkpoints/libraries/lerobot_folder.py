"""A folder that LeRobot's save_pretrained wrote: its files, its configuration, its pre- and post-processor."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from policy_port.checkpoints.files.safe_load import read_bounded, require_finite
from policy_port.checkpoints.files.safetensors_read import read_safetensors
from policy_port.checkpoints.networks.layers import Normaliser, Rescale
from policy_port.checkpoints.policy import Source
from policy_port.errors import CheckpointError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
PREPROCESSOR = "policy_preprocessor.json"
POSTPROCESSOR = "policy_postprocessor.json"

_MAX_JSON = 4 * 1024**2
_IDLE_STEPS = {"to_batch_processor", "device_processor"}
"""Steps that change no number."""
_QUANTILES = {"MIN_MAX": ("min", "max"), "QUANTILES": ("q01", "q99"), "QUANTILE10": ("q10", "q90")}
"""Statistics that become -1 and 1."""


def read_folder(path: Path) -> Source:
    """Read the files of a policy folder once; processors and their statistics are named by the folder itself."""
    if not (path / CONFIG).is_file():
        raise CheckpointError(
            f"{path}: a folder without {CONFIG}, so not one that LeRobot wrote; give the policy file inside it"
        )
    members = {CONFIG: read_bounded(path / CONFIG, _MAX_JSON)}
    if (path / WEIGHTS).exists():
        members[WEIGHTS] = read_bounded(path / WEIGHTS)
    for name in (PREPROCESSOR, POSTPROCESSOR):
        if (path / name).exists():
            members[name] = read_bounded(path / name, _MAX_JSON)
            for step in _steps(read_json(members[name], path / name), path / name):
                state = step.get("state_file")
                if state is None:
                    continue
                if not isinstance(state, str) or not re.fullmatch(r"\w[\w.-]*\.safetensors", state):
                    raise CheckpointError(f"{path / name}: state_file {state!r} is no file name of this folder")
                members[state] = read_bounded(path / state)
    sums = "".join(f"{hashlib.sha256(content).hexdigest()} {name}\n" for name, content in sorted(members.items()))
    return Source(
        path=path,
        data=b"",
        sha256=hashlib.sha256(sums.encode()).hexdigest(),
        container="lerobot",
        members=members,
        tree={},
    )


def read_json(data: bytes, where: Path | str) -> dict[str, Any]:
    """Parse a JSON object."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where}: not readable as JSON ({type(error).__name__})") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{where}: expected a JSON object, found {type(value).__name__}")
    return value


def _steps(processor: Mapping[str, Any], where: Path) -> list[dict[str, Any]]:
    steps = processor.get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise CheckpointError(f"{where}: has no list of steps")
    return steps


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """The one normalising step of a processor."""

    where: str
    eps: float
    modes: Mapping[str, str]
    """Normalisation by type of feature: STATE, ENV, VISUAL, ACTION."""
    tensors: Mapping[str, Tensor]
    kinds: Mapping[str, str] | None
    """Type of feature by name of each that the step normalises; None where it does not say."""

    @classmethod
    def read(cls, source: Source, file: str, step_name: str) -> Statistics:
        """Read the step called `step_name`; every other step must change nothing."""
        where = source.path / file
        if file not in source.members:
            raise CheckpointError(
                f"{where}: is missing. LeRobot writes the normalisation there since 0.4; migrate an older folder with "
                "LeRobot's migrate_policy_normalization"
            )
        found: Statistics | None = None
        for step in _steps(read_json(source.members[file], where), where):
            name, config = step.get("registry_name", step.get("class")), step.get("config") or {}
            renames = name == "rename_observations_processor" and config.get("rename_map")
            if name == "device_processor" and config.get("float_dtype") not in (None, "float", "float32"):
                raise CheckpointError(f"{where}: computes in {config['float_dtype']!r:.60}; only float32 is supported")
            if name == step_name and found is None:
                state = step.get("state_file")
                tensors = read_safetensors(source.members[state], str(source.path / state)) if state else {}
                require_finite(tensors, f"{source.path}: {state}")
                found = cls(
                    where=str(where),
                    eps=_number(config.get("eps", 1e-8), where),
                    modes={str(kind): str(mode) for kind, mode in (config.get("norm_map") or {}).items()},
                    tensors=tensors,
                    kinds=_kinds(config, where),
                )
            elif renames or (name not in _IDLE_STEPS and name != "rename_observations_processor"):
                what = f"renames {renames}" if renames else f"has the step {name}"
                raise CheckpointError(f"{where}: {what}, which is not supported; nothing of it may be left out")
        if found is None:
            raise CheckpointError(f"{where}: has no step {step_name}")
        return found

    def check(self, stated: object, kinds: Iterable[str]) -> None:
        """Raise when the configuration's normalization_mapping has another normalisation of these types of features."""
        if not isinstance(stated, Mapping):
            return
        for kind in kinds:
            told, own = stated.get(kind, "IDENTITY"), self.modes.get(kind, "IDENTITY")
            if told != own:
                raise CheckpointError(
                    f"{self.where}: normalises {kind} by {own}, and {CONFIG} states {told} (normalization_mapping); "
                    "one of the two is of another run"
                )

    def normaliser(self, key: str, kind: str, shape: tuple[int, ...]) -> tuple[nn.Module, str]:
        """The normaliser of a feature, and its formula."""
        shift, spread, formula = self._affine(key, kind, shape, for_division=True)
        if shift is None or spread is None:
            return nn.Identity(), formula
        return Normaliser(shift, spread, clip=None), formula

    def unnormaliser(self, key: str, kind: str, shape: tuple[int, ...]) -> tuple[nn.Module, str]:
        """The inverse for a feature, and its formula."""
        shift, spread, formula = self._affine(key, kind, shape, for_division=False)
        if shift is None or spread is None:
            return nn.Identity(), formula
        return Rescale(spread, shift), formula

    def _affine(
        self, key: str, kind: str, shape: tuple[int, ...], *, for_division: bool
    ) -> tuple[Tensor | None, Tensor | None, str]:
        """What is subtracted and divided by (or multiplied by and added)."""
        mode = self.modes.get(kind, "IDENTITY")
        if for_division and self.kinds is not None:
            if (own := self.kinds.get(key)) is None:
                return None, None, f"{key} as it is, which the step leaves out"
            if own != kind:
                raise CheckpointError(f"{self.where}: takes {key} for {own}, and {CONFIG} for {kind}")
        if mode == "IDENTITY":
            return None, None, f"{key} as it is"
        if mode == "MEAN_STD":
            mean, deviation = (self._tensor(key, name, shape) for name in ("mean", "std"))
            # LeRobot adds its epsilon where it divides, and not where it multiplies.
            if for_division:
                return mean, deviation + self.eps, f"({key} - mean) / (std + {self.eps:g})"
            return mean, deviation, f"{key} * std + mean"
        if mode not in _QUANTILES:
            raise CheckpointError(f"{self.where}: the normalisation {mode} of {kind} is not supported")
        low, high = (self._tensor(key, name, shape) for name in _QUANTILES[mode])
        span = torch.where(high == low, torch.tensor(self.eps), high - low)
        return low + span / 2, span / 2, f"{key} between {' and '.join(_QUANTILES[mode])} as -1 to 1"

    def _tensor(self, key: str, name: str, shape: tuple[int, ...]) -> Tensor:
        full = f"{key}.{name}"
        if full not in self.tensors:
            raise CheckpointError(f"{self.where}: has no statistic {full}; LeRobot would silently not normalise")
        tensor = self.tensors[full].float()
        wanted = (shape[0], 1, 1) if len(shape) == 3 else shape
        if tensor.numel() != wanted[0]:
            raise CheckpointError(f"{self.where}: {full} has shape {tuple(tensor.shape)} for a feature of {shape}")
        return tensor.reshape(wanted)


def _kinds(config: Mapping[str, Any], where: Path) -> dict[str, str] | None:
    """What a normalising step acts on: its features, or those of them that normalize_observation_keys names."""
    features, only = config.get("features"), config.get("normalize_observation_keys")
    if only is not None and not (isinstance(only, list) and all(isinstance(name, str) for name in only)):
        raise CheckpointError(f"{where}: normalize_observation_keys is {only!r:.60}; expected a list of names")
    if not isinstance(features, Mapping):
        return None
    return {
        str(name): str(entry.get("type") if isinstance(entry, Mapping) else entry)
        for name, entry in features.items()
        if only is None or name in only
    }


def _number(value: object, where: Path) -> float:
    if not isinstance(value, int | float) or not 0.0 <= value < 1.0:
        raise CheckpointError(f"{where}: eps {value!r} is no small number")
    return float(value)
