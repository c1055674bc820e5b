"""skrl checkpoints, versions 1 and 2: `agent_<t>.pt` and `best_agent.pt`."""

from __future__ import annotations

import math

import torch
from torch import nn

from policy_port.checkpoints.files.tensors import TensorBag
from policy_port.checkpoints.libraries.stated import Stated, is_on, known_class
from policy_port.checkpoints.networks.assemble import Network, Told, put_together
from policy_port.checkpoints.networks.layers import Normaliser
from policy_port.checkpoints.policy import Loaded, LoadOptions, NormaliserInfo, Source

_OBSERVATION, _STATE = "observation_preprocessor", "state_preprocessor"
"""Names of the scaler: version 2 renamed the second to the first, and gave the second to the critic's own input."""

CLASSES = ("GaussianMixin", "MultivariateGaussianMixin", "DeterministicMixin")
"""Models whose output is the action."""

_SCALER_KEYS = frozenset(["size", "device", "epsilon", "clip_threshold"])
KNOWN_KEYS = {
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
    bag = TensorBag(source.tree, str(source.path))
    stated = Stated.of(source, options)
    network = _network(stated)
    layers = bag.take_stack("policy.net_container")
    shared = bag.has("policy.policy_layer.weight")
    trunk, output = (layers, bag.take_linear("policy.policy_layer")) if shared else (layers[:-1], layers[-1])
    activation, named_by = stated.activation(network.get("activations"), "models.policy.network")
    hidden = [weight.shape[0] for weight, _ in trunk]
    stated.agrees("hidden sizes", _widths(stated, network.get("layers")), hidden)
    stated.agrees("models.separate", stated.section("models").get("separate"), not shared)
    squash, written = _squash(stated)
    normaliser, info, version = _scaler(bag, stated)
    notes = [f"activation from {named_by}"]
    if is_on(stated.section("models", "policy").get("clip_actions")):
        notes.append("the trainer clipped sampled actions to the action space, whose bounds are not in the file")
    if stated.config.path is None:
        notes.append("no agent.yaml: the output is taken without an expression such as tanh")
    if bag.has("policy.log_std_parameter"):
        bag.take("policy.log_std_parameter")
    critics = (info is not None and info.where == _OBSERVATION) or _OBSERVATION in stated.section("agent")
    return put_together(
        bag,
        Told(
            version=version,
            distribution=f"Gaussian, deviation in policy.log_std_parameter; the actor returns the mean{written}",
            notes=(*notes, *stated.doubts(normalised=info is not None)),
            training=(_STATE,) if critics else (),
            unknown_keys=stated.unknown_keys(KNOWN_KEYS),
        ),
        Network(trunk=trunk, output=output, activation=activation),
        normaliser=normaliser,
        info=info,
        head=squash,
    )


def _network(stated: Stated) -> dict[str, object]:
    """The policy's one network in agent.yaml; a model of another kind is refused."""
    policy = stated.section("models", "policy")
    kind = policy.get("class")
    if kind is not None and known_class(kind, "skrl") not in CLASSES:
        raise stated.error(f"models.policy.class is {kind!r:.60}; only {', '.join(CLASSES)} have the action as output")
    deterministic = kind is not None and known_class(kind, "skrl") == CLASSES[-1]
    key = "clip_actions" if deterministic else "clip_mean_actions"
    if is_on(policy.get(key)):
        raise stated.error(
            f"models.policy.{key} clips what the policy answers to the action space, whose bounds are not in the file. "
            f"State them as action.raw_clip in the contract, and give a copy of the configuration with {key}: false by "
            "--agent"
        )
    networks = policy.get("network")
    if networks is None:
        old = [name for name in ("hiddens", "output_activation", "output_scale") if name in policy]
        if old:
            raise stated.error(
                f"models.policy has {', '.join(old)}, as skrl wrote them before 1.3; say the same as network (name, "
                "input, layers, activations) and output, for example output: tanh(ACTIONS)"
            )
        return {}
    if not isinstance(networks, list) or len(networks) != 1 or not isinstance(networks[0], dict):
        count = len(networks) if isinstance(networks, list) else 0
        raise stated.error(f"the policy has {count} networks; expected 1")
    network = networks[0]
    unknown = sorted(map(str, set(network) - _NETWORK_KEYS))
    read = str(network.get("input") or "OBSERVATIONS").strip()
    if unknown or read not in ("OBSERVATIONS", "STATES"):
        what = f"the key {unknown[0]}" if unknown else f"the input '{read}'"
        raise stated.error(
            f"the policy's network has {what}; known are {', '.join(sorted(_NETWORK_KEYS))}, and as input "
            "OBSERVATIONS or STATES alone"
        )
    if read == "STATES" and _OBSERVATION in stated.section("agent"):
        raise stated.error(
            "the policy's network reads STATES, which in skrl 2 are the environment's privileged state and not its "
            "observations; such a policy is not supported"
        )
    return network


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


def _squash(stated: Stated) -> tuple[list[nn.Module], str]:
    """What the output expression of agent.yaml does to the mean, and its words."""
    expression = str(stated.section("models", "policy").get("output") or "ACTIONS").replace(" ", "")
    known: dict[str, tuple[list[nn.Module], str]] = {
        "ACTIONS": ([], ""),
        "tanh(ACTIONS)": ([nn.Tanh()], " after tanh"),
    }
    if expression not in known:
        raise stated.error(f"the policy's output is '{expression}'; understood are {', '.join(known)}")
    return known[expression]


def _scaler(bag: TensorBag, stated: Stated) -> tuple[nn.Module, NormaliserInfo | None, str]:
    """The observation scaler, an identity where there is none, and the version that its name shows."""
    agent = stated.section("agent")
    names = (_OBSERVATION,) if _OBSERVATION in agent else (_OBSERVATION, _STATE)
    prefix = next((name for name in names if bag.has(f"{name}.running_mean")), None)
    claims = {f"agent.{name}": _scales(stated, name, agent[name]) for name in (_OBSERVATION, _STATE) if name in agent}
    if names == (_OBSERVATION,):
        # Where both are named, the other is of the critic's input.
        claims.pop(f"agent.{_STATE}", None)
    stated.normaliser(claims, prefix)
    if prefix is None:
        return nn.Identity(), None, "1.x or 2.x"
    # Version 2 takes the old name of the table too.
    table = f"{prefix}_kwargs" if f"{prefix}_kwargs" in agent or _OBSERVATION in agent else f"{_STATE}_kwargs"
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


def _scales(stated: Stated, key: str, value: object) -> bool:
    """Whether a preprocessor of agent.yaml is the known one."""
    if not is_on(value):
        return False
    if known_class(value, "skrl") != "RunningStandardScaler":
        raise stated.error(f"agent.{key} is {value!r:.60}; only RunningStandardScaler is supported")
    return True
