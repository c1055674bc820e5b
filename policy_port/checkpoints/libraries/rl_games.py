"""rl_games checkpoints: `nn/*.pth`."""

from __future__ import annotations

import math

import torch
from torch import nn

from policy_port.checkpoints.files.tensors import TensorBag
from policy_port.checkpoints.libraries.stated import Stated, is_on
from policy_port.checkpoints.networks.activations import activation_named
from policy_port.checkpoints.networks.assemble import Memory, Network, Told, put_together
from policy_port.checkpoints.networks.layers import Clamp, Normaliser, Rescale
from policy_port.checkpoints.policy import Leftover, Loaded, LoadOptions, NormaliserInfo, Source
from policy_port.errors import CheckpointError

EPSILON = 1e-5
"""Added to the variance, inside the square root."""
CLIP = 5.0
"""Bound of the normalised observation."""
_NETWORK = "model.a2c_network"
_BESIDE, _INSIDE = "running_mean_std", "model.running_mean_std"
"""Where the normaliser of observations stands: until early 2022 beside the model, where the player still prefers it."""

NOT_READ = ("cnn", "actor_cnn")
"""Parts of the network that make it more than a perceptron with a memory."""

KNOWN_KEYS = {
    ("params", "model"): frozenset(["name"]),
    ("params", "network"): frozenset(
        [
            *("name", "separate", "mlp", "space", "value_activation", "value_size", "disc"),
            # The file itself shows these: they come with tensors of their own.
            *("normalization", "rnn", "cnn"),
        ]
    ),
    ("params", "network", "mlp"): frozenset(
        ["units", "activation", "d2rl", "norm_only_first_layer", "initializer", "regularizer"]
    ),
    ("params", "network", "rnn"): frozenset(
        ["name", "units", "layers", "before_mlp", "layer_norm", "concat_input", "concat_output"]
    ),
    ("params", "network", "space"): frozenset(["continuous"]),
    ("params", "network", "space", "continuous"): frozenset(
        ["mu_activation", "mu_init", "sigma_activation", "sigma_init", "fixed_sigma", "learn_sigma"]
    ),
    ("params", "env"): frozenset(["clip_observations", "clip_actions", "obs_groups", "concate_obs_groups"]),
}
"""Keys of agent.yaml that are read here or change nothing of the actor, by their table."""

NETWORKS, MODELS = ("actor_critic", "amp"), ("continuous_a2c_logstd", "continuous_a2c", "continuous_amp")
"""Names under which rl_games builds the networks and models that are read."""

ALGORITHMS = ("a2c_continuous", "amp_continuous")
"""Algorithms whose player answers with the network's mean."""

SUPPORTED = "rl_games: perceptron, LSTM and GRU before or behind it, with its running mean and variance"
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
    if not isinstance(source.tree.get("model"), dict):
        raise CheckpointError(f"{where}: has no model; it is not an rl_games checkpoint")
    bag = TensorBag(source.tree, where)
    stated = Stated.of(source, options)
    _require_known(bag, stated)
    mlp = stated.section("params", "network", "mlp")
    trunk = [] if mlp.get("units") == [] else bag.take_stack(f"{_NETWORK}.actor_mlp")
    activation, named_by = stated.activation(mlp.get("activation"), "params.network.mlp")
    stated.agrees("hidden sizes", mlp.get("units"), [weight.shape[0] for weight, _ in trunk])
    memory = _memory(bag, stated)
    head, ending, notes = _head(stated)
    normaliser, info = _normaliser(bag, stated)
    clip = stated.section("params", "env").get("clip_observations")
    if (bound := stated.bound(clip, math.inf, "params.env.clip_observations")) < math.inf:
        notes.append(f"observations are clipped to +-{bound:g} before the normaliser, as Isaac Lab's wrapper does")
        normaliser = nn.Sequential(Clamp(-bound, bound), normaliser)
    return put_together(
        bag,
        Told(
            version="1.x",
            distribution=f"Gaussian, deviation in a2c_network.sigma; the actor returns the mean, {ending}",
            notes=(f"activation from {named_by}", *notes, *stated.doubts(normalised=info is not None)),
            training=(_INSIDE,) if info is not None and info.where == _BESIDE else (),
            unknown_keys=_unknown_keys(stated),
        ),
        Network(trunk=trunk, output=bag.take_linear(f"{_NETWORK}.mu"), activation=activation, memory=memory),
        normaliser=normaliser,
        info=info,
        head=head,
    )


def _memory(bag: TensorBag, stated: Stated) -> Memory | None:
    """The actor's memory, whose place agent.yaml alone tells; None where it has none."""
    table = stated.section("params", "network", "rnn")
    found = [name for name in ("a_rnn", "rnn") if any(each.startswith(f"{_NETWORK}.{name}.") for each in bag.names)]
    if not found:
        stated.agrees("params.network.rnn", stated.section("params", "network").get("rnn"), "none")
        return None
    if not table:
        raise stated.error(
            f"holds {_NETWORK}.{found[0]}, and whether that stands before the perceptron or behind it is not in the "
            "file. Put the run's params/agent.yaml beside it; its params.network.rnn says"
        )
    separate = is_on(stated.section("params", "network").get("separate"))
    stated.agrees("params.network.separate", separate, found == ["a_rnn"])
    module = bag.take_memory(f"{_NETWORK}.{found[0]}.rnn")
    told = {"name": type(module).__name__.lower(), "units": module.hidden_size, "layers": module.num_layers}
    for key, value in told.items():
        stated.agrees(f"params.network.rnn.{key}", table.get(key), value)
    switches = {}
    for key in ("before_mlp", "layer_norm", "concat_input", "concat_output"):
        said = table.get(key) or False
        if said not in (True, False):
            raise stated.error(f"params.network.rnn.{key} is {said!r:.60}; expected true or false")
        switches[key] = bool(said)
    place = f"{_NETWORK}.a_layer_norm" if separate else f"{_NETWORK}.layer_norm"
    stated.agrees("params.network.rnn.layer_norm", switches["layer_norm"], bag.has(f"{place}.weight"))
    return Memory(
        module=module,
        behind=not switches["before_mlp"],
        norm=_layer_norm(bag, place, module.hidden_size) if switches["layer_norm"] else None,
        join_input=switches["concat_input"] and not switches["before_mlp"],
        join_output=switches["concat_output"],
    )


