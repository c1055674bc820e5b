"""Train the SO100 reach policy with RSL-RL in ManiSkill on CPU cores, and measure it.

Train:     python scripts/train_so100_reach.py --out runs/so100_reach
Go on:     python scripts/train_so100_reach.py --out runs/so100_reach --resume
Measure:   python scripts/train_so100_reach.py --out runs/so100_reach --evaluate runs/so100_reach/model_599.pt

The run folder gets `model_N.pt`, `params/agent.yaml`, `progress.jsonl` and `evaluation.json`. Training sees wider start
poses and goals than the task has, noisy joint positions and drives that are too stiff or too soft, so that the
policy works in another simulator and on the arm; the evaluation is the task itself, without noise.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import math
import multiprocessing as mp
import os
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import yaml
from rsl_rl.env import VecEnv
from rsl_rl.models import MLPModel
from rsl_rl.runners import OnPolicyRunner
from rsl_rl.utils.log_writer import LogWriter
from tensordict import TensorDict
from tqdm import tqdm

from policy_port.errors import CheckpointError, OutputError, PolicyPortError
from policy_port.tasks.reach import SO100_REACH, ReachTask

OBSERVATION_SIZE = 15
FIRST_TRAINING_SEED = 1_000_000
EVALUATION_SEEDS = range(100)

# Wider than the task on every side, so that the task lies well inside of what the policy has seen.
TRAINING_TASK = dataclasses.replace(
    SO100_REACH,
    joint_noise=(0.8, 0.45, 0.45, 0.45, 0.15, 0.04),
    goal_radius=(0.18, 0.36),
    goal_azimuth=(-1.0, 1.0),
    goal_height=(0.05, 0.24),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Randomization:
    """What differs from step to step and from episode to episode in training."""

    joint_pos_noise: float = 0.005
    """Standard deviation of the noise on observed joint positions [rad]."""

    drive_gain_range: float = 0.2
    """Stiffness and damping are scaled, each on its own, by up to 1 -+ this."""


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

        self._env = gym.make(
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
        self.cfg: dict[str, Any] = {}
        context = mp.get_context("spawn")
        self._connections: list[Connection] = []
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
            final = torch.from_numpy(distances[timeouts]).float()
            extras["log"]["/final_distance"] = final.mean()
            extras["log"]["/success"] = (final <= SO100_REACH.success_distance).float().mean()
        return self._observations, torch.from_numpy(rewards).float(), done.long(), extras

    def close(self) -> None:
        """End the worker processes."""
        for connection in self._connections:
            connection.send(None)
        for process in self._processes:
            process.join(timeout=10)


class ProgressWriter(LogWriter):
    """Moves the progress bar and appends every iteration's figures to `progress.jsonl`."""

    def __init__(self, log_dir: str, *, bar: list[tqdm]) -> None:
        self._file = (Path(log_dir) / "progress.jsonl").open("a", encoding="utf-8")
        self._bar = bar[0]
        self._iteration = -1
        self._figures: dict[str, float] = {}

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Collect one figure; a figure of a later iteration closes the one before."""
        # RSL-RL files these under seconds instead of iterations.
        if tag.endswith("/time"):
            return
        if global_step != self._iteration:
            self._flush()
            self._iteration = global_step
        self._figures[tag] = float(scalar_value)

    def _flush(self) -> None:
        if not self._figures:
            return
        self._file.write(json.dumps({"iteration": self._iteration, **self._figures}) + "\n")
        self._file.flush()
        shown = {"reward": "Train/mean_reward", "success": "/success", "distance": "/final_distance"}
        self._bar.set_postfix({name: f"{self._figures.get(tag, math.nan):.3g}" for name, tag in shown.items()})
        self._bar.update()
        self._figures = {}

    def stop(self) -> None:
        """Write the last iteration."""
        self._flush()
        self._file.close()


def agent_config(seed: int, iterations: int) -> dict[str, Any]:
    """Return the training configuration in RSL-RL's layout, as written to `params/agent.yaml`."""
    network = {"class_name": "MLPModel", "hidden_dims": [64, 64], "activation": "elu", "obs_normalization": True}
    return {
        "class_name": "OnPolicyRunner",
        "seed": seed,
        "device": "cpu",
        "num_steps_per_env": 32,
        "max_iterations": iterations,
        "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
        "clip_actions": None,
        "save_interval": 50,
        "experiment_name": "so100_reach",
        "run_name": "",
        "logger": "tensorboard",
        "actor": {
            **network,
            "distribution_cfg": {"class_name": "GaussianDistribution", "init_std": 0.5, "std_type": "scalar"},
        },
        "critic": {**network, "distribution_cfg": None},
        "algorithm": {
            "class_name": "PPO",
            "num_learning_epochs": 5,
            "num_mini_batches": 4,
            "learning_rate": 1.0e-3,
            "schedule": "adaptive",
            "gamma": 0.96,
            "lam": 0.95,
            "entropy_coef": 0.0005,
            "desired_kl": 0.01,
            "max_grad_norm": 1.0,
            "value_loss_coef": 1.0,
            "use_clipped_value_loss": True,
            "clip_param": 0.2,
            "optimizer": "adam",
        },
    }


