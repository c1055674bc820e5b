"""Whether a trainer's configuration beside a checkpoint says that observations were normalised."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from policy_port.checkpoints.files.agent_config import read_agent_config
from policy_port.errors import CheckpointError
from policy_port.plain_yaml import PlainYaml, read_text

_MAX_BYTES = 1024 * 1024
ZOO_FILES = ("config.yml", "args.yml")
"""What RL Zoo writes into the folder of an environment, beside vecnormalize.pkl."""


def normalises(files: Iterable[Path]) -> tuple[Path, bool] | None:
    """The first of these files that says whether observations were normalised, and what it says."""
    for path in files:
        if path.is_file():
            values = _zoo(path) if path.name in ZOO_FILES else read_agent_config(path).values
            said = next((_said(values[key]) for key in ("normalize_input", "normalize") if key in values), None)
            if said is None and "VecNormalize" in str(values.get("vec_env_wrapper")):
                said = True
            if said is not None:
                return path, said
    return None


def _zoo(path: Path) -> dict[str, object]:
    """The values of RL Zoo's file: a table, or one that YAML writes as a list of pairs under Python's OrderedDict."""
    text = read_text(path, CheckpointError, what="a configuration of RL Zoo", max_bytes=_MAX_BYTES)
    values = PlainYaml(text, path, CheckpointError, any_tag=lambda node, value: value, strict=False).data
    return dict(_pairs(values))


def _pairs(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        yield from ((str(key), inner) for key, inner in value.items())
    elif isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
        yield value[0], value[1]
    elif isinstance(value, list):
        for item in value:
            yield from _pairs(item)


def _said(value: object) -> bool | None:
    """What a value of `normalize` means; RL Zoo also writes VecNormalize's arguments there, as text."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, dict):
        return value.get("norm_obs", True) is not False
    told = re.search(r"norm_obs\W+(True|False)", str(value))
    return (told[1] if told else str(value)).lower() not in ("false", "", "none")
