"""The remap around an untouched network, as steps that export to exact graph nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from policy_port.checkpoints.actor import Actor

if TYPE_CHECKING:
    from policy_port.remap import AffineMap, Remap


class AffineNodes(nn.Module):
    """y[i] = scale[i] * x[index[i]] + offset[i] in at most four steps, each left out where it would do nothing.

    A constant entry (index -1) is selected after the arithmetic instead of being multiplied by zero: zero times the
    NaN of an input that the policy ignores is NaN, and that input may well be one that the target does not fill.
    """

    index: Tensor
    scale: Tensor
    offset: Tensor
    is_constant: Tensor
    constant: Tensor

    def __init__(self, affine: AffineMap) -> None:
        super().__init__()
        index = np.asarray(affine.index, dtype=np.int64)
        is_constant = index < 0
        # A constant row gathers column 0 and is replaced afterwards, so its own arithmetic must be a no-op.
        scale = np.where(is_constant, 1.0, affine.scale).astype(np.float32)
        offset = np.where(is_constant, 0.0, affine.offset).astype(np.float32)
        self.gathers = not np.array_equal(index, np.arange(affine.n_in))
        self.scales = bool(np.any(scale != 1.0))
        self.shifts = bool(np.any(offset != 0.0))
        self.has_constants = bool(is_constant.any())
        self.register_buffer("index", torch.from_numpy(np.maximum(index, 0)))
        self.register_buffer("scale", torch.from_numpy(scale))
        self.register_buffer("offset", torch.from_numpy(offset))
        self.register_buffer("is_constant", torch.from_numpy(is_constant))
        self.register_buffer("constant", torch.from_numpy(np.asarray(affine.offset, dtype=np.float32)))

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` of shape (batch, n_in) to shape (batch, n_out)."""
        if self.gathers:
            x = x.index_select(1, self.index)
        if self.scales:
            x = x * self.scale
        if self.shifts:
            x = x + self.offset
        if self.has_constants:
            x = torch.where(self.is_constant, self.constant, x)
        return x


class ClipNodes(nn.Module):
    """Bounds for all entries, or no step at all."""

    def __init__(self, bounds: tuple[float, float] | None) -> None:
        super().__init__()
        self.bounds = bounds

    def forward(self, x: Tensor) -> Tensor:
        """Clip `x`."""
        return x if self.bounds is None else x.clamp(self.bounds[0], self.bounds[1])


class PortedActor(Actor):
    """An actor that reads the target's observations and writes the target's actions.

    The wrapped actor is the very object that was given: its trained weights are neither copied nor changed, and its
    images and recurrent state are passed through, since neither knows anything of joints.
    """

    def __init__(self, actor: Actor, remap: Remap) -> None:
        super().__init__()
        self.observation = AffineNodes(remap.observation)
        self.observation_clip = ClipNodes(remap.observation_clip)
        self.actor = actor
        self.action_clip = ClipNodes(remap.action_clip)
        self.action = AffineNodes(remap.action)
        self.obs_size = remap.observation.n_in
        self.action_size = len(remap.action.index)
        self.state_names = actor.state_names
        self.state_shapes = actor.state_shapes
        self.images = actor.images

    def forward(self, obs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """Compute the target's actions and the new state from the target's observations."""
        action, *new_state = self.actor(self.observation_clip(self.observation(obs)), *rest)
        return (self.action(self.action_clip(action)), *new_state)

    def initial_state(
        self, batch: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, ...]:
        """Return the wrapped actor's initial state."""
        return self.actor.initial_state(batch, dtype=dtype, device=device)
