"""A policy of chunks in a ManiSkill environment: each answer is performed as far as it says, in every episode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from policy_port.contract import Contract
from policy_port.port.pilot import Pilot
from policy_port.replay.env_episodes import EnvJob
from policy_port.replay.task_env import replay_in_env
from policy_port.resources import assets_dir
from policy_port.trace import Trace

LENGTH, STEPS = 5, 3


def save_chunks(path: Path, matrix: np.ndarray) -> Path:
    """actions = obs @ matrix, with matrix of shape (observation size, length, action size)."""
    width, length, size = matrix.shape
    nodes = [
        helper.make_node("MatMul", ["obs", "matrix"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["actions"]),
    ]
    constants = [
        numpy_helper.from_array(matrix.reshape(width, -1), "matrix"),
        numpy_helper.from_array(np.array([0, length, size], np.int64), "shape"),
    ]
    inputs = [helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["batch", width])]
    outputs = [helper.make_tensor_value_info("actions", TensorProto.FLOAT, ["batch", length, size])]
    graph = helper.make_graph(nodes, "policy", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"chunk": str(length), "chunk_steps": str(STEPS)})
    onnx.save(model, path)
    return path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_answers_are_performed_step_by_step_in_every_episode(tmp_path: Path) -> None:
    """Two episodes of an odd length: step s performs step s % 3 of the answer to what was observed at s - s % 3."""
    pytest.importorskip("mani_skill", reason="mani_skill is not installed (extra: sim)")
    data = yaml.safe_load((assets_dir() / "so100_reach" / "contract.yaml").read_text())
    contract = Contract.model_validate(data)
    rng = np.random.default_rng(0)
    matrix = rng.normal(scale=0.1, size=(contract.observation_size, LENGTH, contract.action_size)).astype(np.float32)
    pilot = Pilot(onnx=save_chunks(tmp_path / "policy.onnx", matrix), network_contract=contract)
    job = EnvJob(
        env_id="PolicyPortSO100Reach-v1", pilot=pilot, control_mode=None, sim_backend="physx_cpu", draw_seed=None
    )
    replay_in_env(job, range(2), num_envs=1, trace=tmp_path / "trace.npz")
    trace = Trace(tmp_path / "trace.npz")
    said = trace.header["chunks"]
    assert (said["length"], said["steps"], said["ensemble"]) == (LENGTH, STEPS, None)
    assert trace["episode"].max() == 1
    for episode in range(2):
        rows = trace["episode"][:, 0] == episode
        observation, action = trace["observation"][rows, 0], trace["action"][rows, 0]
        assert len(action) % STEPS, "the second episode would start a chunk anyway"
        step = np.arange(len(action))
        answers = np.einsum("so,ota->sta", observation, matrix)
        np.testing.assert_allclose(action, answers[step - step % STEPS, step % STEPS], atol=1e-5)
        assert np.abs(action - answers[:, 0]).max() > 0.01, "asking at every step is another policy"
