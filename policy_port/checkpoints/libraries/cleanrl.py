"""CleanRL's ppo_continuous_action scripts: a bare state dict with `actor_mean.N`."""

from __future__ import annotations

from torch import nn

from policy_port.checkpoints.libraries.actor_mean import is_actor_mean, layer_count, load_actor_mean
from policy_port.checkpoints.policy import Loaded, LoadOptions, Source
from policy_port.errors import CheckpointError

PPO_LAYERS = 3
"""Linear layers of the script's actor."""

SUPPORTED = "CleanRL ppo_continuous_action"
"""What of it is read, in words."""


def evidence(source: Source) -> tuple[str, ...]:
    """Why this is a CleanRL file, or nothing."""
    if not is_actor_mean(source):
        return ()
    found = []
    if layer_count(source) != 4:
        found.append(f"{layer_count(source)} layers in actor_mean (CleanRL's script has {PPO_LAYERS})")
    if source.path.suffix == ".cleanrl_model":
        found.append("named *.cleanrl_model")
    return (*found, "a bare state dict with actor_mean and actor_logstd") if found else ()


def load(source: Source, options: LoadOptions) -> Loaded:
    """Build the actor of a CleanRL script."""
    if not is_actor_mean(source):
        raise CheckpointError(f"{source.path}: has no actor_mean.N.weight; it is not of CleanRL's ppo script")
    return load_actor_mean(
        source,
        options,
        version="ppo_continuous_action script",
        notes=(
            "the script normalises observations in an environment wrapper whose statistics are not saved: the actor "
            "expects observations after it",
            "the script clips actions to the action space; the actor returns the mean unclipped",
        ),
        default=nn.Tanh,
    )
