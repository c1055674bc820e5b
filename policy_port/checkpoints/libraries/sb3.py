"""Stable-Baselines3 and sb3_contrib files: policies of vectors, alone or in a Dict, with an LSTM or without."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from policy_port.checkpoints.files.safe_load import load_tensors, read_archive
from policy_port.checkpoints.files.tensors import TensorBag
from policy_port.checkpoints.libraries.sb3_data import ADVICE, Bounds, Run, read_run
from policy_port.checkpoints.libraries.sb3_statistics import statistics_of
from policy_port.checkpoints.networks.activations import activation_named
from policy_port.checkpoints.networks.assemble import Linear, Memory, Network, Told, put_together
from policy_port.checkpoints.networks.layers import Bound, Clamp, Normaliser, Rescale
from policy_port.checkpoints.policy import Loaded, LoadOptions, Source
from policy_port.errors import CheckpointError

SUPPORTED = (
    "Stable-Baselines3 PPO, A2C, SAC, TD3, DDPG and sb3_contrib TRPO, TQC, CrossQ, RecurrentPPO (LSTM): MlpPolicy, and "
    "MultiInputPolicy of vectors; gSDE; stacked frames; the statistics of VecNormalize"
)
"""What of it is read, in words."""


def evidence(source: Source) -> tuple[str, ...]:
    """Why this is a Stable-Baselines3 file, or nothing."""
    if source.container != "sb3":
        return ()
    return ("a zip archive with data and policy.pth",)


def load(source: Source, options: LoadOptions) -> Loaded:
    """Build the actor of a Stable-Baselines3 file."""
    where = str(source.path)
    run = read_run(source.members["data"], where)
    bag = TensorBag(load_tensors(read_archive(source.members["policy.pth"], where), where), where)
    for name in bag.names:
        if "features_extractor" in name:
            raise CheckpointError(f"{where}: holds {name}; networks with learned features are not read; {ADVICE}")
    found = _actor(bag, run)
    activation, named_by = _activation(run, options, found)
    network = Network(
        trunk=found.trunk, output=found.output, activation=activation, norms=found.norms, memory=found.memory
    )
    actions = found.output[0].shape[0]
    if run.bounds[0].size != actions:
        raise CheckpointError(f"{where}: the action space has {run.bounds[0].size} entries and the network {actions}")
    _require_stated_widths(run, found.trunk)
    read = _observation(run, network.read(where), options)
    statistics = statistics_of(source.path, options, run, on_policy=found.on_policy)
    stated = source.members.get("_stable_baselines3_version", b"unknown").decode("ascii", "replace").strip()
    notes = (f"activation {named_by}", *read, *_said_of_bounds(run.bounds), *run.notes, *statistics.notes)
    return put_together(
        bag,
        Told(version=f"{stated}, {found.kind}", distribution=found.distribution, notes=notes),
        network,
        normaliser=statistics.normaliser,
        info=statistics.info,
        head=found.head,
    )


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The actor's tensors, and what the algorithm makes of them."""

    kind: str
    """Algorithms whose files look so."""
    default: str
    """Activation of a file that names none."""
    trunk: Sequence[Linear]
    output: Linear
    head: list[nn.Module]
    distribution: str
    on_policy: bool = False
    """Whether the algorithm keeps original observations only under VecNormalize."""
    norms: Sequence[nn.Module] = ()
    memory: Memory | None = None


def _actor(bag: TensorBag, run: Run) -> _Found:
    """Find the actor's tensors."""
    if bag.has("action_net.weight"):
        return _on_policy(bag, run)
    if any(name.startswith(("actor.latent_pi.", "actor.log_std")) for name in bag.names):
        return _soft(bag, run)
    if bag.has("actor.mu.0.weight"):
        *trunk, output = bag.take_stack("actor.mu")
        told = "none; the network's output after tanh, rescaled, is the action"
        return _Found(
            kind="TD3 or DDPG", default="relu", trunk=trunk, output=output, head=_squashed(run), distribution=told
        )
    raise CheckpointError(
        f"{bag.where}: no actor of PPO, A2C, TRPO, SAC, TQC, TD3, DDPG, CrossQ or RecurrentPPO; it holds "
        f"{', '.join(bag.names[:8])}"
    )


