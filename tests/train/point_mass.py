"""A point that shall be brought to a mark and whose velocity nothing tells: RSL-RL's VecEnv in thirty lines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from policy_port.train.guard import Guard
from policy_port.train.loop import learn, make_runner, snapshot
from policy_port.train.run import Run, begin, make_record, resume
from policy_port.train.settings import PpoAgent

MEMORY = {"class_name": "RNNModel", "rnn_type": "lstm", "rnn_hidden_dim": 8, "rnn_num_layers": 1}
AGENT = PpoAgent.model_validate(
    {
        "num_steps_per_env": 6,
        "max_iterations": 5,
        "save_interval": 2,
        "actor": {**MEMORY, "hidden_dims": [8], "obs_normalization": True, "distribution_cfg": {"init_std": 0.5}},
        "critic": {"hidden_dims": [8], "obs_normalization": True},
        "algorithm": {"num_learning_epochs": 2, "num_mini_batches": 2},
    }
)
"""Everything that a resumed run could lose: memory, running statistics, the optimiser's moments, an adaptive rate."""


class PointMass:
    num_envs, num_actions, max_episode_length, device = 8, 1, 10, "cpu"
    cfg: dict[str, Any] = {}

    def __init__(self, spoil: int = -1) -> None:
        self.spoil, self.steps = spoil, 0
        self.begin(0)

    def begin(self, seed: int) -> None:
        self._random = torch.Generator().manual_seed(seed)
        self.episode_length_buf = torch.zeros(8, dtype=torch.long)
        self.state = torch.rand(8, 2, generator=self._random)

    def get_observations(self) -> TensorDict:
        return TensorDict({"actor": self.state[:, :1].clone(), "critic": self.state.clone()}, batch_size=[8])

    def step(self, actions: Tensor) -> tuple[TensorDict, Tensor, Tensor, dict[str, Any]]:
        self.steps += 1
        self.state[:, 1] += 0.1 * actions[:, 0]
        self.state[:, 0] += 0.1 * self.state[:, 1]
        self.episode_length_buf += 1
        late, lost = self.episode_length_buf >= 10, self.state[:, 0].abs() > 2.0
        rewards = -self.state[:, 0].abs()
        self.state[late | lost] = torch.rand(8, 2, generator=self._random)[late | lost]
        self.episode_length_buf[late | lost] = 0
        if self.steps == self.spoil:
            rewards[3] = float("nan")
        log = {"error": -rewards.mean()}
        return self.get_observations(), rewards, (late | lost).long(), {"time_outs": late.float(), "log": log}


def train(
    path: Path, environment: PointMass, *, again: bool = False, seed: int = 1, keep: float = 0.0, **more: Any
) -> Run:
    """Begin a run, or go on with one; with `keep`, as a fine-tuning whose actor learns after `first` iterations."""
    files = {"agent.yaml": AGENT.to_yaml()}
    asked = {"stage": "train", "seed": seed, "num_envs": 8, "device": "cpu", "plant": "none", "acting": "actor"}
    record = make_record(files, {}, **asked)
    settings = AGENT.runner_settings(actor=["actor"], critic=["critic"])
    runner = make_runner("OnPolicyRunner", environment, settings, seed=seed, device="cpu", where="agent.yaml")
    run = resume(path, record, files) if again else begin(path, record, files, snapshot(runner, 0))
    if keep:
        more["guard"] = Guard(run, runner.alg, keep=keep, first=more.pop("first", 0), tell=more.pop("tell", print))
    learn(run, runner, AGENT.max_iterations, **more)
    return run


if __name__ == "__main__":
    import os
    import signal

    class Killed(PointMass):
        def step(self, actions: Tensor) -> tuple[TensorDict, Tensor, Tensor, dict[str, Any]]:
            if self.steps == int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)
            return super().step(actions)

    train(Path(sys.argv[1]), Killed())
