"""A pipeline of LEAPP around a policy's ONNX file: the contract's arithmetic as models that any of its runners runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from policy_port.contract import Contract
from policy_port.descriptors.leapp_bundle import bundle
from policy_port.descriptors.outwards.given import Given
from policy_port.errors import ContractError

KIND = "leapp"
MAIN = ("leapp.yaml",)
WHAT = "a bundle of LEAPP"
READS = frozenset({"policy"})
WHOLE = True
"""The file holds the contract as it is; nothing is left to rest.yaml."""


def files(contract: Contract, given: Given) -> dict[str, Any]:
    """The YAML and three models."""
    if given.policy is None:
        raise ContractError(
            "--to leapp: the network is one of its models; give a port's folder in place of the contract, or the "
            "port's ONNX file with --policy port/policy.onnx"
        )
    return bundle(contract, given.policy)


def options(contract: Contract, folder: Path) -> dict[str, Any]:
    """The file says all."""
    return {}
