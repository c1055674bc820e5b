"""RSL-RL checkpoints of every layout, held against NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from policy_port.checkpoints import load_policy
from policy_port.errors import CheckpointError
from tests.checkpoints import written


def run(policy, obs: np.ndarray, *state: torch.Tensor) -> np.ndarray:
    return policy.actor(torch.from_numpy(obs), *state)[0].numpy()


@pytest.mark.parametrize("activation", ["elu", "relu", "tanh", "swish", "crelu", "lrelu"])
def test_every_activation_means_what_rsl_rl_means(tmp_path: Path, activation: str) -> None:
    """A version 5 perceptron with a normaliser computes what NumPy computes, for each activation name."""
    path = written.rsl_rl_5(tmp_path, activation=activation)
    state = torch.load(path, weights_only=True)["actor_state_dict"]
    obs = written.observations(7, 10)
    expected = written.perceptron(state, "mlp", written.normalised(state, "obs_normalizer.", obs), activation)
    policy = load_policy(path)
    assert (policy.library, policy.version) == ("rsl_rl", "5.x")
    assert (policy.actor.obs_size, policy.actor.action_size) == (10, 4)
    np.testing.assert_allclose(run(policy, obs), expected, atol=1e-5)
    exact = policy.actor.double()(torch.from_numpy(obs).double())[0].numpy()
    np.testing.assert_allclose(exact, expected, atol=1e-6)


def test_weights_stay_bit_for_bit(tmp_path: Path) -> None:
    """Every weight of the file is in the actor, unchanged."""
    path = written.rsl_rl_5(tmp_path)
    state = torch.load(path, weights_only=True)["actor_state_dict"]
    held = list(load_policy(path).actor.state_dict().values())
    for name in ("mlp.0.weight", "mlp.2.bias", "mlp.4.weight"):
        assert any(torch.equal(tensor, state[name]) for tensor in held)


@pytest.mark.parametrize(("version", "place"), [("2.x", "outside"), ("3.x", "inside"), ("2.x or 3.x", "absent")])
def test_the_normaliser_is_found_in_every_place(tmp_path: Path, version: str, place: str) -> None:
    """Versions 2 and 3 keep the statistics beside or inside the model, or have none; the critic's are never used."""
    rng = written.generator()
    model = {"std": torch.ones(3), **written.linears("actor", [6, 8, 3], rng), **written.linears("critic", [9, 1], rng)}
    actor, critic = written.statistics("", 6, rng), written.statistics("", 9, rng)
    tree: dict[str, object] = {"model_state_dict": model, "optimizer_state_dict": {}, "iter": 1, "infos": None}
    if place == "outside":
        tree |= {"obs_norm_state_dict": actor, "critic_obs_norm_state_dict": critic}
    if place == "inside":
        model |= {f"actor_obs_normalizer.{name}": value for name, value in actor.items()}
        model |= {f"critic_obs_normalizer.{name}": value for name, value in critic.items()}
    written.agent_yaml(tmp_path, policy={"activation": "elu", "actor_hidden_dims": [8]})
    policy = load_policy(written.save(tree, tmp_path / "model_1.pt"))
    obs = written.observations(5, 6)
    seen = obs if place == "absent" else written.normalised(actor, "", obs)
    np.testing.assert_allclose(run(policy, obs), written.perceptron(model, "actor", seen, "elu"), atol=1e-5)
    assert policy.version == version
    assert (policy.normaliser is None) == (place == "absent")
    if policy.normaliser is not None:
        assert policy.normaliser.samples == 1000


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_recurrent_state_goes_in_and_comes_out(tmp_path: Path, kind: str, layers: int) -> None:
    """LSTM and GRU of one and two layers follow NumPy over ten steps, from zeros and across a reset of one row."""
    rng = written.generator()
    gates = 4 if kind == "LSTM" else 3
    state = {
        **written.memory("rnn.rnn", gates, 6, 8, layers, rng),
        **written.linears("mlp", [8, 8, 3], rng),
        "distribution.log_std_param": torch.zeros(3),
    }
    tree = {"actor_state_dict": state, "critic_state_dict": {}, "optimizer_state_dict": {}, "iter": 1, "infos": None}
    path = written.save(tree, tmp_path / "model_1.pt")
    actor = load_policy(path, activation="elu").actor
    assert actor.state_names == (("h", "c") if kind == "LSTM" else ("h",))
    assert actor.state_shapes == ((layers, 8),) * len(actor.state_names)
    tensors = actor.initial_state(4)
    h, c = np.zeros((layers, 4, 8)), np.zeros((layers, 4, 8))
    for step in range(10):
        if step == 6:
            tensors = tuple(tensor.clone().index_fill_(1, torch.tensor([2]), 0.0) for tensor in tensors)
            h[:, 2], c[:, 2] = 0, 0
        obs = written.observations(4, 6, seed=step)
        x: np.ndarray = obs.astype(np.float64)
        for layer in range(layers):
            if kind == "LSTM":
                h[layer], c[layer] = written.lstm_step(state, "rnn.rnn", layer, x, h[layer], c[layer])
            else:
                h[layer] = written.gru_step(state, "rnn.rnn", layer, x, h[layer])
            x = h[layer]
        actions, *tensors = actor(torch.from_numpy(obs), *tensors)
        np.testing.assert_allclose(actions.numpy(), written.perceptron(state, "mlp", x, "elu"), atol=1e-5)
        np.testing.assert_allclose(tensors[0].numpy(), h, atol=1e-5)


