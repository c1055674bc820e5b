"""TorchScript networks of rows and, where they remember, of an LSTM's state: called with numbers, as in a simulator."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from policy_port.checkpoints.files.safe_load import source_of
from policy_port.checkpoints.torchscript.file import open_module
from policy_port.errors import CheckpointError

Numbers = NDArray[np.float32]
RowsFunction = Callable[[Numbers, tuple[Numbers, ...]], tuple[Numbers, tuple[Numbers, ...]]]
"""From rows and a state to the output and the next state; the state of a network that remembers nothing is empty."""


def open_rows(path: Path, data: bytes) -> RowsFunction:
    """Load a network after the checks that any policy file goes through.

    Args:
        path: Where the file lay, for messages.
        data: Its bytes.

    Raises:
        UnsafeFileError: When it holds an operator that no network has need of.
        CheckpointError: When it is damaged, and by the function when it takes other inputs.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.\w+` is deprecated", category=DeprecationWarning)
        module, *_ = open_module(source_of(path, data))

    # Not among what torch.jit exports to type checkers; without it each new shape is compiled anew.
    jit: Any = torch.jit

    def call(rows: Numbers, state: tuple[Numbers, ...]) -> tuple[Numbers, tuple[Numbers, ...]]:
        given = [torch.from_numpy(np.ascontiguousarray(part)) for part in (rows, *state)]
        threads = torch.get_num_threads()
        # A joint's network is too small to share: waiting for other threads costs far more than it gains.
        torch.set_num_threads(1)
        try:
            with torch.no_grad(), jit.optimized_execution(False):
                found: Any = module(given[0], tuple(given[1:])) if state else module(given[0])
        except RuntimeError as cause:
            reason = [line for line in str(cause).strip().splitlines() if line.strip()]
            raise CheckpointError(
                f"{path}: can't be run with shapes {[tuple(part.shape) for part in given]}: {reason[-1]}"
            ) from None
        finally:
            torch.set_num_threads(threads)
        output, after = found if isinstance(found, tuple) else (found, ())
        return output.numpy(), tuple(part.numpy() for part in after)

    return call
