"""Stable-Baselines3 files: PPO, A2C, SAC and TD3 with MlpPolicy, and VecNormalize beside them."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from policy_port.checkpoints.files.inert_pickle import Inert, array_of, read_inert
from policy_port.checkpoints.files.safe_load import load_tensors, read_archive, read_bounded
from policy_port.checkpoints.files.tensors import TensorBag
from policy_port.checkpoints.networks.activations import activation_named
from policy_port.checkpoints.networks.assemble import Told, feed_forward
from policy_port.checkpoints.networks.layers import Bound, Normaliser, Rescale
from policy_port.checkpoints.policy import Loaded, LoadOptions, NormaliserInfo, Source
from policy_port.errors import CheckpointError

_STATISTICS = ("vecnormalize.pkl", "vec_normalize.pkl", "model_vecnormalize.pkl")
"""Names that VecNormalize's statistics are usually saved under."""
Bounds = tuple[NDArray[np.float64], NDArray[np.float64]]

SUPPORTED = "Stable-Baselines3 PPO, SAC, TD3, with the statistics of VecNormalize"
"""What of it is read, in words."""


def evidence(source: Source) -> tuple[str, ...]:
    """Why this is a Stable-Baselines3 file, or nothing."""
    if source.container != "sb3":
        return ()
    return ("a zip archive with data and policy.pth",)


def load(source: Source, options: LoadOptions) -> Loaded:
    """Build the actor of a Stable-Baselines3 file."""
    where = str(source.path)
    try:
        data = json.loads(source.members["data"])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where}: its member data is not JSON ({error})") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{where}: its member data is not a JSON object")
    bag = TensorBag(load_tensors(read_archive(source.members["policy.pth"], where), where), where)
    _require_perceptron(bag, data, where)
    bounds = _bounds(data, where)
    if bag.has("actor.latent_pi.0.weight"):
        kind, default = "SAC", "relu"
        trunk, output = bag.take_stack("actor.latent_pi"), bag.take_linear("actor.mu")
        head, distribution = _squashed(bounds), "squashed Gaussian; the actor returns tanh of the mean, rescaled"
    elif bag.has("actor.mu.0.weight"):
        kind, default = "TD3", "relu"
        *trunk, output = bag.take_stack("actor.mu")
        head, distribution = _squashed(bounds), "none; the network's output after tanh, rescaled, is the action"
    elif bag.has("action_net.weight"):
        kind, default = "PPO or A2C", "tanh"
        layers = any(name.startswith("mlp_extractor.policy_net.") for name in bag.names)
        trunk = bag.take_stack("mlp_extractor.policy_net") if layers else []
        output = bag.take_linear("action_net")
        head, distribution = _clipped(bounds), "Gaussian, deviation in log_std; the actor returns the mean, clipped"
        if bag.has("log_std"):
            bag.take("log_std")
    else:
        raise CheckpointError(f"{where}: no PPO, A2C, SAC or TD3 policy; it holds {', '.join(bag.names[:8])}")
    actions = output[0].shape[0]
    if bounds[0].size != actions:
        raise CheckpointError(f"{where}: the action space has {bounds[0].size} entries and the network {actions}")
    name, named_by = _activation(data, options, default, kind)
    normaliser, info, notes = _statistics(source.path)
    stated = source.members.get("_stable_baselines3_version", b"unknown").decode("ascii", "replace").strip()
    return feed_forward(
        bag,
        Told(
            version=f"{stated}, {kind}", distribution=distribution, notes=(f"activation {name} from {named_by}", *notes)
        ),
        trunk=trunk,
        output=output,
        activation=activation_named(name, where),
        normaliser=normaliser,
        info=info,
        head=head,
    )


def _require_perceptron(bag: TensorBag, data: dict[str, Any], where: str) -> None:
    for name in bag.names:
        if "features_extractor" in name or "lstm" in name:
            raise CheckpointError(f"{where}: holds {name}; only MlpPolicy without features or memory is supported")
    if data.get("use_sde") is True:
        raise CheckpointError(f"{where}: was trained with use_sde, which is not supported")


