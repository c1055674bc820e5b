"""Real robots: their drivers, and the emulated arm that stands in for one."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from policy_port.robots.maniskill.agent import LeRobotRealAgent
    from policy_port.robots.maniskill.env import RealEnv

_MODULE_OF: dict[str, str] = {
    "LeRobotRealAgent": "policy_port.robots.maniskill.agent",
    "RealEnv": "policy_port.robots.maniskill.env",
}
"""Exported name -> the module that defines it; loaded on first use, because they need ManiSkill."""

__all__ = ["LeRobotRealAgent", "RealEnv"]


def __getattr__(name: str) -> Any:
    """Import an exported name from its module on first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)
