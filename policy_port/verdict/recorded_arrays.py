"""The arrays of a trace as a verdict reads them: shapes held against each other, nothing missing, nothing NaN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.contract.actions import TARGETS
from policy_port.errors import EvidenceError

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

VECTORS = {"base_pos": 3, "base_quat": 4, "base_lin_vel": 3, "base_ang_vel": 3, "command": 3}
"""Width of the arrays whose width no contract decides."""

JOINT_ARRAYS = ("joint_pos", "joint_vel", *TARGETS.values())
"""Arrays with a column per joint."""

COM = "base_com"
"""Where the centre of mass of the base link is [m], in that link's frame."""

POSITIONS = ("site_pos_", "sensor_pos_")
"""What names of arrays begin with that say where a site is, or a sensor is mounted, in the base link's frame [m]."""

ORIENTATIONS = ("site_quat_", "sensor_quat_")
"""The same of its axes, a quaternion in the order of base_quat: from them to the base link's."""


def rows_of(path: Path, observation: NDArray[Any]) -> tuple[int, int]:
    """Steps and environments of a trace, by its observation.

    Raises:
        EvidenceError: When it has another number of dimensions.
    """
    if observation.ndim not in (2, 3):
        raise EvidenceError(
            f"{path}: observation has shape {observation.shape}; it must be (steps, numbers) or (steps, environments, "
            "numbers)"
        )
    return observation.shape[0], 1 if observation.ndim == 2 else observation.shape[1]


def state_array(path: Path, name: str, array: NDArray[Any], rows: tuple[int, int], joints: int) -> Values:
    """An array of numbers per step and environment, shape (steps, environments, numbers).

    Raises:
        EvidenceError: When it has other rows or another width, or holds NaN.
    """
    shape = array.shape
    if array.ndim == 2 and rows[1] == 1:
        array = array[:, None, :]
    if array.ndim != 3 or array.shape[:2] != rows:
        raise EvidenceError(
            f"{path}: {name} has shape {shape}, observation has {rows[0]} steps of {rows[1]} environments; every "
            "array needs the same"
        )
    width = VECTORS.get(name, joints if name in JOINT_ARRAYS else array.shape[2])
    if array.shape[2] != width:
        raise EvidenceError(f"{path}: {name} has {array.shape[2]} columns, {width} are needed")
    return _finite(path, name, array)


def is_place(name: str) -> bool:
    """Whether an array says where something is on the base."""
    return name == COM or name.startswith((*POSITIONS, *ORIENTATIONS))


def place_array(path: Path, name: str, array: NDArray[Any], rows: tuple[int, int]) -> Values:
    """Where something is on the base, the same for all rows or not; shape (steps, environments, 3), 4 for axes.

    Raises:
        EvidenceError: When it has another shape, or holds NaN.
    """
    width = 4 if name.startswith(ORIENTATIONS) else 3
    steps, envs = rows
    given, array = array.shape, array[:, None, :] if array.shape == (steps, width) else array
    if array.shape not in ((width,), (steps, 1, width), (1, envs, width), (steps, envs, width)):
        raise EvidenceError(
            f"{path}: {name} has shape {given}; give ({width},), ({steps}, {width}) for all environments alike, or "
            f"({steps}, {envs}, {width})"
        )
    return _finite(path, name, np.broadcast_to(array, (steps, envs, width)))


def _finite(path: Path, name: str, array: NDArray[Any]) -> Values:
    values = array.astype(np.float64)
    if not np.isfinite(values).all():
        step, env, column = (int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise EvidenceError(
            f"{path}: {name}[{column}] is {values[step, env, column]} at step {step} of environment {env}; the "
            "recording is broken from there on. Record again, or cut the trace before that step"
        )
    return values


def row_numbers(path: Path, name: str, loaded: dict[str, NDArray[Any]], rows: tuple[int, int]) -> Values | None:
    """An array of one number per row, or None."""
    if name not in loaded:
        return None
    values = loaded[name].astype(np.float64).reshape(loaded[name].shape[0], -1)
    if values.shape[0] != rows[0] or values.shape[1] not in (1, rows[1]) or not np.isfinite(values).all():
        raise EvidenceError(
            f"{path}: {name} has shape {loaded[name].shape} or holds NaN; one finite number per step and environment "
            f"is needed, {rows}"
        )
    return np.broadcast_to(values, rows).copy()
