"""Train the SO100 reach policy with RSL-RL in ManiSkill on CPU cores, and measure it.

Train:     python scripts/train_so100_reach.py --out runs/so100_reach
Go on:     python scripts/train_so100_reach.py --out runs/so100_reach --resume
Measure:   python scripts/train_so100_reach.py --out runs/so100_reach --evaluate runs/so100_reach/model_149.pt

Training has two stages with the same reward, noise and task. The first, in `pretraining/`, runs on joints that
follow their targets with a first-order lag, thousands of times faster than a physics engine: with gravity off and
nothing to touch, the arm is little else. The second goes on in ManiSkill, from the first one's weights.

The run folder gets `model_N.pt`, `params/agent.yaml`, `progress.jsonl` and `evaluation.json`. Training sees wider
start poses and goals than the task has, noisy joint positions and drives that are too stiff or too soft, so that the
policy works in another simulator and on the arm; the evaluation is the task itself, without noise.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import math
import os
import sys
import time
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
from so100_training.lagging import LaggingVecEnv
from so100_training.simulated import WorkerVecEnv

OBSERVATION_SIZE = 15
FIRST_TRAINING_SEED = 1_000_000
EVALUATION_SEEDS = range(100)
PRETRAINING_ENVS = 1024


class ProgressWriter(LogWriter):
    """Moves the progress bar and appends every iteration's figures to `progress.jsonl`."""

    def __init__(self, log_dir: str, *, bar: tqdm) -> None:
        self._file = (Path(log_dir) / "progress.jsonl").open("a", encoding="utf-8")
        self._bar = bar
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


def _network() -> dict[str, Any]:
    return {"class_name": "MLPModel", "hidden_dims": [64, 64], "activation": "elu", "obs_normalization": True}


def agent_config(seed: int, iterations: int) -> dict[str, Any]:
    """Return the training configuration in RSL-RL's layout, as written to `params/agent.yaml`."""
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
            **_network(),
            # Held joints are worth no exploration. Without a floor their deviation shrinks until every change of the
            # policy looks like a large step, and the others stop learning.
            "distribution_cfg": {
                "class_name": "GaussianDistribution",
                "init_std": 0.5,
                "std_range": [0.2, 1.0],
                "std_type": "scalar",
            },
        },
        "critic": {**_network(), "distribution_cfg": None},
        "algorithm": {
            "class_name": "PPO",
            "num_learning_epochs": 5,
            "num_mini_batches": 4,
            "learning_rate": 1.0e-3,
            "schedule": "adaptive",
            "gamma": 0.96,
            "lam": 0.95,
            "entropy_coef": 0.0,
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What to train, and how much."""

    out: Path
    """Run folder."""

    iterations: int
    """Iterations of the second stage, in all."""

    pretraining_iterations: int
    """Iterations of the first stage; 0 leaves it out."""

    workers: int
    """Worker processes of the second stage."""

    envs_per_worker: int
    """Environments in each worker."""

    seed: int
    """Seed of networks, noise and episodes."""


def train(plan: TrainingPlan, *, resume: bool) -> Path:
    """Train both stages and return the last checkpoint.

    Raises:
        OutputError: When the folder already holds checkpoints and `resume` is false.
        CheckpointError: When `resume` is true and there is nothing to resume.
    """
    pretraining = plan.out / "pretraining"
    if not resume and any(plan.out.rglob("model_*.pt")):
        raise OutputError(f"{plan.out}: the folder already holds checkpoints. Add --resume, or choose another --out.")
    if resume and any(plan.out.glob("model_*.pt")):
        return _train_in_simulator(plan, newest_checkpoint(plan.out), resume=True)
    weights = newest_checkpoint(pretraining) if resume else None
    done = int(weights.stem.removeprefix("model_")) + 1 if weights else 0
    if done < plan.pretraining_iterations:
        env = LaggingVecEnv(
            num_envs=PRETRAINING_ENVS,
            seed=plan.seed + done,
            first_episode_seed=FIRST_TRAINING_SEED * (100 + plan.seed) + done * PRETRAINING_ENVS,
        )
        _learn(env, plan, pretraining, weights, range(done, plan.pretraining_iterations), "pretraining")
        weights = newest_checkpoint(pretraining)
    return _train_in_simulator(plan, weights, resume=False)


def _train_in_simulator(plan: TrainingPlan, weights: Path | None, *, resume: bool) -> Path:
    """Run the second stage from `weights`, whose iterations count only when it is resumed."""
    done = int(weights.stem.removeprefix("model_")) + 1 if weights and resume else 0
    env = WorkerVecEnv(
        workers=plan.workers,
        envs_per_worker=plan.envs_per_worker,
        # A resumed run has its own seeds, else it would repeat the episodes of its first part. Each iteration uses
        # fewer episodes than there are environments.
        seed=plan.seed + done,
        first_episode_seed=FIRST_TRAINING_SEED * (1 + plan.seed) + done * plan.workers * plan.envs_per_worker,
    )
    _learn(env, plan, plan.out, weights, range(done, plan.iterations), "training")
    env.close()
    return newest_checkpoint(plan.out)


def _learn(env: VecEnv, plan: TrainingPlan, out: Path, weights: Path | None, iterations: range, stage: str) -> None:
    """Run PPO for `iterations`, starting from `weights` where given, and save to `out`."""
    config = agent_config(plan.seed, iterations.stop)
    (out / "params").mkdir(parents=True, exist_ok=True)
    (out / "params" / "agent.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    torch.manual_seed(plan.seed + iterations.start)
    np.random.seed(plan.seed + iterations.start)
    bar = tqdm(total=iterations.stop, initial=iterations.start, desc=stage, unit="it", dynamic_ncols=True)
    # RSL-RL prints a page for every iteration; the bar says the same in a line.
    with bar, open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        runner = OnPolicyRunner(env, json.loads(json.dumps(config)), log_dir=str(out), device="cpu")
        runner.cfg["logger"] = {"class_name": lambda log_dir: ProgressWriter(log_dir, bar=bar)}
        runner.logger.git_status_repos = []
        if weights is not None:
            runner.load(str(weights))
        runner.current_learning_iteration = iterations.start
        runner.learn(len(iterations))


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
    info: dict[str, Any] = {}
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
    parser.add_argument("--iterations", type=int, default=150, help="iterations in ManiSkill, in all")
    parser.add_argument("--pretraining", type=int, default=300, help="iterations on lagging joints, in all")
    parser.add_argument("--workers", type=int, default=2, help="worker processes")
    parser.add_argument("--envs-per-worker", type=int, default=32, help="environments in each worker")
    parser.add_argument("--seed", type=int, default=1, help="seed of networks, noise and episodes")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in --out")
    parser.add_argument("--evaluate", type=Path, metavar="CHECKPOINT", help="only measure this checkpoint")
    return parser.parse_args(arguments)


def _plan(options: argparse.Namespace) -> TrainingPlan:
    return TrainingPlan(
        out=options.out,
        iterations=options.iterations,
        pretraining_iterations=options.pretraining,
        workers=options.workers,
        envs_per_worker=options.envs_per_worker,
        seed=options.seed,
    )


def main(arguments: list[str] | None = None) -> int:
    """Train or measure, as asked; returns the exit status."""
    options = _parse(arguments)
    # Networks this small lose more to waking threads than they gain.
    torch.set_num_threads(1)
    try:
        seconds, checkpoint = 0.0, options.evaluate
        if checkpoint is None:
            started = time.monotonic()
            checkpoint = train(_plan(options), resume=options.resume)
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
