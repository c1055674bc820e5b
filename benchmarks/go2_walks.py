"""From nothing, go2 and g1 in MuJoCo learn to follow a velocity command: what the kept checkpoints do on twenty seeds.

The checkpoints' trainings are in go2_walks.md; the robots are beside the project, in `shared/real_policies`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from policy_port.checkpoints.load import load_policy
from policy_port.contract import load_contract
from policy_port.tasks.velocity import VelocityTask, load_task
from policy_port.train.environment import make_environment

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("POLICY_PORT_SHARED", ROOT.parent / "shared")) / "real_policies"
HERE = Path(__file__).resolve().parent
SECONDS, SETTLING, NEAR = 10.0, 2.0, 0.1


class Walker(NamedTuple):
    """What is asked of a robot; contract and checkpoint are in the folder NAME_walks."""

    file: str
    task: str
    speeds: tuple[float, ...]


WALKERS = {
    "go2": Walker("go2/go2.xml", "go2_velocity_clock", (0.5, -0.2, 0.0, 0.25, 0.75)),
    "g1": Walker("g1_12dof/g1_12dof.xml", "g1_velocity_clock", (0.5, 0.3, 0.4, 0.6, 0.7)),
}


def walk(name: str, checkpoint: Path, speed: float, seeds: int) -> tuple[int, np.ndarray]:
    """How many of the seeds fell, told `speed` [m/s], and each one's mean speed once it has settled [m/s]."""
    contract, walker = load_contract(HERE / f"{name}_walks" / "contract.yaml"), WALKERS[name]
    task = load_task(walker.task).model_dump()
    task |= {"command": {"lin_vel_x": [speed, speed], "resample": [99.0, 99.0]}, "episode": SECONDS}
    environment = make_environment(
        plant="mujoco",
        robot=SHARED / "robots" / walker.file,
        contracts={"policy": contract},
        acting="policy",
        task=VelocityTask.model_validate(task),
        num_envs=1,
        seed=0,
    )
    actor = load_policy(checkpoint, activation="elu").actor
    speeds, fell = [], 0
    for seed in range(seeds):
        environment.begin(seed)
        forward = []
        for _ in range(environment.max_episode_length - 1):
            with torch.no_grad():
                action = actor(environment.get_observations()["policy"])[0]
            if environment.step(action)[2].any():
                fell += 1
                break
            forward.append(float(environment.signals.state.base_lin_vel[0, 0]))
        speeds.append(np.mean(forward[round(SETTLING / contract.control_dt) :] or [np.nan]))
    environment.close()
    return fell, np.array(speeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--robot", choices=WALKERS, default="go2")
    parser.add_argument("--checkpoint", type=Path, help="RSL-RL's file; the kept one, if absent")
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{SECONDS:g} s, {options.seeds} seeds of start poses; speed is the mean after {SETTLING:g} s")
    checkpoint = options.checkpoint or HERE / f"{options.robot}_walks" / "model.pt"
    for speed in WALKERS[options.robot].speeds:
        fell, speeds = walk(options.robot, checkpoint, speed, options.seeds)
        near = int((np.abs(speeds - speed) <= NEAR).sum())
        found = f"{np.mean(speeds):6.3f} m/s ({speeds.min():.3f} to {speeds.max():.3f})"
        print(f"  told {speed:5.2f} m/s: fell {fell}, {found}, within {NEAR} m/s on {near}")


if __name__ == "__main__":
    main()
