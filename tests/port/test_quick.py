"""The graph as ONNX Runtime runs it fastest."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from policy_port.export.onnx_graph import build_onnx, check, state_inputs
from policy_port.export.ported_actor import PortedActor
from policy_port.export.tracing import trace
from policy_port.onnx_session import bound_call
from policy_port.port.quick import narrower, quicker
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


def scaled(width: int, *more: onnx.NodeProto, left: tuple[str, ...] = ("y",)) -> onnx.ModelProto:
    """y = x * factor + x_last, x of this width and the others of three columns, in float64."""
    row = numpy_helper.from_array(np.array([[0.25, -3.0, 0.1]]), "factor")
    nodes = [helper.make_node("Mul", ["x", "factor"], ["m"]), helper.make_node("Add", ["m", "last"], ["y"]), *more]
    sizes = {"x": width, "last": 3, "m": 3, "y": 3, "z": 3}
    of = {name: helper.make_tensor_value_info(name, TensorProto.DOUBLE, [1, size]) for name, size in sizes.items()}
    graph = helper.make_graph(nodes, "step", [of["x"], of["last"]], [of[name] for name in left], [row])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_product_and_a_sum_are_one_operation_bit_for_bit(rng):
    """They are where nothing else needs the product; a column spread over a row, or a product that is read, stays."""
    twice = helper.make_node("Neg", ["m"], ["z"])
    for model, left in (
        (scaled(3), ["Gemm"]),
        (scaled(1), ["Mul", "Add"]),
        (scaled(3, left=("y", "m")), ["Mul", "Add"]),
        (scaled(3, twice, left=("y", "z")), ["Mul", "Add", "Neg"]),
    ):
        fewer = narrower(model)
        onnx.checker.check_model(fewer, full_check=True)
        assert [node.op_type for node in fewer.graph.node] == left
        for _ in range(20):
            feed = {
                each.name: rng.normal(size=(1, each.type.tensor_type.shape.dim[1].dim_value))
                for each in model.graph.input
            }
            runs = [onnxruntime.InferenceSession(each.SerializeToString()).run(None, feed) for each in (model, fewer)]
            np.testing.assert_array_equal(*(run[0] for run in runs))


def test_a_bound_call_needs_nothing_of_the_inside():
    """It gives what ONNX Runtime's own method gives, and is that method where a session shows nothing inside."""
    session = onnxruntime.InferenceSession(scaled(3).SerializeToString())
    binding, y = session.io_binding(), np.zeros((1, 3))
    feed = {"x": np.array([[1.0, 2.0, 3.0]]), "last": np.ones((1, 3))}
    for name, values in feed.items():
        binding.bind_input(name, "cpu", 0, np.float64, values.shape, values.ctypes.data)
    binding.bind_output("y", "cpu", 0, np.float64, y.shape, y.ctypes.data)
    bound_call(session, binding)()
    np.testing.assert_array_equal(y, session.run(None, feed)[0])

    class Closed:
        def run_with_iobinding(self, given, options):
            return session.run_with_iobinding(given, options)

    y.fill(0.0)
    bound_call(Closed(), binding)()  # type: ignore[arg-type]
    np.testing.assert_array_equal(y, session.run(None, feed)[0])
