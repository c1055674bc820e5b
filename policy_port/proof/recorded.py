"""Observations that a simulator or robot recorded, as further inputs for the parity check."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policy_port.contract import Contract
from policy_port.errors import PortError

NAMES = ("observation", "observations", "obs")
"""Names under which a trace or an .npz file may keep them."""


def read_recorded(path: Path | str, contract: Contract) -> NDArray[np.float32]:
    """Read recorded observations of the ported policy's side.

    Args:
        path: A trace, or any .npz or .npy file without pickled objects.
        contract: The port's contract.

    Returns:
        Observations, shape (steps, observation size) or (steps, environments, observation size).

    Raises:
        PortError: When the file holds no such observations, naming what it holds.
    """
    array = _array(Path(path))
    if array.ndim not in (2, 3) or array.shape[-1] != contract.observation_size or not array.size:
        n = contract.observation_size
        raise PortError(
            f"{path}: its observations have shape {array.shape}; recorded observations must be of the side that the "
            f"port is for, (steps, {n}) or (steps, environments, {n}): {contract.widths()}"
        )
    if not np.issubdtype(array.dtype, np.number) or not np.isfinite(array).all():
        raise PortError(f"{path}: its observations hold NaN, infinity or no numbers; record them again")
    return np.ascontiguousarray(array, dtype=np.float32)


def _array(path: Path) -> NDArray[np.generic]:
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            for name in NAMES:
                if name in found:
                    return found[name]
            raise PortError(
                f"{path}: holds no observations under {', '.join(NAMES)}; it holds {', '.join(found.files)}"
            )
    except FileNotFoundError:
        raise PortError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as cause:
        raise PortError(f"{path}: is no trace, .npz or .npy file of numbers ({type(cause).__name__})") from None