def _on_policy(bag: TensorBag, run: Run) -> _Found:
    memory = _memory(bag, run) if bag.has("lstm_actor.weight_ih_l0") else None
    if memory is None and run.recurrent:
        raise CheckpointError(f"{bag.where}: its policy class is recurrent, and it holds no lstm_actor")
    trunk, output = _extracted(bag), bag.take_linear("action_net")
    if bag.has("log_std"):
        bag.take("log_std")
    squashed = run.arguments.get("squash_output") is True
    if squashed and not run.explores:
        raise CheckpointError(f"{run.where}: its policy_kwargs say squash_output, which needs use_sde; {ADVICE}")
    head = _squashed(run) if squashed else _clipped(run.bounds)
    end = "tanh of the mean, rescaled" if squashed else "the mean, clipped"
    return _Found(
        kind="PPO, A2C or TRPO" if memory is None else "RecurrentPPO",
        default="tanh",
        trunk=trunk,
        output=output,
        head=head,
        distribution=f"Gaussian, deviation in log_std; the actor returns {end}",
        on_policy=True,
        memory=memory,
    )


def _soft(bag: TensorBag, run: Run) -> _Found:
    """An actor of SAC, TQC or CrossQ."""
    place = "actor.latent_pi"
    inside = [name for name in bag.names if name.startswith(f"{place}.")]
    normed = f"{place}.0.ra_mean" in inside
    trunk = bag.take_stack(place, first=int(normed), step=2 + normed) if inside else []
    norms = [_batch_renorm(bag, run, f"{place}.{3 * index}") for index in range(len(trunk) + 1)] if normed else []
    head, bound = _squashed(run), None
    if bag.has("actor.mu.0.weight"):
        bound = run.arguments.get("clip_mean", 2.0)
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not bound > 0:
            raise CheckpointError(
                f"{run.where}: its policy_kwargs have clip_mean {bound!r:.60}, and its mean is clipped"
            )
        head.insert(0, Clamp(-float(bound), float(bound)))
    clipped = "" if bound is None else f" clipped to +-{bound:g} (clip_mean)"
    return _Found(
        kind="CrossQ" if normed else "SAC or TQC",
        default="relu",
        trunk=trunk,
        output=bag.take_linear("actor.mu" if bound is None else "actor.mu.0"),
        head=head,
        distribution=f"squashed Gaussian; the actor returns tanh of the mean{clipped}, rescaled",
        norms=norms,
    )


def _batch_renorm(bag: TensorBag, run: Run, place: str) -> nn.Module:
    """CrossQ's normalisation by running statistics, as it acts outside the training."""
    epsilon = run.arguments.get("batch_norm_eps", 0.001)
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 < epsilon < 1:
        raise CheckpointError(f"{run.where}: its policy_kwargs have batch_norm_eps {epsilon!r:.60}")
    mean, variance, scale, bias = (
        bag.take_weight(f"{place}.{name}") for name in ("ra_mean", "ra_var", "scale", "bias")
    )
    bag.take(f"{place}.steps")
    return nn.Sequential(Normaliser(mean, torch.sqrt(variance + epsilon), clip=None), Rescale(scale, bias))


def _memory(bag: TensorBag, run: Run) -> Memory:
    """The actor's LSTM; raise where the arguments state another one. Dropout acts in training alone."""
    given = run.arguments.get("lstm_kwargs") or {}
    plain = {"bias": True, "batch_first": False, "bidirectional": False, "proj_size": 0, "dropout": None}
    for key, value in given.items() if isinstance(given, dict) else [("lstm_kwargs", given)]:
        if key not in plain or plain[key] not in (None, value):
            raise CheckpointError(f"{run.where}: its lstm_kwargs have {key} {value!r:.60}, which is not read; {ADVICE}")
    module = bag.take_memory("lstm_actor")
    for key, found in (("lstm_hidden_size", module.hidden_size), ("n_lstm_layers", module.num_layers)):
        stated = run.arguments.get(key, found)
        if stated != found:
            raise CheckpointError(
                f"{run.where}: its policy_kwargs state {key} {stated!r:.60}, its tensors have {found}"
            )
    return Memory(module=module)


def _extracted(bag: TensorBag) -> list[Linear]:
    """The hidden layers of an on-policy actor; before version 2 some could be shared with the critic."""
    return [
        layer
        for part in ("shared_net", "policy_net")
        if any(name.startswith(f"mlp_extractor.{part}.") for name in bag.names)
        for layer in bag.take_stack(f"mlp_extractor.{part}")
    ]


