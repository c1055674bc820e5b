"""The ONNX file."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from policy_port.checkpoints.actor import Actor
from policy_port.contract import Contract
from policy_port.export.onnx_graph import build_onnx, check, set_metadata, state_inputs, state_outputs
from policy_port.export.ported_actor import PortedActor
from policy_port.export.tracing import trace
from policy_port.port.format import constants, metadata
from policy_port.remap import build_remap

MakeActor = Callable[..., Actor]


def _model(actor: Actor) -> onnx.ModelProto:
    model = build_onnx(trace(actor), actor)
    check(model)
    return model


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("kind", ["mlp", "lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2])
def test_one_file_runs_at_every_batch_size(make_actor, rng, kind, layers):
    """One and the same graph runs at batch 1, 7 and 64 in plain onnxruntime, its state going in and out."""
    actor = make_actor(kind, layers=layers)
    session = _session(_model(actor))
    assert [value.name for value in session.get_inputs()] == ["obs", *state_inputs(actor)]
    assert [value.name for value in session.get_outputs()] == ["actions", *state_outputs(actor)]
    for batch in (1, 7, 64):
        state = actor.initial_state(batch)
        feed = {name: value.numpy() for name, value in zip(state_inputs(actor), state, strict=True)}
        for _ in range(4):
            obs = rng.normal(size=(batch, actor.obs_size)).astype(np.float32)
            expected, *state = actor(torch.from_numpy(obs), *state)
            actions, *after = session.run(None, {"obs": obs, **feed})
            np.testing.assert_allclose(actions, expected.numpy(), atol=3e-6)
            feed = dict(zip(state_inputs(actor), after, strict=True))


def test_unported_graph_is_lean(make_actor):
    """An unported perceptron is its layers and its normaliser, nothing else."""
    nodes = [node.op_type for node in _model(make_actor()).graph.node]
    assert nodes == ["Sub", "Div", "Gemm", "Elu", "Gemm", "Elu", "Gemm"]


def test_recurrent_graph_is_lean(make_actor):
    """A recurrent policy is one LSTM node with its two changes of rank, and the layers."""
    nodes = [node.op_type for node in _model(make_actor("lstm", normalised=False)).graph.node]
    assert nodes == ["Unsqueeze", "LSTM", "Squeeze", "Gemm", "Elu", "Gemm", "Elu", "Gemm"]


def test_ported_graph_adds_only_the_remap(make_actor, contract, mapping):
    """A port adds the nodes of its remap around the unported graph."""
    actor = make_actor()
    unported = [node.op_type for node in _model(actor).graph.node]
    ported = [node.op_type for node in _model(PortedActor(actor, build_remap(contract, mapping))).graph.node]
    # The offset belongs to joint_pos_rel, whose default moves along with it: no Add is left.
    assert ported == ["Gather", "Mul", *unported, "Gather", "Mul"]


@pytest.mark.parametrize("kind", ["mlp", "lstm", "gru"])
def test_trained_weights_are_bit_for_bit(make_actor, contract, mapping, kind):
    """Every trained number of the checkpoint stands in the ported graph with its bits, whatever its order there."""
    actor = make_actor(kind)
    ported = constants(_model(PortedActor(actor, build_remap(contract, mapping))).graph)
    weights = [
        array
        for name, array in ported.items()
        if array.dtype == np.float32 and not name.startswith(("observation.", "action."))
    ]
    assert _bits(weights) == _bits([value.numpy() for value in actor.state_dict().values()])


def _bits(arrays: list[np.ndarray]) -> list[int]:
    return np.sort(np.concatenate([array.view(np.uint32).ravel() for array in arrays])).tolist()


def test_metadata_keeps_the_contract_bit_for_bit(make_actor, contract):
    """The contract comes back equal from the file's metadata, to the last digit of every number."""
    joints = {name: joint.model_copy(update={"default": 0.1 + 1e-16}) for name, joint in contract.joints.items()}
    exact = contract.model_copy(update={"joints": joints, "timestep": 1 / 300})
    model = _model(make_actor())
    set_metadata(model, {"contract": exact.model_dump_json(), "source_sha256": "0" * 64})
    read = metadata(onnx.load_model_from_string(model.SerializeToString()))
    assert Contract.model_validate_json(read["contract"]) == exact
    assert _session(model).get_modelmeta().custom_metadata_map == read
    assert _session(model).get_modelmeta().producer_name == "policy-port"


def test_older_runtimes_read_the_file(make_actor):
    """The file declares an IR version and an opset that ONNX Runtime 1.17 knows."""
    model = _model(make_actor("lstm"))
    assert model.ir_version <= 9
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
