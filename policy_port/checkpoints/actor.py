"""The one shape every loaded policy has: a network whose recurrent state goes in and comes out."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """One image that a network reads beside the observation."""

    name: str
    """Name of the input."""
    height: int
    """Rows."""
    width: int
    """Columns."""
    channels: int
    """Channels per pixel."""
    layout: Literal["nhwc", "nchw"]
    """Memory layout of the batch."""
    dtype: Literal["uint8", "float32"]
    """Type of the input."""
    scale: float | None
    """Factor that the network itself applies to each pixel; None when a foreign graph does not say."""

    def shape(self, batch: int) -> tuple[int, int, int, int]:
        """Shape of a batch of this image."""
        if self.layout == "nhwc":
            return batch, self.height, self.width, self.channels
        return batch, self.channels, self.height, self.width

    def __str__(self) -> str:
        return f"{self.name} {self.height}x{self.width}x{self.channels}, {self.layout}, {self.dtype}"


class Actor(nn.Module, abc.ABC):
    """A policy network without hidden memory: calling it twice with equal arguments gives equal results.

    Subclasses are final and set every field in their constructor.
    """

    obs_size: int
    """Width of one observation."""
    action_size: int
    """Width of one action."""
    state_names: tuple[str, ...]
    """Names of the recurrent state tensors: () feed-forward, ("h",) GRU, ("h", "c") LSTM."""
    state_shapes: tuple[tuple[int, int], ...]
    """(layers, hidden) of each state tensor; the tensor itself has shape (layers, batch, hidden)."""
    images: tuple[ImageSpec, ...] = ()
    """Images that the network reads; most read none."""
    chunk: int | None = None
    """Number of steps that one output holds, as an axis between batch and action; None for one action without it."""
    chunk_steps: int | None = None
    """Number of steps of a chunk that are performed before the network is asked again; None without chunks."""
    temporal_ensemble: float | None = None
    """Coefficient with which whoever performs chunks averages them over time, as LeRobot can; None for never."""

    @abc.abstractmethod
    def forward(self, obs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """Compute the actions and the state that the next call needs.

        Args:
            obs: Observations, shape (batch, obs_size).
            *rest: One tensor for each of `images`, shape `ImageSpec.shape(batch)`, then one for each of `state_names`,
                shape (layers, batch, hidden).

        Returns:
            The actions, shape (batch, action_size) or (batch, chunk, action_size), then the new state tensors in the
            order of `state_names`.
        """

    def initial_state(
        self, batch: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, ...]:
        """The state before the first step: zeros unless the file stores another one."""
        return tuple(
            torch.zeros(layers, batch, hidden, dtype=dtype, device=device) for layers, hidden in self.state_shapes
        )
