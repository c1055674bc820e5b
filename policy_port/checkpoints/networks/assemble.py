"""Putting an actor together from a library's parts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from policy_port.checkpoints.actor import Actor
from policy_port.checkpoints.files.tensors import TensorBag
from policy_port.checkpoints.networks.layers import Around, FeedForwardActor, RecurrentActor, linear
from policy_port.checkpoints.policy import Leftover, Loaded, NormaliserInfo
from policy_port.errors import CheckpointError

Linear = tuple[Tensor, Tensor | None]


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a loader says of a file beside its network."""

    version: str
    """Version or script of the library."""
    distribution: str
    """What the network's output means to the trainer, in words."""
    notes: tuple[str, ...]
    """What was assumed, a sentence each."""
    training: tuple[str, ...] = ()
    """As `Loaded.training`."""
    unknown_keys: tuple[Leftover, ...] = ()
    """Keys of the trainer's configuration that nobody knows."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """An LSTM or a GRU of a network."""

    module: nn.LSTM | nn.GRU
    behind: bool = False
    """Whether it stands behind the trunk, and not before it."""
    norm: nn.LayerNorm | None = None
    """What follows its output at once."""
    join_input: bool = False
    """Whether it reads the normalised observation behind what the trunk writes; only where it stands behind it."""
    join_output: bool = False
    """Whether the normalised observation stands behind its output."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """What lies between the normaliser and the head: a trunk with an activation after each layer, an output layer."""

    trunk: Sequence[Linear]
    output: Linear
    activation: Callable[[], nn.Module]
    norms: Sequence[nn.Module] = ()
    """What stands before each layer, the output layer included; () for nothing."""
    memory: Memory | None = None

    def parts(self) -> tuple[nn.Sequential, nn.Sequential]:
        """The trunk and the output layer as modules."""
        layers = [[linear(*pair), self.activation()] for pair in self.trunk] + [[linear(*self.output)]]
        if self.norms:
            layers = [[norm, *layer] for norm, layer in zip(self.norms, layers, strict=True)]
        return nn.Sequential(*itertools.chain(*layers[:-1])), nn.Sequential(*layers[-1])

    def read(self, where: str) -> int:
        """The width of the observation; raise where one part writes another width than the next reads."""
        spans = [("the output layer", self.output[0].shape[1], 0)]
        if self.trunk:
            spans.insert(0, ("the first hidden layer", self.trunk[0][0].shape[1], self.trunk[-1][0].shape[0]))
        memory, place = self.memory, None
        if memory is not None:
            place = len(spans) - 1 if memory.behind else 0
            spans.insert(place, ("the memory", memory.module.input_size, memory.module.hidden_size))
        obs_size = width = spans[0][1]
        for index, (name, reads, writes) in enumerate(spans):
            joined = memory if index == place else None
            width += obs_size if joined is not None and joined.join_input else 0
            if width != reads:
                raise CheckpointError(f"{where}: {name} reads {reads} values, and what is before it writes {width}")
            width = writes + (obs_size if joined is not None and joined.join_output else 0)
        return obs_size


def put_together(
    bag: TensorBag,
    told: Told,
    network: Network,
    *,
    normaliser: nn.Module,
    info: NormaliserInfo | None,
    head: Sequence[nn.Module],
) -> Loaded:
    """The actor: normaliser, network, head."""
    obs_size, memory = network.read(bag.where), network.memory
    if info is not None and info.size != obs_size:
        raise CheckpointError(f"{bag.where}: the normaliser has {info.size} entries and the network reads {obs_size}")
    trunk, output = network.parts()
    end = nn.Sequential(*head) if head else nn.Identity()
    ends: dict[str, Any] = {"normaliser": normaliser, "head": end}
    ends |= {"obs_size": obs_size, "action_size": network.output[0].shape[0]}
    if memory is None:
        layers = nn.Sequential(*trunk, *output)
        actor: Actor = FeedForwardActor(layers=layers, **ends)
        described = list(layers)
    else:
        layers = output if memory.behind else nn.Sequential(*trunk, *output)
        around = Around(
            before=trunk if memory.behind else nn.Identity(),
            norm=memory.norm or nn.Identity(),
            join_input=memory.join_input,
            join_output=memory.join_output,
        )
        actor = RecurrentActor(memory=memory.module, layers=layers, around=around, **ends)
        described = [*(trunk if memory.behind else ()), described_memory(memory.module)]
        described += [*([memory.norm] if memory.norm else ()), *layers]
    architecture = [] if info is None else [f"normaliser {info.formula}, {info.size} entries"]
    return Loaded(
        version=told.version,
        actor=actor,
        architecture=(*architecture, *map(str, described), *(type(module).__name__ for module in head)),
        distribution=told.distribution,
        normaliser=info,
        rest=(*bag.rest(), *told.unknown_keys),
        training=told.training,
        leftovers=bag.optimisers(),
        notes=told.notes,
    )


def described_memory(memory: nn.LSTM | nn.GRU) -> str:
    """A memory in words."""
    return f"{type(memory).__name__} {memory.input_size} -> {memory.hidden_size}, {memory.num_layers} layer(s)"
