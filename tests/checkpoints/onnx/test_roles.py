"""Which output of an ONNX file is the action and which carries on a state: certain, or asked for with `--output`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from policy_port.checkpoints import load_policy
from policy_port.errors import CheckpointError
from tests.checkpoints import written
from tests.checkpoints.onnx.test_cut import save
from tests.checkpoints.onnx.test_file import weights
from tests.checkpoints.torchscript.test_file import differences

CASES = Path(__file__).resolve().parents[3].parent / "shared/failing_inputs/onnx_rl_games"


def network(path: Path, *names: str) -> Path:
    """A layer from obs (9) to several outputs: the first of 3 numbers, others of 3 and 1 in turn."""
    nodes, arrays, shapes = [], {}, {}
    for index, name in enumerate(names):
        width = 1 if index == 2 else 3
        nodes.append(helper.make_node("Gemm", ["obs", f"w{index}", f"b{index}"], [name], transB=1))
        arrays |= {f"w{index}": weights(width, 9), f"b{index}": weights(width) + index}
        shapes[name] = ["batch", width]
    return save(path, nodes, arrays, {"obs": ["batch", 9]}, shapes)


def chosen(path: Path, **given: str) -> str:
    """The output that the actor returns."""
    policy = load_policy(path, outputs=given)
    assert differences(policy, 3, 1) < 1e-6
    return policy.distribution.rsplit(" ", 1)[-1]


@pytest.mark.parametrize(
    ("names", "action"),
    [
        (("mu", "log_std", "value"), "mu"),
        (("log_std", "mu", "values"), "mu"),
        (("mean", "sigma"), "mean"),
        (("actions", "mu", "value"), "actions"),
        (("action_log_std", "action_mean", "value"), "action_mean"),
        (("prev_actions", "actions_out"), "actions_out"),
        (("whatever",), "whatever"),
    ],
)
def test_the_action_is_known_where_it_is_certain(tmp_path: Path, names: tuple[str, ...], action: str) -> None:
    """Usual names settle which output is the action, wherever it stands."""
    assert chosen(network(tmp_path / "policy.onnx", *names)) == action


@pytest.mark.parametrize(
    "names", [("mu", "latent", "value"), ("out", "value"), ("mu", "mean"), ("action_left", "action_right"), ("a", "b")]
)
def test_an_unclear_action_is_asked_for(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Where it is not certain the error lists outputs with shapes, and its remedy takes the one that is named."""
    path = network(tmp_path / "policy.onnx", *names)
    with pytest.raises(CheckpointError, match=rf"{names[0]} \(batch, 3\).* is unclear\. Say it with --output OUTPUT"):
        load_policy(path)
    for name in names:
        assert chosen(path, actions=name) == name
    with pytest.raises(CheckpointError, match=r"--output mo: there is no output mo"):
        load_policy(path, outputs={"actions": "mo"})
    with pytest.raises(CheckpointError, match=r"there is no state h.* Its states are none"):
        load_policy(path, outputs={"h": names[0]})


def lstm(path: Path, hidden: tuple[str, str], cell: tuple[str, str], *, through: bool = False) -> Path:
    """An LSTM of 8 from obs (9) to mu (3); `through` puts an operator between its state and the outputs."""
    inner = ("Yh", "Yc") if through else (hidden[1], cell[1])
    nodes = [
        helper.make_node("Unsqueeze", ["obs", "zero"], ["sequence"]),
        helper.make_node("LSTM", ["sequence", "lw", "lr", "lb", "", hidden[0], cell[0]], ["Y", *inner], hidden_size=8),
        helper.make_node("Squeeze", ["Y", "both"], ["features"]),
        helper.make_node("Gemm", ["features", "w1", "b1"], ["mu"], transB=1),
    ]
    if through:
        nodes += [
            helper.make_node("Tanh", [inside], [out]) for inside, out in zip(inner, (hidden[1], cell[1]), strict=True)
        ]
    arrays = {"lw": weights(1, 32, 9), "lr": weights(1, 32, 8), "lb": weights(1, 64), "w1": weights(3, 8)}
    arrays |= {"b1": weights(3), "zero": np.array([0], np.int64), "both": np.array([0, 1], np.int64)}
    state: list[int | str] = [1, "batch", 8]
    return save(
        path,
        nodes,
        arrays,
        {"obs": ["batch", 9], hidden[0]: state, cell[0]: state},
        {"mu": ["batch", 3], hidden[1]: state, cell[1]: state},
    )


