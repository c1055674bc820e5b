"""Small Stable-Baselines3 files, as the library writes them, and the answers of their networks in NumPy."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.checkpoints import written

LOW, HIGH = np.array([-2.0, -0.1], np.float32), np.array([1.0, 0.3], np.float32)


class Plain:
    """An object with attributes."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


class Runs:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def classes(monkeypatch: pytest.MonkeyPatch) -> dict[str, type]:
    """Make classes that pickle under the names of gymnasium's and Stable-Baselines3's."""
    kinds, made = {}, set[str]()
    for dotted in (
        "gymnasium.spaces.box.Box",
        "gymnasium.spaces.dict.Dict",
        "gymnasium.spaces.discrete.Discrete",
        "stable_baselines3.common.vec_env.vec_normalize.VecNormalize",
        "stable_baselines3.common.running_mean_std.RunningMeanStd",
        "stable_baselines3.common.policies.ActorCriticPolicy",
        "stable_baselines3.common.policies.MultiInputActorCriticPolicy",
        "stable_baselines3.common.torch_layers.NatureCNN",
        "stable_baselines3.sac.policies.SACPolicy",
        "sb3_contrib.crossq.policies.CrossQPolicy",
        "sb3_contrib.common.recurrent.policies.RecurrentActorCriticPolicy",
        "mine.Policy",
        "mine.ReLU",
        "mine.VecNormalize",
        "mine.RunningMeanStd",
        "cloudpickle.cloudpickle._make_skeleton_class",
    ):
        module, name = dotted.rsplit(".", 1)
        kind = type(name, (Plain,), {"__module__": module, "__qualname__": name})
        parts = module.split(".")
        for dotted_module in (".".join(parts[:count]) for count in range(1, len(parts) + 1)):
            if dotted_module not in made:
                monkeypatch.setitem(sys.modules, dotted_module, types.ModuleType(dotted_module.rpartition(".")[2]))
                made.add(dotted_module)
        monkeypatch.setattr(sys.modules[module], name, kind, raising=False)
        kinds[name if name not in kinds else dotted] = kind
    return kinds


def checkpoint(path: Path, state: dict[str, torch.Tensor], space: object, **data: Any) -> Path:
    tensors = io.BytesIO()
    torch.save(state, tensors)
    described = {"action_space": pickled(space), "use_sde": False, "policy_kwargs": {}, **data}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", json.dumps(described))
        archive.writestr("policy.pth", tensors.getvalue())
        archive.writestr("_stable_baselines3_version", "2.7.0")
    return path


def pickled(value: object) -> dict[str, str]:
    """The form in which `data` holds what is no JSON."""
    return {":serialized:": base64.b64encode(pickle.dumps(value)).decode()}


def ppo() -> dict[str, torch.Tensor]:
    rng = written.generator()
    output = {"action_net.weight": torch.randn(2, 12, generator=rng), "action_net.bias": torch.zeros(2)}
    return {"log_std": torch.zeros(2), **written.linears("mlp_extractor.policy_net", [6, 16, 12], rng), **output}


def ppo_mean(state: dict[str, torch.Tensor], x: np.ndarray, activation: str) -> np.ndarray:
    hidden = written.perceptron(state, "mlp_extractor.policy_net", x, activation)
    return written.ACTIVATIONS[activation](hidden) @ written.as_float64(state, "action_net.weight").T


def statistics(path: Path, foreign: dict[str, type], seed: int = 4, **values: Any) -> tuple[np.ndarray, np.ndarray]:
    """Write statistics of 6 numbers; return mean and variance."""
    rng = np.random.default_rng(seed)
    mean, variance = rng.standard_normal(6), rng.random(6) + 0.05
    count = values.pop("count", 99.0)
    moments = foreign["RunningMeanStd"](mean=mean, var=variance, count=np.float64(count))
    told = {"norm_obs": True, "norm_obs_keys": None, "clip_obs": 2.0, "epsilon": 1e-8, "obs_rms": moments, **values}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(foreign["VecNormalize"](**told)))
    return mean, variance
