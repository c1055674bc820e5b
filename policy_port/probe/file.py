"""A policy file and the contract that it is probed with: a checkpoint and a contract file, or a port folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from policy_port.checkpoints import LoadedPolicy, load_policy
from policy_port.contract import Contract, load_contract
from policy_port.contract.layout import observation_blocks
from policy_port.contract.named_columns import named_columns
from policy_port.errors import ContractError
from policy_port.port.folder import load_port
from policy_port.port.format import MANIFEST


def open_probed(path: Path, contract: Path | None, **options: Any) -> tuple[LoadedPolicy, Contract]:
    """Load what is to be probed.

    Args:
        path: Policy file, or port folder.
        contract: Contract file; None for a port, which holds its own.
        options: Further arguments of `load_policy`.

    Raises:
        ContractError: When a checkpoint has no contract, or a port two.
        CheckpointError: When the file can't be read.
        PortError: When the port is damaged.
    """
    if (path / MANIFEST).is_file():
        port = load_port(path)
        file = port.onnx or port.torchscript
        assert file is not None
        if contract is not None:
            raise ContractError(
                f"--contract {contract}: {path} is a port, which holds its own contract. To hold its network against "
                f"another one, probe the file in it: policy-port inspect {file} --probe --contract {contract}"
            )
        return load_policy(file, **options), port.contract
    if contract is None:
        raise ContractError(
            f"{path}: --probe holds a network against its contract, and this is no port, which would hold one; add "
            "--contract contract.yaml (`policy-port contract import` makes one of a descriptor)"
        )
    stated = load_contract(contract)
    return load_policy(path, **options | told_by(stated, options.get("width"))), stated


def told_by(contract: Contract, width: int | None) -> dict[str, Any]:
    """What a contract tells `load_policy` of its file; a stated width goes before the contract's."""
    return {
        "image_sizes": {image.name: (image.height, image.width) for image in contract.images},
        "terms": observation_blocks(contract),
        "names": named_columns(contract),
        "width": width or contract.observation_size,
    }
