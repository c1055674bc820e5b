"""Runs in mjlab's environment: one of its tasks by its own runner, what that leaves on disk, and a trace.

    python mjlab_run.py TASK OUT [--steps N] [--environments N] [--iterations N] [--seed N]

OUT gets what mjlab's `train` writes (params/env.yaml, params/agent.yaml, model_*.pt, OUT's name with .onnx) and
trace.npz. policy-port is not installed here: POLICY_PORT_TRACE names its recorder, one file.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import mjlab.tasks  # noqa: F401  # pyright: ignore
import mujoco
import numpy as np
import torch
from mjlab.envs import ManagerBasedRlEnv  # pyright: ignore
from mjlab.rl import MjlabOnPolicyRunner, RslRlVecEnvWrapper  # pyright: ignore
from mjlab.tasks.registry import load_env_cfg, load_rl_cfg, load_runner_cls  # pyright: ignore
from mjlab.utils.os import dump_yaml  # pyright: ignore

MOTION_SECONDS = 8.0
MOTION_RATE = 50


def main() -> None:
    """Train for a moment, save as mjlab does, and record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task")
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--environments", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    cfg, agent = load_env_cfg(given.task, play=True), load_rl_cfg(given.task)
    cfg.scene.num_envs, cfg.seed, agent.seed = given.environments, given.seed, given.seed
    agent.logger, agent.upload_model, agent.max_iterations = "tensorboard", False, given.iterations
    if "motion" in cfg.commands:
        cfg.commands["motion"].motion_file = str(given.out / "motion.npz")
        write_motion(given.out / "motion.npz", cfg.scene.entities["robot"])
    env = RslRlVecEnvWrapper(ManagerBasedRlEnv(cfg=cfg, device="cpu"), clip_actions=agent.clip_actions)
    # The order of mjlab's own train.py: the runner changes the agent's settings in place.
    dump_yaml(given.out / "params" / "env.yaml", asdict(cfg))
    dump_yaml(given.out / "params" / "agent.yaml", asdict(agent))
    kind = load_runner_cls(given.task) or MjlabOnPolicyRunner
    runner = kind(env, asdict(agent), str(given.out), "cpu")
    runner.learn(num_learning_iterations=given.iterations, init_at_random_ep_len=False)
    record(env, runner.get_inference_policy(device="cpu"), given.out / "trace.npz", given.steps)
    env.close()


def write_motion(path: Path, entity: Any) -> None:
    """A motion of our own, in the layout that mjlab's tracking task reads: the robot stands and swings its joints."""
    from mjlab.entity import Entity  # pyright: ignore

    robot = Entity(entity)
    model = robot.spec.compile()
    data = mujoco.MjData(model)
    start = np.array(model.key("init_state").qpos)
    # Body 0 is the world, which mjlab's entity does not count.
    rows: dict[str, list[np.ndarray]] = {
        name: [] for name in ("joint_pos", "joint_vel", "body_pos_w", "body_quat_w", "body_lin_vel_w", "body_ang_vel_w")
    }
    for step in range(int(MOTION_SECONDS * MOTION_RATE)):
        turn = 2.0 * math.pi * 0.5 * step / MOTION_RATE
        phase = np.linspace(0.0, math.pi, model.nq - 7)
        data.qpos[:] = start
        data.qpos[7:] += 0.1 * (np.sin(turn + phase) - np.sin(phase))
        data.qvel[:] = 0.0
        data.qvel[6:] = 0.1 * math.pi * np.cos(turn + phase)
        mujoco.mj_forward(model, data)
        velocity = np.zeros((model.nbody, 6))
        for body in range(model.nbody):
            mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, body, velocity[body], 0)
        rows["joint_pos"].append(np.array(data.qpos[7:]))
        rows["joint_vel"].append(np.array(data.qvel[6:]))
        rows["body_pos_w"].append(np.array(data.xpos[1:]))
        rows["body_quat_w"].append(np.array(data.xquat[1:]))
        rows["body_lin_vel_w"].append(velocity[1:, 3:])
        rows["body_ang_vel_w"].append(velocity[1:, :3])
    motion: dict[str, Any] = {name: np.array(each, np.float32) for name, each in rows.items()}
    np.savez(path, fps=np.array([MOTION_RATE]), **motion)


def record(env: Any, policy: Any, path: Path, steps: int) -> None:
    """Record the policy in its environment, each row before the robot moves."""
    spec = importlib.util.spec_from_file_location("policy_port_trace", os.environ["POLICY_PORT_TRACE"])
    assert spec is not None
    assert spec.loader is not None
    trace = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(trace)
    scene = env.unwrapped
    robot, term = scene.scene["robot"], scene.action_manager.get_term("joint_pos")
    data, names, driven = robot.data, list(robot.joint_names), list(term.target_names)
    columns = [names.index(name) for name in driven]
    header = {
        "simulator": f"mjlab {importlib.metadata.version('mjlab')}, MuJoCo Warp",
        "joint_names": names,
        "action_names": driven,
        "timestep": scene.physics_dt,
        "decimation": scene.cfg.decimation,
        "control_dt": scene.step_dt,
        "encoder_bias": numbers(data.encoder_bias).tolist(),
    }
    observed = env.get_observations()
    with trace.Recorder(path, header) as recorder, torch.inference_mode():
        for _ in range(steps):
            row = {
                "time": numbers(scene.episode_length_buf * scene.step_dt),
                "joint_pos": numbers(data.joint_pos),
                "joint_vel": numbers(data.joint_vel),
                "base_pos": numbers(data.root_link_pos_w - scene.scene.env_origins),
                "base_quat": numbers(data.root_link_quat_w),
                "base_lin_vel": numbers(data.root_link_lin_vel_b),
                "base_ang_vel": numbers(data.root_link_ang_vel_b),
                "observation": numbers(observed["actor"]),
            }
            if "twist" in scene.command_manager.active_terms:
                row["command"] = numbers(scene.command_manager.get_command("twist"))
            action = policy(observed)
            row["action"] = numbers(action)
            observed, *_ = env.step(action)
            target = row["joint_pos"] * 0.0
            target[:, columns] = numbers(term._processed_actions)
            recorder.record(**row, target=target)


def numbers(tensor: Any) -> np.ndarray:
    """A copy: mjlab writes into its buffers."""
    return tensor.detach().cpu().numpy().copy()


if __name__ == "__main__":
    main()
