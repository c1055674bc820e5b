"""Keys of the trainer's configuration that change the network: applied, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from policy_port.checkpoints import load_policy
from policy_port.errors import CheckpointError
from tests.checkpoints import written
from tests.checkpoints.libraries import test_rl_games, test_skrl, test_stated
from tests.checkpoints.libraries.test_leftovers import grown
from tests.checkpoints.libraries.test_stated import actions, rl_games


@pytest.mark.parametrize("part", ["a_layer_norm.weight", "layer_norm.weight", "actor_cnn.0", "cnn.0"])
def test_rl_games_refuses_what_is_more_than_a_perceptron(tmp_path: Path, part: str) -> None:
    """Convolutions, and the norm of a memory that is not there, are refused by name."""
    path = rl_games(tmp_path, place="running_mean_std")
    with pytest.raises(CheckpointError, match=f"holds model.a2c_network.{part}; only perceptrons"):
        load_policy(grown(path, "model", **{f"a2c_network.{part}": torch.ones(48, 12)}))


def network(**more: Any) -> dict[str, Any]:
    return {"network": {"mlp": {"units": [16, 12], "activation": "elu"}, **more}}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (network(name="moe_actor_critic"), "network.name is 'moe_actor_critic'"),
        ({"model": {"name": "discrete_a2c"}}, "model.name is 'discrete_a2c'"),
        (network(rnn={"name": "lstm", "units": 12}), "network.rnn .* belongs to another run"),
        ({"model": {"name": "continuous_a2c_tanh"}}, "model.name is 'continuous_a2c_tanh'"),
        ({"model": {"name": "mymod:residual"}}, "model.name is 'mymod:residual'"),
        (network(cnn={"type": "conv2d"}), "network.cnn .* belongs to another run"),
        ({"env": {"clip_actions": "1"}}, "clip_actions is '1'; expected a number"),
        ({"env": {"clip_actions": -1.0}}, "expected a positive bound"),
        ({"env": {"clip_observations": True}}, "clip_observations is True; expected a number"),
        ({"env": {"clip_observations": -5.0}}, "clip_observations is -5; expected a positive bound"),
        ({"env": {"clip_observations": 10**40}}, "expected a number"),
        ({"config": {"clip_actions": "no"}}, "config.clip_actions is 'no'; expected true or false"),
        ({"env": {"concate_obs_groups": False, "obs_groups": {"obs": ["policy", "wrist"]}}}, "apart by name"),
    ],
)
def test_rl_games_keys_that_are_not_understood(tmp_path: Path, params: dict[str, Any], message: str) -> None:
    """Networks and models of another name, memories that the file lacks, and bounds that are none are refused."""
    with pytest.raises(CheckpointError, match=message):
        load_policy(test_rl_games.checkpoint(tmp_path, **params)[0])


def test_an_activation_of_the_mean_is_applied(tmp_path: Path) -> None:
    """mu_activation acts on the mean before it is clipped."""
    path, state = test_rl_games.checkpoint(tmp_path, **network(space={"continuous": {"mu_activation": "tanh"}}))
    obs = written.observations(20, 7)
    wanted = np.tanh(test_rl_games.mean(state, obs.astype(float)))
    np.testing.assert_allclose(actions(path, obs), wanted, atol=2e-5)


@pytest.mark.parametrize("first", [-1, 10])
def test_as_wide_as_the_input(tmp_path: Path, first: int) -> None:
    """hidden_dims of -1 means the width of the input."""
    rng = written.generator()
    tensors = {"mlp.0.weight": torch.randn(10, 10, generator=rng), "mlp.0.bias": torch.zeros(10)}
    tensors["mlp.2.weight"] = torch.randn(12, 10, generator=rng)
    assert load_policy(written.rsl_rl_5(tmp_path, tensors=tensors, hidden_dims=[first, 12])).actor.obs_size == 10
    with pytest.raises(CheckpointError, match=r"hidden sizes \[12, 10\].*another run"):
        load_policy(written.rsl_rl_5(tmp_path, tensors=tensors, hidden_dims=[12, -1]))


@pytest.mark.parametrize(
    ("actor", "message"),
    [
        ({"class_name": "mymod:ResidualMLP"}, "class_name 'mymod:ResidualMLP' is a class of its own"),
        ({"class_name": "mymod:MLPModel"}, "class of its own"),
        ({"class_name": "EquivariantMLP"}, "class of its own"),
        ({"class_name": "RNNModel"}, "RNNModel builds a recurrent network, and .* holds a perceptron"),
        ({"class_name": "CNNModel"}, "builds a network that sees"),
        ({"distribution_cfg": {"class_name": "mymod:TanhGaussian"}}, "TanhGaussian' is a class of its own"),
        ({"distribution_cfg": {"class_name": "BetaDistribution"}}, "a Beta distribution is stated"),
        ({"distribution_cfg": {"class_name": "HeteroscedasticGaussianDistribution"}}, "depends on the state is stated"),
        ({"state_dependent_std": True}, "depends on the state is stated"),
        ({"hidden_dims": 16}, "hidden sizes 16, but"),
    ],
)
def test_rsl_rl_keys_that_are_not_understood(tmp_path: Path, actor: dict[str, Any], message: str) -> None:
    """Classes of a project's own, and any that builds something else than the file holds, are refused by name."""
    with pytest.raises(CheckpointError, match=message):
        load_policy(written.rsl_rl_5(tmp_path, **actor))


