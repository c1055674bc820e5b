"""Putting a feed-forward actor together from a library's parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from policy_port.checkpoints.files.tensors import TensorBag
from policy_port.checkpoints.networks.layers import FeedForwardActor, linear, perceptron
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


def feed_forward(
    bag: TensorBag,
    told: Told,
    *,
    trunk: Sequence[Linear],
    output: Linear,
    activation: Callable[[], nn.Module],
    normaliser: nn.Module,
    info: NormaliserInfo | None,
    head: Sequence[nn.Module],
) -> Loaded:
    """The actor: normaliser, trunk with an activation after each layer, output layer, head."""
    layers = perceptron(trunk, activation, last=True)
    layers.append(linear(*output))
    obs_size = (trunk[0] if trunk else output)[0].shape[1]
    joined = trunk[-1][0].shape[0] if trunk else obs_size
    if output[0].shape[1] != joined:
        raise CheckpointError(
            f"{bag.where}: the last hidden layer writes {joined} values and the output layer reads {output[0].shape[1]}"
        )
    if info is not None and info.size != obs_size:
        raise CheckpointError(f"{bag.where}: the normaliser has {info.size} entries and the network reads {obs_size}")
    actor = FeedForwardActor(
        normaliser=normaliser,
        layers=layers,
        head=nn.Sequential(*head) if head else nn.Identity(),
        obs_size=obs_size,
        action_size=output[0].shape[0],
    )
    architecture = [] if info is None else [f"normaliser {info.formula}, {info.size} entries"]
    return Loaded(
        version=told.version,
        actor=actor,
        architecture=(*architecture, *map(str, layers), *(type(module).__name__ for module in head)),
        distribution=told.distribution,
        normaliser=info,
        rest=(*bag.rest(), *told.unknown_keys),
        training=told.training,
        leftovers=bag.optimisers(),
        notes=told.notes,
    )
