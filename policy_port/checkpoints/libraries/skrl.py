"""skrl checkpoints, versions 1 and 2: `agent_<t>.pt` and `best_agent.pt`."""

from __future__ import annotations

import math
import re

import torch
from torch import nn

from policy_port.checkpoints.files.tensors import TensorBag
from policy_port.checkpoints.libraries.skrl_expressions import network_input, output_of
from policy_port.checkpoints.libraries.stated import Stated, is_on, known_class
from policy_port.checkpoints.networks.assemble import Network, Told, put_together
from policy_port.checkpoints.networks.layers import Normaliser
from policy_port.checkpoints.policy import Loaded, LoadOptions, NormaliserInfo, Source
from policy_port.errors import CheckpointError

_OBSERVATION, _STATE, _SHARED = "observation_preprocessor", "state_preprocessor", "shared_state_preprocessor"
"""Names of the scaler: version 2 renamed the second to the first, and gave the second to the critic's own input."""

CLASSES = ("GaussianMixin", "MultivariateGaussianMixin", "DeterministicMixin")
"""Models whose output is the action."""

_AGENTS = ("a2c", "amp", "cem", "ddpg", "ppo", "rpo", "sac", "td3", "trpo", "ippo", "mappo")
"""Algorithms that answer with what the policy's model does."""

_SCALER_KEYS = frozenset(["size", "device", "epsilon", "clip_threshold"])
KNOWN_KEYS: dict[tuple[str, ...], frozenset[str]] = {
    ("models", "policy"): frozenset(
        [
            *("class", "network", "output", "clip_actions", "clip_mean_actions", "clip_log_std", "min_log_std"),
            *("max_log_std", "reduction", "initial_log_std", "fixed_log_std"),
        ]
    ),
    ("agent", f"{_OBSERVATION}_kwargs"): _SCALER_KEYS,
    ("agent", f"{_STATE}_kwargs"): _SCALER_KEYS,
}
"""Keys of agent.yaml that are read here or change nothing of the actor, by their table."""
_NETWORK_KEYS = frozenset(["name", "input", "layers", "activations"])

_CONTAINER = re.compile(r"\b(\w+_container)\.\d+\.weight")

SUPPORTED = (
    "skrl 1.x and 2.x: perceptrons, separate and shared models, with or without a scaler; outputs such as "
    "2 * tanh(ACTIONS)"
)
"""What of it is read, in words."""


def evidence(source: Source) -> tuple[str, ...]:
    """Why this is a skrl file, or nothing."""
    policy = source.tree.get("policy")
    found = _CONTAINER.search(" ".join(map(str, policy))) if isinstance(policy, dict) else None
    return (f"top-level keys {', '.join(source.tree)}", f"policy holds {found[1]}.*") if found else ()


def load(source: Source, options: LoadOptions) -> Loaded:
    """Build the actor of a skrl checkpoint."""
    bag = TensorBag(source.tree, str(source.path))
    stated = Stated.of(source, options)
    shared = bag.has("policy.policy_layer.weight")
    role, network = _network(bag, stated, shared)
    layers = bag.take_stack(f"policy.{_container(bag, stated, network)}")
    trunk, output = (layers, bag.take_linear("policy.policy_layer")) if shared else (layers[:-1], layers[-1])
    activation, named_by = stated.activation(network.get("activations"), f"models.{role}.network")
    hidden = [weight.shape[0] for weight, _ in trunk]
    stated.agrees("hidden sizes", _widths(stated, network.get("layers")), hidden)
    stated.agrees("models.separate", stated.section("models").get("separate"), not shared)
    expression = stated.section("models", "policy").get("output") or "ACTIONS"
    normaliser, info, version = _scaler(bag, stated)
    notes = [f"activation from {named_by}", *_said_of_reading(stated, network, role)]
    written = "" if expression == "ACTIONS" else f", through {expression}"
    if is_on(stated.section("models", "policy").get("clip_actions")):
        notes.append("the trainer clipped sampled actions to the action space, whose bounds are not in the file")
    if stated.config.path is None:
        notes.append("no agent.yaml: the output is taken without an expression such as tanh")
    if bag.has("policy.log_std_parameter"):
        bag.take("policy.log_std_parameter")
    critics = (info is not None and info.where == _OBSERVATION) or _is_second(stated.section("agent"))
    return put_together(
        bag,
        Told(
            version=version,
            distribution=f"Gaussian, deviation in policy.log_std_parameter; the actor returns the mean{written}",
            notes=(*notes, *stated.doubts(normalised=info is not None)),
            training=(_STATE,) if critics else (),
            unknown_keys=(
                *stated.unknown_keys(KNOWN_KEYS),
                *stated.foreign_class("agent.class", known=_AGENTS, package="skrl"),
            ),
        ),
        Network(trunk=trunk, output=output, activation=activation),
        normaliser=normaliser,
        info=info,
        head=output_of(stated, expression),
    )


