"""Episodes of a task environment kept on its device, against the same by the host."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import onnx
import pytest
import torch

from policy_port.checkpoints.load import load_policy
from policy_port.contract import load_contract
from policy_port.errors import MissingDependencyError, TaskError
from policy_port.export.onnx_graph import build_onnx
from policy_port.export.torchscript import save_torchscript
from policy_port.export.tracing import trace
from policy_port.port.pilot import Pilot
from policy_port.port.tensor_policy import find_device
from policy_port.replay.env_episodes import EnvJob, EpisodeRunner
from policy_port.replay.env_tensors import TensorEpisodes, why_on_the_host
from policy_port.resources import assets_dir

pytest.importorskip("mani_skill")


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> EnvJob:
    folder, shipped = tmp_path_factory.mktemp("port"), assets_dir() / "so100_reach"
    actor = load_policy(shipped / "model.pt").actor
    traced = trace(actor)
    onnx.save_model(build_onnx(traced, actor), folder / "policy.onnx")
    save_torchscript(folder / "policy.pt", traced, actor, {})
    pilot = Pilot(
        onnx=folder / "policy.onnx",
        torchscript=folder / "policy.pt",
        network_contract=load_contract(shipped / "contract.yaml"),
    )
    return EnvJob(
        env_id="PolicyPortSO100Reach-v1", pilot=pilot, control_mode=None, sim_backend="physx_cpu", draw_seed=None
    )


def test_episodes_on_the_device_are_those_of_the_host(job: EnvJob) -> None:
    """The same ends, every recorded array to 2e-5, the first targets to 1e-6; the second episode after a reset too."""
    with contextlib.closing(EpisodeRunner(job, 1)) as host, contextlib.closing(TensorEpisodes(job, 1)) as device:
        for seed in (4, 9):
            [one], [other] = host.run([seed]), device.run([seed])
            assert dataclasses.replace(other.ended, final_distance=None) == dataclasses.replace(
                one.ended, final_distance=None
            )
            assert other.ended.final_distance == pytest.approx(one.ended.final_distance, abs=1e-5)
            assert set(other.arrays) == set(one.arrays)
            for name, values in one.arrays.items():
                assert other.arrays[name].shape == values.shape, name
                np.testing.assert_allclose(other.arrays[name], values, atol=2e-5, err_msg=name)
            np.testing.assert_allclose(other.arrays["target"][:3], one.arrays["target"][:3], atol=1e-6)


def test_a_policy_that_diverges_is_named(job: EnvJob) -> None:
    """NaN in an action of an episode that runs is told as on the host; what follows an episode's end counts nothing."""
    with contextlib.closing(TensorEpisodes(job, 1)) as device:
        steps = [torch.zeros(1, 6), torch.tensor([[0.0, torch.nan, 0.0, 0.0, 0.0, 0.0]])]
        assert device._on_host("action", steps, [1]).shape == (2, 1, 6)
        with pytest.raises(TaskError, match=r"action of joint '\w+' .* is nan"):
            device._on_host("action", steps, [2])


def test_what_can_not_run_on_the_gpu_is_said(job: EnvJob) -> None:
    """A port of ONNX alone keeps its policy on the host; a GPU that is not here is an error, not the host."""
    assert why_on_the_host(job.pilot) == ""
    assert "holds no policy.pt" in why_on_the_host(dataclasses.replace(job.pilot, torchscript=None))
    if not torch.cuda.is_available():
        with pytest.raises(MissingDependencyError, match=r"run on cuda, and torch .* no NVIDIA GPU .*ask for cpu"):
            find_device("cuda")
