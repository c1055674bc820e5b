"""The trainer's configuration held against the file: each key that changes the actor is applied or refused."""

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
from tests.checkpoints.libraries import test_rl_games, test_skrl
from tests.checkpoints.libraries.test_leftovers import distilled, grown


def actions(path: Path, obs: np.ndarray) -> np.ndarray:
    return load_policy(path).actor(torch.from_numpy(obs))[0].numpy()


def rsl_rl_2(folder: Path, *, place: str | None, role: str = "actor", **values: Any) -> Path:
    """A version 2 or 3 file with its statistics beside the model, inside it, or nowhere."""
    rng = written.generator()
    model: dict[str, Any] = {"std": torch.ones(3), **written.linears(role, [6, 8, 3], rng)}
    tree: dict[str, Any] = {"model_state_dict": model, "iter": 1, "infos": None}
    if place == "beside":
        tree["obs_norm_state_dict"] = written.statistics("", 6, rng)
    if place == "inside":
        model |= written.statistics(f"{role}_obs_normalizer.", 6, rng)
    policy = {"activation": "elu", **values.pop("policy", {})}
    written.agent_yaml(folder, policy=policy, **values)
    return written.save(tree, folder / "model_1.pt")


def rsl_rl_5(folder: Path, *, place: str | None, **actor: Any) -> Path:
    path = written.rsl_rl_5(folder, **actor)
    tree = torch.load(path, weights_only=True)
    if place is None:
        kept = {name: value for name, value in tree["actor_state_dict"].items() if "normalizer" not in name}
        tree["actor_state_dict"] = kept
    return written.save(tree, path)


def rl_games(folder: Path, *, place: str | None, **config: Any) -> Path:
    path, state = test_rl_games.checkpoint(folder, config=config)
    tree = torch.load(path, weights_only=True)
    kept = {name: value for name, value in state.items() if not name.startswith("running_mean_std")}
    moments = {name.split(".")[1]: value for name, value in state.items() if name.startswith("running_mean_std")}
    tree["model"] = kept
    if place == "beside":
        tree |= {"running_mean_std": moments, "reward_mean_std": moments}
    elif place is not None:
        tree["model"] = kept | {f"{place}.{name}": value for name, value in moments.items()}
    return written.save(tree, path)


def skrl(folder: Path, *, place: str | None, **agent: Any) -> Path:
    path, _ = test_skrl.checkpoint(folder, scaled_by=place)
    values = yaml.safe_load((folder / "params/agent.yaml").read_text())
    written.agent_yaml(folder, **values, agent=agent)
    return path


RSS = "RunningStandardScaler"
CLAIMS: dict[str, tuple[Callable[..., Path], dict[str, Any], str, str]] = {
    "RSL-RL 2": (rsl_rl_2, {"empirical_normalization": True}, "beside", "empirical_normalization"),
    "RSL-RL 3": (
        rsl_rl_2,
        {"policy": {"actor_obs_normalization": True}, "empirical_normalization": None},
        "inside",
        "policy.actor_obs_normalization",
    ),
    "RSL-RL 3, its student": (
        rsl_rl_2,
        {"policy": {"student_obs_normalization": True}, "role": "student"},
        "inside",
        "policy.student_obs_normalization",
    ),
    "RSL-RL 5": (rsl_rl_5, {"obs_normalization": True}, "inside", "actor.obs_normalization"),
    "rl_games": (rl_games, {"normalize_input": True}, "running_mean_std", "params.config.normalize_input"),
    "skrl 1": (skrl, {"state_preprocessor": RSS}, "state_preprocessor", "agent.state_preprocessor"),
    "skrl 2": (skrl, {"observation_preprocessor": RSS}, "observation_preprocessor", "agent.observation_preprocessor"),
    "skrl 2 with the old name": (
        skrl,
        {"state_preprocessor": f"skrl.resources.{RSS}"},
        "observation_preprocessor",
        "agent.state_preprocessor",
    ),
}
"""By version: what writes the file, what states a normaliser, where it then is, and the key's full name."""


def denied(value: Any) -> Any:
    """The same configuration, saying no."""
    if isinstance(value, dict):
        return {key: denied(inner) for key, inner in value.items()}
    return False if value is True else None if isinstance(value, str) and RSS in value else value


@pytest.mark.parametrize("version", CLAIMS)
def test_a_stated_normaliser_must_be_in_the_file(tmp_path: Path, version: str) -> None:
    """Stated and there loads; stated and lost is refused by the key's name, and saying no there, as told, loads."""
    write, claim, place, key = CLAIMS[version]
    assert load_policy(write(tmp_path / "whole", place=place, **claim)).normaliser is not None
    with pytest.raises(CheckpointError, match=rf"agent\.yaml: {key} says that observations are normalised"):
        load_policy(write(tmp_path / "lost", place=None, **claim))
    assert load_policy(write(tmp_path / "none", place=None, **denied(claim))).normaliser is None


