# MuJoCo's structures and functions live in a compiled module without stubs, so that each use would be reported.
from typing import Any

def __getattr__(name: str) -> Any: ...
