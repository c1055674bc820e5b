"""RSL-RL checkpoints, versions 2 to 5: `model_<iteration>.pt`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from policy_port.checkpoints.actor import Actor
from policy_port.checkpoints.files.agent_config import AgentConfig, find_agent_config
from policy_port.checkpoints.files.tensors import TensorBag
from policy_port.checkpoints.libraries.rsl_rl_images import Encoders, has_encoders, take_encoders
from policy_port.checkpoints.networks.activations import RSL_RL_ACTIVATIONS, activation_named
from policy_port.checkpoints.networks.layers import (
    BetaMean,
    FeedForwardActor,
    FirstHalf,
    Normaliser,
    RecurrentActor,
    perceptron,
)
from policy_port.checkpoints.networks.vision import Eye, ImageActor, Pixels
from policy_port.checkpoints.policy import Loaded, LoadOptions, NormaliserInfo, Source
from policy_port.errors import CheckpointError

EPSILON = 0.01
"""Added to the standard deviation, not to the variance, in every version."""

_CONTAINERS = ("model_state_dict", "actor_state_dict", "student_state_dict")

SUPPORTED = (
    "RSL-RL 2.1 to 5.5: perceptron, LSTM, GRU, convolutions (3.3 on); normalisers; Beta and "
    "state-dependent deviation; distillation"
)
"""What of it is read, in words."""


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Where one version keeps one role's tensors."""

    role: str
    """"actor", "student" or "teacher": the key of its section in agent.yaml from version 4 on."""
    version: str
    stack: str
    """Prefix of the perceptron's layers."""
    memory: str
    """Prefix of the recurrent layers."""
    normaliser: str
    """Prefix of the observation statistics."""
    deviations: tuple[str, ...]
    """Names under which a deviation that does not depend on the observation may be stored."""
    convolutions: str
    """Prefix of convolutional encoders."""


def evidence(source: Source) -> tuple[str, ...]:
    """Why this is an RSL-RL file, or nothing."""
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
    """Build the actor of an RSL-RL checkpoint."""
    where = str(source.path)
    bag = TensorBag(source.tree, where)
    layout = _layout(source, bag, options)
    config = find_agent_config(source.path, options.agent_yaml)
    section = _section(config, layout)
    activation, named_by = _activation(where, config, section, layout, options)
    stack = bag.take_stack(layout.stack)
    _check_widths(where, config, section, [weight.shape[0] for weight, _ in stack[:-1]], layout)
    outputs = stack[-1][0].shape[0]
    head, actions, distribution = _head(where, bag, layout, section, outputs)
    layers = perceptron(stack, activation)
    normaliser, info = _normaliser(bag, layout)
    architecture = [] if info is None else [f"normaliser {info.formula}, {info.size} entries"]
    notes = _notes(config, layout)
    ends = {"normaliser": normaliser, "layers": layers, "head": head, "action_size": actions}
    features = stack[0][0].shape[1]
    if has_encoders(bag, layout.convolutions):
        encoders = take_encoders(
            bag,
            layout.convolutions,
            section.get("cnn_cfg", section.get(f"{layout.role}_cnn_cfg")),
            _groups(config, layout),
            features=features,
            vector_size=None if info is None else info.size,
            sizes=options.image_sizes,
        )
        actor: Actor = _seeing(encoders, **ends)
        architecture += encoders.described
        notes = (*notes, *encoders.notes)
    elif bag.has(f"{layout.memory}.weight_ih_l0"):
        memory = bag.take_memory(layout.memory)
        if memory.hidden_size != features:
            raise CheckpointError(
                f"{where}: the memory writes {memory.hidden_size} values and {layout.stack} reads {features}"
            )
        actor = RecurrentActor(memory=memory, **ends)
        architecture.append(
            f"{type(memory).__name__} {memory.input_size} -> {memory.hidden_size}, {memory.num_layers} layer(s)"
        )
    else:
        actor = FeedForwardActor(obs_size=features, **ends)
    if info is not None and info.size != actor.obs_size:
        raise CheckpointError(f"{where}: the normaliser has {info.size} entries and the network reads {actor.obs_size}")
    architecture += [str(module) for module in layers]
    if not isinstance(head, nn.Identity):
        architecture.append(type(head).__name__)
    return Loaded(
        version=layout.version,
        actor=actor,
        architecture=tuple(architecture),
        distribution=distribution,
        normaliser=info,
        leftovers=bag.leftovers(),
        notes=(f"activation from {named_by}", *notes),
    )


