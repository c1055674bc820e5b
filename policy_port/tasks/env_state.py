"""What the state of a ManiSkill environment is made of: its parts in the order in which ManiSkill lays them flat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from policy_port.arrays import Array

SENSED = ("sensor_data", "sensor_param")
"""Parts of an observation that are no numbers of the state."""


def entries(node: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Array]]:
    """Path and numbers of environment 0 of each part of an unflattened observation, depth first."""
    for key, value in node.items():
        path = f"{where}.{key}".lstrip(".")
        if path in SENSED:
            continue
        if isinstance(value, dict):
            yield from entries(value, path)
        else:
            yield path, np.asarray(value[0].cpu(), dtype=np.float64).reshape(-1)


def labels(paths: list[str]) -> list[str]:
    """What a contract calls each part: the end of its path, or all of it where two parts end alike."""
    leaves = [path.rpartition(".")[2] for path in paths]
    return [
        leaf if leaves.count(leaf) == 1 else path.replace(".", "_") for path, leaf in zip(paths, leaves, strict=True)
    ]
