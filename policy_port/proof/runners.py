"""Everything that computes actions in the parity check, behind one face, and the loop that drives it."""

from __future__ import annotations

import abc
import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from policy_port.checkpoints.actor import Actor
from policy_port.checkpoints.policy import OriginalRunner
from policy_port.errors import CheckpointError, ProofError
from policy_port.onnx_session import open_session
from policy_port.port.format import ACTIONS, OBSERVATION, ONNX, STATE_IN, STATE_OUT, TORCHSCRIPT
from policy_port.port.torchscript import open_torchscript
from policy_port.proof.inputs import Inputs


class Runner(abc.ABC):
    """A network that is stepped, in the state interface of its own format."""

    @abc.abstractmethod
    def start(self, batch: int) -> None:
        """Begin with `batch` fresh rows."""

    @abc.abstractmethod
    def reset_rows(self, mask: NDArray[np.bool_]) -> None:
        """Put the rows that `mask`, shape (batch,), names back to their start."""

    @abc.abstractmethod
    def step(self, obs: NDArray[Any], *images: NDArray[Any]) -> NDArray[Any]:
        """Actions for `obs` of shape (batch, obs_size) and one batch of each image."""


class ActorRunner(Runner):
    """The loaded network in torch eager, in one precision."""

    def __init__(self, actor: Actor, dtype: torch.dtype) -> None:
        self._actor = copy.deepcopy(actor).to(dtype)
        self._dtype = dtype
        self._state: tuple[torch.Tensor, ...] = ()
        self.chunk = actor.chunk

    def start(self, batch: int) -> None:
        """Take the network's initial state."""
        self._state = self._actor.initial_state(batch, dtype=self._dtype)

    def reset_rows(self, mask: NDArray[np.bool_]) -> None:
        """Replace the rows' state by the initial one."""
        chosen = torch.from_numpy(mask).view(1, -1, 1)
        fresh = self._actor.initial_state(len(mask), dtype=self._dtype)
        self._state = tuple(torch.where(chosen, f, s) for f, s in zip(fresh, self._state, strict=True))

    def step(self, obs: NDArray[Any], *images: NDArray[Any]) -> NDArray[Any]:
        """Run the network and keep its new state."""
        with torch.no_grad():
            actions, *state = self._actor(
                torch.from_numpy(obs).to(self._dtype), *map(torch.from_numpy, images), *self._state
            )
        self._state = tuple(state)
        return actions.numpy()


class OnnxRunner(Runner):
    """policy.onnx in ONNX Runtime; the state goes in and out as the graph's inputs and outputs."""

    def __init__(self, path: Path, actor: Actor) -> None:
        """Load the file.

        Args:
            path: The file.
            actor: The network that it should hold, for the names and the start of its state.

        Raises:
            ProofError: When ONNX Runtime refuses the file, or its inputs and outputs are not those of the network.
        """
        self._session = open_session(path, ProofError, f"{path.name} was written but")
        self._initial = actor.initial_state
        images = [image.name for image in actor.images]
        self._inputs = [OBSERVATION, *images, *(f"{name}{STATE_IN}" for name in actor.state_names)]
        self._outputs = [ACTIONS, *(f"{name}{STATE_OUT}" for name in actor.state_names)]
        for kind, wanted, found in (
            ("inputs", self._inputs, self._session.get_inputs()),
            ("outputs", self._outputs, self._session.get_outputs()),
        ):
            names = [value.name for value in found]
            if sorted(names) != sorted(wanted):
                raise ProofError(
                    f"{path.name} has the {kind} {', '.join(names)}; the network needs {', '.join(wanted)}"
                    + (": its recurrent state got lost on the way" if len(names) < len(wanted) else "")
                )
        self._state: list[NDArray[np.float32]] = []

    def start(self, batch: int) -> None:
        """Take the network's initial state."""
        self._state = [tensor.numpy() for tensor in self._initial(batch)]

    def reset_rows(self, mask: NDArray[np.bool_]) -> None:
        """Replace the rows' state by the initial one."""
        fresh = [tensor.numpy() for tensor in self._initial(len(mask))]
        chosen = mask[None, :, None]
        self._state = [np.where(chosen, f, s) for f, s in zip(fresh, self._state, strict=True)]

    def step(self, obs: NDArray[Any], *images: NDArray[Any]) -> NDArray[Any]:
        """Run the graph and keep its new state."""
        feeds = dict(zip(self._inputs, (obs, *images, *self._state), strict=True))
        actions, *self._state = self._session.run(self._outputs, feeds)  # type: ignore[assignment]
        return actions  # type: ignore[return-value]


