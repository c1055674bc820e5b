"""skrl's expressions, names and shared models, held against NumPy; each expected value is what the library computed."""

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
from tests.checkpoints.libraries.test_skrl import checkpoint, expected, scaler
from tests.checkpoints.libraries.test_stated import RSS, skrl


def run(path: Path, obs: np.ndarray) -> np.ndarray:
    return load_policy(path).actor(torch.from_numpy(obs))[0].numpy()


def network(**more: Any) -> list[dict[str, Any]]:
    return [{"name": "net", "input": "OBSERVATIONS", "layers": [16, 12], "activations": "elu", **more}]


OUTPUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "(ACTIONS)": lambda x: x,
    "2 * tanh(ACTIONS)": lambda x: 2 * np.tanh(x),
    "tanh(2 * ACTIONS)": lambda x: np.tanh(2 * x),
    "Tanh(ACTIONS) / 4 + 1": lambda x: np.tanh(x) / 4 + 1,
    "torch.tanh(ACTIONS)": np.tanh,
    "2 * (nn.functional.sigmoid(ACTIONS) - 0.5)": lambda x: 2 / (1 + np.exp(-x)) - 1,
    "1 - ACTIONS": lambda x: 1 - x,
    "-relu(-ACTIONS)": lambda x: np.minimum(x, 0),
    "-0.5 * Shape.ACTIONS": lambda x: -0.5 * x,
}


@pytest.mark.parametrize("expression", OUTPUTS)
@pytest.mark.parametrize("shared", [False, True])
def test_output_expressions_are_applied(tmp_path: Path, expression: str, shared: bool) -> None:
    """Numbers, signs and skrl's functions act on the output in the order in which Python would."""
    path, state = checkpoint(tmp_path, shared=shared, output=expression)
    obs = written.observations(6, 7)
    wanted = OUTPUTS[expression](expected(state, obs.astype(float), shared))
    np.testing.assert_allclose(run(path, obs), wanted, atol=1e-5)
    assert expression in load_policy(path).distribution


@pytest.mark.parametrize(
    "expression",
    [
        *("ACTIONS ** 2", "ACTIONS * ACTIONS", "1 / ACTIONS", "ACTIONS / 0", "ACTIONS[:, 0:3]", "softmax(ACTIONS)"),
        *(
            "torch.clamp(ACTIONS, -1, 1)",
            "tanh(ACTIONS, 2)",
            "torch.Tanh(ACTIONS)",
            "mymod.tanh(ACTIONS)",
            "ONE",
            "net",
        ),
        *("ACTIONS + OBSERVATIONS", "tanh(", "__import__('os').system('touch executed')", "ACTIONS and 1", "2"),
        *("-" * 700 + "ACTIONS", "(" * 190 + "ACTIONS", "-" * 190 + "ONE", "ACTIONS\0", "1e400 * ACTIONS"),
    ],
)
def test_other_outputs_are_refused_and_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expression: str
) -> None:
    """What is not understood is refused in its own words, and nothing of it is evaluated."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="the policy's output is '.*understood are ACTIONS"):
        load_policy(checkpoint(tmp_path, output=expression)[0])
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "expression",
    ["OBSERVATIONS", "(OBSERVATIONS)", "concatenate([OBSERVATIONS])", "Shape.OBSERVATIONS", "observations", "STATES"],
)
def test_inputs_that_are_the_observation_load(tmp_path: Path, expression: str) -> None:
    """Each spelling of the whole observation is that; of STATES a note says what skrl 2 means by it."""
    path, state = checkpoint(tmp_path, network=network(input=expression))
    obs = written.observations(6, 7)
    np.testing.assert_allclose(run(path, obs), expected(state, obs.astype(float), False), atol=1e-5)
    told = any("in skrl 2 the environment's privileged state" in note for note in load_policy(path).notes)
    assert told == (expression == "STATES")


@pytest.mark.parametrize(
    "expression",
    [
        *("OBSERVATIONS[:, 0:3]", "tanh(OBSERVATIONS)", "OBSERVATIONS + 1", "concatenate([OBSERVATIONS, ACTIONS])"),
        *("concatenate([OBSERVATIONS['a'], OBSERVATIONS['b']])", "mymod.OBSERVATIONS", "2 * STATES", "ACTIONS", "("),
    ],
)
def test_other_inputs_are_refused(tmp_path: Path, expression: str) -> None:
    """An input that is computed, cut, or joined from several is refused in its own words."""
    with pytest.raises(CheckpointError, match="the policy's network has the input '"):
        load_policy(checkpoint(tmp_path, network=network(input=expression))[0])


def test_a_network_of_version_2_that_reads_states_is_refused(tmp_path: Path) -> None:
    """Beside a scaler under version 2's name, STATES are the privileged state, whatever agent.yaml calls the scaler."""
    path, _ = checkpoint(tmp_path, network=network(input="STATES"), scaled_by="observation_preprocessor")
    with pytest.raises(CheckpointError, match="privileged state"):
        load_policy(path)
    path, _ = checkpoint(tmp_path / "1", network=network(input="STATES"), scaled_by="state_preprocessor")
    assert load_policy(path).normaliser is not None


