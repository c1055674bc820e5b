"""RSL-RL checkpoints, versions 2 to 5: `model_<iteration>.pt`."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from policy_port.checkpoints.actor import Actor
from policy_port.checkpoints.files.tensors import TensorBag
from policy_port.checkpoints.libraries.rsl_rl_images import Encoders, has_encoders, take_encoders
from policy_port.checkpoints.libraries.rsl_rl_layout import Layout, layout_of
from policy_port.checkpoints.libraries.stated import Stated, is_on, known_class
from policy_port.checkpoints.libraries.training_only import TRAINING_ONLY
from policy_port.checkpoints.networks.activations import RSL_RL_ACTIVATIONS
from policy_port.checkpoints.networks.assemble import described_memory
from policy_port.checkpoints.networks.layers import (
    BetaMean,
    FeedForwardActor,
    FirstHalf,
    Normaliser,
    RecurrentActor,
    perceptron,
)
from policy_port.checkpoints.networks.vision import Eye, ImageActor, Pixels
from policy_port.checkpoints.policy import Leftover, Loaded, LoadOptions, NormaliserInfo, Source
from policy_port.errors import CheckpointError

EPSILON = 0.01
"""Added to the standard deviation, not to the variance, in every version."""

CLASSES = {
    **dict.fromkeys(["ActorCritic", "StudentTeacher", "MLPModel"], "perceptron"),
    **dict.fromkeys(["ActorCriticRecurrent", "StudentTeacherRecurrent", "RNNModel"], "recurrent network"),
    **dict.fromkeys(["ActorCriticCNN", "CNNModel"], "network that sees"),
}
"""What RSL-RL's own classes build; a project may name any class of its own."""

DISTRIBUTIONS = ("GaussianDistribution", "HeteroscedasticGaussianDistribution", "BetaDistribution")

_SECTION = frozenset(
    [
        *("class_name", "activation", "hidden_dims", "obs_normalization", "distribution_cfg", "cnn_cfg", "stochastic"),
        *("init_noise_std", "noise_std_type", "state_dependent_std", "fixed_std", "teacher_recurrent"),
        *("rnn_type", "rnn_hidden_dim", "rnn_hidden_size", "rnn_num_layers"),
        *(
            f"{role}_{key}"
            for role in ("actor", "critic", "student", "teacher")
            for key in ("hidden_dims", "obs_normalization", "cnn_cfg")
        ),
    ]
)
_DISTRIBUTION = frozenset(["class_name", "init_std", "std_type", "std_range", "learn_std", "action_range"])
"""Keys of agent.yaml that are read here or change nothing of the actor: of the network, of its distribution."""

_CONTAINERS = ("model_state_dict", "actor_state_dict", "student_state_dict")

SUPPORTED = (
    "RSL-RL 2.1 to 5.5: perceptron, LSTM, GRU, convolutions (3.3 on); normalisers; Beta and "
    "state-dependent deviation; distillation"
)
"""What of it is read, in words."""


_BARE = {
    "model_state_dict": (r"(actor|student)\.\d+\.weight", r"(std|log_std)|(critic|teacher)\.\d+\.weight"),
    "actor_state_dict": (r"mlp\.\d+\.weight", r"distribution\..*|std|log_std|obs_normalizer\._mean"),
}
"""By the table that RSL-RL keeps them in: names of which a bare state dict has some of each pattern."""


_BESIDE = {
    "model_state_dict": "version 2's normaliser among it",
    "actor_state_dict": "which is nothing that the actor needs",
}


def _table_of_bare(source: Source) -> str | None:
    """The table that a bare state dict was taken out of; None where the file is none."""
    tree = source.tree
    if source.container != "torch" or not tree or not all(isinstance(value, torch.Tensor) for value in tree.values()):
        return None
    for table, patterns in _BARE.items():
        if all(any(re.fullmatch(pattern, name) for name in tree) for pattern in patterns):
            return table
    return None


def evidence(source: Source) -> tuple[str, ...]:
    """Why this is an RSL-RL file, or nothing."""
    bare = _table_of_bare(source)
    if bare is not None:
        return (f"a bare state dict with the names of RSL-RL's {bare}",)
    found = tuple(key for key in _CONTAINERS if isinstance(source.tree.get(key), dict))
    if not found or "iter" not in source.tree:
        return ()
    inner = source.tree[found[0]]
    assert isinstance(inner, dict)
    known = ("actor.", "student.", "mlp.", "rnn.", "cnns.", "memory_")
    if not any(str(key).startswith(known) for key in inner):
        return ()
    return (f"top-level keys {', '.join(source.tree)}", f"{found[0]} holds {next(iter(inner), 'nothing')}, ...")


