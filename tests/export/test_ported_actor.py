"""The remap as steps around the network."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy_port.checkpoints.actor import Actor
from policy_port.contract import RobotMapping
from policy_port.export.onnx_graph import build_onnx, state_inputs
from policy_port.export.ported_actor import AffineNodes, PortedActor
from policy_port.export.tracing import trace
from policy_port.remap import AffineMap, build_remap, identity_remap
from policy_port.remap.build import Remap


def _affine(seed: int, n_in: int, n_out: int) -> AffineMap:
    rng = np.random.default_rng(seed)
    index = rng.integers(-1, n_in, n_out)
    scale = np.where(index < 0, 0.0, rng.choice([-1.0, 1.0, 0.3, 57.3], n_out))
    return AffineMap(
        inputs=tuple(map(str, range(n_in))),
        outputs=tuple(map(str, range(n_out))),
        index=index,
        scale=scale,
        offset=rng.choice([0.0, 0.7, -3.0], n_out),
    )


@given(seed=st.integers(0, 2**32 - 1), n_in=st.integers(1, 9), n_out=st.integers(1, 9), batch=st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_nodes_compute_the_affine_map(seed, n_in, n_out, batch):
    """The steps compute scale * x[index] + offset entry by entry."""
    affine = _affine(seed, n_in, n_out)
    x = np.random.default_rng(seed).normal(size=(batch, n_in)).astype(np.float32)
    y = AffineNodes(affine)(torch.from_numpy(x)).numpy()
    for row in range(batch):
        for i in range(n_out):
            value = affine.offset[i]
            if affine.index[i] >= 0:
                value = affine.scale[i] * float(x[row, affine.index[i]]) + affine.offset[i]
            assert y[row, i] == pytest.approx(value, rel=1e-5, abs=1e-5)


def test_constant_entries_ignore_nan():
    """A constant stays the constant when the inputs that nothing reads are NaN or infinite."""
    affine = AffineMap(
        inputs=("a", "b", "c"),
        outputs=("x", "y"),
        index=np.array([-1, 2]),
        scale=np.array([0.0, -1.0]),
        offset=np.array([0.25, 0.0]),
    )
    y = AffineNodes(affine)(torch.tensor([[float("nan"), float("inf"), 3.0]]))
    assert y.tolist() == [[0.25, -3.0]]


@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["mlp", "lstm", "gru"]))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_permuted_network_on_permuted_input(make_actor, contract, seed, kind):
    """For any joint order, the port fed in target order acts as the network does, in target order; bit for bit."""
    rng = np.random.default_rng(seed)
    names = contract.joint_names
    order = [names[i] for i in rng.permutation(len(names))]
    mapping = RobotMapping(source_joint_names=names, target_joint_names=tuple(order))
    actor = make_actor(kind, seed=seed % 1000)
    ported = PortedActor(actor, build_remap(contract, mapping))
    obs = rng.normal(size=(3, 15)).astype(np.float32)
    # The oracle: three base numbers, then three blocks of joints, permuted by name and by hand.
    columns = [0, 1, 2] + [3 + 4 * block + names.index(name) for block in range(3) for name in order]
    # In ONNX Runtime, whose results do not depend on where in memory the numbers lie, as torch's do.
    state = {name: value.numpy() for name, value in zip(state_inputs(actor), actor.initial_state(3), strict=True)}
    expected = _run(actor, {"obs": obs, **state})
    actual = _run(ported, {"obs": obs[:, columns], **state})
    assert np.array_equal(actual[0], expected[0][:, [names.index(name) for name in order]])
    for after, before in zip(actual[1:], expected[1:], strict=True):
        assert np.array_equal(after, before)


def _run(actor: Actor, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    model = build_onnx(trace(actor), actor)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)


def test_identity_adds_no_step(make_actor, contract):
    """An export without a remap is the actor's own graph."""
    actor = make_actor()
    ported = build_onnx(trace(PortedActor(actor, identity_remap(contract))), actor)
    assert [node.op_type for node in ported.graph.node] == [
        node.op_type for node in build_onnx(trace(actor), actor).graph.node
    ]


def test_clips_stand_where_the_source_had_them(make_actor, contract):
    """The observation is clipped after the map to the source, the action before the map to the target."""
    actor = make_actor()
    observation, action = _affine(3, 17, 15), _affine(4, 4, 4)
    remap = Remap(
        source=contract,
        target=contract,
        mapping=None,
        observation=observation,
        observation_clip=(-2.0, 2.0),
        action=action,
        action_clip=(-0.5, 0.5),
    )
    ported = PortedActor(actor, remap)
    x = np.random.default_rng(5).normal(scale=3, size=(6, 17)).astype(np.float32)
    inner = torch.from_numpy(np.clip(observation(x), -2.0, 2.0))
    expected = action(np.clip(actor(inner)[0].numpy(), -0.5, 0.5))
    np.testing.assert_allclose(ported(torch.from_numpy(x))[0].numpy(), expected, atol=2e-5)
    np.testing.assert_allclose(_run(ported, {"obs": x})[0], expected, atol=5e-5)


def test_the_wrapped_actor_is_the_one_given(make_actor, contract, mapping):
    """A port holds the actor itself, so that there is no second copy of its weights to differ."""
    actor = make_actor()
    assert PortedActor(actor, build_remap(contract, mapping)).actor is actor
