"""Chunks of actions: which step of which answer is performed when, row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from policy_port.errors import PortError
from policy_port.port.runtime import NonFiniteError, OnnxPolicy
from tests.control.networks import save_linear

LENGTH, SIZE = 4, 2


def save_chunked(path: Path, **metadata: str) -> Path:
    """actions[step, i] = obs[0] + 10 * step + i: an action says when it was asked for, and as which step."""
    matrix = np.zeros((2, LENGTH * SIZE), np.float32)
    matrix[0] = 1.0
    matrix[1] = [10 * step + i for step in range(LENGTH) for i in range(SIZE)]
    save_linear(path, matrix)
    model = onnx.load(path)
    model.graph.node[0].output[0] = "flat"
    shape = onnx.numpy_helper.from_array(np.array([0, LENGTH, SIZE], np.int64), "shape")
    model.graph.initializer.append(shape)
    model.graph.node.append(helper.make_node("Reshape", ["flat", "shape"], ["actions"]))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("actions", 1, ["batch", LENGTH, SIZE]))
    helper.set_model_props(model, {"chunk": str(LENGTH), **metadata})
    onnx.save(model, path)
    return path


def act(policy: OnnxPolicy, *moments: float) -> list[float]:
    """First element of each row's action, where row r is at moment r."""
    policy.observation[:, 0] = moments
    policy.observation[:, 1] = 1.0
    return policy.act()[:, 0].tolist()


def test_steps_of_an_answer_are_performed_before_the_next_question(tmp_path: Path) -> None:
    """Three of four steps, then a new answer; the fourth step is never performed."""
    policy = OnnxPolicy(save_chunked(tmp_path / "policy.onnx", chunk_steps="3"))
    assert [act(policy, 100.0 * step)[0] for step in range(7)] == [0, 10, 20, 300, 310, 320, 600]
    assert policy.action_size == SIZE


def test_each_environment_is_asked_at_its_own_time(tmp_path: Path) -> None:
    """A reset of one row starts its next chunk, and leaves the others in theirs."""
    policy = OnnxPolicy(save_chunked(tmp_path / "policy.onnx", chunk_steps="3"), num_envs=2)
    assert act(policy, 0, 1000) == [0, 1000]
    policy.reset(np.array([False, True]))
    assert act(policy, 100, 1100) == [10, 1100]
    assert act(policy, 200, 1200) == [20, 1110]
    assert act(policy, 300, 1300) == [300, 1120]
    assert act(policy, 400, 1400) == [310, 1400]
    policy.reset()
    assert act(policy, 500, 1500) == [500, 1500]


def test_averages_over_time_are_kept_row_by_row(tmp_path: Path) -> None:
    """Rows of an ensemble, reset at different times, equal rows run alone and the definition."""
    path = save_chunked(tmp_path / "policy.onnx", chunk_steps="1", temporal_ensemble="0.5")
    both, alone = OnnxPolicy(path, num_envs=2), OnnxPolicy(path)
    for step in range(9):
        if step == 4:
            both.reset(np.array([True, False]))
            alone.reset()
        since = step - 4 if step >= 4 else step
        # The answers on this step, oldest first: asked a steps ago, they are its moment plus 10 a.
        ages = np.arange(min(since, LENGTH - 1), -1, -1)
        answers = [100.0 * (step - age) + 10.0 * age for age in ages]
        expected = np.average(answers, weights=np.exp(-0.5 * np.arange(len(ages))))
        found = act(both, 100.0 * step, 7.0)
        assert found[0] == pytest.approx(expected, rel=1e-5)
        assert act(alone, 100.0 * step)[0] == pytest.approx(found[0], rel=1e-6)


def test_a_chunk_that_is_no_number_is_named_when_it_is_asked_for(tmp_path: Path) -> None:
    """The element is that of the action, not of the chunk."""
    path = save_chunked(tmp_path / "policy.onnx", chunk_steps="3")
    model = onnx.load(path)
    matrix = onnx.numpy_helper.to_array(model.graph.initializer[0]).copy()
    matrix[0, 5] = np.inf
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(matrix, "matrix"))
    onnx.save(model, path)
    policy = OnnxPolicy(path, num_envs=2)
    with pytest.raises(NonFiniteError) as caught:
        act(policy, 1.0, 1.0)
    assert (caught.value.what, caught.value.env, caught.value.element) == ("action", 0, 1)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "chunks of 4 actions and does not say how many are performed"),
        ({"chunk_steps": "5"}, "no chunking that LeRobot knows"),
        ({"chunk_steps": "2", "temporal_ensemble": "0.1"}, "no chunking that LeRobot knows"),
        ({"chunk": "3", "chunk_steps": "2"}, "actions has shape"),
    ],
    ids=["older port", "more than there are", "ensemble with a queue", "another length"],
)
def test_a_graph_that_does_not_say_how_is_refused(tmp_path: Path, metadata: dict[str, str], message: str) -> None:
    """No number of steps is guessed: one at a time would be another policy."""
    with pytest.raises(PortError, match=message):
        OnnxPolicy(save_chunked(tmp_path / "policy.onnx", **metadata))
