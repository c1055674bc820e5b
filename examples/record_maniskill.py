"""Record a ManiSkill environment, with whatever acts in it.

    python examples/record_maniskill.py trace.npz

The actions here are drawn at random; put your policy there. One row is one moment: the state, what the network saw of
it, what it decided. The target is what that action set, so the row is written after the step, with the state from
before it.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import gymnasium as gym
import mani_skill.envs  # noqa: F401  registers ManiSkill's tasks
import numpy as np

from policy_port.trace import Recorder


def array(value: Any) -> np.ndarray:
    """A torch tensor on whatever device, or an array, as a copy in main memory."""
    return np.array(value.cpu() if hasattr(value, "cpu") else value)


def main(path: str, env_id: str = "PickCube-v1", episodes: int = 2, num_envs: int = 1) -> None:
    """Run some episodes and record them."""
    env = gym.make(
        env_id,
        num_envs=num_envs,
        obs_mode="state",
        control_mode="pd_joint_delta_pos",
        sim_backend="physx_cpu" if num_envs == 1 else "physx_cuda",
        render_backend="none",
    )
    inner: Any = env.unwrapped
    robot = inner.agent.robot
    joints = robot.active_joints
    header = {
        "simulator": f"maniskill {version('mani_skill')}, sapien {version('sapien')}",
        "actuation": f"the environment's controller {inner.control_mode}",
        "joint_names": [joint.name for joint in joints],
        "timestep": 1.0 / inner.sim_freq,
        "decimation": inner.sim_freq // inner.control_freq,
        "control_dt": 1.0 / inner.control_freq,
    }
    with Recorder(path, header) as recorder:
        for episode in range(episodes):
            observation, _ = env.reset(seed=episode)
            step, ended = 0, False
            while not ended:
                # Your policy: action = policy(observation).
                action = env.action_space.sample().reshape(num_envs, -1)
                before = {
                    "time": np.full(num_envs, step * header["control_dt"]),
                    "episode": np.full(num_envs, episode),
                    "joint_pos": array(robot.get_qpos()),
                    "joint_vel": array(robot.get_qvel()),
                    "observation": array(observation),
                    "action": array(action),
                }
                observation, _, terminated, truncated, _ = env.step(action)
                target = np.stack([array(joint.drive_target).reshape(num_envs) for joint in joints], axis=1)
                recorder.record(**before, target=target)
                step += 1
                ended = bool(array(terminated | truncated).any())
    env.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "trace.npz")
