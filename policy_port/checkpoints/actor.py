"""The one shape every loaded policy has: a network whose recurrent state goes in and comes out."""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn


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

    @abc.abstractmethod
    def forward(self, obs: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Compute the actions and the state that the next call needs.

        Args:
            obs: Observations, shape (batch, obs_size).
            *state: One tensor for each of `state_names`, shape (layers, batch, hidden).

        Returns:
            The actions, shape (batch, action_size), then the new state tensors in the order of `state_names`.
        """

    def initial_state(
        self, batch: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, ...]:
        """Return the state before the first step: zeros unless the file stores another one."""
        return tuple(
            torch.zeros(layers, batch, hidden, dtype=dtype, device=device) for layers, hidden in self.state_shapes
        )