def _container(bag: TensorBag, stated: Stated, network: dict[str, object]) -> str:
    """The one network of the policy; skrl names it as agent.yaml does, net where nobody says."""
    inside = [name.removeprefix("policy.") for name in bag.names if name.startswith("policy.")]
    found = list(dict.fromkeys(match[1] for name in inside if (match := _CONTAINER.match(name))))
    if len(found) != 1:
        raise CheckpointError(f"{bag.where}: its policy has {len(found)} networks ({', '.join(found)}); expected 1")
    stated.agrees("the name of the network", network.get("name"), found[0].removesuffix("_container"))
    return found[0]


def _network(bag: TensorBag, stated: Stated, shared: bool) -> tuple[str, dict[str, object]]:
    """The policy's one network in agent.yaml, and the role that states it; a model of another kind is refused."""
    policy = stated.section("models", "policy")
    kind = policy.get("class")
    known = {name.lower(): name for name in CLASSES}.get(str(known_class(kind, "skrl")).lower())
    if kind is not None and known is None:
        raise stated.error(f"models.policy.class is {kind!r:.60}; only {', '.join(CLASSES)} have the action as output")
    key = "clip_actions" if known == CLASSES[-1] else "clip_mean_actions"
    if is_on(policy.get(key)):
        raise stated.error(
            f"models.policy.{key} clips what the policy answers to the action space, whose bounds are not in the file. "
            f"State them as action.raw_clip in the contract, and give a copy of the configuration with {key}: false by "
            "--agent"
        )
    # A shared model has the network of whichever role stands first.
    roles = [name for name in stated.section("models") if name != "separate"] if shared else []
    role = roles[0] if roles else "policy"
    networks = stated.section("models", role).get("network")
    if networks is None:
        old = [name for name in ("hiddens", "output_activation", "output_scale") if name in policy]
        if old:
            raise stated.error(
                f"models.policy has {', '.join(old)}, as skrl wrote them before 1.3; say the same as network (name, "
                "input, layers, activations) and output, for example output: tanh(ACTIONS)"
            )
        return role, {}
    if not isinstance(networks, list) or len(networks) != 1 or not isinstance(networks[0], dict):
        count = len(networks) if isinstance(networks, list) else 0
        raise stated.error(f"the policy has {count} networks; expected 1")
    network = networks[0]
    unknown = sorted(map(str, set(network) - _NETWORK_KEYS))
    if unknown:
        raise stated.error(
            f"the policy's network has the key {unknown[0]}; known are {', '.join(sorted(_NETWORK_KEYS))}"
        )
    second = _OBSERVATION in stated.section("agent") or bag.has(f"{_OBSERVATION}.running_mean")
    if network_input(stated, network.get("input") or "OBSERVATIONS") == "STATES" and second:
        raise stated.error(
            "the policy's network reads STATES, which in skrl 2 are the environment's privileged state and not its "
            "observations; such a policy is not supported"
        )
    if not policy.get("output"):
        raise stated.error(
            "models.policy has no output, so that skrl adds no layer for the actions; such a policy is not supported"
        )
    return role, network


