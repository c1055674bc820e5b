"""Runs in mjlab's own environment: train one of its tasks for a moment by its own runner, then step and record it.

It leaves what mjlab's `train` leaves (params/, model_*.pt, the folder's name with .onnx), and trace.npz by
examples/record_mjlab.py.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]

SEED = 7
MOTION_SECONDS = 8.0
MOTION_RATE = 50
SWING = 0.1
"""How far each joint of the motion swings [rad]."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", help="mjlab's name of the task")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--steps", type=int, required=True, help="control steps")
    parser.add_argument("--environments", type=int, default=2, help="robots side by side (default: 2)")
    parser.add_argument("--iterations", type=int, default=2, help="of training (default: 2)")
    options = parser.parse_args()
    sys.argv = sys.argv[:1]
    # mjlab's environment has no policy-port; the recorder needs only NumPy.
    sys.path[:0] = [str(ROOT), str(ROOT / "examples")]
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    run(options)


def run(options: argparse.Namespace) -> None:
    """Make the environment, leave what a training leaves, and record."""
    import mjlab.tasks  # noqa: F401
    import torch
    from mjlab.envs import ManagerBasedRlEnv
    from mjlab.rl import MjlabOnPolicyRunner, RslRlVecEnvWrapper
    from mjlab.tasks.registry import load_env_cfg, load_rl_cfg, load_runner_cls
    from mjlab.utils.os import dump_yaml
    from record_mjlab import record

    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    cfg, agent = load_env_cfg(options.task, play=True), load_rl_cfg(options.task)
    cfg.scene.num_envs, cfg.seed, agent.seed = options.environments, SEED, SEED
    agent.logger, agent.upload_model, agent.max_iterations = "tensorboard", False, options.iterations
    if "motion" in cfg.commands:
        cfg.commands["motion"].motion_file = str(out / "motion.npz")
        write_motion(out / "motion.npz", cfg.scene.entities["robot"])
    env = RslRlVecEnvWrapper(ManagerBasedRlEnv(cfg=cfg, device="cpu"), clip_actions=agent.clip_actions)
    # The order of mjlab's own train.py, since its runner changes the agent's settings in place.
    dump_yaml(out / "params" / "env.yaml", asdict(cfg))
    dump_yaml(out / "params" / "agent.yaml", asdict(agent))
    runner = (load_runner_cls(options.task) or MjlabOnPolicyRunner)(env, asdict(agent), str(out), "cpu")
    runner.learn(num_learning_iterations=options.iterations, init_at_random_ep_len=False)
    with torch.inference_mode():
        env.reset()
    record(env, runner.get_inference_policy(device="cpu"), out / "trace.npz", options.steps)
    env.close()


def write_motion(path: Path, entity: Any) -> None:
    """A motion of our own, as mjlab's tracking task reads it: the robot hangs at its start and swings every joint."""
    import mujoco
    from mjlab.entity import Entity

    model = Entity(entity).spec.compile()
    data = mujoco.MjData(model)
    phase = np.linspace(0.0, math.pi, model.nq - 7)
    rows: list[dict[str, Any]] = []
    for step in range(int(MOTION_SECONDS * MOTION_RATE)):
        turn = math.pi * step / MOTION_RATE
        data.qpos[:] = model.key("init_state").qpos
        data.qpos[7:] += SWING * (np.sin(turn + phase) - np.sin(phase))
        data.qvel[6:] = SWING * math.pi * np.cos(turn + phase)
        mujoco.mj_forward(model, data)
        velocity = np.zeros((model.nbody, 6))
        for body in range(model.nbody):
            mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, body, velocity[body], 0)
        # Body 0 is the world, which an entity of mjlab does not count.
        row = {"joint_pos": data.qpos[7:], "joint_vel": data.qvel[6:], "body_pos_w": data.xpos[1:]}
        row |= {"body_quat_w": data.xquat[1:], "body_lin_vel_w": velocity[1:, 3:], "body_ang_vel_w": velocity[1:, :3]}
        rows.append({name: np.array(values, np.float32) for name, values in row.items()})
    motion: dict[str, Any] = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    np.savez(path, fps=np.array([MOTION_RATE]), **motion)


if __name__ == "__main__":
    main()
