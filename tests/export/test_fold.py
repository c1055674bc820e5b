"""Folding in the ONNX graph."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from policy_port.checkpoints.actor import Actor
from policy_port.errors import PortError
from policy_port.export.fold import fold
from policy_port.export.onnx_graph import build_onnx, check, state_inputs
from policy_port.export.ported_actor import PortedActor
from policy_port.export.tracing import trace
from policy_port.remap import AffineMap
from policy_port.remap.build import Remap


def _affine(rng: np.random.Generator, n_in: int, n_out: int) -> AffineMap:
    index = rng.integers(-1, n_in, n_out)
    return AffineMap(
        inputs=tuple(map(str, range(n_in))),
        outputs=tuple(map(str, range(n_out))),
        index=index,
        scale=np.where(index < 0, 0.0, rng.choice([-1.0, 1.0, 0.3, 3.0], n_out)),
        offset=rng.normal(size=n_out),
    )


def _ported(actor: Actor, contract, rng: np.random.Generator, **clips) -> PortedActor:
    remap = Remap(
        source=contract,
        target=contract,
        mapping=None,
        observation=_affine(rng, 11, actor.obs_size),
        observation_clip=clips.get("observation_clip"),
        action=_affine(rng, actor.action_size, 6),
        action_clip=clips.get("action_clip"),
    )
    return PortedActor(actor, remap)


def _model(actor: Actor) -> onnx.ModelProto:
    return build_onnx(trace(actor), actor)


def _run(model: onnx.ModelProto, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)


@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["mlp", "lstm", "gru"]), normalised=st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_folded_computes_the_same(make_actor, contract, seed, kind, normalised):
    """For random affine maps, normalisers and kinds of network, folding changes actions by rounding only."""
    rng = np.random.default_rng(seed)
    ported = _ported(make_actor(kind, normalised=normalised, seed=seed % 1000), contract, rng)
    unfolded = _model(ported)
    folded = fold(unfolded)
    check(folded)
    obs = rng.normal(size=(7, 11)).astype(np.float32)
    state = {
        name: rng.normal(size=value.shape).astype(np.float32) * 0.3
        for name, value in zip(state_inputs(ported), ported.initial_state(7), strict=True)
    }
    for before, after in zip(_run(unfolded, {"obs": obs, **state}), _run(folded, {"obs": obs, **state}), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "nodes"),
    [
        ("mlp", ["Gemm", "Elu", "Gemm", "Elu", "Gemm"]),
        ("gru", ["Unsqueeze", "GRU", "Squeeze", "Gemm", "Elu", "Gemm", "Elu", "Gemm"]),
    ],
)
def test_nothing_is_left_of_the_remap(make_actor, contract, rng, kind, nodes):
    """A folded graph is the bare network: neither remap nor normaliser is left."""
    folded = fold(_model(_ported(make_actor(kind), contract, rng)))
    assert [node.op_type for node in folded.graph.node] == nodes
    assert not [tensor.name for tensor in folded.graph.initializer if "observation" in tensor.name]


def test_the_given_graph_is_not_changed(make_actor, contract, rng):
    """Folding returns another graph."""
    model = _model(_ported(make_actor(), contract, rng))
    before = model.SerializeToString()
    fold(model)
    assert model.SerializeToString() == before


@pytest.mark.parametrize(
    ("clips", "side"),
    [
        ({"observation_clip": (-5.0, 5.0)}, "observation remap .* Clip .*before the first layer"),
        ({"action_clip": (-1.0, 1.0)}, "action remap .* Clip .*behind the last layer"),
    ],
)
def test_a_clip_of_the_remap_is_not_folded_across(make_actor, contract, rng, clips, side):
    """A clip between remap and weights is refused, named, with the way out."""
    with pytest.raises(PortError, match=f"(?s){side}.*Leave out --fold"):
        fold(_model(_ported(make_actor(), contract, rng, **clips)))


def test_a_clipped_normaliser_is_not_folded_across(make_actor, contract, rng):
    """The clip of skrl's and rl_games' normalisers is refused, unless there is no remap to fold on that side."""
    actor = make_actor(normaliser_clip=5.0)
    with pytest.raises(PortError, match=r"Clip '.*' stands before the first layer"):
        fold(_model(_ported(actor, contract, rng)))
    kept = fold(_model(actor), observation=False)
    assert [node.op_type for node in kept.graph.node][:4] == ["Sub", "Div", "Clip", "Gemm"]


def test_a_clipped_head_is_not_folded_across(make_actor, contract, rng):
    """A network that clips its own actions keeps the clip: the remap behind it is refused."""
    with pytest.raises(PortError, match=r"Clip '.*' stands behind the last layer"):
        fold(_model(_ported(make_actor(action_clip=1.0), contract, rng)))


def test_a_second_reader_of_the_observation_is_refused(make_actor):
    """A graph that reads its observation twice has no one place to fold into; both readers are named."""
    model = _model(make_actor())
    model.graph.node.append(helper.make_node("Tanh", ["obs"], ["extra"], name="shortcut"))
    with pytest.raises(PortError, match=r"Sub '.*' and Tanh 'shortcut'.*all read 'obs'"):
        fold(model)


def test_matmul_becomes_gemm(rng):
    """A layer written as MatMul and Add, as other exporters do, takes the fold too."""
    weight, bias, mean = (rng.normal(size=shape).astype(np.float32) for shape in ((3, 2), (2,), (3,)))
    graph = helper.make_graph(
        [
            helper.make_node("Sub", ["obs", "mean"], ["centred"]),
            helper.make_node("MatMul", ["centred", "weight"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["actions"]),
        ],
        "g",
        [helper.make_tensor_value_info("obs", onnx.TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("actions", onnx.TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(v, n) for n, v in (("weight", weight), ("bias", bias), ("mean", mean))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folded = fold(model)
    check(folded)
    assert [node.op_type for node in folded.graph.node] == ["Gemm"]
    obs = rng.normal(size=(4, 3)).astype(np.float32)
    np.testing.assert_allclose(_run(folded, {"obs": obs})[0], (obs - mean) @ weight + bias, atol=1e-5)