def _said_of_reading(stated: Stated, network: dict[str, object], role: str) -> list[str]:
    """What a reader must know of where the network comes from and what it reads."""
    notes = []
    if role != "policy" and stated.section("models", "policy").get("network") != [network]:
        notes.append(f"a shared model has the network that agent.yaml states first, which is that of models.{role}")
    if "STATES" in str(network.get("input")).upper():
        notes.append(
            "the network reads STATES: in skrl 1 the observations, in skrl 2 the environment's privileged state"
        )
    return notes


def _widths(stated: Stated, layers: object) -> list[int] | None:
    """Widths of the hidden layers, each a number or a table {linear: ...}."""
    if not isinstance(layers, list):
        return None
    widths = []
    for layer in layers:
        inner = layer.get("linear") if isinstance(layer, dict) and len(layer) == 1 else layer
        if isinstance(inner, list) and inner:
            inner = inner[0]
        if isinstance(inner, dict):
            inner = inner.get("features", inner.get("out_features"))
        if isinstance(inner, bool) or not isinstance(inner, int | float) or not 0 < inner < math.inf:
            raise stated.error(f"the policy's network has the layer {layer!r:.60}; only linear layers are supported")
        widths.append(int(inner))
    return widths


def _scaler(bag: TensorBag, stated: Stated) -> tuple[nn.Module, NormaliserInfo | None, str]:
    """The observation scaler, an identity where there is none, and the version that its name shows."""
    agent = stated.section("agent")
    names = (_OBSERVATION,) if _is_second(agent) else (_OBSERVATION, _STATE)
    # Of a state that the environment does not have, the scaler has no entries.
    found = [name for name in names if bag.has(f"{name}.running_mean") and bag.size(f"{name}.running_mean")]
    prefix = found[0] if found else None
    claims = {f"agent.{name}": _scales(stated, name, agent[name]) for name in (_OBSERVATION, _STATE) if name in agent}
    if _OBSERVATION in agent:
        # Where both are named, the other is of the critic's input.
        claims.pop(f"agent.{_STATE}", None)
    stated.normaliser(claims, prefix)
    if prefix is None:
        return nn.Identity(), None, "1.x or 2.x"
    table = _scaler_table(stated, agent)
    settings = stated.section("agent", table)
    epsilon = stated.number(settings.get("epsilon"), 1e-8, f"agent.{table}.epsilon")
    bound = stated.bound(settings.get("clip_threshold"), 5.0, f"agent.{table}.clip_threshold")
    clip = None if bound == math.inf else bound
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
    return Normaliser(mean, deviation + epsilon, clip=clip), info, "2.x" if prefix == _OBSERVATION else "1.x"


def _is_second(agent: dict[str, object]) -> bool:
    """Whether a scaler under version 1's name is the critic's: shared_state_preprocessor alone becomes that, too."""
    return _OBSERVATION in agent or (_SHARED in agent and _STATE not in agent)


def _scaler_table(stated: Stated, agent: dict[str, object]) -> str:
    """The table of the policy's scaler; raise where the tables and what they are said to be of do not fit together."""
    named = [name for name in (_OBSERVATION, _STATE) if name in agent]
    tables = [f"{name}_kwargs" for name in (_OBSERVATION, _STATE) if is_on(agent.get(f"{name}_kwargs"))]
    if len(named) < 2 and len(tables) == 2 and agent[tables[0]] != agent[tables[1]]:
        raise stated.error(
            f"agent.{tables[0]} and agent.{tables[1]} differ, and only one preprocessor is stated; give a copy of the "
            "configuration with the one that the run had by --agent"
        )
    # Version 2 reads the old names of both, or the new names of both.
    wanted = f"{named[0]}_kwargs" if named else next(iter(tables), f"{_STATE}_kwargs")
    if len(named) == 1 and tables and wanted not in tables:
        raise stated.error(
            f"agent.{tables[0]} is not of {named[0]}, for which skrl took its defaults; if that is so, give a copy of "
            f"the configuration without {tables[0]} by --agent"
        )
    return wanted


def _scales(stated: Stated, key: str, value: object) -> bool:
    """Whether a preprocessor of agent.yaml is the known one."""
    if not is_on(value):
        return False
    if known_class(value, "skrl") != "RunningStandardScaler":
        raise stated.error(f"agent.{key} is {value!r:.60}; only RunningStandardScaler is supported")
    return True
