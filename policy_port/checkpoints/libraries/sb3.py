"""Stable-Baselines3 files: PPO, A2C, SAC, TD3 and DDPG with MlpPolicy or vectors of MultiInputPolicy."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from policy_port.checkpoints.files.safe_load import load_tensors, read_archive
from policy_port.checkpoints.files.tensors import TensorBag
from policy_port.checkpoints.libraries.sb3_data import Bounds, Run, read_run
from policy_port.checkpoints.libraries.sb3_statistics import statistics_of
from policy_port.checkpoints.networks.activations import activation_named
from policy_port.checkpoints.networks.assemble import Told, feed_forward
from policy_port.checkpoints.networks.layers import Bound, Rescale
from policy_port.checkpoints.policy import Loaded, LoadOptions, Source
from policy_port.errors import CheckpointError

SUPPORTED = "Stable-Baselines3 PPO, SAC, TD3, with the statistics of VecNormalize"
"""What of it is read, in words."""

Linear = tuple[Tensor, Tensor | None]


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
    _require_perceptron(bag, where)
    on_policy = False
    if bag.has("actor.latent_pi.0.weight"):
        kind, default = "SAC", "relu"
        trunk, output = bag.take_stack("actor.latent_pi"), bag.take_linear("actor.mu")
        head, distribution = _squashed(run), "squashed Gaussian; the actor returns tanh of the mean, rescaled"
    elif bag.has("actor.mu.0.weight"):
        kind, default = "TD3", "relu"
        *trunk, output = bag.take_stack("actor.mu")
        head, distribution = _squashed(run), "none; the network's output after tanh, rescaled, is the action"
    elif bag.has("action_net.weight"):
        kind, default, on_policy = "PPO or A2C", "tanh", True
        trunk, output = _extracted(bag), bag.take_linear("action_net")
        head, distribution = _clipped(run.bounds), "Gaussian, deviation in log_std; the actor returns the mean, clipped"
        if bag.has("log_std"):
            bag.take("log_std")
    else:
        raise CheckpointError(f"{where}: no PPO, A2C, SAC or TD3 policy; it holds {', '.join(bag.names[:8])}")
    actions = output[0].shape[0]
    if run.bounds[0].size != actions:
        raise CheckpointError(f"{where}: the action space has {run.bounds[0].size} entries and the network {actions}")
    _require_stated_widths(run, trunk)
    read = _observation(run, (*trunk, output)[0][0].shape[1], options)
    name, named_by = _activation(run.arguments, options, default, kind)
    statistics = statistics_of(source.path, options, run, on_policy=on_policy)
    stated = source.members.get("_stable_baselines3_version", b"unknown").decode("ascii", "replace").strip()
    notes = (f"activation {name} from {named_by}", *read, *_said_of_bounds(run.bounds), *run.notes, *statistics.notes)
    return feed_forward(
        bag,
        Told(version=f"{stated}, {kind}", distribution=distribution, notes=notes),
        trunk=trunk,
        output=output,
        activation=activation_named(name, where),
        normaliser=statistics.normaliser,
        info=statistics.info,
        head=head,
    )


def _require_perceptron(bag: TensorBag, where: str) -> None:
    for name in bag.names:
        if "features_extractor" in name or "lstm" in name:
            raise CheckpointError(f"{where}: holds {name}; only networks without learned features or memory are read")


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


def _activation(arguments: dict[str, Any], options: LoadOptions, default: str, kind: str) -> tuple[str, str]:
    """The activation's name; a file that names none has the policy class's default."""
    if options.activation is not None:
        return options.activation, "--activation"
    stated = arguments.get("activation_fn")
    if isinstance(stated, str):
        return stated.removesuffix("'>").rsplit(".", 1)[-1], "policy_kwargs"
    return default, f"{kind}'s default"