STATES = [
    (("out_state.1", "out_state"), ("hidden_state.1", "hidden_state")),
    (("a", "x"), ("b", "y")),
    (("h_in", "h_out"), ("c_in", "c_out")),
]


@pytest.mark.parametrize(("hidden", "cell"), STATES)
def test_the_layer_tells_which_output_carries_on_a_state(
    tmp_path: Path, hidden: tuple[str, str], cell: tuple[str, str]
) -> None:
    """Names that match in no way don't matter where the recurrent layer writes the outputs itself."""
    assert differences(load_policy(lstm(tmp_path / "policy.onnx", hidden, cell)), 3, 6) < 1e-6


def test_a_state_without_a_known_output_is_asked_for(tmp_path: Path) -> None:
    """The error names the state and the remedy, which works; an output for two states or of another shape does not."""
    path = lstm(tmp_path / "policy.onnx", ("a", "x"), ("b", "y"), through=True)
    with pytest.raises(CheckpointError, match=r"the state a is unclear.*x \(1, batch, 8\).*--output a=OUTPUT"):
        load_policy(path)
    with pytest.raises(CheckpointError, match=r"the state b is unclear.*--output b=OUTPUT"):
        load_policy(path, outputs={"a": "x"})
    right = load_policy(path, outputs={"a": "x", "b": "y"})
    swapped = load_policy(path, outputs={"a": "y", "b": "x"})
    assert differences(right, 3, 6) < 1e-6
    obs = torch.from_numpy(written.observations(3, 9))
    states = [policy.actor(obs, *policy.actor.initial_state(3))[1] for policy in (right, swapped)]
    assert not torch.allclose(*states)
    with pytest.raises(CheckpointError, match="the state a .* can't be carried on by x"):
        load_policy(path, outputs={"a": "x", "b": "x"})
    with pytest.raises(CheckpointError, match="the state b .* can't be carried on by mu"):
        load_policy(path, outputs={"a": "x", "b": "mu"})
    with pytest.raises(CheckpointError, match=r"there is no state aa"):
        load_policy(path, outputs={"aa": "x"})


def test_options_of_other_files_are_not_ignored(tmp_path: Path) -> None:
    """--output with a file that is no ONNX graph, and --statistics with one that is no archive of SB3, are refused."""
    path = network(tmp_path / "policy.onnx", "mu")
    with pytest.raises(CheckpointError, match="is a onnx file; --statistics goes with sb3 files"):
        load_policy(path, statistics=tmp_path / "vecnormalize.pkl")
    torch.save({"actor_mean.0.weight": torch.zeros(3, 9)}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="is a torch file; --output goes with onnx files"):
        load_policy(tmp_path / "model.pt", outputs={"actions": "mu"})


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared files are not here")
@pytest.mark.parametrize(("name", "states"), [("rlgames_mlp", 0), ("rlgames_lstm", 2)])
def test_the_files_of_rl_games_notebooks(name: str, states: int) -> None:
    """Real files of rl_games' notebooks load without a word and equal ONNX Runtime."""
    policy = load_policy(CASES / f"{name}.onnx")
    assert policy.distribution.endswith(" mu")
    assert len(policy.actor.state_names) == states
    assert differences(policy, 3, 6) < 1e-5
    inputs = {item.name for item in onnx.load(CASES / f"{name}.onnx").graph.input}
    assert len(inputs) == 1 + states
