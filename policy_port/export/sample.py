"""The stored sample of a port: what the written file computed, replayed whenever the port is loaded.

Sums of SHA-256 catch every changed byte; the sample catches a runtime that computes something else from the same
bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policy_port.errors import PortError

STEPS, BATCH = 8, 3

TOLERANCE = 1e-5
"""Largest difference of a replay, as a fraction of the sample's largest action. ONNX Runtime gives the same bits on
the same processor; another one sums in another order, which costs about a tenth of this."""

Float32 = NDArray[np.float32]
Runner = Callable[[Float32, NDArray[np.bool_]], Float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """A short rollout with resets."""

    obs: Float32
    """Observations, shape (steps, batch, observation size), target layout."""
    reset: NDArray[np.bool_]
    """Rows whose recurrent state is put to its start before the step, shape (steps, batch); all in the first."""
    actions: Float32
    """Raw actions, shape (steps, batch, action size)."""

    def save(self, path: Path) -> None:
        """Write the sample."""
        np.savez(path, obs=self.obs, reset=self.reset, actions=self.actions)

    @classmethod
    def load(cls, path: Path) -> Sample:
        """Read a sample."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(obs=arrays["obs"], reset=arrays["reset"], actions=arrays["actions"])

    def check(self, run: Runner, where: Path) -> None:
        """Replay the sample.

        Raises:
            PortError: When an action differs by more than `TOLERANCE`, naming the step and the element.
        """
        actions = run(self.obs, self.reset)
        error = np.abs(actions.astype(np.float64) - self.actions)
        allowed = TOLERANCE * max(float(np.abs(self.actions).max()), 1e-3)
        # A NaN is not smaller than anything, so the comparison is written this way round.
        if not bool((error <= allowed).all()):
            step, row, element = np.unravel_index(int(np.nan_to_num(error, nan=np.inf).argmax()), error.shape)
            raise PortError(
                f"{where}: does not compute here what it computed when it was written: action {element} of step "
                f"{step}, row {row} is {actions[step, row, element]}, stored is {self.actions[step, row, element]} "
                f"(allowed difference {allowed:.2g}). Export it again on this machine"
            )


def draw(run: Runner, width: int, seed: int) -> Sample:
    """Run a file on normally distributed observations, with some rows reset on the way.

    Raises:
        PortError: When an action is NaN or infinite.
    """
    rng = np.random.default_rng(seed)
    obs = rng.standard_normal((STEPS, BATCH, width)).astype(np.float32)
    reset = rng.random((STEPS, BATCH)) < 0.25
    reset[0] = True
    actions = run(obs, reset)
    if not np.isfinite(actions).all():
        raise PortError("the exported policy gives NaN or infinite actions for ordinary observations")
    return Sample(obs=obs, reset=reset, actions=actions)


def onnx_runner(path: Path) -> Runner:
    """Run an ONNX port in plain ONNX Runtime on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    states = [node for node in session.get_inputs() if node.name != "obs"]

    def run(obs: Float32, reset: NDArray[np.bool_]) -> Float32:
        memory = {node.name: np.zeros((node.shape[0], obs.shape[1], node.shape[2]), np.float32) for node in states}
        actions = []
        for now, rows in zip(obs, reset, strict=True):
            for state in memory.values():
                state[:, rows] = 0.0
            action, *after = session.run(None, {"obs": now, **memory})
            memory = {name: np.asarray(state) for name, state in zip(memory, after, strict=True)}
            actions.append(np.asarray(action))
        return np.stack(actions)

    return run


def torchscript_runner(path: Path) -> Runner:
    """Run a TorchScript port in plain torch on the CPU."""
    import torch

    from policy_port.export.tracing import torchscript_on_purpose

    with torchscript_on_purpose():
        module = torch.jit.load(str(path), map_location="cpu")

    def run(obs: Float32, reset: NDArray[np.bool_]) -> Float32:
        actions = []
        with torch.inference_mode():
            for step, (now, rows) in enumerate(zip(obs, reset, strict=True)):
                if step:
                    module.reset_rows(torch.from_numpy(rows))
                else:
                    module.reset()
                actions.append(module(torch.from_numpy(now)).numpy())
        return np.stack(actions)

    return run
