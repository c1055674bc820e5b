"""rl_games checkpoints, compiled or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from policy_port.checkpoints import load_policy
from policy_port.errors import CheckpointError
from tests.checkpoints import written


def checkpoint(folder: Path, *, prefix: str = "", reward: Any = 1.5, **params: Any) -> tuple[Path, dict[str, Any]]:
    rng = written.generator()
    state = written.linears("a2c_network.actor_mlp", [7, 16, 12], rng)
    state |= {"a2c_network.mu.weight": torch.randn(3, 12, generator=rng), "a2c_network.mu.bias": torch.zeros(3)}
    state |= {"a2c_network.sigma": torch.zeros(3), "a2c_network.value.weight": torch.zeros(1, 12)}
    state |= {
        "running_mean_std.running_mean": torch.randn(7, generator=rng).double(),
        "running_mean_std.running_var": (torch.rand(7, generator=rng) + 0.05).double(),
        "running_mean_std.count": torch.tensor(500.0, dtype=torch.float64),
        "value_mean_std.running_mean": torch.zeros(1).double(),
    }
    network = {"mlp": {"units": [16, 12], "activation": "elu"}, "space": {"continuous": {"mu_activation": "None"}}}
    written.agent_yaml(folder, params={"network": network, "config": {}, "env": {"clip_actions": 1.0}, **params})
    model = {f"{prefix}{name}": value for name, value in state.items()}
    tree = {"model": model, "epoch": 3, "optimizer": {}, "last_mean_rewards": reward, "env_state": None}
    return written.save(tree, folder / "nn" / "run.pth"), state


def mean(state: dict[str, torch.Tensor], obs: np.ndarray) -> np.ndarray:
    variance = written.as_float64(state, "running_mean_std.running_var")
    x = (obs - written.as_float64(state, "running_mean_std.running_mean")) / np.sqrt(variance + 1e-5)
    hidden = written.perceptron(state, "a2c_network.actor_mlp", np.clip(x, -5, 5), "elu")
    return written.ACTIVATIONS["elu"](hidden) @ written.as_float64(state, "a2c_network.mu.weight").T


def actions(path: Path, obs: np.ndarray) -> np.ndarray:
    return load_policy(path).actor(torch.from_numpy(obs))[0].numpy()


@pytest.mark.parametrize("prefix", ["", "_orig_mod."])
def test_the_player_is_reproduced(tmp_path: Path, prefix: str) -> None:
    """Normaliser, its clip, the network and the action clip equal NumPy, with torch.compile's prefix and without."""
    path, state = checkpoint(tmp_path, prefix=prefix, reward=np.float64(1.5))
    obs = written.observations(20, 7) * 4
    found = actions(path, obs)
    assert (np.abs(found) == 1).any()
    np.testing.assert_allclose(found, np.clip(mean(state, obs.astype(float)), -1, 1), atol=2e-5)


def test_the_wrappers_clips_are_part_of_it(tmp_path: Path) -> None:
    """clip_observations acts before the normaliser, clip_actions rescales after the clip."""
    path, state = checkpoint(tmp_path, env={"clip_actions": 2.5, "clip_observations": 1.5})
    obs = written.observations(20, 7) * 4
    wanted = 2.5 * np.clip(mean(state, np.clip(obs.astype(float), -1.5, 1.5)), -1, 1)
    np.testing.assert_allclose(actions(path, obs), wanted, atol=5e-5)


def test_clipping_can_be_off(tmp_path: Path) -> None:
    """config.clip_actions false returns the mean itself."""
    path, state = checkpoint(tmp_path, config={"clip_actions": False})
    obs = written.observations(20, 7)
    np.testing.assert_allclose(actions(path, obs), mean(state, obs.astype(float)), atol=2e-5)


@pytest.mark.parametrize(
    ("mlp", "message"),
    [
        ({"units": [16, 12]}, "has no activation under params.network.mlp"),
        ({"units": [8], "activation": "elu"}, "belongs to another run"),
        ({"activation": "elu", "d2rl": True}, "d2rl"),
    ],
)
def test_what_is_not_understood_is_an_error(tmp_path: Path, mlp: dict[str, Any], message: str) -> None:
    """A missing activation, other widths and d2rl are refused."""
    with pytest.raises(CheckpointError, match=message):
        load_policy(checkpoint(tmp_path, network={"mlp": mlp})[0])
