"""ManiSkill's baseline scripts: ppo, ppo_fast (a bare state dict with `actor_mean.N`), sac, bc, and those that see."""

from __future__ import annotations

from torch import nn

from policy_port.checkpoints.files.tensors import TensorBag
from policy_port.checkpoints.libraries.actor_mean import (
    CLEANRL_LAYERS,
    MANISKILL_LAYERS,
    is_actor_mean,
    load_actor_mean,
    told_apart,
)
from policy_port.checkpoints.libraries.maniskill_images import (
    is_ppo_rgb,
    is_sac_rgbd,
    load_ppo_rgb,
    load_sac_rgbd,
    squashed,
)
from policy_port.checkpoints.networks.activations import activation_named
from policy_port.checkpoints.networks.assemble import Network, Told, put_together
from policy_port.checkpoints.policy import Loaded, LoadOptions, Source
from policy_port.errors import CheckpointError

SUPPORTED = "ManiSkill ppo, ppo_fast, ppo_rgb (lerobot-sim2real shares it), sac, sac_rgbd with colour, bc"
"""What of it is read, in words."""


def evidence(source: Source) -> tuple[str, ...]:
    """Why this is a ManiSkill file, or nothing."""
    if is_sac(source):
        return (f"top-level keys {', '.join(source.tree)}", "actor holds backbone.*, fc_mean and fc_logstd")
    if is_sac_rgbd(source):
        return (f"top-level keys {', '.join(source.tree)}", "actor holds encoder.encoder.cnn.* and fc_mean")
    if is_bc(source):
        return (f"top-level keys {', '.join(source.tree)}", "actor holds net.* alone")
    if is_ppo_rgb(source):
        return ("a bare state dict with feature_net.extractors.rgb and actor_mean",)
    named = source.path.name.startswith(("final_ckpt", "ckpt_"))
    return told_apart(source, "ManiSkill's scripts have", MANISKILL_LAYERS, CLEANRL_LAYERS, named=named)


def load(source: Source, options: LoadOptions) -> Loaded:
    """Build the actor of a ManiSkill script."""
    if is_sac(source):
        return load_sac(source, options)
    if is_sac_rgbd(source):
        return load_sac_rgbd(source, options)
    if is_bc(source):
        return load_bc(source, options)
    if is_ppo_rgb(source):
        return load_ppo_rgb(source, options)
    if not is_actor_mean(source):
        raise CheckpointError(f"{source.path}: has no actor_mean.N.weight; so it is not of ManiSkill's scripts")
    return load_actor_mean(
        source,
        options,
        version="ppo or ppo_fast script",
        notes=("the script clips sampled actions to the action space; the actor returns the mean unclipped",),
        default=nn.Tanh,
    )


def is_bc(source: Source) -> bool:
    """Whether the file is of the bc script."""
    actor = source.tree.get("actor")
    return isinstance(actor, dict) and "net.0.weight" in actor and all(str(name).startswith("net.") for name in actor)


def is_sac(source: Source) -> bool:
    """Whether the file is of the sac script."""
    actor = source.tree.get("actor")
    return isinstance(actor, dict) and {"fc_mean.weight", "fc_logstd.weight", "backbone.0.weight"} <= set(actor)


def load_bc(source: Source, options: LoadOptions) -> Loaded:
    """Build the actor of the bc script."""
    bag = TensorBag(source.tree, str(source.path))
    *trunk, output = bag.take_stack("actor.net")
    return put_together(
        bag,
        Told(
            version="bc script",
            distribution="none; the network's output is the action",
            notes=(
                "the script's activation, ReLU, is implied",
                "a run with --normalize-states keeps its mean and deviation of the states to itself: the actor expects "
                "observations after that",
            ),
        ),
        Network(
            trunk=trunk,
            output=output,
            activation=activation_named(options.activation or "relu", "--activation"),
        ),
        normaliser=nn.Identity(),
        info=None,
        head=[],
    )


def load_sac(source: Source, options: LoadOptions) -> Loaded:
    """Build the actor of the sac script: tanh of the mean, rescaled where the file has the action space."""
    bag = TensorBag(source.tree, str(source.path))
    head, notes = squashed(bag)
    implied = "the script's activation, ReLU, is implied" if options.activation is None else "activation: --activation"
    return put_together(
        bag,
        Told(
            version="sac script",
            distribution="squashed Gaussian; the actor returns tanh of the mean, rescaled to the action space",
            notes=(implied, *notes),
        ),
        Network(
            trunk=bag.take_stack("actor.backbone"),
            output=bag.take_linear("actor.fc_mean"),
            activation=activation_named(options.activation or "relu", "--activation"),
        ),
        normaliser=nn.Identity(),
        info=None,
        head=head,
    )
