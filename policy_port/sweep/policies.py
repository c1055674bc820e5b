"""Which policy files a sweep takes: by pattern, in the order of their training."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from policy_port.errors import CheckpointError, SuiteError

_WORDS = ("iterations?", "iters?", "it", "(?:global_)?steps?", "timesteps?", "epochs?", "ep")
_BEFORE = tuple(re.compile(rf"(?<![a-z]){word}[_=.-]?(\d+)(?![0-9a-z])", re.IGNORECASE) for word in _WORDS)
_BEHIND = tuple(re.compile(rf"(?<![\d.])(\d+)[_-]?{word}(?![a-z])", re.IGNORECASE) for word in _WORDS)
_KIND = re.compile(r"(?<![a-z])(?:model|agent|checkpoint|ckpt|policy|actor)[_=-]?(\d+)(?![0-9a-z])", re.IGNORECASE)
_COUNTERS = ("iter", "iteration", "global_step", "num_timesteps", "timesteps", "step", "steps", "epoch", "frame")
"""What libraries call the counter that they store beside the network."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A policy file."""

    file: str
    """Its path, from the sweep's folder."""
    label: str
    """The shortest path that tells the sweep's policies apart."""
    run: str
    """Folder of the label: the training that it comes from."""
    iteration: int | None
    """How far its training had come, in the unit that its library counts in; None where nothing says."""


def find_policies(folder: Path, patterns: Sequence[str], exclude: Sequence[str], where: str) -> tuple[Policy, ...]:
    """The files that patterns name, by folder and then by iteration.

    Args:
        folder: What the patterns start from.
        patterns: Paths in which `*`, `?`, `[...]` and `**` stand for anything.
        exclude: Patterns of files that are left out.
        where: The sweep's file, for the messages.

    Raises:
        SuiteError: When a pattern finds no file or nothing is left.
    """
    left_out = {path for pattern in exclude for path in _matches(folder, pattern, where)}
    found = {path: None for pattern in patterns for path in _matches(folder, pattern, where) if path not in left_out}
    if not found:
        raise SuiteError(f"{where}: exclude leaves no checkpoint of the {len(left_out)} that there are")
    shared = os.path.commonpath([(folder / path).parent for path in found])
    return tuple(sorted((_policy(folder, path, os.path.relpath(folder / path, shared)) for path in found), key=_order))


def iteration_in(path: str) -> int | None:
    """How far the training had come, as a file's name or that of its folder tells; None where it does not."""
    names = Path(path).parts[-3:]
    for name in reversed(names):
        stem = re.sub(r"\.[a-z]+\d*$", "", name, flags=re.IGNORECASE)
        for pattern in (*_BEFORE, *_BEHIND, _KIND):
            if numbers := pattern.findall(stem):
                return int(numbers[-1])
        # Folders such as LeRobot's 005000 and Brax's 000151552000; a plain 3 is more likely the third run.
        if stem.isdigit() and (name == names[-1] or len(stem) >= 5):
            return int(stem)
    return None


def _policy(folder: Path, path: str, label: str) -> Policy:
    iteration = iteration_in(path)
    iteration = _stored_iteration(folder / path) if iteration is None else iteration
    return Policy(file=path, label=label, run=os.path.dirname(label), iteration=iteration)


def _stored_iteration(path: Path) -> int | None:
    """The counter inside a checkpoint; None where there is none, or the file can't be read, which its cases tell."""
    from policy_port.checkpoints.files.safe_load import read_source

    try:
        source = read_source(path)
        held = json.loads(source.members["data"]) if source.container == "sb3" else source.tree
    except (CheckpointError, ValueError, KeyError):
        return None
    values = (held.get(name) for name in _COUNTERS)
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool)), None)


def _matches(folder: Path, pattern: str, where: str) -> list[str]:
    if (folder / pattern).is_file():
        return [os.path.normpath(pattern)]
    found = [path for path in glob.glob(pattern, root_dir=folder, recursive=True) if (folder / path).is_file()]
    if not found:
        what = "is a folder; a pattern names files" if (folder / pattern).is_dir() else "finds no file"
        raise SuiteError(f"{where}: '{pattern}' {what}; it starts from {folder}")
    return [os.path.normpath(path) for path in found]


def _order(policy: Policy) -> tuple[object, ...]:
    known = policy.iteration is not None
    return natural(policy.run), not known, policy.iteration or 0, natural(policy.label)


def natural(text: str) -> tuple[tuple[bool, int, str], ...]:
    """A key under which model_9 comes before model_10."""
    parts = re.split(r"(\d+)", text)
    return tuple((part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts if part)
