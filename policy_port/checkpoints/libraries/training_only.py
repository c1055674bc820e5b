"""Parts of a training that a policy file may hold beside the policy, known by library, name and place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from policy_port.checkpoints.policy import Leftover
from policy_port.errors import CheckpointError, closest

COUNTERS = (
    *("iter", "iteration", "epoch", "frame", "step", "steps", "global_step", "num_timesteps", "last_mean_rewards"),
    *("scheduler", "lr_scheduler", "scheduler_state_dict", "lr_scheduler_state_dict", "log_alpha"),
)
"""Top-level names that mean the same to every library."""

TRAINING_ONLY: dict[str, tuple[str, ...]] = {
    "rsl_rl": (
        *("critic_state_dict", "critic_obs_norm_state_dict", "model_state_dict.critic", "model_state_dict.critic_*"),
        *("model_state_dict.memory_c", "rnd_state_dict", "symmetry_state_dict"),
        *("discriminator", "discriminator_state_dict", "amp_discriminator", "amp_discriminator_state_dict"),
        *("amp_normalizer", "amp_normalizer_state_dict"),
    ),
    "rl_games": (
        *("model.value_mean_std", "model.a2c_network.value", "model.a2c_network.sigma", "model.a2c_network.critic_mlp"),
        *("model.a2c_network.c_rnn", "model.a2c_network.c_layer_norm"),
        *("model.a2c_network.critic_cnn", "model.a2c_network._disc_mlp", "model.a2c_network._disc_logits"),
        *(
            "value_mean_std",
            "reward_mean_std",
            "assymetric_vf_nets",
            "rnd_nets",
            "amp_input_mean_std",
            "central_val_stats",
        ),
    ),
    "skrl": (
        *("value", "target_value", "target_policy", "critic", "critic_1", "critic_2", "target_critic"),
        *("target_critic_1", "target_critic_2", "discriminator", "value_preprocessor", "amp_state_preprocessor"),
        *("amp_observation_preprocessor", "policy.value_layer", "policy.log_std_parameter", "log_entropy_coefficient"),
    ),
    "cleanrl": ("critic", "actor_logstd"),
    "maniskill": (*("critic", "actor_logstd", "actor.fc_logstd", "qf1", "qf2", "qf1_target", "qf2_target"),),
    "sb3": (
        *("mlp_extractor.value_net", "value_net", "log_std", "actor.log_std", "critic", "critic_target"),
        *("actor_target", "lstm_critic"),
    ),
    "lerobot": ("model.vae_encoder*",),
}
"""Places by library: keys with dots between, of which all below belongs to the place; * stands for part of a key."""

ANYTHING = ("infos", "env_state")
"""Places that hold whatever a project puts there; what is as wide as the observation may be its statistics."""


def unexplained(rest: Iterable[Leftover], library: str, more: Sequence[str], obs_size: int) -> tuple[Leftover, ...]:
    """What of `rest` is no known part of a training.

    Args:
        rest: What the actor does not use.
        library: Library that wrote the file.
        more: Further places in this file.
        obs_size: Width of the observation.
    """
    places = [place.split(".") for place in (*COUNTERS, *TRAINING_ONLY[library], *more)]
    return tuple(
        leftover
        for leftover in rest
        if not _lies_in(keys := leftover.name.split("."), places)
        and not (keys[0] in ANYTHING and leftover.size != obs_size)
    )


def split_ignored(
    names: Sequence[str], rest: Sequence[Leftover], strange: Sequence[Leftover], where: Path
) -> tuple[tuple[Leftover, ...], tuple[Leftover, ...]]:
    """Part what stays unexplained from what the user says to ignore.

    Args:
        names: The user's names; each a name, its beginning up to a dot, or a pattern with * and ?.
        rest: What the actor does not use.
        strange: What of it is unexplained.
        where: The file.

    Raises:
        CheckpointError: A name that matches nothing, or everything.
    """
    for name in names:
        if not name.strip("*?."):
            raise CheckpointError(f"--ignore '{name}': would ignore whatever there is; name what is meant")
        if not any(_named(leftover.name, name) for leftover in rest):
            groups = list(dict.fromkeys(leftover.group for leftover in strange or rest))[:200]
            raise CheckpointError(
                f"{where}: --ignore '{name}' matches nothing that the actor leaves out"
                f"{closest(name, groups) or '.'} It leaves out {', '.join(groups[:12]) or 'nothing'}"
            )
    ignored = {leftover: None for leftover in strange if any(_named(leftover.name, name) for name in names)}
    return tuple(leftover for leftover in strange if leftover not in ignored), tuple(ignored)


def _named(name: str, given: str) -> bool:
    return name == given or name.startswith((f"{given}.", f"{given}:")) or fnmatchcase(name, given)


def _lies_in(keys: Sequence[str], places: Iterable[Sequence[str]]) -> bool:
    """Whether a name is one of the places or below it, key by key."""
    return any(
        len(keys) >= len(place) and all(map(_fits, keys, place))  # map stops with the shorter one, the place
        for place in places
    )


def _fits(key: str, wanted: str) -> bool:
    return key == wanted or ("*" in wanted and fnmatchcase(key, wanted))
