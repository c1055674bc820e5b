"""The graph as ONNX Runtime runs it fastest."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from policy_port.export.onnx_graph import build_onnx, check, state_inputs
from policy_port.export.ported_actor import PortedActor
from policy_port.export.tracing import trace
from policy_port.port.quick import quicker
from policy_port.remap import build_remap


@pytest.mark.parametrize("kind", ["mlp", "lstm"])
@pytest.mark.parametrize("batch", [1, 7, 512])
def test_quicker_is_bit_equal(make_actor, contract, mapping, rng, kind, batch):
    """The quicker graph has no Gather, is valid, and computes the same bits, state included."""
    ported = PortedActor(make_actor(kind), build_remap(contract, mapping))
    model = build_onnx(trace(ported), ported)
    before = model.SerializeToString()
    quick = quicker(model)
    assert model.SerializeToString() == before
    check(quick)
    assert "Gather" not in [node.op_type for node in quick.graph.node]
    feed = {"obs": rng.normal(size=(batch, 15)).astype(np.float32)}
    for name, state in zip(state_inputs(ported), ported.initial_state(batch), strict=True):
        feed[name] = rng.normal(size=state.shape).astype(np.float32)
    runs = [onnxruntime.InferenceSession(graph.SerializeToString()).run(None, feed) for graph in (model, quick)]
    for plain, quickened in zip(*runs, strict=True):
        assert plain.tobytes() == quickened.tobytes()


def test_a_graph_without_a_remap_stays(make_actor):
    """Where no columns are chosen nothing changes."""
    actor = make_actor("gru")
    model = build_onnx(trace(actor), actor)
    assert quicker(model).SerializeToString() == model.SerializeToString()
