"""What a file holds beside the actor: parts of a training that are known by name and place, and the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from policy_port.checkpoints import LoadedPolicy, inspect_file, load_policy
from policy_port.errors import CheckpointError
from policy_port.export.write import write_port
from policy_port.port.folder import load_port
from policy_port.remap import identity_remap
from tests.checkpoints import written
from tests.checkpoints.libraries import test_rl_games, test_skrl
from tests.export.test_shared_oracles import contract_of

W = torch.ones(3, 5)


def rsl_rl_3(folder: Path, **tree: Any) -> Path:
    """A version 3 file with whatever else; names with dots go into the model."""
    model = {"std": torch.ones(3), **written.linears("actor", [6, 8, 3], written.generator())}
    model |= {name: value for name, value in tree.items() if "." in name or name == "log_std"}
    rest = {name: value for name, value in tree.items() if name not in model}
    written.agent_yaml(folder, policy={"activation": "elu"})
    return written.save({"model_state_dict": model, "iter": 1, "infos": None, **rest}, folder / "model_1.pt")


def grown(path: Path, inside: str | None = None, **more: Any) -> Path:
    """The file with more in it, at the top or in the table `inside`."""
    tree = torch.load(path, weights_only=True)
    (tree if inside is None else tree[inside]).update(more)
    return written.save(tree, path)


def actor_mean(folder: Path, **more: Any) -> Path:
    state = written.linears("actor_mean", [6, 8, 8, 8, 3], written.generator())
    return written.save({"actor_logstd": torch.zeros(1, 3), **state, **more}, folder / "final_ckpt.pt")


def export(policy: LoadedPolicy, out: Path) -> None:
    contract = contract_of(policy.actor.obs_size, policy.actor.action_size)
    write_port(out, policy, identity_remap(contract), formats=("onnx",))


STRANGE: dict[str, tuple[Any, dict[str, Any]]] = {
    "HIMLoco's estimator": (rsl_rl_3, {"estimator.encoder.0.weight": W, "estimator.proto.weight": W}),
    "history encoder": (rsl_rl_3, {"actor_history_encoder.0.weight": W}),
    "a state estimator beside the model": (rsl_rl_3, {"state_estimator_state_dict": {"0.weight": W}}),
    "RMA's adaptation module": (rsl_rl_3, {"adaptation_module.0.weight": W}),
    "DreamWaQ's vae": (rsl_rl_3, {"vae.encoder.0.weight": W}),
    "a normaliser of another name": (rsl_rl_3, {"obs_rms": {"mean": torch.ones(6), "var": torch.ones(6)}}),
    "a normaliser in a list": (rsl_rl_3, {"obs_rms": [torch.ones(6), torch.ones(6)]}),
    "statistics as plain numbers": (rsl_rl_3, {"obs_mean": [0.1] * 6}),
    "the actor's normaliser of version 2 beside the critic's of version 3": (
        rsl_rl_3,
        {
            "obs_norm_state_dict": written.statistics("", 6, written.generator()),
            "critic_obs_normalizer._mean": torch.ones(1, 9),
        },
    ),
    "a name that merely contains critic": (rsl_rl_3, {"noncritic.0.weight": W, "actor_critic_encoder.0.weight": W}),
    "a network that is called an optimiser": (rsl_rl_3, {"optimizer_net": {"0.weight": W}}),
    "a teacher's part in the student's name": (
        lambda folder, **more: grown(distilled(folder), "student_state_dict", **more),
        {"terrain_encoder.0.weight": W},
    ),
    "statistics among the infos": (rsl_rl_3, {"infos": {"obs_mean": torch.ones(6)}}),
    "a half-taken layer": (rsl_rl_3, {"actor.0.weight_g": torch.ones(8, 1)}),
    "rl_games": (
        lambda folder, **more: grown(test_rl_games.checkpoint(folder)[0], "model", **more),
        {"a2c_network.adapter.weight": W},
    ),
    "skrl": (
        lambda folder, **more: grown(test_skrl.checkpoint(folder)[0], "policy", **more),
        {"features_extractor.0.weight": W},
    ),
    "skrl at the top": (lambda folder, **more: grown(test_skrl.checkpoint(folder)[0], **more), {"encoder": {"w": W}}),
    "ManiSkill and CleanRL": (actor_mean, {"feature_extractor.0.weight": W}),
}
"""By kind: what writes the file, and what the policy may need of it."""

KNOWN: dict[str, tuple[Any, dict[str, Any]]] = {
    "a fork's critic": (rsl_rl_3, {"critic_encoder.0.weight": W, "critic.0.weight": W}),
    "curiosity": (rsl_rl_3, {"rnd_state_dict": {"p.0.weight": W}, "rnd_optimizer_state_dict": {"state": {}}}),
    "adversarial priors": (rsl_rl_3, {"discriminator_state_dict": {"0.weight": W}}),
    "infos": (rsl_rl_3, {"infos": {"terrain_levels": torch.zeros(50), "steps": 3}}),
    "optimisers": (
        rsl_rl_3,
        {"optimizer": {"state": {0: {"m": W}}, "param_groups": []}, "critic_optim": {"state": {}}},
    ),
    "schedulers": (rsl_rl_3, {"lr_scheduler": {"base_lrs": [0.1, 0.2]}}),
    "both deviations": (rsl_rl_3, {"log_std": torch.zeros(3)}),
    "central value": (
        lambda folder, **more: grown(test_rl_games.checkpoint(folder)[0], **more),
        {"assymetric_vf_nets": {"model.a2c_network.actor_mlp.0.weight": W}, "reward_mean_std": {"count": W}},
    ),
    "skrl's SAC": (
        lambda folder, **more: grown(test_skrl.checkpoint(folder)[0], **more),
        {"target_critic_1": {"net_container.0.weight": W}, "log_entropy_coefficient": torch.zeros(1)},
    ),
    "ManiSkill's critic": (actor_mean, {"critic.0.weight": W}),
}


def distilled(folder: Path) -> Path:
    rng = written.generator()
    student = {"distribution.std_param": torch.ones(3), **written.linears("mlp", [6, 8, 3], rng)}
    teacher = {"distribution.std_param": torch.ones(3), **written.linears("mlp", [11, 8, 3], rng)}
    written.agent_yaml(folder, student={"activation": "elu"}, teacher={"activation": "relu"})
    tree = {"student_state_dict": student, "teacher_state_dict": teacher, "iter": 1, "infos": None}
    return written.save(tree, folder / "model_1.pt")


@pytest.mark.parametrize("kind", STRANGE)
def test_what_the_policy_may_need_stops_an_export(tmp_path: Path, kind: str) -> None:
    """Every such part loads and is shown, and no port is written until its name is given, which the port then holds."""
    write, more = STRANGE[kind]
    path = write(tmp_path, **more)
    policy = load_policy(path)
    found = inspect_file(path)
    assert policy.unexplained
    assert found["stops_export"] == [str(leftover) for leftover in policy.unexplained]
    with pytest.raises(CheckpointError, match="leaves out .*--ignore") as refusal:
        export(policy, tmp_path / "port")
    for leftover in policy.unexplained:
        assert str(leftover) in str(refusal.value)
    assert not (tmp_path / "port").exists()
    groups = {leftover.group for leftover in policy.unexplained}
    assert all(f"--ignore '{group}'" in str(refusal.value) for group in groups)
    again = load_policy(path, ignore=sorted(groups))
    export(again, tmp_path / "port")
    held = load_port(tmp_path / "port").manifest["policy"]["ignored"]
    assert held == [str(leftover) for leftover in policy.unexplained]
    assert any("ignored as --ignore says" in note for note in again.notes)


@pytest.mark.parametrize("kind", KNOWN)
def test_known_parts_of_a_training_do_not(tmp_path: Path, kind: str) -> None:
    """Critics, normalisers of values, optimisers, deviations and what else is known by its place stop nothing."""
    write, more = KNOWN[kind]
    policy = load_policy(write(tmp_path, **more))
    assert policy.leftovers
    assert policy.unexplained == ()
    export(policy, tmp_path / "port")


def test_a_teacher_is_known_to_its_student_and_a_student_to_its_teacher(tmp_path: Path) -> None:
    """Whichever of the two is taken, the other stops nothing."""
    path = distilled(tmp_path)
    for teacher in (False, True):
        assert load_policy(path, teacher=teacher).leftovers
        assert load_policy(path, teacher=teacher).unexplained == ()


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (["model_state_dict.estimator"], 1),
        (["model_state_dict.estimator.0.weight"], 1),
        (["*estimator*", "model_state_dict.vae"], 0),
        (["model_state_dict.est"], None),
        (["estimator"], None),
        (["model_state_dict.actor"], None),
        (["model_state_dict.vae", "model_state_dict.gone"], None),
        (["*"], None),
        ([""], None),
    ],
)
def test_names_to_ignore_are_exact(tmp_path: Path, names: list[str], left: int | None) -> None:
    """A name is a whole name, a beginning up to a dot or a pattern; one that matches nothing, or all, is refused."""
    path = rsl_rl_3(tmp_path, **{"estimator.0.weight": W, "vae.0.weight": W})
    if left is None:
        with pytest.raises(CheckpointError, match="matches nothing|whatever there is"):
            load_policy(path, ignore=names)
    else:
        assert len(load_policy(path, ignore=names).unexplained) == left


def test_a_misspelt_name_gets_the_nearest(tmp_path: Path) -> None:
    """The error says what there is to ignore, and which of it was probably meant."""
    path = rsl_rl_3(tmp_path, **{"estimator.0.weight": W})
    with pytest.raises(CheckpointError, match=r"did you mean 'model_state_dict\.estimator'"):
        load_policy(path, ignore=["model_state_dict.estimater"])


def test_a_layer_without_weights_is_noticed_by_the_numbers(tmp_path: Path) -> None:
    """Numbers that are not 0, 2, 4 mean that something stands between the layers, and that is refused."""
    state = written.linears("actor", [6, 8, 3], written.generator())
    state = {name.replace("actor.2", "actor.3"): value for name, value in state.items()}
    tree = {"model_state_dict": {"std": torch.ones(3), **state}, "iter": 1, "infos": None}
    with pytest.raises(CheckpointError, match="numbers 0, 3; expected 0, 2, 4"):
        load_policy(written.save(tree, tmp_path / "model_1.pt"), activation="elu")