@pytest.mark.parametrize("text", ["!!python/name:rsl_rl.models.MLPModel ''", "!!python/name:mymod.MLPModel ''"])
def test_a_class_that_yaml_names_itself(tmp_path: Path, text: str) -> None:
    """A class under a Python tag is read by its name, RSL-RL's own and another's."""
    path = written.rsl_rl_5(tmp_path, activation=None)
    (tmp_path / "agent.yaml").write_text(f"actor:\n  class_name: {text}\n  activation: elu\n")
    if "mymod" not in text:
        assert load_policy(path).actor.obs_size == 10
        return
    with pytest.raises(CheckpointError, match=r"class_name 'name:mymod\.MLPModel' is a class of its own"):
        load_policy(path)


@pytest.mark.parametrize("given", ["mymod:TanhGaussian", ["GaussianDistribution"]])
def test_a_distribution_is_a_table(tmp_path: Path, given: Any) -> None:
    """A distribution that is named without a table is refused, and not taken for none."""
    with pytest.raises(CheckpointError, match="distribution_cfg is .*; expected a table with class_name"):
        load_policy(written.rsl_rl_5(tmp_path, distribution_cfg=given))


OLD: list[tuple[dict[str, Any], str | None]] = [
    ({"policy": {"class_name": "ActorCritic", "activation": "elu"}}, None),
    ({"policy": {"class_name": "mymod:TanhActorCritic", "activation": "elu"}}, "mymod:TanhActorCritic"),
    ({"policy": {"class_name": "ActorCriticMoE", "activation": "elu"}}, "ActorCriticMoE"),
    ({"policy": {"class_name": "ActorCriticRecurrent", "activation": "elu"}}, "builds a recurrent network"),
    ({"policy": {"activation": "elu"}, "runner": {"policy_class_name": "ActorCriticMoE"}}, "ActorCriticMoE"),
    ({"policy": {"class_name": "mine.MLP", "activation": "elu"}, "actor": {"class_name": "MLPModel"}}, "mine.MLP"),
    ({"policy": {"class_name": "ActorCritic", "activation": "elu"}, "actor": {"class_name": "mine.MLP"}}, None),
    ({"policy": {}, "actor": {"class_name": "mine.MLP", "activation": "elu"}}, "mine.MLP"),
]


@pytest.mark.parametrize(("values", "message"), OLD)
def test_old_files_are_held_against_their_own_table(
    tmp_path: Path, values: dict[str, Any], message: str | None
) -> None:
    """Versions 2 and 3 read `policy`, whatever else is stated; a class of its own there is refused by name."""
    model = {"std": torch.ones(3), **written.linears("actor", [6, 8, 3], written.generator())}
    path = written.save({"model_state_dict": model, "iter": 1, "infos": None}, tmp_path / "model_1.pt")
    written.agent_yaml(tmp_path, **values)
    if message is None:
        assert load_policy(path).actor.obs_size == 6
        return
    with pytest.raises(CheckpointError, match=message):
        load_policy(path)