def _layer_norm(bag: TensorBag, place: str, width: int) -> nn.LayerNorm:
    weight, bias = (bag.take_weight(f"{place}.{name}") for name in ("weight", "bias"))
    if weight.shape != (width,) or bias.shape != (width,):
        raise CheckpointError(f"{bag.where}: {place} has {weight.numel()} entries; the memory writes {width}")
    norm = nn.LayerNorm(width, device="meta")
    norm.weight, norm.bias = nn.Parameter(weight, requires_grad=False), nn.Parameter(bias, requires_grad=False)
    return norm


def _require_known(bag: TensorBag, stated: Stated) -> None:
    """Raise when the file or the configuration tells of another network."""
    parts = {name.split(".")[2]: name for name in bag.names if name.startswith(f"{_NETWORK}.")}
    norms = () if {"rnn", "a_rnn"} & set(parts) else ("layer_norm", "a_layer_norm")
    strange = next((name for part, name in parts.items() if part in (*NOT_READ, *norms)), None)
    if strange is not None:
        raise CheckpointError(f"{bag.where}: holds {strange}; only perceptrons and memories of rl_games are supported")
    network = stated.section("params", "network")
    stated.agrees("params.network.cnn", network.get("cnn"), "none")
    for key, value, known in (
        ("params.network.name", network.get("name"), NETWORKS),
        ("params.model.name", stated.section("params", "model").get("name"), MODELS),
    ):
        if value is not None and value not in known:
            raise stated.error(f"{key} is {value!r:.60}, which is not supported; known are {', '.join(known)}")
    if is_on(stated.section("params", "network", "mlp").get("d2rl")):
        raise stated.error("d2rl networks are not supported")
    groups = stated.section("params", "env", "obs_groups").get("obs")
    apart = stated.section("params", "env").get("concate_obs_groups") is False
    if apart and isinstance(groups, list) and len(groups) > 1:
        raise stated.error("params.env.concate_obs_groups is false: observations apart by name are not supported")


def _unknown_keys(stated: Stated) -> tuple[Leftover, ...]:
    """Unknown keys of the network's tables, and those of the trainer's that speak of the observations' normaliser."""
    config = stated.section("params", "config")
    rest = frozenset(key for key in config if not str(key).startswith("normalize_input") or key == "normalize_input")
    keys = stated.unknown_keys({**KNOWN_KEYS, ("params", "config"): rest})
    return (*keys, *stated.foreign_class("params.algo.name", known=ALGORITHMS))


def _head(stated: Stated) -> tuple[list[nn.Module], str, list[str]]:
    """What follows the mean: its activation, the player's clamp and rescale; its words, and notes."""
    named = stated.section("params", "network", "space", "continuous").get("mu_activation")
    head: list[nn.Module] = []
    words, notes = "", []
    if isinstance(named, str) and named != "None":
        head, words = [activation_named(named, "params.network.space.continuous.mu_activation")()], f"after {named}, "
    clips = stated.section("params", "config").get("clip_actions", True)
    if not isinstance(clips, bool):
        raise stated.error(f"params.config.clip_actions is {clips!r:.60}; expected true or false")
    if not clips:
        return head, f"{words}not clipped", []
    given = stated.section("params", "env").get("clip_actions")
    bound = stated.bound(given, math.inf, "params.env.clip_actions")
    if bound == math.inf:
        notes = ["the action space is not in the file; it is taken to be +-1"]
    head.append(Clamp(-1.0, 1.0))
    if bound in (1.0, math.inf):
        return head, f"{words}clipped to +-1", notes
    head.append(Rescale(torch.tensor(bound, dtype=torch.float32), torch.tensor(0.0)))
    return head, f"{words}clipped to +-1 and rescaled to +-{bound:g}", notes


def _normaliser(bag: TensorBag, stated: Stated) -> tuple[nn.Module, NormaliserInfo | None]:
    """The observation normaliser, an identity where there is none; a dict of observations has one for each name."""
    ending = ".running_mean"
    found = [name.removesuffix(ending) for name in bag.names if name.endswith(ending)]
    found = [name for name in found if name == _BESIDE or f"{name}.".startswith(f"{_INSIDE}.")]
    claim = stated.section("params", "config").get("normalize_input")
    stated.normaliser({"params.config.normalize_input": claim}, found[0] if found else None)
    if not found:
        return nn.Identity(), None
    if set(found) == {_BESIDE, _INSIDE}:
        found = [_BESIDE]
    if len(found) > 1:
        raise CheckpointError(
            f"{bag.where}: holds {len(found)} normalisers of observations ({', '.join(found)}); which one acts, or in "
            "which order their observations stand, is not in the file"
        )
    prefix = found[0]
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
