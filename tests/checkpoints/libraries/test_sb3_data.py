"""What a Stable-Baselines3 file says of its spaces, its policy class and the arguments of it."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from policy_port.checkpoints import load_policy
from policy_port.errors import CheckpointError
from tests.checkpoints import written
from tests.checkpoints.libraries.sb3_files import HIGH, LOW, checkpoint, pickled, ppo, ppo_mean, statistics

DICT_CASE = Path(__file__).resolve().parents[3].parent / "shared/failing_inputs/sb3_dict/dict_obs.zip"


def dict_model(path: Path, foreign: dict[str, type], kind: type = dict) -> Path:
    """A policy that reads goal 2, pose 1, velocity 3, in this order."""
    box = foreign["Box"]
    spaces = kind(
        (name, box(low=np.full(width, -np.inf, np.float32)))
        for name, width in (("goal", 2), ("pose", 1), ("velocity", 3))
    )
    return checkpoint(
        path / "model.zip",
        ppo(),
        box(low=LOW, high=HIGH),
        observation_space=pickled(foreign["Dict"](spaces=spaces)),
        policy_class=pickled(foreign["MultiInputActorCriticPolicy"]),
        policy_kwargs=pickled({"net_arch": {"pi": [16, 12], "vf": [8]}}),
    )


@pytest.mark.parametrize("kind", [dict, collections.OrderedDict])
def test_a_dict_observation_is_said(tmp_path: Path, foreign: dict[str, type], kind: type) -> None:
    """Names, order and widths of a Dict observation are in the notes, as the pickle orders them."""
    notes = load_policy(dict_model(tmp_path, foreign, kind)).notes
    assert any("the network reads, in this order, goal 2, pose 1, velocity 3; the contract's" in note for note in notes)


def test_a_dict_observation_is_held_against_the_contract(tmp_path: Path, foreign: dict[str, type]) -> None:
    """Terms that stand in the network's order pass and are listed; another order, and another border, is refused."""
    path = dict_model(tmp_path, foreign)
    policy = load_policy(path, terms=[("goal", 2), ("height", 1), ("base_lin_vel", 2), ("extra", 1)])
    assert any("goal 2 = goal, pose 1 = height, velocity 3 = base_lin_vel + extra" in note for note in policy.notes)
    for terms in (
        [("pose", 1), ("goal", 2), ("velocity", 3)],
        [("velocity", 3), ("goal", 2), ("pose", 1)],
        [("base_ang_vel", 3), ("base_lin_vel", 3)],
        [("velocity", 2), ("height", 1), ("rest", 3)],
    ):
        with pytest.raises(CheckpointError, match=r"in this order, goal 2, pose 1, velocity 3\. The contract's terms"):
            load_policy(path, terms=terms)