def _require_stated_widths(run: Run, trunk: Sequence[Linear]) -> None:
    """Hold net_arch against the tensors, where it is one of the forms that the library takes."""
    stated = run.arguments.get("net_arch")
    if isinstance(stated, list) and stated and isinstance(stated[-1], dict):
        stated = [*stated[:-1], *stated[-1].get("pi", [])]
    elif isinstance(stated, dict):
        stated = stated.get("pi", [])
    found = [layer[0].shape[0] for layer in trunk]
    if isinstance(stated, list) and all(type(width) is int for width in stated) and stated != found:
        raise CheckpointError(f"{run.where}: its net_arch states the hidden layers {stated}, its tensors have {found}")


def _observation(run: Run, width: int, options: LoadOptions) -> tuple[str, ...]:
    """What the network reads, in words, where it reads a Dict; the contract's terms must fit that."""
    if not run.blocks:
        return ()
    reads = f"a Dict observation; the network reads, in this order, {run.reads()}"
    if sum(size for _, size in run.blocks) != width:
        raise CheckpointError(f"{run.where}: has {reads}, and its first layer reads {width} numbers")
    if not options.terms:
        return (f"{reads}; the contract's terms have to stand in this order",)
    ends = list(itertools.accumulate((size for _, size in options.terms), initial=0))
    spans = {name: (ends[index], ends[index + 1]) for index, (name, _) in enumerate(options.terms)}
    listed = " + ".join(f"{name} {size}" for name, size in options.terms)
    pieces, start = [], 0
    for name, size in run.blocks:
        end = start + size
        if spans.get(name, (start, end)) != (start, end) or end not in ends:
            raise CheckpointError(
                f"{run.where}: has {reads}. The contract's terms are {listed}: numbers {start} to {end - 1} are not "
                f"{name} there. Put its terms in the network's order"
            )
        inside = [term for term, (first, last) in zip((name for name, _ in options.terms), _spans(ends), strict=True)
                  if start <= first and last <= end]  # fmt: skip
        pieces.append(f"{name} {size} = {' + '.join(inside)}")
        start = end
    return (f"{reads}; by the contract: {', '.join(pieces)}",)


def _spans(ends: Sequence[int]) -> list[tuple[int, int]]:
    return list(itertools.pairwise(ends))


def _said_of_bounds(bounds: Bounds) -> tuple[str, ...]:
    low, high = bounds
    if not (np.isfinite(low).any() or np.isfinite(high).any()):
        return ("the action space has no bounds: nothing is clipped",)
    ranges = list(dict.fromkeys(f"[{one:g}, {other:g}]" for one, other in zip(low, high, strict=True)))
    shown = ", ".join(ranges[:6]) + (", ..." if len(ranges) > 6 else "")
    return (f"actions stay within the action space {shown}, as predict() keeps them; the actor does that itself",)


def _clipped(bounds: Bounds) -> list[nn.Module]:
    low, high = bounds
    if not np.isfinite(low).any() and not np.isfinite(high).any():
        return []
    return [Bound(torch.from_numpy(low).float(), torch.from_numpy(high).float())]


def _squashed(run: Run) -> list[nn.Module]:
    """tanh, then from [-1, 1] to the action space."""
    low, high = run.bounds
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise CheckpointError(f"{run.where}: the action space has no finite bounds, to which tanh could be scaled")
    scale, bias = (high - low) / 2, (high + low) / 2
    if np.all(scale == 1) and np.all(bias == 0):
        return [nn.Tanh()]
    return [nn.Tanh(), Rescale(torch.from_numpy(scale).float(), torch.from_numpy(bias).float())]


def _activation(run: Run, options: LoadOptions, found: _Found) -> tuple[Callable[[], nn.Module], str]:
    """The activation, its name and who named it; a file that names none has the policy class's default."""
    stated = run.arguments.get("activation_fn")
    dotted = None if stated is None else str(stated).removeprefix("<class '").removesuffix("'>")
    if options.activation is not None:
        told = f"; its policy_kwargs say {dotted}" if dotted else ""
        return activation_named(options.activation, "--activation"), f"{options.activation} from --activation{told}"
    if dotted is None:
        return activation_named(found.default, run.where), f"{found.default} from {found.kind}'s default"
    module, _, name = dotted.rpartition(".")
    if not module.startswith("torch.nn."):
        raise CheckpointError(
            f"{run.where}: its activation_fn is {dotted}, none of PyTorch's classes, and may compute anything; {ADVICE}"
        )
    return activation_named(name, f"{run.where}: activation_fn"), f"{name} from policy_kwargs"
