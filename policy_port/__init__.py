"""Carry a trained robot policy from one simulator or robot to another, and prove that it arrived unchanged.

The names below are loaded on first use, so that `import policy_port` costs nothing and heavy libraries are
imported only by the call that needs them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from policy_port.errors import PolicyPortError

__version__ = "0.1.0"

_MODULE_OF: dict[str, str] = {
    "PolicyPortError": "policy_port.errors",
}
"""Exported name -> the module that defines it. Type checkers read the imports above instead."""

__all__ = ["PolicyPortError", "__version__"]


def __getattr__(name: str) -> Any:
    """Import an exported name from its module on first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
