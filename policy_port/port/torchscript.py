"""TorchScript: a format that ports are written in on purpose, and read with as much care as a stranger's file."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from policy_port.checkpoints.files.safe_load import read_source, source_of
from policy_port.checkpoints.torchscript.file import open_module

_WRITTEN_ONLY = frozenset({"aten::arange", "aten::floor_divide", "aten::unsafe_chunk"})
"""What this program writes and does not read back as a policy: LeRobot's ACT numbers the places of a picture, and a
trace of an LSTM's cell cuts its gates apart. None of them reaches anything but numbers."""


@contextlib.contextmanager
def torchscript_on_purpose() -> Iterator[None]:
    """Silence torch's advice to move from TorchScript to its compiler: TorchScript files are what robots load."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.\w+` is deprecated", category=DeprecationWarning)
        yield


def open_torchscript(path: Path, data: bytes | None = None) -> Any:
    """Load a port's TorchScript file on the CPU, after the checks that any policy file goes through.

    Args:
        path: The file.
        data: Its bytes where they were read already; the file is not looked at again.

    Raises:
        UnsafeFileError: When it holds an operator that no network has need of, such as one that writes files.
        CheckpointError: When it is damaged.
    """
    with torchscript_on_purpose():
        return open_module(read_source(path) if data is None else source_of(path, data), _WRITTEN_ONLY)[0]
