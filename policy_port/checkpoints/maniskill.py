"""ManiSkill's baseline scripts: ppo and ppo_fast, a bare state dict with `actor_mean.N`."""

from __future__ import annotations

from torch import nn

from policy_port.checkpoints.actor_mean import is_actor_mean, layer_count, load_actor_mean
from policy_port.checkpoints.policy import Loaded, LoadOptions, Source
from policy_port.errors import CheckpointError

PPO_LAYERS = 4
"""Linear layers of the scripts' actor."""


def evidence(source: Source) -> tuple[str, ...]:
    """Return why this is a ManiSkill file, or nothing."""
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
    if not is_actor_mean(source):
        raise CheckpointError(f"{source.path}: has no actor_mean.N.weight; it is not of ManiSkill's ppo scripts.")
    return load_actor_mean(
        source,
        options,
        version="ppo or ppo_fast script",
        notes=("the script clips sampled actions to the action space; the actor returns the mean unclipped",),
        default=nn.Tanh,
    )