def load(source: Source, options: LoadOptions) -> Loaded:
    """Build the actor of an RSL-RL checkpoint, or of the bare state dict of one."""
    table = _table_of_bare(source)
    if table is None:
        return _load(source, options)
    # Read in its table, told under its own names.
    found = _load(replace(source, tree={table: dict(source.tree)}), options)
    inside = f"{table}."
    places = (*TRAINING_ONLY["rsl_rl"], *found.training)
    return replace(
        found,
        rest=tuple(leftover._replace(name=leftover.name.removeprefix(inside)) for leftover in found.rest),
        training=(*found.training, *(place.removeprefix(inside) for place in places if place.startswith(inside))),
        notes=(*found.notes, f"a bare state dict: what RSL-RL keeps beside {table} is not here, {_BESIDE[table]}"),
    )


def _load(source: Source, options: LoadOptions) -> Loaded:
    where = str(source.path)
    bag = TensorBag(source.tree, where)
    layout = layout_of(source, bag, options)
    stated = Stated.of(source, options, RSL_RL_ACTIVATIONS)
    table = _table(stated, layout)
    section = stated.section(table)
    activation, named_by = stated.activation(
        section.get("activation"), f"{layout.role} or policy" if not section else table
    )
    stack = bag.take_stack(layout.stack)
    features = stack[0][0].shape[1]
    widths = section.get("hidden_dims", section.get(f"{layout.role}_hidden_dims"))
    stated.agrees("hidden sizes", _resolved(widths, features), [weight.shape[0] for weight, _ in stack[:-1]])
    kind = _kind(bag, layout)
    _check_class(stated, section, layout, kind)
    head, actions, distribution = _head(bag, stated, layout, section, stack[-1][0].shape[0])
    layers = perceptron(stack, activation)
    normaliser, info = _normaliser(bag, stated, layout)
    architecture = [] if info is None else [f"normaliser {info.formula}, {info.size} entries"]
    notes = _notes(stated, layout)
    ends = {"normaliser": normaliser, "layers": layers, "head": head, "action_size": actions}
    if kind == "network that sees":
        encoders = take_encoders(
            bag,
            layout.convolutions,
            section.get("cnn_cfg", section.get(f"{layout.role}_cnn_cfg")),
            _groups(stated, layout),
            features=features,
            vector_size=None if info is None else info.size,
            sizes=options.image_sizes,
        )
        actor: Actor = _seeing(encoders, **ends)
        architecture += encoders.described
        notes = (*notes, *encoders.notes)
    elif kind == "recurrent network":
        actor = _remembering(bag, stated, layout, section, features, **ends)
        architecture.append(described_memory(actor.memory))
    else:
        actor = FeedForwardActor(obs_size=features, **ends)
    if info is not None and info.size != actor.obs_size:
        raise CheckpointError(f"{where}: the normaliser has {info.size} entries and the network reads {actor.obs_size}")
    architecture += [str(module) for module in layers]
    if not isinstance(head, nn.Identity):
        architecture.append(type(head).__name__)
    keys: dict[tuple[str, ...], frozenset[str]] = {(table,): _SECTION, (table, "distribution_cfg"): _DISTRIBUTION}
    return Loaded(
        version=layout.version,
        actor=actor,
        architecture=tuple(architecture),
        distribution=distribution,
        normaliser=info,
        rest=(*bag.rest(), *stated.unknown_keys(keys), *_strange_trainers(stated)),
        training=(*layout.training, *layout.deviations),
        leftovers=bag.optimisers(),
        notes=(f"activation from {named_by}", *notes, *stated.doubts(normalised=info is not None)),
    )


def _table(stated: Stated, layout: Layout) -> str:
    """The table of agent.yaml that the version of the file reads; the other one where that says nothing."""
    tables = (layout.role, "policy") if layout.stack.endswith(".mlp") else ("policy", layout.role)
    return next((name for name in tables if stated.section(name)), "policy")


