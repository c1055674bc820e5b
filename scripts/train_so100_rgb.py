"""Train a policy that sees by PPO in ManiSkill, in the environment of an env.yaml: camera, green screen, randomisation.

On a GPU:   scripts/train_so100_rgb --config env.yaml --out runs/grasp
Go on:      scripts/train_so100_rgb --config env.yaml --out runs/grasp --resume
To try it:  scripts/train_so100_rgb --config env.yaml --out runs/tiny --tiny

The run folder gets model_N.pt with a video each, TensorBoard's files, the curve and a report; `policy-port export RUN`
ports it. --tiny takes two environments on the CPU and two iterations, to see that all is there: nothing is learnt.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import yaml

from policy_port.camera.env_file import EnvFile, load_env_file
from policy_port.camera.scene import arrange, make_options
from policy_port.camera.trained import check_photographed, with_camera
from policy_port.contract import Contract
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.registry import import_contract
from policy_port.errors import PolicyPortError
from policy_port.replay.open_env import registered
from policy_port.train import task_ppo
from policy_port.train.ppo import Plan
from policy_port.train.task_distil import pictures
from policy_port.train.task_place import CUDA, TaskPlace

TINY = {
    "num_steps_per_env": 4,
    "max_iterations": 2,
    "save_interval": 1,
    "actor": {"hidden_dims": [8], "cnn_cfg": {"output_channels": [4, 4, 4]}},
    "algorithm": {"num_learning_epochs": 1, "num_mini_batches": 2},
}
"""Settings of --tiny, over those that ship."""


def contracts_of(given: EnvFile, control_mode: str) -> dict[str, Contract]:
    """What the actor sees and reads beside it, and what the critic reads, as the environment itself says."""
    modes = registered(given.env).SUPPORTED_OBS_MODES
    seeing = "rgb" if "rgb" in modes else "rgb+segmentation"

    def described(obs_mode: str) -> Contract:
        name = f"{given.env}_{obs_mode.partition('+')[0]}"
        asked = ImportOptions(name=name, env=given.env, control_mode=control_mode, obs_mode=obs_mode)
        return import_contract([], "maniskill_env", asked).contract

    height, width = given.image.size if given.image is not None else (128, 128)
    images = with_camera(pictures([f"{given.camera_name}={height}x{width}"]), given)
    actor, critic = described(seeing), described("state")
    return {"student": actor.model_copy(update={"images": images}), "teacher": critic}


def train(given: EnvFile, control_mode: str, plan: Plan, *, tiny: bool, num_envs: int, seed: int) -> str:
    """Train, and say what came out."""
    place = TaskPlace(
        env_id=given.env,
        control_mode=control_mode,
        sim_backend="physx_cpu" if tiny else CUDA,
        num_envs=2 if tiny else num_envs,
        seed=seed,
        device="cpu" if tiny else "cuda:0",
        options=make_options(given),
        arrange=lambda base: arrange(base, given),
    )
    if tiny:
        task_ppo.EPISODES = task_ppo.FINAL = range(2_000_000, 2_000_001)
    run = task_ppo.train_task(contracts_of(given, control_mode), place, plan)
    file, why = run.result()
    return f"{file}: {why}\nnext: policy-port export {run.path} --out PORT"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="env.yaml or env_config.json")
    parser.add_argument("--env", help="ManiSkill environment, for an env_config.json")
    parser.add_argument("--control-mode", default="pd_joint_target_delta_pos")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--agent", type=Path, help="settings over those that ship, in RSL-RL's keys")
    parser.add_argument("--num-envs", type=int, default=1024)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--minutes", type=float, help="stop at a checkpoint after this time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="two environments on the CPU, two iterations")
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        agent = said.agent
        if said.tiny and agent is None:
            agent = Path(folder) / "agent.yaml"
            agent.write_text(yaml.safe_dump(TINY), encoding="utf-8")
        plan = Plan(out=said.out, agent=agent, iterations=said.iterations, minutes=said.minutes, resume=said.resume)
        try:
            given = load_env_file(said.config, said.env)
            if (changed := check_photographed(given)) is not None:
                print(f"note: {changed}")
            print(train(given, said.control_mode, plan, tiny=said.tiny, num_envs=said.num_envs, seed=said.seed))
        except PolicyPortError as error:
            sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