def test_a_deviation_is_computed_where_one_is_taken(tmp_path: Path) -> None:
    """Version 4's state_dependent_std does nothing to a model that is not stochastic: all outputs are actions."""
    state = written.linears("mlp", [6, 8, 4], written.generator())
    path = written.save({"student_state_dict": state, "teacher_state_dict": {}, "iter": 1}, tmp_path / "model_1.pt")
    told = {"class_name": "MLPModel", "activation": "elu", "state_dependent_std": True}
    for stochastic, width in ((True, 2), (False, 4)):
        written.agent_yaml(tmp_path, student={**told, "stochastic": stochastic})
        assert load_policy(path).actor.action_size == width


TRAINERS: dict[str, tuple[Callable[..., Path], str]] = {
    "algorithm.class_name": (lambda folder, name: rsl_rl(folder, algorithm={"class_name": name}), "rsl_rl.mine:PPO"),
    "class_name": (lambda folder, name: rsl_rl(folder, class_name=name), "OnPolicyRunner"),
    "runner_class_name": (lambda folder, name: rsl_rl(folder, runner_class_name=name), "OnPolicyRunner"),
    "runner.algorithm_class_name": (
        lambda folder, name: rsl_rl(folder, runner={"algorithm_class_name": name}),
        "PPO",
    ),
    "agent.class": (lambda folder, name: test_stated.skrl(folder, place=None, **{"class": name}), "trpo"),
    "params.algo.name": (
        lambda folder, name: test_rl_games.checkpoint(folder, algo={"name": name})[0],
        "a2c_continuous",
    ),
}


def rsl_rl(folder: Path, **values: Any) -> Path:
    path = written.rsl_rl_5(folder)
    written.agent_yaml(folder, actor={"activation": "elu", "class_name": "MLPModel"}, **values)
    return path


@pytest.mark.parametrize("key", TRAINERS)
def test_a_trainer_of_its_own_stops_an_export(tmp_path: Path, key: str) -> None:
    """Runner and algorithm may change what the actor answers: one of a project's own is named, and can be ignored."""
    write, own = TRAINERS[key]
    load_policy(write(tmp_path / "own", own)).require_explained()
    path = write(tmp_path / "foreign", "mymod:Mine")
    policy = load_policy(path)
    assert [str(leftover) for leftover in policy.unexplained] == [f"agent.yaml:{key} = 'mymod:Mine'"]
    with pytest.raises(CheckpointError, match=f"--ignore 'agent.yaml:{key}'"):
        policy.require_explained()
    load_policy(path, ignore=[f"agent.yaml:{key}"]).require_explained()


@pytest.mark.parametrize("name", ["MLPModel", "rsl_rl.models:MLPModel", "rsl_rl.models.MLPModel"])
def test_rsl_rls_own_classes_load_under_each_spelling(tmp_path: Path, name: str) -> None:
    """A class may be named alone or with its module."""
    distribution = {"class_name": "rsl_rl.modules.GaussianDistribution", "init_std": 1.0, "std_range": [0.1, 2.0]}
    path = written.rsl_rl_5(tmp_path, class_name=name, distribution_cfg=distribution, rnn_type=None, rnn_hidden_dim=256)
    assert load_policy(path).unexplained == ()


