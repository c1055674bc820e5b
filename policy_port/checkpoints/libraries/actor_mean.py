"""The layout that CleanRL's and ManiSkill's PPO scripts share: `actor_mean.N` in a bare state dict."""

from __future__ import annotations

import re
from collections.abc import Callable

from torch import Tensor, nn

from policy_port.checkpoints.files.tensors import TensorBag
from policy_port.checkpoints.networks.activations import activation_named
from policy_port.checkpoints.networks.layers import FeedForwardActor, perceptron
from policy_port.checkpoints.policy import Loaded, LoadOptions, Source

_WEIGHT = re.compile(r"actor_mean\.\d+\.weight")


def is_actor_mean(source: Source) -> bool:
    """Whether the file is a bare state dict of this layout, without image features."""
    return (
        source.container == "torch"
        and all(isinstance(value, Tensor) for value in source.tree.values())
        and layer_count(source) > 0
        and not any(name.startswith("feature_net.") for name in source.tree)
    )


def layer_count(source: Source) -> int:
    """The number of linear layers of the actor."""
    return sum(_WEIGHT.fullmatch(name) is not None for name in source.tree)


def load_actor_mean(
    source: Source, options: LoadOptions, *, version: str, notes: tuple[str, ...], default: Callable[[], nn.Module]
) -> Loaded:
    """Build the actor; the scripts fix the activation, which the file does not hold."""
    bag = TensorBag(source.tree, str(source.path))
    stack = bag.take_stack("actor_mean")
    named = options.activation
    activation = default if named is None else activation_named(named, "--activation")
    implied = "the script's activation, Tanh, is implied" if named is None else f"activation {named} by --activation"
    layers = perceptron(stack, activation)
    if bag.has("actor_logstd"):
        bag.take("actor_logstd")
    actor = FeedForwardActor(
        normaliser=nn.Identity(),
        layers=layers,
        head=nn.Identity(),
        obs_size=stack[0][0].shape[1],
        action_size=stack[-1][0].shape[0],
    )
    return Loaded(
        version=version,
        actor=actor,
        architecture=tuple(map(str, layers)),
        distribution="Gaussian, deviation in actor_logstd; the actor returns the mean",
        leftovers=bag.leftovers(),
        notes=(implied, *notes),
    )
