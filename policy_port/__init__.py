"""Carry a trained robot policy from one simulator or robot to another, and prove that it arrived unchanged.

The names below are loaded on first use, so that `import policy_port` costs nothing and heavy libraries are
imported only by the call that needs them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from policy_port.checkpoints.load import inspect_file, load_policy
    from policy_port.contract import Contract, RobotMapping, load_contract, load_mapping
    from policy_port.control.controller import Controller
    from policy_port.errors import PolicyPortError
    from policy_port.export.write import write_port
    from policy_port.port.folder import Port, load_port
    from policy_port.port.pilot import Pilot
    from policy_port.port.runtime import OnnxPolicy
    from policy_port.remap import Remap, build_remap, identity_remap

__version__ = "0.1.0"

_MODULE_OF: dict[str, str] = {
    "Contract": "policy_port.contract",
    "Controller": "policy_port.control.controller",
    "RobotMapping": "policy_port.contract",
    "OnnxPolicy": "policy_port.port.runtime",
    "Pilot": "policy_port.port.pilot",
    "PolicyPortError": "policy_port.errors",
    "Port": "policy_port.port.folder",
    "Remap": "policy_port.remap",
    "build_remap": "policy_port.remap",
    "identity_remap": "policy_port.remap",
    "inspect_file": "policy_port.checkpoints.load",
    "load_contract": "policy_port.contract",
    "load_mapping": "policy_port.contract",
    "load_policy": "policy_port.checkpoints.load",
    "load_port": "policy_port.port.folder",
    "write_port": "policy_port.export.write",
}
"""Exported name -> the module that defines it. Type checkers read the imports above instead."""

__all__ = [
    "Contract",
    "Controller",
    "OnnxPolicy",
    "Pilot",
    "PolicyPortError",
    "Port",
    "Remap",
    "RobotMapping",
    "__version__",
    "build_remap",
    "identity_remap",
    "inspect_file",
    "load_contract",
    "load_mapping",
    "load_policy",
    "load_port",
    "write_port",
]


def __getattr__(name: str) -> Any:
    """Import an exported name from its module on first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
