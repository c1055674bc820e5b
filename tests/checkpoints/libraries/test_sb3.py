"""Stable-Baselines3 files and VecNormalize's statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from policy_port.checkpoints import load_policy
from policy_port.errors import CheckpointError
from tests.checkpoints import written
from tests.checkpoints.libraries.sb3_files import HIGH, LOW, Runs, checkpoint, ppo, ppo_mean, statistics


@pytest.mark.parametrize("stated", ["<class 'torch.nn.modules.activation.ELU'>", None])
def test_ppo_with_vecnormalize(tmp_path: Path, foreign: dict[str, type], stated: str | None) -> None:
    """Statistics, clip, network and the action space's bounds equal NumPy; an unnamed activation is Tanh."""
    state = ppo()
    mean, variance = statistics(tmp_path / "vecnormalize.pkl", foreign)
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
    """A command hidden in vecnormalize.pkl, or in the pickled action space, does not run and is named."""
    mark = tmp_path / "executed"
    statistics(tmp_path / "vecnormalize.pkl", foreign, training=Runs(f"touch {mark}"))
    space = foreign["Box"](low=LOW, high=HIGH, seed=Runs(f"touch {mark}"))
    notes = "\n".join(load_policy(checkpoint(tmp_path / "model.zip", ppo(), space)).notes)
    assert not mark.exists()
    assert (
        "vecnormalize.pkl (taken) holds more than statistics: plain unpickling would import and run posix.system"
        in notes
    )
    assert "action_space would import and run posix.system" in notes


def test_a_damaged_statistics_file_is_our_error(tmp_path: Path, foreign: dict[str, type]) -> None:
    """Cut-off statistics are an error, not a policy without a normaliser."""
    statistics(tmp_path / "vecnormalize.pkl", foreign)
    path = tmp_path / "vecnormalize.pkl"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match="broken or cut off|damaged"):
        load_policy(checkpoint(tmp_path / "model.zip", ppo(), foreign["Box"](low=LOW, high=HIGH)))
