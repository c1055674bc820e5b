"""The stored sample of a port: what the written file computed, replayed whenever the port is loaded.

Sums of SHA-256 catch every changed byte; the sample catches a runtime that computes something else from the same
bytes.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Float32, Pixels
from policy_port.errors import PortError, one_line
from policy_port.onnx_session import open_session
from policy_port.port.format import ACTIONS, OBSERVATION, SAMPLE_IMAGE, SAMPLE_RESET, TORCHSCRIPT
from policy_port.trace import DAMAGE, read_array

MOST_ARRAYS = 64
"""Arrays of a sample at most: three, and one for each image."""

TOLERANCE = 1e-5
"""Largest difference of a replay, as a fraction of the sample's largest action. ONNX Runtime gives the same bits on
the same processor; another one sums in another order, which costs about a tenth of this."""

RunFile = Callable[[Float32, NDArray[np.bool_], Mapping[str, Pixels]], Float32]
"""From observations, resets and images by name to actions."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """A short rollout with resets."""

    obs: Float32
    """Observations, shape (steps, batch, observation size), target layout."""
    reset: NDArray[np.bool_]
    """Rows whose recurrent state is put to its start before the step, shape (steps, batch); all in the first."""
    actions: Float32
    """Raw actions, shape (steps, batch, action size), or (steps, batch, chunk, action size)."""
    images: Mapping[str, Pixels] = field(default_factory=dict)
    """Images by name, shape (steps, batch, *image)."""

    def save(self, path: Path) -> None:
        """Write the sample."""
        images = {f"{SAMPLE_IMAGE}{name}": pixels for name, pixels in self.images.items()}
        arrays: dict[str, Any] = {OBSERVATION: self.obs, SAMPLE_RESET: self.reset, ACTIONS: self.actions, **images}
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: Path, data: bytes | None = None) -> Sample:
        """Read a sample, or its bytes where they were read already.

        Raises:
            PortError: When the file is damaged, or its arrays are no short rollout.
        """
        try:
            file = path if data is None else io.BytesIO(data)
            with zipfile.ZipFile(file) as archive:
                names = [name.removesuffix(".npy") for name in archive.namelist()]
            arrays = {name: read_array(file, name) for name in names[:MOST_ARRAYS]}
            obs, reset, actions = arrays.pop(OBSERVATION), arrays.pop(SAMPLE_RESET), arrays.pop(ACTIONS)
        except DAMAGE as cause:
            raise PortError(f"{path}: is no sample, or is damaged: {one_line(cause)}") from None
        images = {name.removeprefix(SAMPLE_IMAGE): pixels for name, pixels in arrays.items()}
        steps = obs.shape[:2]
        fits = obs.ndim == 3 and actions.ndim in (3, 4) and reset.dtype == np.bool_ and obs.size and actions.size
        if (
            not fits
            or not np.isfinite(actions).all()
            or any(array.shape[:2] != steps for array in (reset, actions, *images.values()))
        ):
            shapes = {OBSERVATION: obs.shape, SAMPLE_RESET: reset.shape, ACTIONS: actions.shape}
            raise PortError(f"{path}: its arrays are no rollout of finite numbers: {shapes}; export it again")
        return cls(obs=obs, reset=reset, actions=actions, images=images)

    def check(self, run: RunFile, where: Path) -> None:
        """Replay the sample.

        Raises:
            PortError: When an action differs by more than `TOLERANCE`, naming the step and the element.
        """
        try:
            actions = run(self.obs, self.reset, self.images)
        except Exception as cause:
            # ONNX Runtime and torch raise classes of their own that share no base but Exception.
            raise PortError(f"{where}: can't run on the port's own sample: {one_line(cause)}") from None
        if actions.shape != self.actions.shape:
            raise PortError(f"{where}: answers with the shape {actions.shape}, the sample holds {self.actions.shape}")
        error = np.abs(actions.astype(np.float64) - self.actions)
        allowed = TOLERANCE * max(float(np.abs(self.actions).max()), 1e-3)
        # A NaN is not smaller than anything, so the comparison is written this way round.
        if not bool((error <= allowed).all()):
            step, row, *at = (int(i) for i in np.unravel_index(np.nan_to_num(error, nan=np.inf).argmax(), error.shape))
            place = (step, row, *at)
            raise PortError(
                f"{where}: does not compute here what it computed when it was written: action {at[-1]} of step "
                f"{step}, row {row} is {actions[place]}, stored is {self.actions[place]} "
                f"(allowed difference {allowed:.2g}). Export it again on this machine"
            )


def run_file(path: Path, data: bytes | None = None) -> RunFile:
    """Open a port's ONNX file in plain ONNX Runtime on one thread, its TorchScript file in plain torch on the CPU.

    Args:
        path: The file; its name tells the format.
        data: Its bytes where they were read already, which then are what runs.

    Raises:
        PortError: When ONNX Runtime refuses the file.
        CheckpointError: When torch refuses the file, or it is refused unseen; see `open_torchscript`.
    """
    return _run_torchscript(path, data) if path.name == TORCHSCRIPT else _run_onnx(path, data)


def _run_onnx(path: Path, data: bytes | None) -> RunFile:
    session = open_session(path if data is None else data, PortError, f"{path}:")
    states = [node for node in session.get_inputs() if len(node.shape) == 3]

    def run(obs: Float32, reset: NDArray[np.bool_], images: Mapping[str, Pixels]) -> Float32:
        memory = {node.name: np.zeros((node.shape[0], obs.shape[1], node.shape[2]), np.float32) for node in states}
        actions = []
        for step, (now, rows) in enumerate(zip(obs, reset, strict=True)):
            seen = {name: pixels[step] for name, pixels in images.items()}
            for state in memory.values():
                state[:, rows] = 0.0
            action, *after = session.run(None, {OBSERVATION: now, **seen, **memory})
            memory = {name: np.asarray(state) for name, state in zip(memory, after, strict=True)}
            actions.append(np.asarray(action))
        return np.stack(actions)

    return run


def _run_torchscript(path: Path, data: bytes | None) -> RunFile:
    import torch

    from policy_port.port.torchscript import open_torchscript

    module = open_torchscript(path, data)

    def run(obs: Float32, reset: NDArray[np.bool_], images: Mapping[str, Pixels]) -> Float32:
        actions = []
        with torch.inference_mode():
            for step, (now, rows) in enumerate(zip(obs, reset, strict=True)):
                if step:
                    module.reset_rows(torch.from_numpy(rows))
                else:
                    module.reset()
                seen = [torch.from_numpy(pixels[step]) for pixels in images.values()]
                actions.append(module(torch.from_numpy(now), *seen).numpy())
        return np.stack(actions)

    return run
