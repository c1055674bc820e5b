"""Memories of rl_games, before and behind the perceptron, held against NumPy and through an export."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from policy_port.checkpoints import load_policy
from policy_port.errors import CheckpointError
from policy_port.export.write import write_port
from policy_port.remap import identity_remap
from tests.checkpoints import written
from tests.export.test_shared_oracles import contract_of

SWITCHES = ("before_mlp", "layer_norm", "concat_input", "concat_output")
ARRANGEMENTS = [on for on in itertools.product([False, True], repeat=4) if not (on[0] and on[2])]
"""Before the perceptron, rl_games does not look at concat_input."""
State = dict[str, torch.Tensor]


def checkpoint(
    folder: Path, *, separate: bool = False, kind: str = "lstm", told: dict[str, Any] | None = None, **on: bool
) -> tuple[Path, State]:
    """A policy of 6 observations and 3 actions, hidden 9 and 8, with a memory of 2 layers of 5."""
    rng = written.generator(3)
    on = dict.fromkeys(SWITCHES, False) | on
    net, prefix = "a2c_network", "a_" if separate else ""
    joined = 6 * on["concat_output"]
    reads = 6 if on["before_mlp"] else 8 + 6 * on["concat_input"]
    first, last = (5 + joined, 8) if on["before_mlp"] else (6, 5 + joined)
    gates = 4 if kind == "lstm" else 3
    state = written.memory(f"{net}.{prefix}rnn.rnn", gates, reads, 5, 2, rng)
    state |= written.linears(f"{net}.actor_mlp", [first, 9, 8], rng)
    state |= {f"{net}.mu.weight": torch.randn(3, last, generator=rng), f"{net}.mu.bias": torch.zeros(3)}
    state |= {f"{net}.sigma": torch.zeros(3), f"{net}.value.weight": torch.zeros(1, last)}
    if separate:
        state |= written.memory(f"{net}.c_rnn.rnn", gates, reads, 5, 2, rng)
    if on["layer_norm"]:
        state |= {f"{net}.{prefix}layer_norm.weight": torch.rand(5, generator=rng) + 0.5}
        state |= {f"{net}.{prefix}layer_norm.bias": torch.randn(5, generator=rng)}
    if on["layer_norm"] and separate:
        state |= {f"{net}.c_layer_norm.weight": torch.ones(5), f"{net}.c_layer_norm.bias": torch.zeros(5)}
    rnn = {"name": kind, "units": 5, "layers": 2, **on, **(told or {})}
    network = {"mlp": {"units": [9, 8], "activation": "elu"}, "separate": separate, "rnn": rnn}
    written.agent_yaml(folder, params={"network": network, "config": {}, "env": {"clip_actions": 1.0}})
    return written.save({"model": state, "epoch": 1, "optimizer": {}}, folder / "nn/p.pth"), state


def wanted(state: State, obs: list[np.ndarray], *, separate: bool, kind: str, on: dict[str, bool]) -> list[np.ndarray]:
    """The mean of each step."""
    net, prefix = "a2c_network", "a_" if separate else ""
    elu = written.ACTIVATIONS["elu"]
    rows = len(obs[0])
    h, c = np.zeros((2, rows, 5)), np.zeros((2, rows, 5))
    means = []
    for x in obs:
        mlp = lambda given: elu(written.perceptron(state, f"{net}.actor_mlp", given, "elu"))  # noqa: E731
        out = x if on["before_mlp"] else mlp(x)
        if on["concat_input"] and not on["before_mlp"]:
            out = np.concatenate([out, x], axis=1)
        for layer in range(2):
            memory = f"{net}.{prefix}rnn.rnn"
            if kind == "lstm":
                h[layer], c[layer] = written.lstm_step(state, memory, layer, out, h[layer], c[layer])
            else:
                h[layer] = written.gru_step(state, memory, layer, out, h[layer])
            out = h[layer]
        if on["layer_norm"]:
            out = (out - out.mean(1, keepdims=True)) / np.sqrt(out.var(1, keepdims=True) + 1e-5)
            norm = [written.as_float64(state, f"{net}.{prefix}layer_norm.{name}") for name in ("weight", "bias")]
            out = out * norm[0] + norm[1]
        if on["concat_output"]:
            out = np.concatenate([out, x], axis=1)
        out = mlp(out) if on["before_mlp"] else out
        means.append(out @ written.as_float64(state, f"{net}.mu.weight").T)
    return means


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("values", ARRANGEMENTS)
def test_every_arrangement_of_a_memory(tmp_path: Path, kind: str, separate: bool, values: tuple[bool, ...]) -> None:
    """Before or behind, with its norm, and with the observation joined on either side, a memory follows NumPy."""
    on = dict(zip(SWITCHES, values, strict=True))
    path, state = checkpoint(tmp_path, separate=separate, kind=kind, **on)
    policy = load_policy(path)
    actor, tensors = policy.actor, policy.actor.initial_state(4)
    assert actor.state_names == (("h", "c") if kind == "lstm" else ("h",))
    obs = [written.observations(4, 6, seed=step) for step in range(5)]
    means = wanted(state, [x.astype(float) for x in obs], separate=separate, kind=kind, on=on)
    for x, mean in zip(obs, means, strict=True):
        actions, *tensors = actor(torch.from_numpy(x), *tensors)
        np.testing.assert_allclose(actions.numpy(), np.clip(mean, -1, 1), atol=1e-5)
    assert policy.unexplained == ()


def test_concat_input_is_of_a_memory_behind_the_perceptron(tmp_path: Path) -> None:
    """Before the perceptron, the key does nothing, as in the library."""
    path, _ = checkpoint(tmp_path, before_mlp=True, told={"concat_input": True})
    assert load_policy(path).actor.obs_size == 6


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"name": "gru"}, "rnn.name gru, but"),
        ({"units": 6}, "rnn.units 6, but"),
        ({"layers": 1}, "rnn.layers 1, but"),
        ({"layer_norm": True}, "rnn.layer_norm True, but"),
        ({"before_mlp": True}, "the first hidden layer reads 6 values, and what is before it writes 5"),
        ({"concat_input": True}, "the memory reads 8 values, and what is before it writes 14"),
        ({"concat_output": True}, "the output layer reads 5 values, and what is before it writes 11"),
        ({"concat_output": "yes"}, "rnn.concat_output is 'yes'; expected true or false"),
    ],
)
def test_a_memory_of_another_run_is_refused(tmp_path: Path, told: dict[str, Any], message: str) -> None:
    """Each key of the table is held against the tensors."""
    with pytest.raises(CheckpointError, match=message):
        load_policy(checkpoint(tmp_path, told=told)[0])


def test_a_memory_without_a_configuration_is_refused(tmp_path: Path) -> None:
    """Whether a memory stands before or behind the perceptron is nowhere else; the run's own file, given, says it."""
    path, _ = checkpoint(tmp_path)
    told = (tmp_path / "params/agent.yaml").rename(tmp_path / "own.yaml")
    with pytest.raises(CheckpointError, match=r"holds model.a2c_network.rnn, and whether .*params/agent.yaml"):
        load_policy(path, activation="elu")
    assert load_policy(path, agent_yaml=told).actor.state_names == ("h", "c")


def test_an_unknown_key_of_a_memory_stops_an_export(tmp_path: Path) -> None:
    """What nobody knows of a memory may change it."""
    policy = load_policy(checkpoint(tmp_path, told={"gate": "tanh"})[0])
    assert [leftover.name for leftover in policy.unexplained] == ["agent.yaml:params.network.rnn.gate"]


@pytest.mark.parametrize("before", [False, True])
def test_a_memory_is_exported_and_proved(tmp_path: Path, before: bool) -> None:
    """A port of a memory with its norm and both joints equals the checkpoint in both formats, state and resets too."""
    on = {"layer_norm": True, "concat_input": True, "concat_output": True}
    policy = load_policy(checkpoint(tmp_path / "run", before_mlp=before, **on)[0])
    written_port = write_port(
        tmp_path / "port", policy, identity_remap(contract_of(6, 3)), formats=("onnx", "torchscript")
    )
    assert written_port is not None
    assert {"policy.onnx", "policy.pt"} <= {path.name for path in (tmp_path / "port").iterdir()}