class TorchScriptRunner(Runner):
    """policy.pt in torch.jit; the state lives in the module's buffers."""

    def __init__(self, path: Path, actor: Actor) -> None:
        """Load the file.

        Args:
            path: The file.
            actor: The network that it should hold.

        Raises:
            ProofError: When torch refuses the file, or a recurrent one has no `reset` or `reset_rows`.
        """
        try:
            self._module = open_torchscript(path)
        except CheckpointError as cause:
            raise ProofError(f"{path.name} was written but torch.jit can't load it: {cause}") from cause
        self._recurrent = bool(actor.state_names)
        methods = self._module._c._method_names()
        absent = [name for name in ("reset", "reset_rows") if name not in methods]
        if self._recurrent and absent:
            raise ProofError(f"{path.name} holds a recurrent network without {' and '.join(absent)}")

    def start(self, batch: int) -> None:
        """Reset every row; forward() sees the new number of rows by itself."""
        if self._recurrent:
            self._module.reset()

    def reset_rows(self, mask: NDArray[np.bool_]) -> None:
        """Call the module's own reset of rows."""
        self._module.reset_rows(torch.from_numpy(mask))

    def step(self, obs: NDArray[Any], *images: NDArray[Any]) -> NDArray[Any]:
        """Run forward()."""
        with torch.no_grad():
            return self._module(torch.from_numpy(obs), *map(torch.from_numpy, images)).numpy()


class FileRunner(Runner):
    """The policy file in its own runtime, which can only reset all rows at once."""

    def __init__(self, original: OriginalRunner) -> None:
        self._original = original

    def start(self, batch: int) -> None:
        """Reset every row."""
        self._original.reset()

    def reset_rows(self, mask: NDArray[np.bool_]) -> None:
        """Reset every row, which `mask` must name."""
        if not mask.all():
            raise ValueError("the original's runtime resets all rows together")
        self._original.reset()

    def step(self, obs: NDArray[Any], *images: NDArray[Any]) -> NDArray[Any]:
        """Run the file."""
        return self._original.step(obs, *images)


def load_exports(folder: Path, actor: Actor) -> dict[str, Runner]:
    """A runner for each export file in `folder`, by file name, each loaded from disk."""
    kinds = {ONNX: OnnxRunner, TORCHSCRIPT: TorchScriptRunner}
    return {file: kind(folder / file, actor) for file, kind in kinds.items() if (folder / file).exists()}


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread: layers of a policy are too small to share, and waiting costs far more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def drive(runner: Runner, inputs: Inputs, *, recurrent: bool) -> NDArray[np.float64]:
    """Step `runner` through sequences from a fresh start.

    Args:
        runner: What computes the actions.
        inputs: The sequences.
        recurrent: False when there is no state to reset.

    Returns:
        Actions, shape (steps, batch, action_size); the actions of a chunk stand as further steps.
    """
    runner.start(inputs.obs.shape[1])
    outputs = []
    for step, row in enumerate(inputs.obs):
        if recurrent and step and inputs.resets[step].any():
            runner.reset_rows(inputs.resets[step])
        outputs.append(runner.step(row, *(image[step] for image in inputs.images)))
    actions = np.stack(outputs).astype(np.float64)
    if actions.ndim == 4:
        actions = np.moveaxis(actions, 2, 1).reshape(-1, actions.shape[1], actions.shape[3])
    return actions


def run_all(runner: ActorRunner, inputs: Inputs, *, recurrent: bool) -> NDArray[np.float64]:
    """As `drive`, where nobody asks about batches: of a network without state all steps are rows of one."""
    steps, batch = inputs.obs.shape[:2]
    if recurrent or inputs.images or runner.chunk is not None:
        return drive(runner, inputs, recurrent=recurrent)
    rows = Inputs(obs=inputs.obs.reshape(1, steps * batch, -1), images=(), resets=inputs.resets.reshape(1, -1))
    return drive(runner, rows, recurrent=False).reshape(steps, batch, -1)
