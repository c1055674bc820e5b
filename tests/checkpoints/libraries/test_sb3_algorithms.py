"""What each algorithm of Stable-Baselines3 and sb3_contrib makes of its tensors, held against NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from policy_port.checkpoints import LoadedPolicy, load_policy
from policy_port.errors import CheckpointError
from tests.checkpoints import written
from tests.checkpoints.libraries.sb3_files import HIGH, LOW, checkpoint, pickled, ppo, ppo_mean, statistics

State = dict[str, torch.Tensor]


def run(policy: LoadedPolicy, obs: np.ndarray) -> np.ndarray:
    return policy.actor(torch.from_numpy(obs))[0].numpy()


def unscaled(raw: np.ndarray) -> np.ndarray:
    """Tanh, then from [-1, 1] to the action space."""
    return LOW + 0.5 * (np.tanh(raw) + 1) * (HIGH - LOW)


def soft(*, explores: bool, widths: tuple[int, ...] = (16, 12)) -> State:
    """An actor of SAC, whose mean is large enough for a clip; `explores` for gSDE, under which it has one."""
    rng = written.generator(2)
    last, mu = (6, *widths)[-1], "actor.mu.0" if explores else "actor.mu"
    state = {f"{mu}.weight": torch.randn(2, last, generator=rng) * 3, f"{mu}.bias": torch.zeros(2)}
    state |= {"actor.log_std": torch.zeros(last, 2)} if explores else {"actor.log_std.weight": torch.zeros(2, last)}
    return state | (written.linears("actor.latent_pi", [6, *widths], rng) if widths else {})


def soft_mean(state: State, x: np.ndarray) -> np.ndarray:
    names = [name for name in state if "latent_pi" in name]
    hidden = np.maximum(written.perceptron(state, "actor.latent_pi", x, "relu"), 0) if names else x
    return hidden @ written.as_float64(state, next(name for name in state if "mu" in name)).T


def test_an_on_policy_deviation_by_state_is_left_out(tmp_path: Path, foreign: dict[str, type]) -> None:
    """PPO's gSDE has another log_std and the same mean; with squash_output it is squashed and rescaled."""
    state = {**ppo(), "log_std": torch.zeros(12, 2)}
    obs = written.observations(9, 6) * 3
    space = foreign["Box"](low=LOW, high=HIGH)
    plain = load_policy(checkpoint(tmp_path / "a.zip", state, space, use_sde=True))
    mean = ppo_mean(state, obs.astype(float), "tanh")
    np.testing.assert_allclose(run(plain, obs), np.clip(mean, LOW, HIGH), atol=1e-5)
    kwargs = {"squash_output": True}
    squashed = load_policy(checkpoint(tmp_path / "b.zip", state, space, use_sde=True, policy_kwargs=kwargs))
    np.testing.assert_allclose(run(squashed, obs), unscaled(mean), atol=1e-5)
    assert (plain.unexplained, squashed.unexplained) == ((), ())


@pytest.mark.parametrize("widths", [(16, 12), ()])
@pytest.mark.parametrize(("given", "bound"), [({}, 2.0), ({"clip_mean": 0.5}, 0.5), (None, np.inf)])
def test_gsde_clips_the_mean_of_sac(
    tmp_path: Path, foreign: dict[str, type], given: dict[str, Any] | None, bound: float, widths: tuple[int, ...]
) -> None:
    """SAC and TQC with gSDE clip the mean to +-clip_mean before tanh, also where they have no hidden layer."""
    state = soft(explores=given is not None, widths=widths)
    kwargs = pickled({"use_sde": given is not None, "net_arch": list(widths), **(given or {})})
    data = {"policy_class": pickled(foreign["SACPolicy"]), "policy_kwargs": kwargs}
    policy = load_policy(checkpoint(tmp_path / "model.zip", state, foreign["Box"](low=LOW, high=HIGH), **data))
    obs = written.observations(9, 6) * 3
    mean = soft_mean(state, obs.astype(float))
    assert (np.abs(mean) > 2).any()
    np.testing.assert_allclose(run(policy, obs), unscaled(np.clip(mean, -bound, bound)), atol=1e-5)
    assert policy.unexplained == ()


def renorm(place: str, width: int, rng: torch.Generator) -> State:
    return {
        f"{place}.scale": torch.rand(width, generator=rng) + 0.5,
        f"{place}.bias": torch.randn(width, generator=rng),
        f"{place}.ra_mean": torch.randn(width, generator=rng),
        f"{place}.ra_var": torch.rand(width, generator=rng) * 0.01,
        f"{place}.steps": torch.tensor(200_000),
    }


