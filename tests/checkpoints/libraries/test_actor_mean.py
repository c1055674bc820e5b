"""ManiSkill's and CleanRL's bare state dicts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from policy_port.checkpoints import load_policy
from policy_port.errors import CheckpointError
from tests.checkpoints import written


def checkpoint(path: Path, widths: list[int]) -> Path:
    rng = written.generator()
    state = {"actor_logstd": torch.zeros(1, widths[-1]), **written.linears("actor_mean", widths, rng)}
    return written.save({**state, **written.linears("critic", [widths[0], 8, 1], rng)}, path)


@pytest.mark.parametrize(
    ("name", "widths", "library"),
    [
        ("final_ckpt.pt", [9, 16, 16, 16, 4], "maniskill"),
        ("ckpt_25.pt", [9, 16, 16, 16, 4], "maniskill"),
        ("ppo.cleanrl_model", [9, 16, 16, 4], "cleanrl"),
        ("some.pt", [9, 16, 16, 4], "cleanrl"),
    ],
)
def test_layers_and_names_tell_the_scripts_apart(tmp_path: Path, name: str, widths: list[int], library: str) -> None:
    """Four layers are ManiSkill's, three CleanRL's; both compute tanh between their layers."""
    path = checkpoint(tmp_path / name, widths)
    policy = load_policy(path)
    obs = written.observations(6, 9)
    expected = written.perceptron(torch.load(path, weights_only=True), "actor_mean", obs.astype(float), "tanh")
    assert policy.library == library
    np.testing.assert_allclose(policy.actor(torch.from_numpy(obs))[0].numpy(), expected, atol=1e-5)
    assert policy.original is None


def test_contradicting_evidence_asks_for_the_library(tmp_path: Path) -> None:
    """Three layers under ManiSkill's file name could be either: the error lists both and --from settles it."""
    path = checkpoint(tmp_path / "final_ckpt.pt", [9, 16, 16, 4])
    with pytest.raises(CheckpointError, match="could be maniskill.*cleanrl.*--from maniskill or --from cleanrl"):
        load_policy(path)
    assert load_policy(path, kind="maniskill").library == "maniskill"


def test_cleanrl_says_that_statistics_are_missing(tmp_path: Path) -> None:
    """CleanRL does not save its observation statistics, and the notes say so."""
    notes = load_policy(checkpoint(tmp_path / "ppo.cleanrl_model", [9, 16, 16, 4])).notes
    assert any("statistics are not saved" in note for note in notes)


@pytest.mark.parametrize(("kind", "message"), [("manyskill", "did you mean 'maniskill'"), ("onnx", "does not fit")])
def test_a_wrong_from_is_an_error(tmp_path: Path, kind: str, message: str) -> None:
    """--from with an unknown or impossible library says what is possible."""
    with pytest.raises(CheckpointError, match=message):
        load_policy(checkpoint(tmp_path / "final_ckpt.pt", [9, 16, 16, 16, 4]), kind=kind)


def test_an_unknown_layout_shows_what_the_file_holds(tmp_path: Path) -> None:
    """Tensors of no known layout are an error that lists the file's keys."""
    with pytest.raises(CheckpointError, match="It holds encoder, decoder"):
        load_policy(written.save({"encoder": torch.zeros(2), "decoder": torch.zeros(2)}, tmp_path / "x.pt"))


@pytest.mark.parametrize("spaced", [True, False])
def test_sac_squashes_and_rescales(tmp_path: Path, spaced: bool) -> None:
    """ManiSkill's sac: ReLU also before the mean, tanh, and the action space where the file has it."""
    rng = written.generator()
    actor = {
        **written.linears("backbone", [9, 16, 16], rng),
        "fc_mean.weight": torch.randn(2, 16, generator=rng),
        "fc_mean.bias": torch.zeros(2),
        "fc_logstd.weight": torch.zeros(2, 16),
        "fc_logstd.bias": torch.zeros(2),
    }
    if spaced:
        actor |= {"action_scale": torch.tensor([2.0, 0.02]), "action_bias": torch.tensor([1.0, 0.02])}
    path = written.save({"actor": actor, "qf1": {}, "log_alpha": torch.zeros(1)}, tmp_path / "ckpt_5.pt")
    obs = written.observations(6, 9)
    hidden = np.maximum(written.perceptron(actor, "backbone", obs.astype(float), "relu"), 0)
    wanted = np.tanh(hidden @ written.as_float64(actor, "fc_mean.weight").T)
    if spaced:
        wanted = wanted * [2.0, 0.02] + [1.0, 0.02]
    policy = load_policy(path)
    np.testing.assert_allclose(policy.actor(torch.from_numpy(obs))[0].numpy(), wanted, atol=1e-5)
    assert any("not in the file" in note for note in policy.notes) == (not spaced)


def test_bc_computes_relu_between_its_layers(tmp_path: Path) -> None:
    """ManiSkill's bc: the layers of net, and a note that statistics of the states are not saved."""
    actor = written.linears("net", [9, 16, 16, 4], written.generator())
    policy = load_policy(written.save({"actor": actor}, tmp_path / "ckpt_5.pt"))
    obs = written.observations(6, 9)
    expected = written.perceptron(actor, "net", obs.astype(float), "relu")
    np.testing.assert_allclose(policy.actor(torch.from_numpy(obs))[0].numpy(), expected, atol=1e-5)
    assert (policy.library, policy.version) == ("maniskill", "bc script")
    assert any("--normalize-states" in note for note in policy.notes)