@pytest.mark.parametrize("version", CLAIMS)
def test_a_denied_normaliser_is_of_another_run(tmp_path: Path, version: str) -> None:
    """A file with statistics beside a configuration without is refused; the run's own, given by path, is taken."""
    write, claim, place, key = CLAIMS[version]
    path = write(tmp_path / "run", place=place, **denied(claim))
    with pytest.raises(CheckpointError, match=rf"{key} denies a normaliser.*--agent"):
        load_policy(path)
    write(tmp_path / "own", place=place, **claim)
    assert load_policy(path, agent_yaml=tmp_path / "own/params/agent.yaml").normaliser is not None


def test_a_lost_normaliser_is_noticed_with_an_activation_given(tmp_path: Path) -> None:
    """--activation overrides one key and no check."""
    with pytest.raises(CheckpointError, match=r"actor\.obs_normalization"):
        load_policy(rsl_rl_5(tmp_path, place=None, obs_normalization=True), activation="elu")


def test_an_unset_key_says_nothing(tmp_path: Path) -> None:
    """Isaac Lab's {} and null deny no normaliser."""
    path = rsl_rl_2(tmp_path, place="inside", empirical_normalization={}, policy={"actor_obs_normalization": None})
    assert load_policy(path).normaliser is not None


@pytest.mark.parametrize("place", ["beside", "running_mean_std", "running_mean_std.running_mean_std.obs"])
def test_rl_games_keeps_one_normaliser_in_three_places(tmp_path: Path, place: str) -> None:
    """Beside the model (before 2022), inside it, or inside under the one name of a dict: the actions are the same."""
    path = rl_games(tmp_path, place=place, normalize_input=True)
    _, state = test_rl_games.checkpoint(tmp_path / "oracle")
    obs = written.observations(20, 7) * 3
    wanted = np.clip(test_rl_games.mean(state, obs.astype(float)), -1, 1)
    np.testing.assert_allclose(actions(path, obs), wanted, atol=2e-5)
    assert load_policy(path).unexplained == ()


def test_rl_games_does_not_choose_among_normalisers(tmp_path: Path) -> None:
    """A dict of two has no order in the file and is refused; one that stands twice acts as the player takes it."""
    path = rl_games(tmp_path, place="running_mean_std.running_mean_std.obs")
    more = {
        f"running_mean_std.running_mean_std.depth.{name}": torch.ones(7) for name in ("running_mean", "running_var")
    }
    with pytest.raises(CheckpointError, match=r"holds 2 normalisers.*obs, .*depth"):
        load_policy(grown(path, "model", **more))
    twice = rl_games(tmp_path / "twice", place="running_mean_std")
    beside = {"running_mean": torch.zeros(7).double(), "running_var": torch.ones(7).double()}
    policy = load_policy(grown(twice, running_mean_std=beside))
    assert policy.normaliser is not None
    assert (policy.normaliser.where, policy.unexplained) == ("running_mean_std", ())


@pytest.mark.parametrize(
    ("agent", "epsilon", "clip"),
    [
        ({"state_preprocessor_kwargs": {"clip_threshold": 1.0, "epsilon": 0.01}}, 0.01, 1.0),
        ({"observation_preprocessor_kwargs": {"clip_threshold": 1.0}}, 1e-8, 1.0),
        (
            {
                "observation_preprocessor": RSS,
                "observation_preprocessor_kwargs": None,
                "state_preprocessor": RSS,
                "state_preprocessor_kwargs": {"clip_threshold": 1.0},
            },
            1e-8,
            5.0,
        ),
    ],
)
def test_the_scalers_settings_are_read_under_either_name(
    tmp_path: Path, agent: dict[str, Any], epsilon: float, clip: float
) -> None:
    """skrl 2 takes the old name too; where both are there, the old one is of the critic's input."""
    path = skrl(tmp_path, place="observation_preprocessor", **agent)
    state = torch.load(path, weights_only=True)["policy"]
    obs = written.observations(6, 7) * 4
    numbers = {name: value.numpy() for name, value in test_skrl.scaler(7).items()}
    x = (obs - numbers["running_mean"]) / (np.sqrt(numbers["running_variance"]) + epsilon)
    wanted = test_skrl.expected(state, np.clip(x, -clip, clip), False)
    np.testing.assert_allclose(actions(path, obs), wanted, atol=2e-5)


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        ({"state_preprocessor": "mymod.Scaler"}, "agent.state_preprocessor is 'mymod.Scaler'"),
        ({"state_preprocessor_kwargs": {"epsilon": "small"}}, "epsilon is 'small'; expected a number"),
    ],
)
def test_other_scalers_are_refused(tmp_path: Path, agent: dict[str, Any], message: str) -> None:
    """A preprocessor that is not skrl's own, or whose settings are no numbers, is refused by name."""
    with pytest.raises(CheckpointError, match=message):
        load_policy(skrl(tmp_path, place="state_preprocessor", **agent))


