"""The checkpoints that the libraries themselves wrote, and the policies that public projects shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from policy_port.checkpoints import load_policy
from tests.checkpoints.torchscript.test_file import differences

pytestmark = pytest.mark.shared

CASES = [
    "cleanrl_ppo_continuous",
    "maniskill_ppo",
    "maniskill_sac",
    "rl_games_1.6.5_ppo_mlp",
    "rsl_rl_2.1.1_mlp_norm",
    "rsl_rl_2.3.3_lstm",
    "rsl_rl_2.3.3_mlp_norm",
    "rsl_rl_3.1.0_mlp_norm",
    "rsl_rl_3.3.0_gru_norm",
    "rsl_rl_4.0.1_mlp_norm",
    "rsl_rl_5.5.1_distillation",
    "rsl_rl_5.5.1_lstm_norm",
    "rsl_rl_5.5.1_mlp_norm",
    "sb3_2.7.0_ppo_vecnormalize",
    "sb3_2.7.0_sac",
    "skrl_1.4.3_ppo_separate_scaler",
    "skrl_2.1.1_ppo_shared",
    "skrl_2.1.1_ppo_shared_scaler",
]

# Largest difference from the file's own runtime that its precision explains, relative to the largest action.
POLICIES: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "unitree_rl_gym_g1_12dof.pt": (47, 12, ("h", "c")),
    "rl_sar_go2_robot_lab.pt": (45, 12, ()),
    "newton_assets_mjw_anymal.pt": (48, 12, ()),
    "newton_assets_mjw_go2.pt": (48, 12, ()),
    "newton_assets_physx_anymal.pt": (48, 12, ()),
    "newton_assets_physx_go2.pt": (48, 12, ()),
    "mujoco_playground_go1.onnx": (48, 12, ()),
    "unitree_rl_lab_g1_29dof.onnx": (480, 29, ()),
}


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES)
def test_every_oracle_holds(shared: Path, case: str, precision: torch.dtype) -> None:
    """The actor gives the library's own actions over eight steps, to 1e-5 of the action's scale."""
    folder = shared / "checkpoints" / case
    described = yaml.safe_load((folder / "meta.yaml").read_text())
    policy = load_policy(folder / described["checkpoint"])
    actor = policy.actor.to(precision)
    assert (actor.obs_size, actor.action_size) == (described["obs_dim"], described["act_dim"])
    with np.load(folder / "oracle.npz") as oracle:
        observations, expected = oracle["obs"], oracle["actions"]
    state = actor.initial_state(observations.shape[1], dtype=precision)
    for obs, wanted in zip(observations, expected, strict=True):
        actions, *state = actor(torch.from_numpy(obs).to(precision), *state)
        assert np.abs(actions.numpy() - wanted).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("name", POLICIES)
def test_every_real_policy_equals_its_own_runtime(shared: Path, name: str, rows: int) -> None:
    """Over 20 steps with state the actor follows torch.jit or ONNX Runtime, one row or seven."""
    policy = load_policy(shared / "real_policies" / "policies" / name)
    width, actions, states = POLICIES[name]
    assert (policy.actor.obs_size, policy.actor.action_size, policy.actor.state_names) == (width, actions, states)
    assert policy.leftovers == ()
    # The figures of facts/performance_and_parity: float32 runtimes differ by up to 4.8e-5 on actions of tens.
    assert differences(policy, rows) < 5e-5


@pytest.mark.parametrize("name", POLICIES)
def test_a_batch_equals_its_rows(shared: Path, name: str) -> None:
    """In float64, seven rows at once equal the seven rows one by one, state included."""
    actor = load_policy(shared / "real_policies" / "policies" / name).actor.double()
    obs = torch.from_numpy(np.random.default_rng(0).standard_normal((5, 7, actor.obs_size)))
    together = actor.initial_state(7, dtype=torch.float64)
    apart = [actor.initial_state(1, dtype=torch.float64) for _ in range(7)]
    for step in obs:
        actions, *together = actor(step, *together)
        for row in range(7):
            own, *new = actor(step[row : row + 1], *apart[row])
            apart[row] = tuple(new)
            assert float((own[0] - actions[row]).abs().max()) < 1e-11
