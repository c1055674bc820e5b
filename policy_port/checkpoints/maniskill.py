"""ManiSkill's baseline scripts: ppo and ppo_fast (a bare state dict with `actor_mean.N`), and sac."""

from __future__ import annotations

from torch import nn

from policy_port.checkpoints.activations import activation_named
from policy_port.checkpoints.actor_mean import is_actor_mean, layer_count, load_actor_mean
from policy_port.checkpoints.assemble import feed_forward
from policy_port.checkpoints.layers import Rescale
from policy_port.checkpoints.policy import Loaded, LoadOptions, Source
from policy_port.checkpoints.tensors import TensorBag
from policy_port.errors import CheckpointError

PPO_LAYERS = 4
"""Linear layers of the scripts' actor."""


def evidence(source: Source) -> tuple[str, ...]:
    """Return why this is a ManiSkill file, or nothing."""
    if is_sac(source):
        return (f"top-level keys {', '.join(source.tree)}", "actor holds backbone.*, fc_mean and fc_logstd")
    if is_image_policy(source):
        return ("a bare state dict with feature_net.extractors.rgb and actor_mean",)
    if not is_actor_mean(source):
        return ()
    name = source.path.name
    found = []
    if layer_count(source) != 3:
        found.append(f"{layer_count(source)} layers in actor_mean (ManiSkill's scripts have {PPO_LAYERS})")
    if name.startswith(("final_ckpt", "ckpt_")):
        found.append(f"named {name}")
    return (*found, "a bare state dict with actor_mean and actor_logstd") if found else ()


def load(source: Source, options: LoadOptions) -> Loaded:
    """Build the actor of a ManiSkill script."""
    if is_sac(source):
        return load_sac(source, options)
    if is_image_policy(source):
        raise CheckpointError(
            f"{source.path}: an image policy of ManiSkill's ppo_rgb; only policies that take one "
            "observation vector are supported."
        )
    if not is_actor_mean(source):
        raise CheckpointError(f"{source.path}: has no actor_mean.N.weight; so it is not of ManiSkill's scripts.")
    return load_actor_mean(
        source,
        options,
        version="ppo or ppo_fast script",
        notes=("the script clips sampled actions to the action space; the actor returns the mean unclipped",),
        default=nn.Tanh,
    )


def is_image_policy(source: Source) -> bool:
    """Tell whether the file is of the ppo_rgb script, or of lerobot-sim2real, which shares it."""
    return any(name.startswith("feature_net.extractors.") for name in source.tree)


def is_sac(source: Source) -> bool:
    """Tell whether the file is of the sac script."""
    actor = source.tree.get("actor")
    return isinstance(actor, dict) and {"fc_mean.weight", "fc_logstd.weight", "backbone.0.weight"} <= set(actor)


def load_sac(source: Source, options: LoadOptions) -> Loaded:
    """Build the actor of the sac script: tanh of the mean, rescaled where the file has the action space."""
    bag = TensorBag(source.tree, str(source.path))
    head: list[nn.Module] = [nn.Tanh()]
    notes = ["the script's activation, ReLU, is implied" if options.activation is None else "activation: --activation"]
    if bag.has("actor.action_scale"):
        scale, bias = (bag.take_weight(f"actor.action_{name}").reshape(-1) for name in ("scale", "bias"))
        head.append(Rescale(scale, bias))
    else:
        notes.append("the action space is not in the file: actions lie in [-1, 1]")
    return feed_forward(
        bag,
        trunk=bag.take_stack("actor.backbone"),
        output=bag.take_linear("actor.fc_mean"),
        activation=activation_named(options.activation or "relu", "--activation"),
        normaliser=nn.Identity(),
        info=None,
        head=head,
        version="sac script",
        distribution="squashed Gaussian; the actor returns tanh of the mean, rescaled to the action space",
        notes=tuple(notes),
    )
