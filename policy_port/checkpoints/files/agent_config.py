"""The trainer's configuration beside a checkpoint, read without constructing anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from policy_port.errors import CheckpointError
from policy_port.plain_yaml import PlainYaml, read_text

_MAX_BYTES = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """A parsed agent.yaml."""

    path: Path | None
    """The file; None where there is none, and then nothing is stated."""
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


def _inert(node: yaml.Node, value: Any) -> Any:
    """The list, mapping or text under a `!!python/...` tag; the named object is never looked up."""
    return value or node.tag.rpartition("/")[2]


def find_agent_config(checkpoint: Path, given: Path | None) -> AgentConfig:
    """Read the given agent.yaml, or the one that the trainer left beside the checkpoint; empty where there is none."""
    if given is not None:
        return read_agent_config(given)
    folder = checkpoint.parent
    # skrl and rl_games put checkpoints one folder below the run, next to params.
    for candidate in (folder / "params/agent.yaml", folder / "agent.yaml", folder.parent / "params/agent.yaml"):
        if candidate.is_file():
            return read_agent_config(candidate)
    return AgentConfig(path=None, values={})


def read_agent_config(path: Path) -> AgentConfig:
    """Read an agent.yaml."""
    text = read_text(path, CheckpointError, what="an agent configuration", max_bytes=_MAX_BYTES)
    values = PlainYaml(text, path, CheckpointError, any_tag=_inert, strict=False).data
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected a mapping at the top, found {type(values).__name__}")
    return AgentConfig(path=path, values=values)
