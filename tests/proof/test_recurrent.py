"""Parity of policies that remember."""

from __future__ import annotations

import numpy as np
import pytest

from policy_port.errors import ProofError
from policy_port.proof.parity import prove
from tests.proof.samples import (
    contract,
    plain,
    policy_of,
    ported,
    random_net,
    turned,
    write_onnx,
    write_torchscript,
)

WIDTH = contract().observation_size


@pytest.fixture
def net():
    return random_net(0, WIDTH, widths=(16,), lstm=12)


def test_a_right_lstm_passes(tmp_path, net):
    """State as inputs and outputs, and state in buffers, both pass over 50 steps with resets of single rows."""
    write_onnx(net, tmp_path)
    write_torchscript(net, tmp_path)
    report = prove(tmp_path, policy_of(net, tmp_path), plain())
    assert report.max_ratio < 0.7
    for file in report.files:
        [stale] = [probe for probe in file.probes if probe.kind == "stale recurrent state"]
        assert stale.trials[0].ratio > 1000.0


@pytest.mark.parametrize("seed", range(3))
def test_no_false_alarm(tmp_path, seed):
    """Random LSTMs, remapped into degrees, all pass."""
    net = random_net(seed, WIDTH, widths=(16,), lstm=8 + seed)
    remap = turned(hip={"unit": "deg", "offset": 30.0}, toe={"sign": -1})
    write_onnx(ported(net, remap), tmp_path)
    assert prove(tmp_path, policy_of(net, tmp_path), remap, seed=seed).passed


def test_ignored_resets_fail(tmp_path, net):
    """A module whose reset of rows does nothing fails, and the message says what is wrong."""
    write_torchscript(net, tmp_path, ignore_resets=True)
    with pytest.raises(ProofError, match="right until its first reset, so the recurrent state is not reset"):
        prove(tmp_path, policy_of(net, tmp_path), plain())


def test_a_graph_that_lost_its_state_fails(tmp_path, net):
    """A graph without state inputs, as the stock exporter writes it, fails before it is run."""
    write_onnx(net, tmp_path, forget_state=True)
    with pytest.raises(ProofError, match="the network needs obs, h_in, c_in: its recurrent state got lost on the way"):
        prove(tmp_path, policy_of(net, tmp_path), plain())


def test_a_module_without_resets_fails(tmp_path, net):
    """A recurrent TorchScript file without reset methods fails before it is run."""
    write_torchscript(random_net(0, WIDTH), tmp_path)
    with pytest.raises(ProofError, match="without reset and reset_rows"):
        prove(tmp_path, policy_of(net, tmp_path), plain())


def test_a_memory_that_is_not_carried_fails(tmp_path, net):
    """A cell state that every step starts from zero is right in the first step alone, and the message says so."""
    import onnx

    write_onnx(net, tmp_path)
    file = tmp_path / "policy.onnx"
    model = onnx.load(file)
    zero = onnx.numpy_helper.from_array(np.zeros(1, np.float32), "zero")
    model.graph.initializer.append(zero)
    lstm = next(node for node in model.graph.node if node.op_type == "LSTM")
    at = list(model.graph.node).index(lstm)
    for k, name in ((5, "h_in"), (6, "c_in")):
        lstm.input[k] = f"{name}_empty"
        model.graph.node.insert(at, onnx.helper.make_node("Mul", [name, "zero"], [f"{name}_empty"]))
    onnx.save(model, file)
    with pytest.raises(ProofError, match="not carried from step to step"):
        prove(tmp_path, policy_of(net, tmp_path), plain())


def test_a_recording_is_cut_into_sequences(tmp_path, net):
    """A recording of 130 steps becomes three sequences of 50 steps, the last of which overlaps."""
    recorded = np.random.default_rng(0).normal(size=(130, WIDTH)).astype(np.float32)
    write_onnx(net, tmp_path)
    report = prove(tmp_path, policy_of(net, tmp_path), plain(), recorded=recorded)
    assert report.samples["recorded"] == 150
