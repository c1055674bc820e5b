"""The trainer's configuration beside a checkpoint, read without constructing anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from policy_port.errors import CheckpointError

_MAX_BYTES = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """A parsed agent.yaml."""

    path: Path
    values: dict[str, object]

    def section(self, *names: str) -> dict[str, object]:
        """A nested mapping, or an empty one when any part of the way is missing or not a mapping.

        Isaac Lab writes an unset field as `{}`, so a key that is present may still say nothing.
        """
        node: object = self.values
        for name in names:
            if not isinstance(node, dict):
                return {}
            node = node.get(name)
        return node if isinstance(node, dict) else {}


class _InertLoader(yaml.SafeLoader):
    """Reads Python's YAML tags as the plain values under them."""


def _construct_inert(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> object:
    """The list, mapping or text under a `!!python/...` tag; the named object is never looked up."""
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    scalar = loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else ""
    return scalar or suffix


_InertLoader.add_multi_constructor("tag:yaml.org,2002:python/", _construct_inert)


def find_agent_config(checkpoint: Path, given: Path | None) -> AgentConfig | None:
    """Read the given agent.yaml, or the one that the trainer left beside the checkpoint; None where there is none."""
    if given is not None:
        return read_agent_config(given)
    folder = checkpoint.parent
    # skrl and rl_games put checkpoints one folder below the run, next to params.
    for candidate in (folder / "params/agent.yaml", folder / "agent.yaml", folder.parent / "params/agent.yaml"):
        if candidate.is_file():
            return read_agent_config(candidate)
    return None


def read_agent_config(path: Path) -> AgentConfig:
    """Read an agent.yaml."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise CheckpointError(f"{path}: larger than {_MAX_BYTES} bytes; this is not an agent configuration")
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_InertLoader)
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({error.strerror or type(error).__name__})") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: not readable as YAML ({error})") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected a mapping at the top, found {type(values).__name__}")
    return AgentConfig(path=path, values=values)