def test_distillation_gives_the_student_and_on_request_the_teacher(tmp_path: Path) -> None:
    """Both networks of a distillation file load, each with its own width; the student is the default."""
    rng = written.generator()
    student = {"distribution.std_param": torch.ones(3), **written.linears("mlp", [6, 8, 3], rng)}
    teacher = {"distribution.std_param": torch.ones(3), **written.linears("mlp", [11, 8, 3], rng)}
    tree = {"student_state_dict": student, "teacher_state_dict": teacher, "iter": 1, "infos": None}
    path = written.save(tree, tmp_path / "model_1.pt")
    written.agent_yaml(tmp_path, student={"activation": "elu"}, teacher={"activation": "relu"}, policy={})
    obs = written.observations(3, 11)
    assert load_policy(path).actor.obs_size == 6
    taught = run(load_policy(path, teacher=True), obs)
    np.testing.assert_allclose(taught, written.perceptron(teacher, "mlp", obs.astype(float), "relu"), atol=1e-5)


def test_a_teacher_is_not_invented(tmp_path: Path) -> None:
    """Asking an ordinary checkpoint for its teacher is an error."""
    with pytest.raises(CheckpointError, match="has no teacher"):
        load_policy(written.rsl_rl_5(tmp_path), teacher=True)


def beta_or_wide(folder: Path, **actor: object) -> tuple[Path, dict[str, torch.Tensor]]:
    state = written.linears("mlp", [6, 8, 8], written.generator())
    if actor:
        written.agent_yaml(folder, actor={"activation": "elu", **actor})
    tree = {"actor_state_dict": state, "critic_state_dict": {}, "iter": 1, "infos": None}
    return written.save(tree, folder / "model_1.pt"), state


def test_a_beta_distribution_gives_its_rescaled_mean(tmp_path: Path) -> None:
    """The Beta mean is alpha / (alpha + beta) with softplus + 1, rescaled to the range in agent.yaml."""
    config = {"class_name": "BetaDistribution", "action_range": [-2.0, 3.0]}
    path, state = beta_or_wide(tmp_path, distribution_cfg=config)
    obs = written.observations(5, 6)
    shape = np.log1p(np.exp(written.perceptron(state, "mlp", obs.astype(float), "elu"))) + 1
    alpha, beta = shape[:, :4], shape[:, 4:]
    np.testing.assert_allclose(run(load_policy(path), obs), -2 + 5 * alpha / (alpha + beta), atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [{"distribution_cfg": {"class_name": "HeteroscedasticGaussianDistribution"}}, {"state_dependent_std": True}],
)
def test_a_state_dependent_deviation_is_left_out(tmp_path: Path, config: dict[str, object]) -> None:
    """Of a network that writes mean and deviation only the mean is the action."""
    path, state = beta_or_wide(tmp_path, **config)
    obs = written.observations(5, 6)
    expected = written.perceptron(state, "mlp", obs.astype(float), "elu")[:, :4]
    policy = load_policy(path)
    assert policy.actor.action_size == 4
    np.testing.assert_allclose(run(policy, obs), expected, atol=1e-5)