def test_the_critics_scaler_is_not_the_policys(tmp_path: Path) -> None:
    """In skrl 2 a scaler of states alone is of the critic: the policy sees observations as they are."""
    path = skrl(tmp_path, place="state_preprocessor", observation_preprocessor=None, state_preprocessor=RSS)
    policy = load_policy(path)
    assert (policy.normaliser, policy.unexplained) == (None, ())


UNKNOWN: dict[str, tuple[Callable[[Path], Path], str]] = {
    "RSL-RL": (
        lambda folder: written.rsl_rl_5(folder, residual=True, off=False, empty={}),
        "agent.yaml:actor.residual",
    ),
    "its distribution": (
        lambda folder: written.rsl_rl_5(folder, distribution_cfg={"squash": "tanh"}),
        "agent.yaml:actor.distribution_cfg.squash",
    ),
    "skrl": (lambda folder: test_skrl.checkpoint(folder, squash="tanh")[0], "agent.yaml:models.policy.squash"),
    "its scaler": (
        lambda folder: skrl(folder, place="state_preprocessor", state_preprocessor_kwargs={"axis": 1}),
        "agent.yaml:agent.state_preprocessor_kwargs.axis",
    ),
    "rl_games": (
        lambda folder: rl_games(folder, place="running_mean_std", normalize_input_keys=["obs"]),
        "agent.yaml:params.config.normalize_input_keys",
    ),
}


@pytest.mark.parametrize("library", UNKNOWN)
def test_an_unknown_key_of_the_network_stops_an_export(tmp_path: Path, library: str) -> None:
    """A key that nobody knows, and that is on, is shown, stops a port, and can be ignored by name."""
    write, name = UNKNOWN[library]
    path = write(tmp_path)
    policy = load_policy(path)
    assert [leftover.name for leftover in policy.unexplained] == [name]
    with pytest.raises(CheckpointError, match=f"--ignore '{name}'"):
        policy.require_explained()
    load_policy(path, ignore=[name]).require_explained()


def test_distillation_still_loads_both(tmp_path: Path) -> None:
    """A teacher's class may be without the memory of its student's."""
    path = distilled(tmp_path)
    written.agent_yaml(tmp_path, policy={"class_name": "StudentTeacherRecurrent", "activation": "elu"})
    assert load_policy(path, teacher=True).actor.obs_size == 11


CASES = {
    "rl_games_variants/lost_normaliser/nn/p.pth": "normalize_input",
    "rl_games_variants/lstm_shared/nn/p.pth": "params.network.separate .* another run",
    "rl_games_variants/layer_norm/nn/p.pth": "a layer norm or batch norm is not supported",
    "lost_normaliser/rsl2/model_100.pt": "empirical_normalization",
    "lost_normaliser/rsl_lost/model_1.pt": "actor.obs_normalization",
    "skrl_ignored_keys/clip_mean/checkpoints/agent_1000.pt": "clip_mean_actions",
    "peers/skrl_agent_yaml_not_read/categorical/agent_4.pt": "CategoricalMixin",
    "peers/skrl_agent_yaml_not_read/input_expr/agent_4.pt": r"OBSERVATIONS \* 0.5",
    "peers/rsl_rl_foreign_class/custom_model_class/model_0.pt": "mymod:ResidualMLP",
    "peers/rsl_rl_foreign_class/custom_tanh_distribution/model_0.pt": "mymod:TanhGaussian",
}


@pytest.mark.shared
@pytest.mark.parametrize("case", CASES)
def test_reported_files_are_refused(shared: Path, case: str) -> None:
    """Files that once loaded as another network are refused for what is wrong with them."""
    if not (path := shared / "failing_inputs" / case).is_file():
        pytest.skip(f"{path} is not there")
    with pytest.raises(CheckpointError, match=CASES[case]):
        load_policy(path)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("case", "oracle"),
    [
        ("rl_games_variants/old_normaliser/nn/p.pth", "checkpoints/rl_games_1.6.5_ppo_mlp/oracle.npz"),
        ("peers/skrl_agent_yaml_not_read/old_keys_kwargs/agent_4.pt", None),
        ("peers/skrl_agent_yaml_not_read/nobias/agent_4.pt", None),
    ],
)
def test_reported_files_act_as_their_library_does(shared: Path, case: str, oracle: str | None) -> None:
    """Files that once loaded wrongly, or not at all, give the library's own actions."""
    path = shared / "failing_inputs" / case
    answers = shared / oracle if oracle else path.parent / "truth.npz"
    if not path.is_file() or not answers.is_file():
        pytest.skip(f"{path} is not there")
    policy = load_policy(path)
    with np.load(answers) as known:
        obs, wanted = known["obs"], known["actions" if "actions" in known else "act"]
    found = policy.actor(torch.from_numpy(obs.reshape(-1, obs.shape[-1])))[0].numpy()
    np.testing.assert_allclose(found, wanted.reshape(found.shape), atol=1e-4)
    assert policy.unexplained == ()
