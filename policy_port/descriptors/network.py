"""The widths of a policy file, to hold a contract against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from policy_port.checkpoints.files.networks_yaml import is_wiring
from policy_port.checkpoints.wiring import Names
from policy_port.contract import Contract
from policy_port.contract.named_columns import named_columns
from policy_port.contract.spec import check_network_width
from policy_port.errors import CheckpointError, ContractError

# Activation and statistics change no width; a checkpoint without what lies beside it does not say them.
_UNSAID: dict[str, Any] = {"activation": "elu", "statistics": "none"}
_ELSEWHERE = (
    ". There are no such options here; leave --policy out: `policy-port export` takes them, and holds the widths "
    "against the contract too"
)
"""What to do where a loader asks for an option of its own."""


def network_widths(path: Path, expected: int | None = None, names: Names | None = None) -> tuple[int, int]:
    """Width of the observation and of the action that the network in `path` has.

    Args:
        path: The policy file.
        expected: Width of the observation, taken where the file fits several.
        names: The contract's `named_columns`, where there is one.

    Raises:
        CheckpointError: When the file is no policy that can be read.
    """
    if path.suffix.lower() == ".onnx":
        from policy_port.descriptors.onnx_file import OnnxMetadata

        widths = OnnxMetadata(path).widths()
        if widths is not None:
            return widths
    from policy_port.checkpoints.load import load_policy

    try:
        actor = load_policy(path, **_UNSAID if not is_wiring(path) else {}, width=expected, names=names).actor
    except CheckpointError as cause:
        raise type(cause)(f"{cause}{_ELSEWHERE if ' --' in str(cause) else ''}") from None
    return actor.obs_size, actor.action_size


def check_width(contract: Contract, path: Path, hint: str = "") -> None:
    """Hold the contract's widths against the network's.

    Args:
        contract: The contract.
        path: The policy file.
        hint: What may explain a difference.

    Raises:
        ContractError: Naming both widths, what is missing or too much, and the terms.
    """
    read, written = network_widths(path, contract.observation_size, named_columns(contract))
    off = read - contract.observation_size
    if off and written == contract.action_size:
        what = f"{off} numbers are missing" if off > 0 else f"{-off} numbers are too many"
        raise ContractError(
            f"{path}: the network reads {read} numbers, the contract describes {contract.observation_size}, so {what}: "
            f"{contract.widths()}. {hint or 'Add, drop or resize a term'}"
        )
    check_network_width(contract, read, written, policy=str(path))