def _seeing(encoders: Encoders, *, normaliser: nn.Module, **ends: Any) -> ImageActor:
    eyes = [
        Eye(image, Pixels(channels_last=False, divisor=None), encoder)
        for image, encoder in zip(encoders.images, encoders.modules, strict=True)
    ]
    return ImageActor(eyes=eyes, vector=normaliser, vector_first=True, obs_size=encoders.vector_size, **ends)


def _layout(source: Source, bag: TensorBag, options: LoadOptions) -> _Layout:
    """Tell the version, and with it where everything is."""
    tree = source.tree
    role = "teacher" if options.teacher else "student"
    if "actor_state_dict" in tree or "student_state_dict" in tree:
        distilled = "student_state_dict" in tree
        role = role if distilled else "actor"
        prefix = f"{role}_state_dict"
        newer = any(name.startswith(f"{prefix}.distribution.") for name in bag.names)
        layout = _Layout(
            role=role,
            version="5.x" if newer else "4.x or 5.x",
            stack=f"{prefix}.mlp",
            memory=f"{prefix}.rnn.rnn",
            normaliser=f"{prefix}.obs_normalizer",
            deviations=tuple(
                f"{prefix}.{name}"
                for name in ("distribution.std_param", "distribution.log_std_param", "std", "log_std")
            ),
            convolutions=f"{prefix}.cnns.",
        )
    else:
        prefix = "model_state_dict"
        distilled = any(name.startswith(f"{prefix}.student.") for name in bag.names)
        role = role if distilled else "actor"
        inside = f"{prefix}.{role}_obs_normalizer"
        outside = "obs_norm_state_dict"
        newer = any(name.startswith((inside, f"{prefix}.critic_obs_normalizer")) for name in bag.names)
        old = any(name.startswith(outside) for name in bag.names)
        if distilled and role == "teacher" and old:
            outside = "privileged_obs_norm_state_dict"
        layout = _Layout(
            role=role,
            version="3.x" if newer else "2.x" if old else "2.x or 3.x",
            stack=f"{prefix}.{role}",
            memory=f"{prefix}.memory_{role[0]}.rnn",
            normaliser=inside if newer else outside,
            deviations=(f"{prefix}.std", f"{prefix}.log_std"),
            convolutions=f"{prefix}.{role}_cnns.",
        )
    if options.teacher and not distilled:
        raise CheckpointError(f"{source.path}: has no teacher; it is not a distillation checkpoint")
    return layout


def _section(config: AgentConfig | None, layout: _Layout) -> dict[str, object]:
    """The part of agent.yaml about this network."""
    if config is None:
        return {}
    return config.section(layout.role) or config.section("policy")


def _activation(
    where: str, config: AgentConfig | None, section: dict[str, object], layout: _Layout, options: LoadOptions
) -> tuple[Callable[[], nn.Module], str]:
    """The activation and who named it."""
    if options.activation is not None:
        return activation_named(options.activation, "--activation", RSL_RL_ACTIVATIONS), "--activation"
    named = section.get("activation")
    if config is None or not isinstance(named, str):
        missing = (
            "no params/agent.yaml lies beside it"
            if config is None
            else f"{config.path} has no activation under {layout.role} or policy"
        )
        raise CheckpointError(
            f"{where}: the activation is not in the checkpoint and {missing}. elu and relu load equally well and act "
            "differently: put the run's params/agent.yaml beside the checkpoint, or say --activation elu (RSL-RL's "
            "default) if you know it"
        )
    label = f"{config.path}: {layout.role}" if config.section(layout.role) else f"{config.path}: policy"
    return activation_named(named, label, RSL_RL_ACTIVATIONS), f"{config.path.name} ({named})"


