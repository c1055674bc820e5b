"""ManiSkill environments in worker processes, as one vectorised environment."""

import contextlib
import dataclasses
import multiprocessing as mp
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict

from policy_port.tasks.reach import ReachTask
from so100_training.task import TRAINING_TASK, Randomization, final_figures


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """What one worker process simulates."""

    task: ReachTask
    """Start poses and goals."""

    randomization: Randomization
    """Noise of observations and drives."""

    num_envs: int
    """Environments in this process."""

    seed: int
    """Seed of the noise; episode seeds count up from `first_episode_seed`."""

    first_episode_seed: int
    """Seed of the first episode."""

    episode_seed_stride: int
    """Distance between two episode seeds, so that no two workers share one."""


class EpisodeEnv:
    """One render-free ManiSkill environment that restarts itself and adds the training noise."""

    def __init__(self, setup: WorkerSetup, rng: np.random.Generator, episode_seeds: Iterator[int]) -> None:
        from policy_port.tasks.so100_reach_env import ENV_ID

        # ManiSkill's environments have more than gymnasium's type says, and batches where it has numbers.
        self._env: Any = gym.make(
            ENV_ID, task=setup.task, sim_backend="physx_cpu", render_backend="none", reward_mode="normalized_dense"
        ).unwrapped
        self._setup = setup
        self._rng = rng
        self._episode_seeds = episode_seeds
        self._joint_count = len(setup.task.joint_names)
        # Spread the restarts over time, so that a batch never holds only first steps of episodes.
        self._remaining = int(rng.integers(1, setup.task.episode_steps + 1))
        self.observation = self._reset()

    def _reset(self) -> np.ndarray:
        self._scale_drives()
        observation, _ = self._env.reset(options={"episode_seeds": [next(self._episode_seeds)]})
        return self._with_noise(observation)

    def _scale_drives(self) -> None:
        controller = self._env.agent.controller
        span = self._setup.randomization.drive_gain_range
        stiffness = np.asarray(controller.config.stiffness) * self._rng.uniform(1 - span, 1 + span)
        damping = np.asarray(controller.config.damping) * self._rng.uniform(1 - span, 1 + span)
        for index, joint in enumerate(controller.joints):
            joint.set_drive_properties(stiffness[index], damping[index], force_limit=controller.config.force_limit)

    def _with_noise(self, observation: torch.Tensor) -> np.ndarray:
        noisy = observation[0].numpy().copy()
        noise = self._rng.normal(0.0, self._setup.randomization.joint_pos_noise, self._joint_count)
        noisy[: self._joint_count] += noise.astype(np.float32)
        return noisy

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, float]:
        """Advance one control step; returns observation, reward, whether time ran out, distance to the goal [m]."""
        observation, reward, _, _, info = self._env.step(action)
        self._remaining -= 1
        distance = float(info["distance"][0])
        if self._remaining > 0:
            return self._with_noise(observation), float(reward[0]), False, distance
        self._remaining = self._setup.task.episode_steps
        return self._reset(), float(reward[0]), True, distance


def _serve(connection: Connection, setup: WorkerSetup) -> None:
    """Run in a worker process: answer each batch of actions with a batch of steps, until None arrives."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(setup.seed)
    seeds = iter(range(setup.first_episode_seed, sys.maxsize, setup.episode_seed_stride))
    envs = [EpisodeEnv(setup, rng, seeds) for _ in range(setup.num_envs)]
    connection.send(np.stack([env.observation for env in envs]))
    # The pipe ends without a word when the training process is killed.
    with contextlib.suppress(EOFError):
        _answer(connection, envs)


def _answer(connection: Connection, envs: list[EpisodeEnv]) -> None:
    while (actions := connection.recv()) is not None:
        steps = [env.step(action) for env, action in zip(envs, actions, strict=True)]
        observations, rewards, timeouts, distances = zip(*steps, strict=True)
        connection.send((np.stack(observations), np.array(rewards), np.array(timeouts), np.array(distances)))


class WorkerVecEnv(VecEnv):
    """Many environments in worker processes, as RSL-RL wants them.

    The observation group "policy" has shape (num_envs, 15).
    """

    def __init__(self, *, workers: int, envs_per_worker: int, seed: int, first_episode_seed: int) -> None:
        self.num_envs = workers * envs_per_worker
        self.num_actions = len(TRAINING_TASK.joint_names)
        self.max_episode_length = TRAINING_TASK.episode_steps
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.long)
        self.device = "cpu"
        self.cfg = {}
        context = mp.get_context("spawn")
        self._connections: list[Any] = []
        self._processes: list[Any] = []
        for index in range(workers):
            setup = WorkerSetup(
                task=TRAINING_TASK,
                randomization=Randomization(),
                num_envs=envs_per_worker,
                seed=seed * 1000 + index,
                first_episode_seed=first_episode_seed + index,
                episode_seed_stride=workers,
            )
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, setup), daemon=True)
            process.start()
            # Without this the parent would wait for ever on a worker that died.
            theirs.close()
            self._connections.append(ours)
            self._processes.append(process)
        self._observations = self._group(np.concatenate([connection.recv() for connection in self._connections]))

    def _group(self, observations: np.ndarray) -> TensorDict:
        return TensorDict({"policy": torch.from_numpy(observations)}, batch_size=[self.num_envs])

    def get_observations(self) -> TensorDict:
        """Return the current observations."""
        return self._observations

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Advance all environments by one control step."""
        batches = np.array_split(actions.numpy().astype(np.float32), len(self._connections))
        for connection, batch in zip(self._connections, batches, strict=True):
            connection.send(batch)
        answers = [connection.recv() for connection in self._connections]
        observations, rewards, timeouts, distances = (np.concatenate(part) for part in zip(*answers, strict=True))
        self._observations = self._group(observations)
        done = torch.from_numpy(timeouts)
        self.episode_length_buf = torch.where(done, 0, self.episode_length_buf + 1)
        extras: dict[str, Any] = {"time_outs": done.float(), "log": {}}
        if timeouts.any():
            extras["log"] = final_figures(torch.from_numpy(distances[timeouts]).float())
        return self._observations, torch.from_numpy(rewards).float(), done.long(), extras

    def close(self) -> None:
        """End the worker processes."""
        for connection in self._connections:
            connection.send(None)
        for process in self._processes:
            process.join(timeout=10)
