"""How far each joint went in a LeRobot policy's data set, from the statistics of its pre-processor."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from policy_port.descriptors.record import Record
from policy_port.errors import ContractError

PREPROCESSOR = "policy_preprocessor.json"
STEP = "normalizer_processor"
"""Step of the pre-processor that keeps the statistics."""
KEYS = ("observation.state", "action")
"""Features that are positions of the joints."""


@dataclass(frozen=True, kw_only=True)
class JointRanges:
    """Ranges in the data set's own units, in its joint order."""

    lower: list[float]
    """Least position, rounded down to a thousandth."""
    upper: list[float]
    """Greatest position, rounded up to a thousandth."""
    source: str
    """Name of the file."""


def joint_ranges(folder: Path, joints: int) -> JointRanges | None:
    """Read the ranges; None where the folder has none for every joint.

    Raises:
        ContractError: When the statistics are of another number of joints, or a joint's range is none.
        CheckpointError: When a file is damaged.
    """
    if not (folder / PREPROCESSOR).is_file():
        return None
    for step in Record.read(folder / PREPROCESSOR).sections("steps"):
        if not step.has("registry_name") or step.text("registry_name") != STEP or not step.has("state_file"):
            continue
        name = step.text("state_file")
        if not re.fullmatch(r"\w[\w.-]*\.safetensors", name):
            raise step.error("state_file", f"is '{name}', no file name of this folder")
        return _of_file(folder / name, joints)
    return None


def _of_file(path: Path, joints: int) -> JointRanges | None:
    from policy_port.checkpoints.files.safe_load import read_bounded
    from policy_port.checkpoints.files.safetensors_read import read_safetensors

    tensors = read_safetensors(read_bounded(path), str(path))
    found = {end: [tensors.get(f"{key}.{end}") for key in KEYS] for end in ("min", "max")}
    rows = {end: [tensor.flatten().tolist() for tensor in each if tensor is not None] for end, each in found.items()}
    if any(len(each) != len(KEYS) for each in rows.values()):
        return None
    for end, each in rows.items():
        if any(len(row) != joints or not all(map(math.isfinite, row)) for row in each):
            raise ContractError(
                f"{path}: its {end} of {' and '.join(KEYS)} is not a finite number for each of {joints} joints"
            )
    lower = [math.floor(1e3 * min(each)) / 1e3 for each in zip(*rows["min"], strict=True)]
    upper = [math.ceil(1e3 * max(each)) / 1e3 for each in zip(*rows["max"], strict=True)]
    # A joint that never moved has no range, and a contract no limits for it.
    return JointRanges(lower=lower, upper=upper, source=path.name) if all(map(float.__lt__, lower, upper)) else None
