"""skrl checkpoints of both versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from policy_port.checkpoints import load_policy
from policy_port.errors import CheckpointError
from tests.checkpoints import written


def scaler(size: int) -> dict[str, torch.Tensor]:
    rng = written.generator(5)
    return {
        "running_mean": torch.randn(size, generator=rng).double(),
        "running_variance": (torch.rand(size, generator=rng) + 0.05).double(),
        "current_count": torch.tensor(500.0, dtype=torch.float64),
    }


def checkpoint(
    folder: Path, *, shared: bool = False, scaled_by: str | None = None, configured: bool = True, **policy: Any
) -> tuple[Path, dict[str, torch.Tensor]]:
    rng = written.generator()
    state = {"log_std_parameter": torch.zeros(3)}
    if shared:
        state |= written.linears("net_container", [7, 16, 12], rng)
        state |= {"policy_layer.weight": torch.randn(3, 12, generator=rng), "policy_layer.bias": torch.ones(3)}
        state |= {"value_layer.weight": torch.ones(1, 12), "value_layer.bias": torch.ones(1)}
    else:
        state |= written.linears("net_container", [7, 16, 12, 3], rng)
    tree: dict[str, Any] = {"policy": state, "value": state, "optimizer": {}, "value_preprocessor": scaler(1)}
    if scaled_by is not None:
        tree[scaled_by] = scaler(7)
    if configured:
        network = [{"name": "net", "input": "OBSERVATIONS", "layers": [16, 12], "activations": "elu"}]
        written.agent_yaml(folder, models={"policy": {"network": network, "output": "ACTIONS", **policy}})
    return written.save(tree, folder / "checkpoints" / "agent_10.pt"), state


def expected(state: dict[str, torch.Tensor], x: np.ndarray, shared: bool) -> np.ndarray:
    out = written.perceptron(state, "net_container", x, "elu")
    if not shared:
        return out
    weight, bias = (written.as_float64(state, f"policy_layer.{name}") for name in ("weight", "bias"))
    return written.ACTIVATIONS["elu"](out) @ weight.T + bias


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("scaled_by", [None, "state_preprocessor", "observation_preprocessor"])
def test_both_versions_and_both_layouts(tmp_path: Path, shared: bool, scaled_by: str | None) -> None:
    """Separate and shared models, with the scaler of version 1, of version 2 or none, equal NumPy; clips included."""
    path, state = checkpoint(tmp_path, shared=shared, scaled_by=scaled_by)
    obs = written.observations(6, 7) * 4
    x = obs.astype(float)
    if scaled_by is not None:
        numbers = {name: value.numpy() for name, value in scaler(7).items()}
        x = np.clip((x - numbers["running_mean"]) / (np.sqrt(numbers["running_variance"]) + 1e-8), -5, 5)
        assert (np.abs(x) == 5).any()
    policy = load_policy(path)
    assert (policy.library, policy.actor.obs_size, policy.actor.action_size) == ("skrl", 7, 3)
    actions = policy.actor(torch.from_numpy(obs))[0].numpy()
    np.testing.assert_allclose(actions, expected(state, x, shared), atol=2e-5)


def test_an_output_expression_is_applied(tmp_path: Path) -> None:
    """tanh(ACTIONS) in agent.yaml squashes the output."""
    path, state = checkpoint(tmp_path, output="tanh(ACTIONS)")
    obs = written.observations(6, 7)
    actions = load_policy(path).actor(torch.from_numpy(obs))[0].numpy()
    np.testing.assert_allclose(actions, np.tanh(expected(state, obs.astype(float), False)), atol=1e-5)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"output": "softmax(ACTIONS)"}, "understood are ACTIONS, numbers"),
        ({"network": []}, "has 0 networks"),
        ({"network": [{"activations": ["elu", "relu"]}]}, "names no single one"),
        ({"network": [{"layers": [16, 13], "activations": "elu"}]}, "belongs to another run"),
    ],
)
def test_what_is_not_understood_is_an_error(tmp_path: Path, policy: dict[str, Any], message: str) -> None:
    """Other expressions, several networks, mixed activations and other widths are refused, not guessed."""
    with pytest.raises(CheckpointError, match=message):
        load_policy(checkpoint(tmp_path, **policy)[0])


def test_a_missing_activation_is_an_error_that_names_the_flag(tmp_path: Path) -> None:
    """Without agent.yaml the message names --activation."""
    path, _ = checkpoint(tmp_path, configured=False)
    with pytest.raises(CheckpointError, match="say --activation"):
        load_policy(path)
    assert any("no agent.yaml" in note for note in load_policy(path, activation="elu").notes)