def newest_checkpoint(folder: Path) -> Path:
    """Return the `model_N.pt` with the greatest N.

    Raises:
        CheckpointError: When the folder has none.
    """
    found = [path for path in folder.glob("model_*.pt") if path.stem.removeprefix("model_").isdigit()]
    if not found:
        raise CheckpointError(f"{folder}: there is no model_N.pt to resume from. Train without --resume first.")
    return max(found, key=lambda path: int(path.stem.removeprefix("model_")))


def train(*, out: Path, iterations: int, workers: int, envs_per_worker: int, seed: int, resume: bool) -> Path:
    """Train up to `iterations` in all and return the last checkpoint.

    Raises:
        OutputError: When the folder already holds checkpoints and `resume` is false.
        CheckpointError: When `resume` is true and there is nothing to resume.
    """
    if not resume and any(out.glob("model_*.pt")):
        raise OutputError(f"{out}: the folder already holds checkpoints. Add --resume, or choose another --out.")
    start_from = newest_checkpoint(out) if resume else None
    done = int(start_from.stem.removeprefix("model_")) + 1 if start_from else 0
    config = agent_config(seed, iterations)
    (out / "params").mkdir(parents=True, exist_ok=True)
    (out / "params" / "agent.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    # A resumed run has its own seeds, else it would repeat the episodes of its first part.
    torch.manual_seed(seed + done)
    np.random.seed(seed + done)
    # Each iteration uses fewer episodes than environments, so two parts of a run never share one.
    first_episode_seed = FIRST_TRAINING_SEED * (1 + seed) + done * workers * envs_per_worker
    env = WorkerVecEnv(
        workers=workers, envs_per_worker=envs_per_worker, seed=seed + done, first_episode_seed=first_episode_seed
    )
    with tqdm(total=iterations, initial=done, desc="training", unit="it", dynamic_ncols=True) as bar:
        _learn(env, config, out, start_from, iterations - done, bar)
    env.close()
    return newest_checkpoint(out)


def _learn(
    env: WorkerVecEnv, config: dict[str, Any], out: Path, start_from: Path | None, iterations: int, bar: tqdm
) -> None:
    # RSL-RL prints a page for every iteration; the bar says the same in a line.
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        runner = OnPolicyRunner(env, json.loads(json.dumps(config)), log_dir=str(out), device="cpu")
        runner.cfg["logger"] = {"class_name": lambda log_dir: ProgressWriter(log_dir, bar=[bar])}
        runner.logger.git_status_repos = []
        if start_from is not None:
            runner.load(str(start_from))
            runner.current_learning_iteration += 1
        runner.learn(iterations)


def load_actor(checkpoint: Path) -> MLPModel:
    """Build the actor described by `params/agent.yaml` beside a checkpoint and load its weights.

    Raises:
        CheckpointError: When either file is missing.
    """
    agent = checkpoint.parent / "params" / "agent.yaml"
    for path in (checkpoint, agent):
        if not path.is_file():
            raise CheckpointError(
                f"{path}: there is no such file. --evaluate needs a checkpoint and params/agent.yaml beside it."
            )
    config = yaml.safe_load(agent.read_text(encoding="utf-8"))
    network = {key: value for key, value in config["actor"].items() if key != "class_name"}
    sample = TensorDict({"policy": torch.zeros(1, OBSERVATION_SIZE)}, batch_size=[1])
    actor = MLPModel(sample, config["obs_groups"], "actor", len(SO100_REACH.joint_names), **network)
    actor.load_state_dict(torch.load(checkpoint, weights_only=True, map_location="cpu")["actor_state_dict"])
    return actor.eval()


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpisodeResult:
    """How one evaluated episode went."""

    success: bool
    """Whether the tip was at the goal at the last step."""

    final_distance: float
    """Distance from tip to goal at the last step [m]."""

    first_success_step: int
    """Control step after which the tip first was at the goal; the episode's length when it never was."""

    limit_excess: float
    """Farthest that any joint target lay beyond its limit [rad]."""

    idle_drift: float
    """Farthest that the target of a joint to be held still moved from its start [rad]."""

    lowest_tip: float
    """Least height of the tip [m]."""

    action_change: float
    """Mean absolute change of the clipped action from step to step."""


def run_episode(env: Any, actor: MLPModel, seed: int) -> EpisodeResult:
    """Run one episode of the task with the deterministic policy."""
    task: ReachTask = env.task
    lower, upper = torch.tensor(task.joint_lower), torch.tensor(task.joint_upper)
    held = [task.joint_names.index(name) for name in task.held_joints]
    observation, _ = env.reset(seed=seed)
    start = env.joint_target[0].clone()
    previous = torch.zeros(len(task.joint_names))
    excess, drift, lowest, changes, arrivals = 0.0, 0.0, math.inf, [], []
    for step in range(task.episode_steps):
        with torch.inference_mode():
            action = actor(TensorDict({"policy": observation}, batch_size=[1])).clamp(-1, 1)
        observation, _, _, _, info = env.step(action)
        target = env.joint_target[0]
        excess = max(excess, float(torch.maximum(target - upper, lower - target).max()))
        drift = max(drift, float((target - start)[held].abs().max()))
        lowest = min(lowest, float(env.tip_pos[0, 2]))
        changes.append(float((action[0] - previous).abs().mean()))
        previous = action[0]
        if bool(info["success"][0]):
            arrivals.append(step + 1)
    return EpisodeResult(
        success=bool(info["success"][0]),
        final_distance=float(info["distance"][0]),
        first_success_step=min(arrivals, default=task.episode_steps),
        limit_excess=excess,
        idle_drift=drift,
        lowest_tip=lowest,
        action_change=float(np.mean(changes)),
    )


def evaluate(checkpoint: Path) -> dict[str, Any]:
    """Measure the deterministic policy on the task's seeds 0 to 99, without noise."""
    from policy_port.tasks.so100_reach_env import ENV_ID

    env = gym.make(ENV_ID, sim_backend="physx_cpu", render_backend="none", reward_mode="none").unwrapped
    actor = load_actor(checkpoint)
    results = [run_episode(env, actor, seed) for seed in tqdm(EVALUATION_SEEDS, desc="evaluating", unit="episode")]
    env.close()
    return {
        "checkpoint": checkpoint.name,
        "environment": ENV_ID,
        "episodes": len(results),
        "seeds": [EVALUATION_SEEDS.start, EVALUATION_SEEDS.stop - 1],
        "success_rate": float(np.mean([result.success for result in results])),
        "mean_final_distance_m": float(np.mean([result.final_distance for result in results])),
        "max_final_distance_m": max(result.final_distance for result in results),
        "mean_first_success_step": float(np.mean([result.first_success_step for result in results])),
        "max_limit_excess_rad": max(result.limit_excess for result in results),
        "max_idle_drift_rad": max(result.idle_drift for result in results),
        "lowest_tip_m": min(result.lowest_tip for result in results),
        "mean_action_change": float(np.mean([result.action_change for result in results])),
    }


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="run folder")
    parser.add_argument("--iterations", type=int, default=600, help="iterations in all, those resumed from included")
    parser.add_argument("--workers", type=int, default=2, help="worker processes")
    parser.add_argument("--envs-per-worker", type=int, default=32, help="environments in each worker")
    parser.add_argument("--seed", type=int, default=1, help="seed of networks, noise and episodes")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in --out")
    parser.add_argument("--evaluate", type=Path, metavar="CHECKPOINT", help="only measure this checkpoint")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Train or measure, as asked; returns the exit status."""
    options = _parse(arguments)
    try:
        seconds, checkpoint = 0.0, options.evaluate
        if checkpoint is None:
            started = time.monotonic()
            checkpoint = train(
                out=options.out,
                iterations=options.iterations,
                workers=options.workers,
                envs_per_worker=options.envs_per_worker,
                seed=options.seed,
                resume=options.resume,
            )
            seconds = time.monotonic() - started
        result = evaluate(checkpoint)
        if options.evaluate is None:
            result["training_seconds"] = round(seconds, 1)
    except PolicyPortError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=2)
    (options.out / "evaluation.json").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
