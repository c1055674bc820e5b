"""skrl checkpoints, versions 1 and 2: `agent_<t>.pt` and `best_agent.pt`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from policy_port.checkpoints.files.agent_config import AgentConfig, find_agent_config
from policy_port.checkpoints.files.tensors import TensorBag
from policy_port.checkpoints.networks.activations import activation_named
from policy_port.checkpoints.networks.assemble import Told, feed_forward
from policy_port.checkpoints.networks.layers import Normaliser
from policy_port.checkpoints.policy import Loaded, LoadOptions, NormaliserInfo, Source
from policy_port.errors import CheckpointError

_SCALERS = ("observation_preprocessor", "state_preprocessor")

SUPPORTED = "skrl 1.x and 2.x: separate and shared models, with or without a scaler"
"""What of it is read, in words."""


def evidence(source: Source) -> tuple[str, ...]:
    """Why this is a skrl file, or nothing."""
    policy = source.tree.get("policy")
    if not isinstance(policy, dict) or not any(str(key).startswith("net_container.") for key in policy):
        return ()
    return (f"top-level keys {', '.join(source.tree)}", "policy holds net_container.*")


def load(source: Source, options: LoadOptions) -> Loaded:
    """Build the actor of a skrl checkpoint."""
    where = str(source.path)
    bag = TensorBag(source.tree, where)
    config = find_agent_config(source.path, options.agent_yaml)
    policy = config.section("models", "policy") if config else {}
    networks = policy.get("network")
    network = networks[0] if isinstance(networks, list) and len(networks) == 1 else {}
    if isinstance(networks, list) and len(networks) != 1:
        raise CheckpointError(
            f"{config.path if config else where}: the policy has {len(networks)} networks; expected 1"
        )
    layers = bag.take_stack("policy.net_container")
    shared = bag.has("policy.policy_layer.weight")
    trunk, output = (layers, bag.take_linear("policy.policy_layer")) if shared else (layers[:-1], layers[-1])
    activation, named_by = _activation(where, config, network, options)
    _check_widths(where, config, network, [weight.shape[0] for weight, _ in trunk])
    squash, written = _squash(where, config, policy)
    normaliser, info, version = _scaler(bag, config)
    notes = [f"activation from {named_by}"]
    if policy.get("clip_actions") is True:
        notes.append("the trainer clipped actions to the action space, whose bounds are not in the file")
    if config is None:
        notes.append("no agent.yaml: the output is taken without an expression such as tanh")
    if bag.has("policy.log_std_parameter"):
        bag.take("policy.log_std_parameter")
    return feed_forward(
        bag,
        Told(
            version=version,
            distribution=f"Gaussian, deviation in policy.log_std_parameter; the actor returns the mean{written}",
            notes=tuple(notes),
        ),
        trunk=trunk,
        output=output,
        activation=activation,
        normaliser=normaliser,
        info=info,
        head=squash,
    )


def _activation(
    where: str, config: AgentConfig | None, network: dict[str, object], options: LoadOptions
) -> tuple[Callable[[], nn.Module], str]:
    if options.activation is not None:
        return activation_named(options.activation, "--activation"), "--activation"
    named = network.get("activations")
    if isinstance(named, list) and named and all(item == named[0] for item in named):
        named = named[0]
    if config is None or not isinstance(named, str):
        missing = "no params/agent.yaml lies beside it" if config is None else f"{config.path} names no single one"
        raise CheckpointError(
            f"{where}: the activation is not in the checkpoint and {missing}. elu and relu load equally well and act "
            "differently: put the run's params/agent.yaml beside the checkpoint, or say --activation"
        )
    return activation_named(named, f"{config.path}: models.policy.network"), f"{config.path.name} ({named})"


def _check_widths(where: str, config: AgentConfig | None, network: dict[str, object], hidden: list[int]) -> None:
    stated = network.get("layers")
    if config is not None and isinstance(stated, list) and stated and stated != hidden:
        raise CheckpointError(
            f"{config.path}: hidden sizes {stated}, but the network in {where} has {hidden}; the configuration belongs "
            "to another run"
        )


def _squash(where: str, config: AgentConfig | None, policy: dict[str, object]) -> tuple[list[nn.Module], str]:
    """What the output expression of agent.yaml does to the mean, and its words."""
    expression = str(policy.get("output") or "ACTIONS").replace(" ", "")
    known: dict[str, tuple[list[nn.Module], str]] = {
        "ACTIONS": ([], ""),
        "tanh(ACTIONS)": ([nn.Tanh()], " after tanh"),
    }
    if expression not in known:
        raise CheckpointError(
            f"{config.path if config else where}: the policy's output is '{expression}'; understood are "
            f"{', '.join(known)}"
        )
    return known[expression]


def _scaler(bag: TensorBag, config: AgentConfig | None) -> tuple[nn.Module, NormaliserInfo | None, str]:
    """The observation scaler, an identity where there is none, and the version that its name shows."""
    prefix = next((name for name in _SCALERS if bag.has(f"{name}.running_mean")), None)
    if prefix is None:
        return nn.Identity(), None, "1.x or 2.x"
    agent = config.section("agent", f"{prefix}_kwargs") if config else {}
    epsilon, clip = _number(agent.get("epsilon"), 1e-8), _number(agent.get("clip_threshold"), 5.0)
    mean = bag.take_weight(f"{prefix}.running_mean").reshape(-1)
    variance = bag.take_weight(f"{prefix}.running_variance").reshape(-1)
    deviation = torch.sqrt(variance)
    info = NormaliserInfo.of(
        mean,
        deviation,
        where=prefix,
        formula=f"(obs - running_mean) / (sqrt(running_variance) + {epsilon:g})",
        clip=clip,
        samples=bag.take(f"{prefix}.current_count") if bag.has(f"{prefix}.current_count") else None,
    )
    version = "2.x" if prefix == _SCALERS[0] else "1.x"
    return Normaliser(mean, deviation + epsilon, clip=clip), info, version


def _number(given: object, default: float) -> float:
    return float(given) if isinstance(given, (int, float)) and not isinstance(given, bool) else default