def _strange_trainers(stated: Stated) -> tuple[Leftover, ...]:
    """Runner and algorithm of a project's own, which may build the actor or change what it answers."""
    runners, algorithms = ("onpolicyrunner", "distillationrunner"), ("ppo", "distillation")
    places = {"class_name": runners, "runner_class_name": runners, "algorithm.class_name": algorithms}
    places["runner.algorithm_class_name"] = algorithms
    found = (stated.foreign_class(place, known=known, package="rsl_rl") for place, known in places.items())
    return tuple(itertools.chain(*found))


def _resolved(widths: object, features: int) -> object:
    """Hidden sizes with -1, "as wide as the input", spelt out."""
    return [features if width == -1 else width for width in widths] if isinstance(widths, list) else widths


def _kind(bag: TensorBag, layout: Layout) -> str:
    """What kind of network the file holds, in the words of `CLASSES`."""
    if has_encoders(bag, layout.convolutions):
        return "network that sees"
    return "recurrent network" if bag.has(f"{layout.memory}.weight_ih_l0") else "perceptron"


def _check_class(stated: Stated, section: dict[str, object], layout: Layout, kind: str) -> None:
    """Raise when the configuration names a class that RSL-RL does not have, or one that builds another network."""
    named = section.get("class_name") or stated.section("runner").get("policy_class_name")
    if not named:
        return
    name = known_class(named, "rsl_rl")
    if name not in CLASSES:
        raise stated.error(
            f"class_name {named!r:.60} is a class of its own, whose network is not known; RSL-RL's are "
            f"{', '.join(CLASSES)}. Port what it exports (TorchScript or ONNX)"
        )
    # A teacher may be without the memory that its student has.
    if CLASSES[name] != kind and layout.role != "teacher":
        raise stated.error(
            f"class_name {name} builds a {CLASSES[name]}, and {stated.where} holds a {kind}; the configuration belongs "
            "to another run"
        )


def _remembering(
    bag: TensorBag, stated: Stated, layout: Layout, section: dict[str, object], features: int, **ends: Any
) -> RecurrentActor:
    memory = bag.take_memory(layout.memory)
    if memory.hidden_size != features:
        raise CheckpointError(
            f"{bag.where}: the memory writes {memory.hidden_size} values and {layout.stack} reads {features}"
        )
    if section.get("class_name"):
        kind = section.get("rnn_type")
        stated.agrees("rnn_type", kind.lower() if isinstance(kind, str) else kind, type(memory).__name__.lower())
        stated.agrees(
            "rnn_hidden_dim", section.get("rnn_hidden_dim", section.get("rnn_hidden_size")), memory.hidden_size
        )
        stated.agrees("rnn_num_layers", section.get("rnn_num_layers"), memory.num_layers)
    return RecurrentActor(memory=memory, **ends)


def _seeing(encoders: Encoders, *, normaliser: nn.Module, **ends: Any) -> ImageActor:
    eyes = [
        Eye(image, Pixels(channels_last=False, divisor=None), encoder)
        for image, encoder in zip(encoders.images, encoders.modules, strict=True)
    ]
    return ImageActor(eyes=eyes, vector=normaliser, vector_first=True, obs_size=encoders.vector_size, **ends)


