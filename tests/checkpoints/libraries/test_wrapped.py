"""Checkpoints of compiled and distributed networks, and bare state dicts, are the checkpoints without all that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from policy_port.checkpoints import inspect_file, load_policy
from policy_port.errors import CheckpointError
from tests.checkpoints import written

RENAMED: dict[str, Callable[[str], str]] = {
    "compiled": lambda name: f"_orig_mod.{name}",
    "distributed": lambda name: f"module.{name}",
    "compiled, then distributed": lambda name: f"module._orig_mod.{name}",
    "distributed, then compiled": lambda name: f"_orig_mod.module.{name}",
    "a part compiled": lambda name: name.replace("mlp.", "mlp._orig_mod.", 1),
}


def acts(policy, obs: np.ndarray) -> np.ndarray:
    return policy.actor(torch.from_numpy(obs))[0].numpy()


def renamed(table: dict[str, torch.Tensor], rename: Callable[[str], str]) -> dict[str, torch.Tensor]:
    return {rename(name): value for name, value in table.items()}


@pytest.mark.parametrize("wrapped", RENAMED)
def test_a_wrapped_network_acts_as_the_plain_one(tmp_path: Path, wrapped: str) -> None:
    """Whatever torch wrapped it in, the actor is the same bit for bit, and inspect says which word was taken out."""
    path = written.rsl_rl_5(tmp_path)
    obs = written.observations(5, 10)
    expected = acts(load_policy(path), obs)
    tree = torch.load(path, weights_only=True)
    for table in ("actor_state_dict", "critic_state_dict"):
        tree[table] = renamed(tree[table], RENAMED[wrapped])
    policy = load_policy(written.save(tree, path))
    np.testing.assert_array_equal(acts(policy, obs), expected)
    assert not policy.unexplained
    for word in ("_orig_mod", "module"):
        assert any(f"without {word}." in note for note in policy.notes) == (word in RENAMED[wrapped]("mlp.0"))


def test_a_part_of_a_network_that_is_called_module_keeps_its_name(tmp_path: Path) -> None:
    """One part of that name among others is no wrapper: it is named as it is, and stops an export."""
    path = written.rsl_rl_5(tmp_path, tensors={"module.weight": torch.ones(2, 2)})
    found = inspect_file(path)
    assert found["stops_export"] == ["actor_state_dict.module.weight (2, 2)"]


def test_one_tensor_twice_is_refused(tmp_path: Path) -> None:
    """A plain and a compiled tensor of one name are not one of the two."""
    path = written.rsl_rl_5(tmp_path, tensors={"mlp._orig_mod.0.weight": torch.ones(16, 10)})
    with pytest.raises(CheckpointError, match=r"mlp\.0\.weight.*are one tensor"):
        load_policy(path)


@pytest.mark.parametrize("rename", [lambda name: name, *RENAMED.values()], ids=["plain", *RENAMED])
def test_a_bare_state_dict_of_rsl_rl_5_is_read(tmp_path: Path, rename: Callable[[str], str]) -> None:
    """The actor's table alone acts as the whole file."""
    path = written.rsl_rl_5(tmp_path)
    obs = written.observations(5, 10)
    expected = acts(load_policy(path), obs)
    bare = renamed(torch.load(path, weights_only=True)["actor_state_dict"], rename)
    policy = load_policy(written.save(bare, tmp_path / "policy.pt"))
    assert policy.library == "rsl_rl"
    np.testing.assert_array_equal(acts(policy, obs), expected)
    assert policy.leftovers == ()


def test_a_bare_state_dict_names_what_it_leaves_out_as_the_file_does(tmp_path: Path) -> None:
    """Versions 2 and 3: critic and a stranger's tensor are told under their own names, and only the latter stops."""
    rng = written.generator()
    bare = {
        "std": torch.ones(3),
        **written.linears("actor", [6, 8, 3], rng),
        **written.linears("critic", [9, 8, 1], rng),
        "history_encoder.0.weight": torch.ones(4, 6),
    }
    path = written.save(bare, tmp_path / "policy.pt")
    found = inspect_file(path, activation="elu")
    assert found["stops_export"] == ["history_encoder.0.weight (4, 6)"]
    critic = [f"critic.{layer}.{part} {shape}" for layer, part, shape in CRITIC]
    assert sorted(found["leftovers"]) == sorted([*critic, "history_encoder.0.weight (4, 6)"])
    policy = load_policy(path, activation="elu", ignore=["history_encoder"])
    assert not policy.unexplained
    obs = written.observations(5, 6)
    np.testing.assert_allclose(acts(policy, obs), written.perceptron(bare, "actor", obs, "elu"), atol=1e-5)
    assert any("version 2's normaliser" in note for note in policy.notes)


CRITIC = ((0, "weight", (8, 9)), (0, "bias", (8,)), (2, "weight", (1, 8)), (2, "bias", (1,)))