def test_a_network_without_an_output_layer_is_refused(tmp_path: Path) -> None:
    """Where models.policy has no output, skrl adds no layer, and the last one has an activation behind it."""
    with pytest.raises(CheckpointError, match="has no output, so that skrl adds no layer"):
        load_policy(checkpoint(tmp_path, output="")[0])


def renamed(path: Path, **names: str) -> Path:
    """The same file with its containers under other names."""
    tree = torch.load(path, weights_only=True)
    for old, new in names.items():
        tree["policy"] = {key.replace(f"{old}.", f"{new}."): value for key, value in tree["policy"].items()}
    return written.save(tree, path)


def test_a_network_may_have_any_name(tmp_path: Path) -> None:
    """skrl names the tensors after the network; another name than agent.yaml's is of another run."""
    path, state = checkpoint(tmp_path, network=network(name="body"))
    with pytest.raises(CheckpointError, match="the name of the network body.*another run"):
        load_policy(path)
    obs = written.observations(6, 7)
    wanted = expected(state, obs.astype(float), False)
    np.testing.assert_allclose(run(renamed(path, net_container="body_container"), obs), wanted, atol=1e-5)
    (tmp_path / "params/agent.yaml").unlink()
    assert load_policy(path, activation="elu").library == "skrl"


def test_two_networks_are_refused_without_a_configuration(tmp_path: Path) -> None:
    """A file with two containers holds two networks, whose order is not in it."""
    path, _ = checkpoint(tmp_path, configured=False)
    tree = torch.load(path, weights_only=True)
    tree["policy"] |= written.linears("front_container", [7, 7], written.generator())
    with pytest.raises(CheckpointError, match=r"has 2 networks \(net_container, front_container\)"):
        load_policy(written.save(tree, path), activation="elu")


@pytest.mark.parametrize("first", ["policy", "value"])
def test_a_shared_model_has_the_network_that_stands_first(tmp_path: Path, first: str) -> None:
    """skrl builds a shared model from the role that agent.yaml names first; the note says so where it matters."""
    path, state = checkpoint(tmp_path, shared=True)
    role = {"policy": {"network": network(), "output": "ACTIONS"}}
    role["value"] = {"network": network(activations="relu"), "output": "ONE"}
    models = {"separate": False, **{name: role[name] for name in sorted(role, reverse=first == "value")}}
    (tmp_path / "params/agent.yaml").write_text(yaml.safe_dump({"models": models}, sort_keys=False))
    obs = written.observations(6, 7)
    activation = "elu" if first == "policy" else "relu"
    hidden = written.ACTIVATIONS[activation](written.perceptron(state, "net_container", obs.astype(float), activation))
    weight, bias = (written.as_float64(state, f"policy_layer.{name}") for name in ("weight", "bias"))
    np.testing.assert_allclose(run(path, obs), hidden @ weight.T + bias, atol=1e-5)
    assert any("that of models.value" in note for note in load_policy(path).notes) == (first == "value")


@pytest.mark.parametrize("name", ["gaussianmixin", "GAUSSIANMIXIN", "skrl.models.torch.GaussianMixin"])
def test_classes_are_known_in_each_spelling(tmp_path: Path, name: str) -> None:
    """skrl takes a class in small letters too, and then what it does is the same: its clip is refused all the same."""
    load_policy(checkpoint(tmp_path, **{"class": name})[0])
    with pytest.raises(CheckpointError, match="clip_mean_actions"):
        load_policy(checkpoint(tmp_path, clip_mean_actions=True, **{"class": name})[0])


