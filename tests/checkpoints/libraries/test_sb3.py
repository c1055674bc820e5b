"""Stable-Baselines3 files and VecNormalize's statistics."""

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

from policy_port.checkpoints import load_policy
from policy_port.errors import CheckpointError
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


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> dict[str, type]:
    """Classes that pickle under the names of gymnasium's and Stable-Baselines3's."""
    kinds = {}
    for dotted in (
        "gymnasium.spaces.box.Box",
        "gymnasium.spaces.discrete.Discrete",
        "stable_baselines3.common.vec_env.vec_normalize.VecNormalize",
        "stable_baselines3.common.running_mean_std.RunningMeanStd",
    ):
        module, name = dotted.rsplit(".", 1)
        kind = type(name, (Plain,), {"__module__": module, "__qualname__": name})
        parts = module.split(".")
        for count in range(1, len(parts) + 1):
            monkeypatch.setitem(sys.modules, ".".join(parts[:count]), types.ModuleType(parts[count - 1]))
        setattr(sys.modules[module], name, kind)
        kinds[name] = kind
    return kinds


def checkpoint(path: Path, state: dict[str, torch.Tensor], space: object, **data: Any) -> Path:
    tensors = io.BytesIO()
    torch.save(state, tensors)
    serialised = base64.b64encode(pickle.dumps(space)).decode()
    described = {"action_space": {":serialized:": serialised}, "use_sde": False, "policy_kwargs": {}, **data}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", json.dumps(described))
        archive.writestr("policy.pth", tensors.getvalue())
        archive.writestr("_stable_baselines3_version", "2.7.0")
    return path


def ppo() -> dict[str, torch.Tensor]:
    rng = written.generator()
    output = {"action_net.weight": torch.randn(2, 12, generator=rng), "action_net.bias": torch.zeros(2)}
    return {"log_std": torch.zeros(2), **written.linears("mlp_extractor.policy_net", [6, 16, 12], rng), **output}


def ppo_mean(state: dict[str, torch.Tensor], x: np.ndarray, activation: str) -> np.ndarray:
    hidden = written.perceptron(state, "mlp_extractor.policy_net", x, activation)
    return written.ACTIVATIONS[activation](hidden) @ written.as_float64(state, "action_net.weight").T


def statistics(folder: Path, foreign: dict[str, type], **values: Any) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    mean, variance = rng.standard_normal(6), rng.random(6) + 0.05
    moments = foreign["RunningMeanStd"](mean=mean, var=variance, count=np.float64(99.0))
    told = {"norm_obs": True, "norm_obs_keys": None, "clip_obs": 2.0, "epsilon": 1e-8, "obs_rms": moments, **values}
    (folder / "vecnormalize.pkl").write_bytes(pickle.dumps(foreign["VecNormalize"](**told)))
    return mean, variance


@pytest.mark.parametrize("stated", ["<class 'torch.nn.modules.activation.ELU'>", None])
def test_ppo_with_vecnormalize(tmp_path: Path, foreign: dict[str, type], stated: str | None) -> None:
    """Statistics, clip, network and the action space's bounds equal NumPy; an unnamed activation is Tanh."""
    state = ppo()
    mean, variance = statistics(tmp_path, foreign)
    kwargs = {} if stated is None else {"activation_fn": stated}
    space = foreign["Box"](low=LOW, high=HIGH)
    policy = load_policy(checkpoint(tmp_path / "model.zip", state, space, policy_kwargs=kwargs))
    obs = written.observations(9, 6) * 3
    x = np.clip((obs - mean) / np.sqrt(variance + 1e-8), -2, 2)
    wanted = np.clip(ppo_mean(state, x, "tanh" if stated is None else "elu"), LOW, HIGH)
    np.testing.assert_allclose(policy.actor(torch.from_numpy(obs))[0].numpy(), wanted, atol=1e-5)
    assert policy.normaliser is not None
    assert policy.normaliser.samples == 99


@pytest.mark.parametrize("kind", ["SAC", "TD3"])
def test_squashed_actions_reach_the_action_space(tmp_path: Path, foreign: dict[str, type], kind: str) -> None:
    """SAC and TD3 apply tanh and rescale to the bounds, at the precision of the pickled space."""
    rng = written.generator()
    if kind == "SAC":
        state = written.linears("actor.latent_pi", [6, 16, 12], rng)
        state |= {"actor.mu.weight": torch.randn(2, 12, generator=rng), "actor.mu.bias": torch.zeros(2)}
    else:
        state = written.linears("actor.mu", [6, 16, 2], rng)
    policy = load_policy(checkpoint(tmp_path / "model.zip", state, foreign["Box"](low=LOW, high=HIGH)))
    obs = written.observations(9, 6)
    if kind == "SAC":
        hidden = written.perceptron(state, "actor.latent_pi", obs.astype(float), "relu")
        raw = np.maximum(hidden, 0) @ written.as_float64(state, "actor.mu.weight").T
    else:
        raw = written.perceptron(state, "actor.mu", obs.astype(float), "relu")
    wanted = LOW + 0.5 * (np.tanh(raw) + 1) * (HIGH - LOW)
    np.testing.assert_allclose(policy.actor(torch.from_numpy(obs))[0].numpy(), wanted, atol=1e-5)
    assert any("did not use VecNormalize" in note for note in policy.notes)


def test_discrete_actions_are_refused(tmp_path: Path, foreign: dict[str, type]) -> None:
    """An action space that is not continuous is named and refused."""
    with pytest.raises(CheckpointError, match=r"the action space is gymnasium\.spaces\.discrete\.Discrete"):
        load_policy(checkpoint(tmp_path / "model.zip", ppo(), foreign["Discrete"](n=4)))


def test_features_are_refused(tmp_path: Path, foreign: dict[str, type]) -> None:
    """Convolutional features are not skipped over."""
    state = {**ppo(), "features_extractor.cnn.0.weight": torch.zeros(2)}
    with pytest.raises(CheckpointError, match=r"features_extractor\.cnn"):
        load_policy(checkpoint(tmp_path / "model.zip", state, foreign["Box"](low=LOW, high=HIGH)))


def test_statistics_are_read_without_running_them(tmp_path: Path, foreign: dict[str, type]) -> None:
    """A command hidden in vecnormalize.pkl, or in the pickled action space, does not run."""
    mark = tmp_path / "executed"
    statistics(tmp_path, foreign, training=Runs(f"touch {mark}"))
    space = foreign["Box"](low=LOW, high=HIGH, seed=Runs(f"touch {mark}"))
    load_policy(checkpoint(tmp_path / "model.zip", ppo(), space))
    assert not mark.exists()


def test_a_damaged_statistics_file_is_our_error(tmp_path: Path, foreign: dict[str, type]) -> None:
    """Cut-off statistics are an error, not a policy without a normaliser."""
    statistics(tmp_path, foreign)
    path = tmp_path / "vecnormalize.pkl"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match="broken or cut off|damaged"):
        load_policy(checkpoint(tmp_path / "model.zip", ppo(), foreign["Box"](low=LOW, high=HIGH)))
