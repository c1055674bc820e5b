"""The libraries' own answers, given again by what was exported and read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from policy_port.checkpoints import load_policy
from policy_port.contract import Contract
from policy_port.export.write import write_port
from policy_port.port.sample import run_file
from policy_port.remap import identity_remap

pytestmark = pytest.mark.shared

CASES = [
    *("cleanrl_ppo_continuous", "maniskill_sac", "rl_games_1.6.5_ppo_mlp", "rsl_rl_3.3.0_gru_norm"),
    *("rsl_rl_5.5.1_lstm_norm", "rsl_rl_5.5.1_mlp_norm", "sb3_2.7.0_ppo_vecnormalize", "skrl_2.1.1_ppo_shared_scaler"),
]
"""One of each kind of network; that the others are read as they were meant is held against their oracles too."""
TOLERANCE = 1e-5
"""Of the largest action."""


def contract_of(obs_size: int, action_size: int, **more: object) -> Contract:
    """A contract that says only how many numbers go in and out."""
    return Contract.model_validate(
        {
            "contract_version": 1,
            "name": "oracle",
            "robot": "none",
            "trained_in": "a library's own training loop",
            "quaternion_order": "none",
            "timestep": 0.005,
            "decimation": 4,
            "base": {"floating": False},
            "actuation": {"kind": "model"},
            "joints": {f"joint_{i}": {"default": 0.0} for i in range(action_size)},
            "observation": {"terms": [{"term": "external", "name": "all", "size": obs_size}]},
            "action": {"terms": [{"term": "joint_position", "scale": 1.0, "offset": 0.0}]},
            **more,
        }
    )


@pytest.mark.parametrize("case", CASES)
def test_every_oracle_holds_in_both_formats(shared: Path, tmp_path: Path, case: str) -> None:
    """Eight steps of a batch of three: the files in their runtimes, and both files loaded as policies again."""
    folder = shared / "checkpoints" / case
    described = yaml.safe_load((folder / "meta.yaml").read_text())
    policy = load_policy(folder / described["checkpoint"])
    contract = contract_of(policy.actor.obs_size, policy.actor.action_size)
    port = write_port(tmp_path / "port", policy, identity_remap(contract))
    with np.load(folder / "oracle.npz") as oracle:
        observations, expected = oracle["obs"], oracle["actions"]
    fresh = np.zeros(observations.shape[:2], dtype=bool)
    fresh[0] = True
    assert port.onnx is not None
    assert port.torchscript is not None
    for run in (run_file(port.onnx), run_file(port.torchscript)):
        assert np.abs(run(observations, fresh, {}) - expected).max() <= TOLERANCE * np.abs(expected).max()
    for file in (port.onnx, port.torchscript):
        actor = load_policy(file).actor
        assert (actor.obs_size, actor.action_size) == (policy.actor.obs_size, policy.actor.action_size)
        state = actor.initial_state(observations.shape[1])
        for obs, wanted in zip(observations, expected, strict=True):
            actions, *state = actor(torch.from_numpy(obs), *state)
            assert np.abs(actions.numpy() - wanted).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("fold", [False, True])
def test_the_oracle_of_the_policy_that_sees_holds_in_both_formats(shared: Path, tmp_path: Path, fold: bool) -> None:
    """ManiSkill's ppo_rgb: state and 8-bit images go in, in both files and in the ONNX file read again."""
    folder = shared / "checkpoints" / "maniskill_ppo_rgb"
    policy = load_policy(folder / "final_ckpt.pt")
    image = {"name": "rgb", "height": 64, "width": 64, "channels": 3, "layout": "nhwc", "dtype": "uint8"}
    contract = contract_of(35, 7, images=[{**image, "scale": 1 / 255}])
    port = write_port(tmp_path / "port", policy, identity_remap(contract), fold=fold)
    with np.load(folder / "oracle.npz") as oracle:
        observations, pixels, expected = oracle["state"], oracle["rgb"], oracle["actions"]
    assert port.onnx is not None
    assert port.torchscript is not None
    allowed = TOLERANCE * np.abs(expected).max()
    fresh = np.zeros(observations.shape[:2], dtype=bool)
    for run in (run_file(port.onnx), run_file(port.torchscript)):
        assert np.abs(run(observations, fresh, {"rgb": pixels}) - expected).max() <= allowed
    for actor in (policy.actor, load_policy(port.onnx).actor):
        for obs, seen, wanted in zip(observations, pixels, expected, strict=True):
            actions = actor(torch.from_numpy(obs), torch.from_numpy(seen))[0]
            assert np.abs(actions.numpy() - wanted).max() <= allowed
    probes = {probe["kind"]: probe for probe in port.parity["files"][0]["probes"]}
    for kind in ("an image's channels exchanged", "an image's rows flipped", "an image's scale missing"):
        assert probes[kind]["trials"][-1]["ratio"] > 1.0
