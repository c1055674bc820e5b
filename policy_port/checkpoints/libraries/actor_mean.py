"""The layout that CleanRL's and ManiSkill's PPO scripts share: `actor_mean.N` in a bare state dict."""

from __future__ import annotations

import re
from collections.abc import Callable

from torch import Tensor, nn

from policy_port.checkpoints.files.tensors import TensorBag
from policy_port.checkpoints.networks.activations import activation_named
from policy_port.checkpoints.networks.layers import FeedForwardActor, perceptron
from policy_port.checkpoints.policy import Loaded, LoadOptions, Source

CLEANRL_LAYERS, MANISKILL_LAYERS = 3, 4
"""Linear layers of the actor of CleanRL's script and of ManiSkill's."""

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


def told_apart(source: Source, whose: str, own: int, others: int, *, named: bool) -> tuple[str, ...]:
    """Why a file of this layout is of one script rather than of the other, or nothing.

    Args:
        source: The file.
        whose: The script, as in "CleanRL's script has".
        own: Linear layers of its actor.
        others: Linear layers of the other script's actor.
        named: Whether the file is named as the script names its files.
    """
    if not is_actor_mean(source):
        return ()
    count = layer_count(source)
    found = [f"{count} layers in actor_mean ({whose} {own})"] if count != others else []
    found += [f"named {source.path.name}"] if named else []
    return (*found, "a bare state dict with actor_mean and actor_logstd") if found else ()


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
        rest=bag.rest(),
        leftovers=bag.optimisers(),
        notes=(implied, *notes),
    )