@pytest.mark.parametrize(
    ("key", "value"), [("rnn_type", "gru"), ("rnn_hidden_dim", 16), ("rnn_num_layers", 2), ("class_name", "MLPModel")]
)
def test_a_memory_of_another_run_is_noticed(tmp_path: Path, key: str, value: Any) -> None:
    """Type, width and number of layers of a memory are those of the configuration, or it is refused."""
    rng = written.generator()
    state = {"distribution.std_param": torch.ones(3), **written.memory("rnn.rnn", 4, 6, 8, 1, rng)}
    tree = {"actor_state_dict": state | written.linears("mlp", [8, 8, 3], rng), "iter": 1, "infos": None}
    path = written.save(tree, tmp_path / "model_1.pt")
    actor = {"class_name": "RNNModel", "activation": "elu", "rnn_type": "lstm", "rnn_hidden_dim": 8}
    written.agent_yaml(tmp_path, actor={**actor, "rnn_num_layers": 1})
    assert load_policy(path).actor.state_names == ("h", "c")
    written.agent_yaml(tmp_path, actor={**actor, "rnn_num_layers": 1, key: value})
    with pytest.raises(CheckpointError, match="another run"):
        load_policy(path)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"class": "CategoricalMixin"}, "models.policy.class is 'CategoricalMixin'"),
        ({"class": "mymod.GaussianMixin"}, "mymod.GaussianMixin"),
        ({"clip_mean_actions": True}, "clip_mean_actions clips what the policy answers.*--agent"),
        ({"class": "DeterministicMixin", "clip_actions": True}, "clip_actions clips what the policy answers"),
        ({"network": [{"input": "OBSERVATIONS * 0.5", "activations": "elu"}]}, r"the input 'OBSERVATIONS \* 0.5'"),
        ({"network": [{"layers": [{"conv2d": 8}], "activations": "elu"}]}, "only linear layers"),
        ({"network": [{"layers": [float("inf"), 12], "activations": "elu"}]}, "only linear layers"),
        ({"network": [{"activations": "elu", "dropout": 0.1}]}, "the key dropout"),
        ({"network": None, "hiddens": [16, 12], "output_scale": 0.5}, "has hiddens, output_scale, as skrl wrote"),
    ],
)
def test_skrl_keys_that_are_not_understood(tmp_path: Path, policy: dict[str, Any], message: str) -> None:
    """Other models, inputs with arithmetic, clips to unknown bounds, other layers and old keys are refused by name."""
    with pytest.raises(CheckpointError, match=message):
        load_policy(test_skrl.checkpoint(tmp_path, **policy)[0])


def test_mixed_activations_stay_refused_with_one_given(tmp_path: Path) -> None:
    """--activation can't stand for several."""
    path, _ = test_skrl.checkpoint(tmp_path, network=[{"activations": ["elu", "relu"]}])
    with pytest.raises(CheckpointError, match="names no single one"):
        load_policy(path, activation="elu")


def test_a_layer_without_bias_is_one_of_this_run(tmp_path: Path) -> None:
    """skrl's long spellings of a linear layer have the same widths."""
    layers = [{"linear": {"out_features": 16, "bias": False}}, {"linear": [12]}]
    path, _ = test_skrl.checkpoint(
        tmp_path, network=[{"input": "OBSERVATIONS", "layers": layers, "activations": "elu"}]
    )
    tree = torch.load(path, weights_only=True)
    tree["policy"].pop("net_container.0.bias")
    assert load_policy(written.save(tree, path)).actor.obs_size == 7


@pytest.mark.parametrize("given", [[1, -1], [0], "wide", [".nan", 1], [float("nan"), 1.0]])
def test_a_beta_distributions_range_is_two_numbers(tmp_path: Path, given: Any) -> None:
    """A range that is turned round, or holds no numbers, is refused by its key."""
    state = written.linears("mlp", [6, 8, 6], written.generator())
    written.agent_yaml(
        tmp_path,
        actor={
            "activation": "elu",
            "distribution_cfg": {"class_name": "BetaDistribution", "action_range": given},
        },
    )
    path = written.save({"actor_state_dict": state, "iter": 1, "infos": None}, tmp_path / "model_1.pt")
    with pytest.raises(CheckpointError, match="action_range is"):
        load_policy(path)


@pytest.mark.parametrize("shared", [False, True])
def test_a_shared_model_is_not_a_separate_one(tmp_path: Path, shared: bool) -> None:
    """skrl's models.separate is that of the file."""
    path, _ = test_skrl.checkpoint(tmp_path, shared=shared)
    values = yaml.safe_load((tmp_path / "params/agent.yaml").read_text())
    written.agent_yaml(tmp_path, models={**values["models"], "separate": not shared})
    assert load_policy(path).actor.obs_size == 7
    written.agent_yaml(tmp_path, models={**values["models"], "separate": shared})
    with pytest.raises(CheckpointError, match=r"models\.separate .* another run"):
        load_policy(path)


def test_without_a_configuration_the_doubt_is_told(tmp_path: Path) -> None:
    """Neither agent.yaml nor statistics: a note says that nobody knows whether the run normalised."""
    path = rl_games(tmp_path, place=None)
    assert not any("on trust" in note for note in load_policy(path).notes)
    (tmp_path / "params/agent.yaml").unlink()
    assert any("on trust" in note for note in load_policy(path, activation="elu").notes)