def _check_widths(
    where: str, config: AgentConfig | None, section: dict[str, object], hidden: list[int], layout: _Layout
) -> None:
    """Raise when agent.yaml describes another network, and so comes from another run."""
    stated = section.get("hidden_dims", section.get(f"{layout.role}_hidden_dims"))
    if config is not None and isinstance(stated, list) and stated and stated != hidden:
        raise CheckpointError(
            f"{config.path}: hidden sizes {stated}, but the network in {where} has {hidden}; the configuration belongs "
            "to another run"
        )


def _head(
    where: str, bag: TensorBag, layout: _Layout, section: dict[str, object], outputs: int
) -> tuple[nn.Module, int, str]:
    """What follows the perceptron, the number of actions, and the distribution in words."""
    stored = [name for name in layout.deviations if bag.has(name)]
    if stored:
        if bag.take(stored[0]).numel() != outputs:
            raise CheckpointError(
                f"{where}: {stored[0]} has {bag.take(stored[0]).numel()} entries for {outputs} outputs of the network"
            )
        return nn.Identity(), outputs, f"Gaussian, deviation in {stored[0]}; the actor returns the mean"
    described = section.get("distribution_cfg")
    described = described if isinstance(described, dict) else {}
    kind = str(described.get("class_name", "")).rsplit(".", 1)[-1].rsplit(":", 1)[-1]
    if kind == "BetaDistribution":
        low, high = _action_range(where, described.get("action_range"))
        return (
            BetaMean(_halved(where, outputs), low, high),
            outputs // 2,
            f"Beta, rescaled to [{low:g}, {high:g}]; the actor returns the mean",
        )
    if kind == "HeteroscedasticGaussianDistribution" or section.get("state_dependent_std") is True:
        return (
            FirstHalf(_halved(where, outputs)),
            outputs // 2,
            "Gaussian, deviation computed by the network; the actor returns the mean, the first half of its output",
        )
    deterministic = layout.role != "actor" or section.get("stochastic") is False
    if deterministic or (section and "distribution_cfg" in section and not described):
        return nn.Identity(), outputs, "none; the network's output is the action"
    raise CheckpointError(
        f"{where}: holds no deviation ({' or '.join(layout.deviations)}), so its {outputs} outputs are either a mean "
        "and a deviation, or the two parameters of a Beta distribution, and the file does not say which. Put the "
        "run's params/agent.yaml beside it; its distribution_cfg or state_dependent_std says"
    )


def _halved(where: str, outputs: int) -> int:
    if outputs % 2:
        raise CheckpointError(f"{where}: the distribution takes two outputs an action; the network has {outputs}")
    return outputs // 2


def _action_range(where: str, given: object) -> tuple[float, float]:
    if given is None or given == {}:
        return -1.0, 1.0
    if isinstance(given, list) and len(given) == 2 and all(isinstance(bound, (int, float)) for bound in given):
        return float(given[0]), float(given[1])
    raise CheckpointError(f"{where}: agent.yaml's action_range is {given!r}; expected two numbers")


def _normaliser(bag: TensorBag, layout: _Layout) -> tuple[nn.Module, NormaliserInfo | None]:
    """The observation normaliser, an identity where the run had none."""
    prefix = layout.normaliser
    if not bag.has(f"{prefix}._mean"):
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


def _groups(config: AgentConfig | None, layout: _Layout) -> tuple[str, ...]:
    """The observation groups that the network reads, in order, as far as the configuration says."""
    groups = {} if config is None else config.section("obs_groups")
    names = groups.get(layout.role, groups.get("policy"))
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _notes(config: AgentConfig | None, layout: _Layout) -> tuple[str, ...]:
    """What the trainer's configuration adds outside the network."""
    if config is None:
        return ()
    notes = []
    names = _groups(config, layout)
    if len(names) > 1:
        notes.append(f"observation groups in this order: {', '.join(names)}")
    clip = config.values.get("clip_actions")
    if isinstance(clip, (int, float)) and not isinstance(clip, bool):
        notes.append(f"the trainer clipped actions to +-{clip:g}; the actor does not")
    return tuple(notes)