KWARGS = {"clip_threshold": 1.0, "epsilon": 0.01}


@pytest.mark.parametrize(
    ("place", "agent"),
    [
        ("state_preprocessor", {"state_preprocessor": RSS, "state_preprocessor_kwargs": KWARGS}),
        ("observation_preprocessor", {"state_preprocessor": RSS, "state_preprocessor_kwargs": KWARGS}),
        ("observation_preprocessor", {"observation_preprocessor": RSS, "observation_preprocessor_kwargs": KWARGS}),
        (
            "observation_preprocessor",
            {
                "observation_preprocessor": RSS,
                "observation_preprocessor_kwargs": KWARGS,
                "state_preprocessor": RSS,
                "state_preprocessor_kwargs": {"clip_threshold": 2.0},
            },
        ),
    ],
)
def test_the_scalers_table_is_the_one_of_its_name(tmp_path: Path, place: str, agent: dict[str, Any]) -> None:
    """Clip and epsilon are read under either name; where both scalers are stated, the observation's are its own."""
    path = skrl(tmp_path, place=place, **agent)
    obs = written.observations(6, 7) * 4
    numbers = {name: value.numpy() for name, value in scaler(7).items()}
    x = np.clip((obs - numbers["running_mean"]) / (np.sqrt(numbers["running_variance"]) + 0.01), -1, 1)
    state = torch.load(path, weights_only=True)["policy"]
    np.testing.assert_allclose(run(path, obs), expected(state, x, False), atol=2e-5)


@pytest.mark.parametrize("stated", ["state", "observation"])
def test_tables_that_do_not_fit_their_names_are_refused(tmp_path: Path, stated: str) -> None:
    """Two tables that differ, or one of the other scaler, are refused; a copy with the run's own, as told, loads."""
    other = "state" if stated == "observation" else "observation"
    told = {f"{stated}_preprocessor": RSS}
    own, strange = {f"{stated}_preprocessor_kwargs": KWARGS}, {f"{other}_preprocessor_kwargs": {"epsilon": 0.5}}
    place = f"{stated}_preprocessor"
    with pytest.raises(CheckpointError, match="kwargs differ, and only one preprocessor is stated.*--agent"):
        load_policy(skrl(tmp_path, place=place, **told, **own, **strange))
    with pytest.raises(CheckpointError, match=f"agent.{other}_preprocessor_kwargs is not of {place}.*--agent"):
        load_policy(skrl(tmp_path, place=place, **told, **strange))
    for mistaken, clip in (({**own, **strange}, 1.0), (strange, 5.0)):
        path = skrl(tmp_path, place=place, **told, **mistaken)
        values = yaml.safe_load((tmp_path / "params/agent.yaml").read_text())
        del values["agent"][f"{other}_preprocessor_kwargs"]
        policy = load_policy(path, agent_yaml=written.agent_yaml(tmp_path / "copy", **values))
        assert policy.normaliser is not None
        assert policy.normaliser.clip == clip


def test_a_scaler_of_no_entries_is_the_critics(tmp_path: Path) -> None:
    """shared_state_preprocessor of version 2 stands under the old name, empty where there is no privileged state."""
    path = skrl(tmp_path, place="state_preprocessor", shared_state_preprocessor=RSS)
    assert (load_policy(path).normaliser, load_policy(path).unexplained) == (None, ())
    tree = torch.load(path, weights_only=True)
    tree["state_preprocessor"] |= {"running_mean": torch.zeros(0), "running_variance": torch.zeros(0)}
    assert load_policy(written.save(tree, path)).normaliser is None
    (tmp_path / "params/agent.yaml").unlink()
    assert load_policy(path, activation="elu").normaliser is None


@pytest.mark.parametrize(
    "name", ["CategoricalMixin", "MultiCategoricalMixin", "TabularMixin", "mymod:SquashedGaussian"]
)
def test_other_models_are_refused_by_name(tmp_path: Path, name: str) -> None:
    """Models whose output is no action, and a project's own, are named."""
    with pytest.raises(CheckpointError, match=f"models.policy.class is '{name}'"):
        load_policy(checkpoint(tmp_path, **{"class": name})[0])
