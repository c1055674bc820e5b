"""Several networks as one: each reads columns of the observation and what others write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policy_port.checkpoints.actor import Actor
from policy_port.checkpoints.policy import OriginalRunner

OBSERVED = -1
"""In place of a part's number: the flat observation."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """A piece of what a part reads."""

    source: int
    """Number of the part that writes it, or `OBSERVED`."""
    columns: tuple[int, ...]
    """Which numbers of that, in order."""


@dataclass(frozen=True, kw_only=True)
class Wired:
    """A part in its place."""

    name: str
    actor: Actor
    reads: tuple[Columns, ...]
    original: Callable[[], OriginalRunner] | None
    """Starts its file in its own runtime."""


class SeveralActor(Actor):
    """Runs its parts one after the other; the last one's output is the action."""

    def __init__(self, parts: Sequence[Wired], obs_size: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(part.actor for part in parts)
        self.obs_size = obs_size
        self.action_size = parts[-1].actor.action_size
        alone = len(parts) == 1
        self.images = tuple(image for part in parts for image in part.actor.images)
        self.state_names = tuple(
            name if alone else f"{part.name}_{name}" for part in parts for name in part.actor.state_names
        )
        self.state_shapes = tuple(shape for part in parts for shape in part.actor.state_shapes)
        self._reads = tuple(part.reads for part in parts)
        for part, reads in enumerate(self._reads):
            for place, piece in enumerate(reads):
                self.register_buffer(f"columns_{part}_{place}", torch.tensor(piece.columns), persistent=False)

    def forward(self, obs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """Run every part."""
        images, states = rest[: len(self.images)], rest[len(self.images) :]
        written: list[Tensor] = []
        kept: list[Tensor] = []
        for number, (part, reads) in enumerate(zip(self.parts, self._reads, strict=True)):
            assert isinstance(part, Actor)
            given = [self._piece(number, place, piece, obs, written) for place, piece in enumerate(reads)]
            own, images = images[: len(part.images)], images[len(part.images) :]
            memory, states = states[: len(part.state_names)], states[len(part.state_names) :]
            output, *after = part(given[0] if len(given) == 1 else torch.cat(given, dim=1), *own, *memory)
            written.append(output)
            kept += after
        return written[-1], *kept

    def _piece(self, part: int, place: int, piece: Columns, obs: Tensor, written: Sequence[Tensor]) -> Tensor:
        whole = obs if piece.source == OBSERVED else written[piece.source]
        first, last = piece.columns[0], piece.columns[-1]
        widths = [self.obs_size, *(actor.action_size for actor in self.parts if isinstance(actor, Actor))]
        if piece.columns == tuple(range(widths[piece.source + 1])):
            return whole
        if piece.columns == tuple(range(first, last + 1)):
            return whole[:, first : last + 1]
        return whole.index_select(1, getattr(self, f"columns_{part}_{place}"))

    def initial_state(
        self, batch: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, ...]:
        """Where each part starts."""
        actors = [part for part in self.parts if isinstance(part, Actor)]
        return tuple(state for actor in actors for state in actor.initial_state(batch, dtype=dtype, device=device))


class PartsApart(OriginalRunner):
    """The parts run apart, each in its own runtime where its file has one, with NumPy between them."""

    def __init__(self, parts: Sequence[Wired]) -> None:
        self._parts = parts
        self._runners = [part.original() if part.original else _Alone(part.actor) for part in parts]

    def reset(self) -> None:
        """Reset every part."""
        for runner in self._runners:
            runner.reset()

    def step(self, obs: NDArray[np.float32], *images: NDArray[np.generic]) -> NDArray[np.float32]:
        """Run every part on what it reads."""
        written: list[NDArray[np.float32]] = []
        for part, runner in zip(self._parts, self._runners, strict=True):
            given = [
                (obs if piece.source == OBSERVED else written[piece.source])[:, list(piece.columns)]
                for piece in part.reads
            ]
            own, images = images[: len(part.actor.images)], images[len(part.actor.images) :]
            written.append(runner.step(np.concatenate(given, axis=1), *own))
        return written[-1]


class _Alone(OriginalRunner):
    """A part whose file is tensors only, as the network that was read from it."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._state: tuple[Tensor, ...] = ()

    def reset(self) -> None:
        """Begin anew."""
        self._state = ()

    def step(self, obs: NDArray[np.float32], *images: NDArray[np.generic]) -> NDArray[np.float32]:
        """Run the network and keep its state."""
        with torch.no_grad():
            state = self._state or self._actor.initial_state(len(obs))
            action, *after = self._actor(torch.from_numpy(obs), *map(torch.from_numpy, images), *state)
        self._state = tuple(after)
        return action.numpy()
