"""Networks built from bare tensors: normaliser, memory, perceptron, head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from policy_port.checkpoints.actor import Actor


class Normaliser(nn.Module):
    """(obs - mean) / denominator, clipped to +-clip where the library clips."""

    mean: Tensor
    denominator: Tensor

    def __init__(self, mean: Tensor, denominator: Tensor, clip: float | None) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("denominator", denominator)
        self.clip = clip

    def forward(self, obs: Tensor) -> Tensor:
        """Normalise observations of shape (batch, size)."""
        normalised = (obs - self.mean) / self.denominator
        return normalised if self.clip is None else normalised.clamp(-self.clip, self.clip)


class Clamp(nn.Module):
    """Clip to one range for all entries."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low = low
        self.high = high

    def forward(self, x: Tensor) -> Tensor:
        """Clip `x`."""
        return x.clamp(self.low, self.high)


class Rescale(nn.Module):
    """x * scale + bias for each entry."""

    scale: Tensor
    bias: Tensor

    def __init__(self, scale: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Rescale `x` of shape (batch, size)."""
        return x * self.scale + self.bias


class Bound(nn.Module):
    """Clip each entry to its own range."""

    low: Tensor
    high: Tensor

    def __init__(self, low: Tensor, high: Tensor) -> None:
        super().__init__()
        self.register_buffer("low", low)
        self.register_buffer("high", high)

    def forward(self, x: Tensor) -> Tensor:
        """Clip `x` of shape (batch, size)."""
        return torch.minimum(torch.maximum(x, self.low), self.high)


class FirstHalf(nn.Module):
    """Keep the mean of a head that writes the mean and then the deviation."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """The first `size` columns of `x`."""
        return x[:, : self.size]


class BetaMean(nn.Module):
    """Mean of a Beta distribution, rescaled from [0, 1] to the action range."""

    def __init__(self, size: int, low: float, high: float) -> None:
        super().__init__()
        self.size = size
        self.low = low
        self.span = high - low

    def forward(self, x: Tensor) -> Tensor:
        """Turn the 2 x size outputs of the network into actions."""
        shape = nn.functional.softplus(x) + 1.0
        alpha, beta = shape[:, : self.size], shape[:, self.size :]
        return self.low + self.span * (alpha / (alpha + beta))


class FeedForwardActor(Actor):
    """normaliser, then layers, then head."""

    def __init__(
        self, *, normaliser: nn.Module, layers: nn.Sequential, head: nn.Module, obs_size: int, action_size: int
    ) -> None:
        super().__init__()
        self.normaliser = normaliser
        self.layers = layers
        self.head = head
        self.obs_size = obs_size
        self.action_size = action_size
        self.state_names = ()
        self.state_shapes = ()

    def forward(self, obs: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Compute the actions; there is no state."""
        return (self.head(self.layers(self.normaliser(obs))),)


@dataclass(frozen=True, kw_only=True)
class Around:
    """What stands around a memory."""

    before: nn.Module = field(default_factory=nn.Identity)
    """What computes the memory's input."""
    norm: nn.Module = field(default_factory=nn.Identity)
    """What follows the memory's output at once."""
    join_input: bool = False
    """Whether the memory reads the normalised observation behind what `before` writes."""
    join_output: bool = False
    """Whether the normalised observation stands behind the memory's output."""


class RecurrentActor(Actor):
    """normaliser, then what stands before the memory, an LSTM or a GRU, then layers, then head."""

    def __init__(
        self,
        *,
        normaliser: nn.Module,
        memory: nn.LSTM | nn.GRU,
        layers: nn.Sequential,
        head: nn.Module,
        action_size: int,
        obs_size: int | None = None,
        around: Around | None = None,
    ) -> None:
        super().__init__()
        around = around or Around()
        self.normaliser = normaliser
        self.before = around.before
        self.memory = memory
        self.norm = around.norm
        self.layers = layers
        self.head = head
        self.join_input, self.join_output = around.join_input, around.join_output
        self.obs_size = memory.input_size if obs_size is None else obs_size
        self.action_size = action_size
        self.state_names = ("h", "c") if isinstance(memory, nn.LSTM) else ("h",)
        self.state_shapes = ((memory.num_layers, memory.hidden_size),) * len(self.state_names)

    def forward(self, obs: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Advance the memory by one step and compute the actions."""
        seen = self.normaliser(obs)
        read = self.before(seen)
        sequence = (torch.cat([read, seen], dim=1) if self.join_input else read).unsqueeze(0)
        weights = [weight for layer in self.memory.all_weights for weight in layer]
        # The operators themselves, because the modules check shapes in a way that warns while it is traced.
        options = (True, self.memory.num_layers, 0.0, False, False, False)
        if isinstance(self.memory, nn.LSTM):
            out, *new_state = torch.ops.aten.lstm(sequence, [state[0], state[1]], weights, *options)
        else:
            out, *new_state = torch.ops.aten.gru(sequence, state[0], weights, *options)
        written = self.norm(out.squeeze(0))
        joined = torch.cat([written, seen], dim=1) if self.join_output else written
        return (self.head(self.layers(joined)), *new_state)


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A linear layer that holds exactly these tensors."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias, requires_grad=False)
    return layer


def perceptron(weights: Sequence[tuple[Tensor, Tensor | None]], activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Linear layers with the activation between them."""
    modules: list[nn.Module] = []
    for index, (weight, bias) in enumerate(weights):
        modules.append(linear(weight, bias))
        if index + 1 < len(weights):
            modules.append(activation())
    return nn.Sequential(*modules)
