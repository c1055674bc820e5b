"""Running an ONNX port: bound buffers, memory per row, and numbers that are no numbers."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from policy_port.checkpoints import load_policy
from policy_port.contract import Contract
from policy_port.contract.mapping import RobotMapping
from policy_port.errors import ContractError, PortError
from policy_port.export.write import write_port
from policy_port.port.runtime import NonFiniteError, OnnxPolicy, RemappedPolicy
from policy_port.remap import build_remap, identity_remap
from tests.checkpoints.onnx.test_roles import network
from tests.control.networks import save, save_linear, save_lstm, save_mlp
from tests.export.test_shared_oracles import contract_of
from tests.samples import contract_data


def test_a_batch_is_what_onnx_runtime_computes(tmp_path: Path) -> None:
    """Binding buffers changes no bit of the result."""
    path = save_mlp(tmp_path / "policy.onnx", (45, 64, 32, 12))
    policy = OnnxPolicy(path, num_envs=5)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    for _ in range(3):
        policy.observation[:] = rng.normal(size=(5, 45))
        (expected,) = session.run(None, {"obs": policy.observation.copy()})
        assert np.array_equal(policy.act(), expected)


def test_rows_with_resets_equal_rows_run_alone(tmp_path: Path) -> None:
    """A batch of LSTM states, each reset at its own time, equals one run per row through plain ONNX Runtime."""
    path = save_lstm(tmp_path / "policy.onnx", obs=4, hidden=3)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(20, 6, 4)).astype(np.float32)
    resets = rng.random((20, 6)) < 0.2

    policy = OnnxPolicy(path, num_envs=6)
    batched = []
    for step in range(20):
        if resets[step].any():
            policy.reset(resets[step])
        policy.observation[:] = observations[step]
        batched.append(policy.act().copy())

    for row in range(6):
        state = {"h_in": np.zeros((1, 1, 3), np.float32), "c_in": np.zeros((1, 1, 3), np.float32)}
        for step in range(20):
            if resets[step, row]:
                state = {name: np.zeros_like(value) for name, value in state.items()}
            names = ["actions", "h_out", "c_out"]
            action, h, c = session.run(names, {"obs": observations[step, row : row + 1], **state})
            state = {"h_in": h, "c_in": c}
            np.testing.assert_allclose(batched[step][row], action[0], atol=1e-6)


def test_reset_of_all_is_a_fresh_policy(tmp_path: Path) -> None:
    """After a reset the same observations give the same actions, bit for bit, after an odd number of steps too."""
    policy = OnnxPolicy(save_lstm(tmp_path / "policy.onnx"))
    observations = np.random.default_rng(0).normal(size=(5, 1, 4)).astype(np.float32)

    def run() -> list[bytes]:
        actions = []
        for observation in observations:
            policy.observation[:] = observation
            actions.append(policy.act().tobytes())
        return actions

    first = run()
    assert run() != first
    policy.reset()
    assert run() == first


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_an_error(tmp_path: Path, bad: float) -> None:
    """NaN or infinity in the observation is named, even where the network would swallow it."""
    policy = OnnxPolicy(save_linear(tmp_path / "policy.onnx", np.zeros((4, 2))), num_envs=3)
    policy.observation[1, 2] = bad
    with pytest.raises(NonFiniteError) as caught:
        policy.act()
    assert (caught.value.what, caught.value.env, caught.value.element) == ("observation", 1, 2)


def test_an_action_that_overflows_is_an_error(tmp_path: Path) -> None:
    """The observation is finite, the action is not."""
    policy = OnnxPolicy(save_linear(tmp_path / "policy.onnx", np.full((2, 2), 3e38)))
    policy.observation[:] = 10.0
    with pytest.raises(NonFiniteError) as caught:
        policy.act()
    assert caught.value.what == "action"


def test_large_finite_numbers_are_no_error(tmp_path: Path) -> None:
    """The check itself does not overflow."""
    policy = OnnxPolicy(save_linear(tmp_path / "policy.onnx", np.eye(4)), num_envs=2)
    policy.observation[:] = 3e38
    assert np.array_equal(policy.act(), policy.observation)


@pytest.mark.parametrize("recurrent", [False, True])
def test_a_step_allocates_nothing(tmp_path: Path, recurrent: bool) -> None:
    """After warm-up, calls leave no memory behind and hold none in between."""
    path = tmp_path / "policy.onnx"
    policy = OnnxPolicy(save_lstm(path) if recurrent else save_mlp(path, (4, 8, 2)), num_envs=64)
    tracemalloc.start()
    # ONNX Runtime's binding keeps about a hundred small objects for its own reuse before it is warm.
    for _ in range(300):
        policy.act()
    kept, held = [], []
    # What other threads of the tests allocate meanwhile is counted too; what a step allocates shows every time.
    for _ in range(3):
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(1000):
            policy.act()
        after, peak = tracemalloc.get_traced_memory()
        kept.append(after - before)
        held.append(peak - before)
    tracemalloc.stop()
    assert min(kept) < 1000, "less than a byte per step"
    assert min(held) < 1024, "less than one observation batch of 64 x 4 x 4 bytes"


def test_files_that_are_no_port_are_refused(tmp_path: Path) -> None:
    """Missing, broken, with other inputs, or with a fixed batch: each says what is wrong."""
    with pytest.raises(PortError, match="no such file"):
        OnnxPolicy(tmp_path / "absent.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x08not a graph")
    with pytest.raises(PortError, match="can't load it"):
        OnnxPolicy(broken)
    from onnx import helper

    node = helper.make_node("Identity", ["obs"], ["continuous_actions"])
    other = save(tmp_path / "other.onnx", [node], {}, {"obs": [1, 3]}, {"continuous_actions": [1, 3]})
    with pytest.raises(PortError, match="continuous_actions"):
        OnnxPolicy(other)
    fixed = save_linear(tmp_path / "fixed.onnx", np.eye(3), batch=1)
    assert OnnxPolicy(fixed, num_envs=1).act().shape == (1, 3)
    with pytest.raises(PortError, match="fixed to a batch of 1, 4 environments"):
        OnnxPolicy(fixed, num_envs=4)


def reversed_mapping() -> RobotMapping:
    names = ("left_hip", "left_knee", "right_hip", "right_knee")
    return RobotMapping(source_joint_names=names, target_joint_names=names[::-1])


def test_a_remapped_policy_speaks_the_target(tmp_path: Path) -> None:
    """Joints in another order around a network that must not notice: equal to reordering by hand."""
    data = contract_data(observation={"terms": [{"term": "joint_pos"}, {"term": "last_action"}], "clip": [-2, 2]})
    source = Contract.model_validate(data)
    path = save_mlp(tmp_path / "policy.onnx", (8, 16, 4))
    plain, inner = OnnxPolicy(path, num_envs=2), OnnxPolicy(path, num_envs=2)
    remapped = RemappedPolicy(inner, build_remap(source, reversed_mapping()))
    plain.observation[:] = np.random.default_rng(0).normal(size=(2, 8))
    remapped.observation[:, :4] = plain.observation[:, 3::-1]
    remapped.observation[:, 4:] = plain.observation[:, :3:-1]
    assert np.array_equal(remapped.act()[:, ::-1], plain.act())


def test_a_remapped_policy_of_another_width_is_refused(tmp_path: Path) -> None:
    """The mapping's source must be the policy's contract; both widths are said."""
    remap = build_remap(Contract.model_validate(contract_data()), reversed_mapping())
    with pytest.raises(ContractError, match=r"reads 5 numbers.* = 24"):
        RemappedPolicy(OnnxPolicy(save_linear(tmp_path / "policy.onnx", np.zeros((5, 4)))), remap)


def test_a_foreign_graph_plays_once_it_is_exported(tmp_path: Path) -> None:
    """With outputs of other names, or a batch that is written in: `policy-port export` makes what the messages want."""
    for file in (
        network(tmp_path / "named.onnx", "whatever"),
        save_linear(tmp_path / "fixed.onnx", np.eye(9), batch=1),
    ):
        with pytest.raises(PortError, match="(Write it with|export it again with) `policy-port export`"):
            OnnxPolicy(file, num_envs=4)
        policy = load_policy(file)
        contract = contract_of(9, policy.actor.action_size)
        port = write_port(tmp_path / file.stem, policy, identity_remap(contract), formats=("onnx",))
        assert port.onnx is not None
        assert OnnxPolicy(port.onnx, num_envs=4).act().shape == (4, policy.actor.action_size)