@pytest.mark.parametrize("epsilon", [0.001, 0.1])
def test_crossq_normalises_before_each_layer(tmp_path: Path, foreign: dict[str, type], epsilon: float) -> None:
    """CrossQ's batch renormalisation acts by its running statistics before each layer, with its own epsilon."""
    rng = written.generator()
    state = {"actor.mu.weight": torch.randn(2, 12, generator=rng), "actor.mu.bias": torch.zeros(2)}
    for index, (before, after) in enumerate([(6, 16), (16, 12)]):
        state |= renorm(f"actor.latent_pi.{3 * index}", before, rng)
        state[f"actor.latent_pi.{3 * index + 1}.weight"] = torch.randn(after, before, generator=rng) / before**0.5
        state[f"actor.latent_pi.{3 * index + 1}.bias"] = torch.randn(after, generator=rng) * 0.1
    state |= renorm("actor.latent_pi.6", 12, rng)
    kwargs = pickled({} if epsilon == 0.001 else {"batch_norm_eps": epsilon})
    data = {"policy_class": pickled(foreign["CrossQPolicy"]), "policy_kwargs": kwargs}
    policy = load_policy(checkpoint(tmp_path / "model.zip", state, foreign["Box"](low=LOW, high=HIGH), **data))
    obs = written.observations(9, 6)
    x: np.ndarray = obs.astype(float)
    number = lambda name: written.as_float64(state, name)  # noqa: E731
    for place in ("actor.latent_pi.0", "actor.latent_pi.3", "actor.latent_pi.6"):
        x = (x - number(f"{place}.ra_mean")) / np.sqrt(number(f"{place}.ra_var") + epsilon)
        x = number(f"{place}.scale") * x + number(f"{place}.bias")
        if not place.endswith("6"):
            linear = f"actor.latent_pi.{int(place[-1]) + 1}"
            x = np.maximum(x @ number(f"{linear}.weight").T + number(f"{linear}.bias"), 0)
    wanted = unscaled(x @ number("actor.mu.weight").T)
    np.testing.assert_allclose(run(policy, obs), wanted, atol=2e-5)
    assert policy.unexplained == ()
    assert "CrossQ" in policy.version


def recurrent(**more: torch.Tensor) -> State:
    rng = written.generator()
    state = {**ppo(), **written.linears("mlp_extractor.policy_net", [8, 16, 12], rng)}
    state |= written.memory("lstm_actor", 4, 6, 8, 2, rng) | written.memory("lstm_critic", 4, 6, 8, 2, rng)
    return state | more


def test_a_recurrent_ppo_carries_its_state(tmp_path: Path, foreign: dict[str, type]) -> None:
    """RecurrentPPO's LSTM stands before the hidden layers and follows NumPy over six steps; no critic's is read."""
    state = recurrent()
    data = {"policy_class": pickled(foreign["RecurrentActorCriticPolicy"])}
    policy = load_policy(checkpoint(tmp_path / "model.zip", state, foreign["Box"](low=LOW, high=HIGH), **data))
    assert (policy.actor.state_names, policy.actor.state_shapes) == (("h", "c"), ((2, 8), (2, 8)))
    tensors = policy.actor.initial_state(4)
    h, c = np.zeros((2, 4, 8)), np.zeros((2, 4, 8))
    for step in range(6):
        obs = written.observations(4, 6, seed=step)
        x: np.ndarray = obs.astype(float)
        for layer in range(2):
            h[layer], c[layer] = written.lstm_step(state, "lstm_actor", layer, x, h[layer], c[layer])
            x = h[layer]
        actions, *tensors = policy.actor(torch.from_numpy(obs), *tensors)
        np.testing.assert_allclose(actions.numpy(), np.clip(ppo_mean(state, x, "tanh"), LOW, HIGH), atol=1e-5)
    assert policy.unexplained == ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bidirectional": True}, "bidirectional True"),
        ({"proj_size": 4}, "proj_size 4"),
        ({"bias": False}, "bias False"),
    ],
)
def test_other_memories_are_refused(
    tmp_path: Path, foreign: dict[str, type], given: dict[str, Any], message: str
) -> None:
    """lstm_kwargs that make another memory are named; dropout acts in training alone."""
    space = foreign["Box"](low=LOW, high=HIGH)
    with pytest.raises(CheckpointError, match=f"lstm_kwargs have {message}"):
        load_policy(checkpoint(tmp_path / "a.zip", recurrent(), space, policy_kwargs=pickled({"lstm_kwargs": given})))
    for key in ("lstm_hidden_size", "n_lstm_layers"):
        with pytest.raises(CheckpointError, match=f"policy_kwargs state {key} 3, its tensors have"):
            load_policy(checkpoint(tmp_path / "c.zip", recurrent(), space, policy_kwargs=pickled({key: 3})))
    load_policy(
        checkpoint(tmp_path / "b.zip", recurrent(), space, policy_kwargs=pickled({"lstm_kwargs": {"dropout": 0.1}}))
    )


