"""TorchScript: a format that ports are written in on purpose."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def torchscript_on_purpose() -> Iterator[None]:
    """Silence torch's advice to move from TorchScript to its compiler: TorchScript files are what robots load."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.\w+` is deprecated", category=DeprecationWarning)
        yield