def test_a_network_without_deviation_is_not_guessed(tmp_path: Path) -> None:
    """Without a deviation and without agent.yaml the number of actions is unknown, and that is an error."""
    path, _ = beta_or_wide(tmp_path)
    with pytest.raises(CheckpointError, match="the file does not say which"):
        load_policy(path, activation="elu")


def test_a_missing_activation_is_an_error_that_names_the_flag(tmp_path: Path) -> None:
    """Without agent.yaml the activation can't be known: the message says so and names --activation."""
    path = written.rsl_rl_5(tmp_path, activation=None)
    with pytest.raises(CheckpointError, match="elu and relu load equally well.*--activation elu"):
        load_policy(path)
    assert load_policy(path, activation="elu").notes[0] == "activation from --activation"


def test_an_empty_section_is_no_section(tmp_path: Path) -> None:
    """`actor: {}` and `policy: {}`, as Isaac Lab writes unset fields, say nothing."""
    path = written.rsl_rl_5(tmp_path, activation=None)
    written.agent_yaml(tmp_path, actor={}, policy={})
    with pytest.raises(CheckpointError, match="has no activation under actor or policy"):
        load_policy(path)


def test_another_activation_acts_differently(tmp_path: Path) -> None:
    """--activation overrides agent.yaml and changes the actions."""
    path = written.rsl_rl_5(tmp_path)
    obs = written.observations(5, 10)
    assert np.abs(run(load_policy(path), obs) - run(load_policy(path, activation="relu"), obs)).max() > 0.01


def test_a_misspelt_activation_names_the_nearest(tmp_path: Path) -> None:
    """An unknown activation is an error with a suggestion."""
    with pytest.raises(CheckpointError, match="'sofplus' is unknown; did you mean 'softplus'"):
        load_policy(written.rsl_rl_5(tmp_path), activation="sofplus")


def test_a_configuration_of_another_run_is_noticed(tmp_path: Path) -> None:
    """Hidden sizes in agent.yaml that are not those of the network are an error."""
    with pytest.raises(CheckpointError, match="belongs to another run"):
        load_policy(written.rsl_rl_5(tmp_path, hidden_dims=[32, 12]))


def test_python_tags_in_agent_yaml_are_plain_values(tmp_path: Path) -> None:
    """mjlab's tuples are read as lists, and a tag that names a function is never called."""
    path = written.rsl_rl_5(tmp_path, activation=None)
    text = (
        "actor: !!python/object:os.system\n  hidden_dims: !!python/tuple\n  - 16\n  - 12\n  activation: elu\n"
        "other: !!python/object/apply:os.system ['touch executed']\n"
    )
    (tmp_path / "agent.yaml").write_text(text)
    assert "activation from agent.yaml (elu)" in load_policy(path).notes
    assert not Path("executed").exists()


def test_layers_that_do_not_join_are_refused(tmp_path: Path) -> None:
    """Widths that do not follow from one another are an error naming the layers."""
    path = written.rsl_rl_5(tmp_path, tensors={"mlp.2.weight": torch.zeros(12, 15)})
    with pytest.raises(CheckpointError, match=r"mlp\.0 writes 16 values and .*mlp\.2 reads 15"):
        load_policy(path)


def test_leftovers_are_listed(tmp_path: Path) -> None:
    """The critic and the optimizer are listed, tensors of the actor are not."""
    leftovers = load_policy(written.rsl_rl_5(tmp_path)).leftovers
    assert "critic_state_dict.mlp.0.weight (16, 13)" in leftovers
    assert "optimizer_state_dict: 1 tensors" in leftovers
    assert not any("actor_state_dict" in line for line in leftovers)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_refused_by_name(tmp_path: Path, value: float) -> None:
    """NaN or infinity in a weight of the actor is an error naming the tensor."""
    path = written.rsl_rl_5(tmp_path, tensors={"mlp.2.bias": torch.full((12,), value)})
    with pytest.raises(CheckpointError, match=r"mlp\.2\.bias has 12 of 12 values NaN or infinite"):
        load_policy(path)