def test_a_recurrent_class_without_a_memory_is_refused(tmp_path: Path, foreign: dict[str, type]) -> None:
    """A recurrent policy class beside tensors without an LSTM is of another file."""
    data = {"policy_class": pickled(foreign["RecurrentActorCriticPolicy"])}
    with pytest.raises(CheckpointError, match="holds no lstm_actor"):
        load_policy(checkpoint(tmp_path / "model.zip", ppo(), foreign["Box"](low=LOW, high=HIGH), **data))


def test_an_activation_of_anothers_module_is_refused(tmp_path: Path, foreign: dict[str, type]) -> None:
    """A project's own class called ReLU isn't PyTorch's; --activation says what it is, and the note tells."""
    kwargs = pickled({"activation_fn": foreign["ReLU"]})
    path = checkpoint(tmp_path / "model.zip", ppo(), foreign["Box"](low=LOW, high=HIGH), policy_kwargs=kwargs)
    with pytest.raises(CheckpointError, match=r"its activation_fn is mine\.ReLU, none of PyTorch's"):
        load_policy(path)
    assert any("relu from --activation; its policy_kwargs say mine.ReLU" in note for note in
               load_policy(path, activation="relu").notes)  # fmt: skip


class ByValue:
    """A class that cloudpickle writes out whole, as it does with those of a script."""

    def __init__(self, skeleton: type, name: str) -> None:
        self.skeleton, self.name = skeleton, name

    def __reduce__(self) -> tuple[Any, ...]:
        return self.skeleton, (type, self.name, (), {"__module__": "__main__"}, "id", None)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("policy_class", r"its policy class is __main__\.Mine"),
        ("features_extractor_class", r"its features_extractor_class is __main__\.Mine"),
        ("activation_fn", r"its activation_fn is __main__\.Mine"),
    ],
)
def test_a_class_of_a_script_is_refused_by_its_name(
    tmp_path: Path, foreign: dict[str, type], key: str, message: str
) -> None:
    """A class that the pickle holds by value is refused by the name that its script gave it."""
    mine = ByValue(foreign["_make_skeleton_class"], "Mine")
    data = {key: pickled(mine)} if key == "policy_class" else {"policy_kwargs": pickled({key: mine})}
    with pytest.raises(CheckpointError, match=message):
        load_policy(checkpoint(tmp_path / "model.zip", ppo(), foreign["Box"](low=LOW, high=HIGH), **data))


def test_bytes_of_an_image_are_no_vector(tmp_path: Path, foreign: dict[str, type]) -> None:
    """An image of bytes, which the library divides by 255, is refused; stacked frames, or a vector of bytes, load."""
    box, space = foreign["Box"], foreign["Box"](low=LOW, high=HIGH)
    for shape, kind in (((2, 3), np.float32), ((6,), np.uint8), ((1, 2, 3), np.float32)):
        told = pickled(box(_shape=shape, dtype=np.dtype(kind)))
        load_policy(checkpoint(tmp_path / "read.zip", ppo(), space, observation_space=told))
    told = pickled(box(_shape=(1, 2, 3), dtype=np.dtype(np.uint8)))
    with pytest.raises(CheckpointError, match=r"is an image of bytes, \(1, 2, 3\)"):
        load_policy(checkpoint(tmp_path / "image.zip", ppo(), space, observation_space=told))


@pytest.mark.parametrize("part", ["VecNormalize", "RunningMeanStd"])
def test_statistics_of_anothers_class_are_refused(tmp_path: Path, foreign: dict[str, type], part: str) -> None:
    """A project's own VecNormalize, or its moments, may normalise in another way; the library's own file is taken."""
    path = checkpoint(tmp_path / "model.zip", ppo(), foreign["Box"](low=LOW, high=HIGH))
    statistics(tmp_path / "vecnormalize.pkl", foreign)
    assert load_policy(path).normaliser is not None
    statistics(tmp_path / "vecnormalize.pkl", {**foreign, part: foreign[f"mine.{part}"]})
    with pytest.raises(CheckpointError, match=rf"holds a mine\.{part}, a class of its own"):
        load_policy(path)