def _head(
    bag: TensorBag, stated: Stated, layout: Layout, section: dict[str, object], outputs: int
) -> tuple[nn.Module, int, str]:
    """What follows the perceptron, the number of actions, and the distribution in words."""
    described = section.get("distribution_cfg") or {}
    if not isinstance(described, dict):
        raise stated.error(f"distribution_cfg is {described!r:.60}; expected a table with class_name")
    kind = known_class(described.get("class_name") or DISTRIBUTIONS[0], "rsl_rl")
    if kind not in DISTRIBUTIONS:
        raise stated.error(
            f"distribution_cfg.class_name {described.get('class_name')!r:.60} is a class of its own, whose action is "
            f"not known; RSL-RL's are {', '.join(DISTRIBUTIONS)}. Port what it exports (TorchScript or ONNX)"
        )
    # Version 4 computes no deviation where it takes none.
    computed = is_on(section.get("state_dependent_std")) and section.get("stochastic") is not False
    wide = kind == DISTRIBUTIONS[1] or computed
    stored = [name for name in layout.deviations if bag.has(name)]
    if stored:
        if kind == DISTRIBUTIONS[2] or wide:
            raise stated.error(
                f"{'a Beta distribution' if kind == DISTRIBUTIONS[2] else 'a deviation that depends on the state'} is "
                f"stated, and {bag.where} holds the fixed one {stored[0]}; the configuration belongs to another run"
            )
        if bag.take(stored[0]).numel() != outputs:
            raise CheckpointError(
                f"{bag.where}: {stored[0]} has {bag.take(stored[0]).numel()} entries for {outputs} outputs of the "
                "network"
            )
        return nn.Identity(), outputs, f"Gaussian, deviation in {stored[0]}; the actor returns the mean"
    if kind == DISTRIBUTIONS[2]:
        low, high = _action_range(stated, described.get("action_range"))
        return (
            BetaMean(_halved(bag.where, outputs), low, high),
            outputs // 2,
            f"Beta, rescaled to [{low:g}, {high:g}]; the actor returns the mean",
        )
    if wide:
        return (
            FirstHalf(_halved(bag.where, outputs)),
            outputs // 2,
            "Gaussian, deviation computed by the network; the actor returns the mean, the first half of its output",
        )
    deterministic = layout.role != "actor" or section.get("stochastic") is False
    if deterministic or (section and "distribution_cfg" in section and not described):
        return nn.Identity(), outputs, "none; the network's output is the action"
    raise CheckpointError(
        f"{bag.where}: holds no deviation ({' or '.join(layout.deviations)}), so its {outputs} outputs are either a "
        "mean and a deviation, or the two parameters of a Beta distribution, and the file does not say which. Put the "
        "run's params/agent.yaml beside it; its distribution_cfg or state_dependent_std says"
    )


def _halved(where: str, outputs: int) -> int:
    if outputs % 2:
        raise CheckpointError(f"{where}: the distribution takes two outputs an action; the network has {outputs}")
    return outputs // 2


def _action_range(stated: Stated, given: object) -> tuple[float, float]:
    if given is None or given == {}:
        return -1.0, 1.0
    if isinstance(given, list) and len(given) == 2:
        low, high = (stated.number(bound, 0.0, "distribution_cfg.action_range") for bound in given)
        if low < high:
            return low, high
    raise stated.error(f"distribution_cfg.action_range is {given!r:.60}; expected two numbers, the smaller one first")


def _normaliser(bag: TensorBag, stated: Stated, layout: Layout) -> tuple[nn.Module, NormaliserInfo | None]:
    """The observation normaliser, an identity where the run had none."""
    prefix = layout.normaliser
    found = bag.has(f"{prefix}._mean")
    claims = {"empirical_normalization": stated.config.values.get("empirical_normalization")}
    # Version 2 does not know the other keys, and ignores them.
    if not found or not prefix.endswith("obs_norm_state_dict"):
        claims[f"{layout.role}.obs_normalization"] = stated.section(layout.role).get("obs_normalization")
        claims[f"policy.{layout.role}_obs_normalization"] = stated.section("policy").get(
            f"{layout.role}_obs_normalization"
        )
    stated.normaliser(claims, prefix if found else None)
    if not found:
        return nn.Identity(), None
    mean = bag.take_weight(f"{prefix}._mean").reshape(-1)
    deviation = bag.take_weight(f"{prefix}._std").reshape(-1)
    # The stored variance is not used: the library divides by the stored deviation.
    bag.take(f"{prefix}._var")
    info = NormaliserInfo.of(
        mean,
        deviation,
        where=prefix,
        formula=f"(obs - _mean) / (_std + {EPSILON})",
        samples=bag.take(f"{prefix}.count") if bag.has(f"{prefix}.count") else None,
    )
    return Normaliser(mean, deviation + torch.tensor(EPSILON, dtype=torch.float32), clip=None), info


def _groups(stated: Stated, layout: Layout) -> tuple[str, ...]:
    """The observation groups that the network reads, in order, as far as the configuration says."""
    groups = stated.section("obs_groups")
    names = groups.get(layout.role, groups.get("policy"))
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _notes(stated: Stated, layout: Layout) -> tuple[str, ...]:
    """What the trainer's configuration adds outside the network."""
    notes = []
    names = _groups(stated, layout)
    if len(names) > 1:
        notes.append(f"observation groups in this order: {', '.join(names)}")
    clip = stated.config.values.get("clip_actions")
    if isinstance(clip, (int, float)) and not isinstance(clip, bool):
        notes.append(f"the trainer clipped actions to +-{clip:g}; the actor does not: state action.raw_clip")
    return tuple(notes)
