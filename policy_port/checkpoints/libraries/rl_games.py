"""rl_games checkpoints: `nn/*.pth`."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from policy_port.checkpoints.files.agent_config import AgentConfig, find_agent_config
from policy_port.checkpoints.files.tensors import TensorBag
from policy_port.checkpoints.networks.activations import activation_named
from policy_port.checkpoints.networks.assemble import Told, feed_forward
from policy_port.checkpoints.networks.layers import Clamp, Normaliser, Rescale
from policy_port.checkpoints.policy import Loaded, LoadOptions, NormaliserInfo, Source
from policy_port.errors import CheckpointError

EPSILON = 1e-5
"""Added to the variance, inside the square root."""
CLIP = 5.0
"""Bound of the normalised observation."""
_COMPILED = "_orig_mod."

SUPPORTED = "rl_games: perceptron, with its running mean and variance"
"""What of it is read, in words."""


def evidence(source: Source) -> tuple[str, ...]:
    """Why this is an rl_games file, or nothing."""
    model = source.tree.get("model")
    if not isinstance(model, dict) or not any("a2c_network." in str(key) for key in model):
        return ()
    return (f"top-level keys {', '.join(source.tree)}", "model holds a2c_network.*")


def load(source: Source, options: LoadOptions) -> Loaded:
    """Build the actor of an rl_games checkpoint."""
    where = str(source.path)
    model = source.tree.get("model")
    if not isinstance(model, dict):
        raise CheckpointError(f"{where}: has no model; it is not an rl_games checkpoint")
    # torch.compile puts its prefix before every name; rl_games 1.6.5 compiles by default.
    plain = {str(name).replace(_COMPILED, ""): value for name, value in model.items()}
    bag = TensorBag({**source.tree, "model": plain}, where)
    for name in bag.names:
        if name.startswith(("model.a2c_network.rnn", "model.a2c_network.actor_cnn")):
            raise CheckpointError(f"{where}: holds {name}; only perceptrons of rl_games are supported")
    config = find_agent_config(source.path, options.agent_yaml)
    params = config.section("params") if config else {}
    trunk = bag.take_stack("model.a2c_network.actor_mlp")
    activation, named_by = _activation(where, config, options)
    _check(where, config, [weight.shape[0] for weight, _ in trunk])
    head, ending, notes = _head(params)
    normaliser, info = _normaliser(bag)
    clip = config.section("params", "env").get("clip_observations") if config else None
    if isinstance(clip, (int, float)) and math.isfinite(clip):
        notes.append(f"observations are clipped to +-{clip:g} before the normaliser, as Isaac Lab's wrapper does")
        normaliser = nn.Sequential(Clamp(-float(clip), float(clip)), normaliser)
    return feed_forward(
        bag,
        Told(
            version="1.x",
            distribution=f"Gaussian, deviation in a2c_network.sigma; the actor returns the mean, {ending}",
            notes=(f"activation from {named_by}", *notes),
        ),
        trunk=trunk,
        output=bag.take_linear("model.a2c_network.mu"),
        activation=activation,
        normaliser=normaliser,
        info=info,
        head=head,
    )


def _activation(where: str, config: AgentConfig | None, options: LoadOptions) -> tuple[Callable[[], nn.Module], str]:
    if options.activation is not None:
        return activation_named(options.activation, "--activation"), "--activation"
    named = config.section("params", "network", "mlp").get("activation") if config else None
    if config is None or not isinstance(named, str):
        missing = "no params/agent.yaml lies beside it" if config is None else f"{config.path} does not name it"
        raise CheckpointError(
            f"{where}: the activation is not in the checkpoint and {missing}. elu and relu load equally well and act "
            "differently: put the run's params/agent.yaml beside the checkpoint, or say --activation"
        )
    return activation_named(named, f"{config.path}: params.network.mlp"), f"{config.path.name} ({named})"


def _check(where: str, config: AgentConfig | None, hidden: list[int]) -> None:
    """Raise when agent.yaml describes another network or one with connections that are not read."""
    if config is None:
        return
    network = config.section("params", "network", "mlp")
    units = network.get("units")
    if isinstance(units, list) and units and units != hidden:
        raise CheckpointError(
            f"{config.path}: hidden sizes {units}, but the network in {where} has {hidden}; the configuration belongs "
            "to another run"
        )
    if network.get("d2rl") is True:
        raise CheckpointError(f"{config.path}: d2rl networks are not supported")
    mu = config.section("params", "network", "space", "continuous").get("mu_activation")
    if mu not in (None, "None", {}):
        raise CheckpointError(f"{config.path}: mu_activation is '{mu}'; only None is understood")


def _head(params: dict[str, object]) -> tuple[list[nn.Module], str, list[str]]:
    """The player's clamp and rescale, its words, and notes."""
    config = params.get("config")
    if isinstance(config, dict) and config.get("clip_actions") is False:
        return [], "not clipped", []
    env = params.get("env")
    bound = env.get("clip_actions") if isinstance(env, dict) else None
    if isinstance(bound, (int, float)) and not isinstance(bound, bool) and math.isfinite(bound) and bound != 1:
        scale: Tensor = torch.tensor(float(bound), dtype=torch.float32)
        return (
            [Clamp(-1.0, 1.0), Rescale(scale, torch.tensor(0.0))],
            f"clipped to +-1 and rescaled to +-{bound:g}",
            [],
        )
    notes = [] if bound == 1 else ["the action space is not in the file; it is taken to be +-1"]
    return [Clamp(-1.0, 1.0)], "clipped to +-1", notes


def _normaliser(bag: TensorBag) -> tuple[nn.Module, NormaliserInfo | None]:
    prefix = "model.running_mean_std"
    if not bag.has(f"{prefix}.running_mean"):
        return nn.Identity(), None
    mean = bag.take_weight(f"{prefix}.running_mean").reshape(-1)
    variance = bag.take_weight(f"{prefix}.running_var").reshape(-1)
    info = NormaliserInfo.of(
        mean,
        torch.sqrt(variance),
        where=prefix,
        formula=f"(obs - running_mean) / sqrt(running_var + {EPSILON:g})",
        clip=CLIP,
        samples=bag.take(f"{prefix}.count") if bag.has(f"{prefix}.count") else None,
    )
    return Normaliser(mean, torch.sqrt(variance + EPSILON), clip=CLIP), info