def _bounds(data: dict[str, Any], where: str) -> Bounds:
    """The action space's bounds at full precision; the readable text beside them is rounded."""
    space = data.get("action_space")
    serialised = space.get(":serialized:") if isinstance(space, dict) else None
    try:
        content = base64.b64decode(str(serialised), validate=True)
    except binascii.Error as error:
        raise CheckpointError(f"{where}: the action space in its member data can't be read") from error
    box = read_inert(content, f"{where}: action_space")
    if not isinstance(box, Inert) or not box.dotted.endswith(".Box"):
        kind = getattr(box, "dotted", type(box).__name__)
        raise CheckpointError(f"{where}: the action space is {kind}; only Box, continuous actions, is supported")
    low, high = (array_of(box.field(name), f"{where}: action_space.{name}") for name in ("low", "high"))
    return low.reshape(-1), high.reshape(-1)


def _clipped(bounds: Bounds) -> list[nn.Module]:
    low, high = bounds
    if not np.isfinite(low).any() and not np.isfinite(high).any():
        return []
    return [Bound(torch.from_numpy(low).float(), torch.from_numpy(high).float())]


def _squashed(bounds: Bounds) -> list[nn.Module]:
    """tanh, then from [-1, 1] to the action space."""
    low, high = bounds
    scale, bias = (high - low) / 2, (high + low) / 2
    if np.all(scale == 1) and np.all(bias == 0):
        return [nn.Tanh()]
    return [nn.Tanh(), Rescale(torch.from_numpy(scale).float(), torch.from_numpy(bias).float())]


def _activation(data: dict[str, Any], options: LoadOptions, default: str, kind: str) -> tuple[str, str]:
    """The activation's name; a file that names none has the policy class's default."""
    if options.activation is not None:
        return options.activation, "--activation"
    kwargs = data.get("policy_kwargs")
    stated = kwargs.get("activation_fn") if isinstance(kwargs, dict) else None
    if isinstance(stated, str):
        return stated.removesuffix("'>").rsplit(".", 1)[-1], "policy_kwargs"
    return default, f"{kind}'s default"


def _statistics(path: Path) -> tuple[nn.Module, NormaliserInfo | None, tuple[str, ...]]:
    """Read VecNormalize's statistics beside the file, as numbers only."""
    found = next((path.parent / name for name in _STATISTICS if (path.parent / name).is_file()), None)
    if found is None:
        return nn.Identity(), None, (f"no {_STATISTICS[0]} beside it: right only if the run did not use VecNormalize",)
    wrapper = read_inert(read_bounded(found), str(found))
    if not isinstance(wrapper, Inert) or not wrapper.dotted.endswith(".VecNormalize"):
        raise CheckpointError(f"{found}: is not a pickled VecNormalize")
    if wrapper.field("norm_obs") is False:
        return nn.Identity(), None, (f"{found.name} does not normalise observations",)
    moments = wrapper.field("obs_rms")
    if not isinstance(moments, Inert) or wrapper.field("norm_obs_keys") is not None:
        raise CheckpointError(f"{found}: normalises a dict of observations; expected one vector")
    mean, variance = (array_of(moments.field(name), f"{found}: obs_rms.{name}").reshape(-1) for name in ("mean", "var"))
    clip = float(array_of(wrapper.field("clip_obs"), f"{found}: clip_obs"))
    epsilon = float(array_of(wrapper.field("epsilon"), f"{found}: epsilon"))
    if mean.shape != variance.shape or not np.isfinite(mean).all() or not (variance >= 0).all():
        raise CheckpointError(f"{found}: obs_rms is not finite or its parts differ in size")
    info = NormaliserInfo.of(
        torch.from_numpy(mean),
        torch.from_numpy(np.sqrt(variance)),
        where=found.name,
        formula=f"(obs - obs_rms.mean) / sqrt(obs_rms.var + {epsilon:g})",
        clip=clip,
        samples=torch.from_numpy(array_of(moments.field("count"), f"{found}: obs_rms.count")),
    )
    denominator = torch.from_numpy(np.sqrt(variance + epsilon)).float()
    return Normaliser(torch.from_numpy(mean).float(), denominator, clip=clip), info, ()