def test_statistics_of_a_dict_are_put_in_its_order(tmp_path: Path, foreign: dict[str, type]) -> None:
    """Statistics by key are joined as the network reads them; a part of the keys, and one vector, are refused."""
    path, file = dict_model(tmp_path, foreign), tmp_path / "vecnormalize.pkl"
    mean, variance = statistics(file, foreign)
    parts = {"velocity": slice(3, 6), "goal": slice(0, 2), "pose": slice(2, 3)}
    moments = {
        name: foreign["RunningMeanStd"](mean=mean[part], var=variance[part], count=np.float64(9.0))
        for name, part in parts.items()
    }
    statistics(file, foreign, obs_rms=moments, norm_obs_keys=list(parts))
    obs = written.observations(9, 6) * 3
    x = np.clip((obs - mean) / np.sqrt(variance + 1e-8), -2, 2)
    wanted = np.clip(ppo_mean(ppo(), x, "tanh"), LOW, HIGH)
    np.testing.assert_allclose(load_policy(path).actor(torch.from_numpy(obs))[0].numpy(), wanted, atol=1e-5)
    del moments["pose"]
    statistics(file, foreign, obs_rms=moments, norm_obs_keys=["goal", "velocity"])
    with pytest.raises(CheckpointError, match="normalises velocity, goal and not pose"):
        load_policy(path)
    statistics(file, foreign)
    with pytest.raises(CheckpointError, match="normalises one vector, and the network reads a Dict of observations"):
        load_policy(path)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "policy": ({"policy_class": "mine.Policy"}, r"its policy class is mine\.Policy"),
    "extractor": ({"features_extractor_class": "NatureCNN"}, r"features_extractor_class is .*NatureCNN"),
    "squash": ({"squash_output": True}, "squash_output, which needs use_sde"),
    "widths": ({"net_arch": [16, 16]}, r"states the hidden layers \[16, 16\], its tensors have \[16, 12\]"),
    "old widths": ({"net_arch": [16, {"pi": [8], "vf": [12]}]}, r"states the hidden layers \[16, 8\]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_another_network_is_refused(tmp_path: Path, foreign: dict[str, type], case: str) -> None:
    """A policy class, an extractor or an argument under which the same tensors compute something else is named."""
    kwargs, message = REFUSED[case]
    data: dict[str, Any] = {}
    if "policy_class" in kwargs:
        data["policy_class"] = pickled(foreign["Policy"])
    else:
        data["policy_kwargs"] = pickled({key: foreign.get(str(value), value) for key, value in kwargs.items()})
    with pytest.raises(CheckpointError, match=message):
        load_policy(checkpoint(tmp_path / "model.zip", ppo(), foreign["Box"](low=LOW, high=HIGH), **data))


def test_layers_shared_with_the_critic_come_first(tmp_path: Path, foreign: dict[str, type]) -> None:
    """A file from before version 2 whose first layer is shared reads the observation there."""
    state = ppo()
    rename = {"mlp_extractor.policy_net.0": "mlp_extractor.shared_net.0", "mlp_extractor.policy_net.2": None}
    old = {}
    for name, tensor in state.items():
        stem, _, leaf = name.rpartition(".")
        old[f"{rename.get(stem) or stem}.{leaf}" if stem in rename else name] = tensor
    old = {name.replace("policy_net.2", "policy_net.0"): tensor for name, tensor in old.items()}
    path = checkpoint(tmp_path / "model.zip", old, foreign["Box"](low=LOW, high=HIGH))
    obs = written.observations(9, 6)
    wanted = np.clip(ppo_mean(state, obs.astype(float), "tanh"), LOW, HIGH)
    np.testing.assert_allclose(load_policy(path).actor(torch.from_numpy(obs))[0].numpy(), wanted, atol=1e-5)


def test_spaces_that_are_no_vectors_are_refused(tmp_path: Path, foreign: dict[str, type]) -> None:
    """A discrete observation, alone or in a Dict, is one-hot in the library and refused here."""
    discrete = foreign["Discrete"](n=6)
    for space in (discrete, foreign["Dict"](spaces={"mode": discrete})):
        with pytest.raises(CheckpointError, match=r"discrete\.Discrete"):
            load_policy(
                checkpoint(
                    tmp_path / "model.zip",
                    ppo(),
                    foreign["Box"](low=LOW, high=HIGH),
                    observation_space=pickled(space),
                )
            )


def test_the_action_spaces_bounds_are_said(tmp_path: Path, foreign: dict[str, type]) -> None:
    """That actions are clipped, and to what, is in the notes; a tanh without finite bounds is refused."""
    notes = load_policy(checkpoint(tmp_path / "model.zip", ppo(), foreign["Box"](low=LOW, high=HIGH))).notes
    assert any("actions stay within the action space [-2, 1], [-0.1, 0.3]" in note for note in notes)
    endless = foreign["Box"](low=np.full(2, -np.inf, np.float32), high=np.full(2, np.inf, np.float32))
    notes = load_policy(checkpoint(tmp_path / "model.zip", ppo(), endless)).notes
    assert any("nothing is clipped" in note for note in notes)
    state = written.linears("actor.mu", [6, 16, 2], written.generator())
    with pytest.raises(CheckpointError, match="has no finite bounds"):
        load_policy(checkpoint(tmp_path / "model.zip", state, endless))


@pytest.mark.skipif(not DICT_CASE.is_file(), reason="the shared files are not here")
def test_a_real_dict_observation_is_said() -> None:
    """A real file names its three entries, also where it is refused for its missing statistics."""
    reads = "achieved_goal 3, desired_goal 3, observation 27"
    with pytest.raises(CheckpointError, match=reads):
        load_policy(DICT_CASE)
    assert any(reads in note for note in load_policy(DICT_CASE, statistics="none").notes)
