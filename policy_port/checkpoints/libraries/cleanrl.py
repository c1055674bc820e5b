"""CleanRL's ppo_continuous_action scripts: a bare state dict with `actor_mean.N`."""

from __future__ import annotations

from torch import nn

from policy_port.checkpoints.libraries.actor_mean import (
    CLEANRL_LAYERS,
    MANISKILL_LAYERS,
    is_actor_mean,
    load_actor_mean,
    told_apart,
)
from policy_port.checkpoints.policy import Loaded, LoadOptions, Source
from policy_port.errors import CheckpointError

SUPPORTED = "CleanRL ppo_continuous_action"
"""What of it is read, in words."""


def evidence(source: Source) -> tuple[str, ...]:
    """Why this is a CleanRL file, or nothing."""
    named = source.path.suffix == ".cleanrl_model"
    return told_apart(source, "CleanRL's script has", CLEANRL_LAYERS, MANISKILL_LAYERS, named=named)


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
