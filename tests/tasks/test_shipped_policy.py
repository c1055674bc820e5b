"""The reach policy that is shipped, run in ManiSkill."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from policy_port.tasks.reach import SO100_REACH

FOLDER = Path(__file__).resolve().parents[2] / "policy_port" / "assets" / "so100_reach"

pytestmark = pytest.mark.filterwarnings("ignore")


@functools.cache
def _weights() -> dict[str, torch.Tensor]:
    return torch.load(FOLDER / "model.pt", weights_only=True)["actor_state_dict"]


def _policy(observation: torch.Tensor) -> torch.Tensor:
    """Return the deterministic action, written out by hand from the weights, shape (1, 6)."""
    weights = _weights()
    # RSL-RL adds 0.01 to the deviation.
    hidden = (observation - weights["obs_normalizer._mean"]) / (weights["obs_normalizer._std"] + 1e-2)
    for layer in (0, 2, 4):
        hidden = hidden @ weights[f"mlp.{layer}.weight"].T + weights[f"mlp.{layer}.bias"]
        hidden = torch.nn.functional.elu(hidden) if layer < 4 else hidden
    return hidden


def test_checkpoint_is_whole_and_harmless() -> None:
    """The checkpoint loads without running code and has every key that RSL-RL 5 saves."""
    checkpoint = torch.load(FOLDER / "model.pt", weights_only=True)
    keys = {"actor_state_dict", "critic_state_dict", "optimizer_state_dict", "iter", "infos"}
    assert set(checkpoint) == keys
    assert (FOLDER / "model.pt").stat().st_size < 500_000


def test_configuration_describes_the_weights() -> None:
    """The hidden layers named in agent.yaml are those of the checkpoint."""
    actor = yaml.safe_load((FOLDER / "params" / "agent.yaml").read_text())["actor"]
    weights = _weights()
    assert actor["hidden_dims"] == [weights["mlp.0.weight"].shape[0], weights["mlp.2.weight"].shape[0]]
    assert actor["obs_normalization"] is True


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_policy_reaches_and_stays_within_limits(env: Any, seed: int) -> None:
    """The tip ends within the success distance, and no target ever leaves the joint limits."""
    lower, upper = torch.tensor(SO100_REACH.joint_lower), torch.tensor(SO100_REACH.joint_upper)
    observation, info = env.reset(seed=seed)
    assert not bool(info["success"])
    for _ in range(SO100_REACH.episode_steps):
        observation, _, _, _, info = env.step(_policy(observation).clamp(-1, 1))
        assert torch.all((env.joint_target >= lower) & (env.joint_target <= upper))
    assert bool(info["success"])


def test_published_figures_meet_the_claim() -> None:
    """The evaluation was on seeds 0 to 99, at least 95 of them succeeded, and no target left the limits."""
    figures = json.loads((FOLDER / "evaluation.json").read_text())
    assert figures["seeds"] == [0, 99]
    assert figures["success_rate"] >= 0.95
    assert figures["max_limit_excess_rad"] == 0.0
