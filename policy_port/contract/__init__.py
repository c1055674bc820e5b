"""The contract of a policy and the mapping between two parsings: frozen data and its YAML.

The names below are loaded on first use: a camera's view and an emulated arm need no more than the reader of YAML.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from policy_port.contract.mapping import RobotMapping, load_mapping
    from policy_port.contract.spec import Contract, load_contract

__all__ = ["Contract", "RobotMapping", "load_contract", "load_mapping"]
_MODULE_OF = {"Contract": "spec", "RobotMapping": "mapping", "load_contract": "spec", "load_mapping": "mapping"}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"policy_port.contract.{_MODULE_OF[name]}"), name)
