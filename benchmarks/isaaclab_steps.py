"""Runs in Isaac Lab's own environment: step one of its tasks without Kit, on Newton and the CPU, and record it.

It leaves what a training leaves (params/, io_descriptors/, model_0.pt, exported/), written by Isaac Lab's own code, and
trace.npz by examples/record_isaac_lab.py. With `--policy`, a port's TorchScript acts in place of the untrained network.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

ENVIRONMENTS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", help="Isaac Lab's name of the task")
    parser.add_argument("--robot", type=Path, required=True, help="USD file of the robot")
    parser.add_argument("--ground", type=Path, required=True, help="USD file of the ground")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--steps", type=int, required=True, help="control steps")
    parser.add_argument("--ordering", choices=("physx", "mjwarp"), help="order of joints and bodies")
    parser.add_argument("--policy", type=Path, help="TorchScript of a port, which acts")
    parser.add_argument("--gains", nargs=3, type=float, help="stiffness, damping, armature of all joints' own drives")
    parser.add_argument("--simple-drives", action="store_true", help="ANYmal's DC motors, not its network")
    parser.add_argument("--command", nargs=3, type=float, help="the velocity command, held")
    options = parser.parse_args()
    sys.argv = sys.argv[:1]
    # Isaac Lab's environment has no policy-port; the recorder needs only NumPy.
    sys.path[:0] = [str(ROOT), str(ROOT / "examples")]
    run(options)


def run(options: argparse.Namespace) -> None:
    """Make the environment, leave what a training leaves, and record."""
    import gymnasium as gym
    from isaaclab.app.sim_launcher import launch_simulation
    from isaaclab.utils.io import dump_yaml
    from isaaclab_rl.rsl_rl import RslRlVecEnvWrapper, create_rsl_rl_runner, handle_deprecated_rsl_rl_cfg
    from isaaclab_tasks.utils import resolve_task_config
    from record_isaac_lab import record

    env_cfg, agent_cfg = resolve_task_config(options.task, "rsl_rl_cfg_entry_point", play_mode=True)
    configure(env_cfg, options)
    agent_cfg = handle_deprecated_rsl_rl_cfg(agent_cfg, importlib.metadata.version("rsl-rl-lib"))
    agent_cfg.device = "cpu"
    app = argparse.Namespace(device="cpu", headless=True, visualizer=None, num_envs=ENVIRONMENTS, video=False)
    app.enable_cameras = False
    with launch_simulation(env_cfg, app):
        env: Any = gym.make(options.task, cfg=env_cfg)
        for name, cfg in (("env", env_cfg), ("agent", agent_cfg)):
            dump_yaml(str(options.out / "params" / f"{name}.yaml"), cfg)
        wrapped = RslRlVecEnvWrapper(env, clip_actions=agent_cfg.clip_actions)
        runner = create_rsl_rl_runner(wrapped, agent_cfg)
        env.unwrapped.export_IO_descriptors()
        runner.save(str(options.out / "model_0.pt"))
        runner.export_policy_to_onnx(path=str(options.out / "exported"), filename="policy.onnx")
        policy = runner.get_inference_policy(device="cpu") if options.policy is None else port_policy(options.policy)
        record(wrapped, policy, options.out / "trace.npz", options.steps)
        robot = env.unwrapped.scene["robot"]
        print("joints:", *robot.joint_names)
        print("backend joints:", *robot.backend_joint_names)
        print("bodies:", *robot.body_names)
        env.close()


def configure(env_cfg: Any, options: argparse.Namespace) -> None:
    """Robot and ground from files that are at hand, few environments, nothing drawn that goes by column."""
    robot, terrain = env_cfg.scene.robot, env_cfg.scene.terrain
    robot.spawn.usd_path = str(options.robot)
    robot.joint_ordering = robot.body_ordering = options.ordering
    if options.simple_drives:
        from isaaclab_assets.robots.anymal import ANYDRIVE_3_SIMPLE_ACTUATOR_CFG

        robot.actuators = {"legs": ANYDRIVE_3_SIMPLE_ACTUATOR_CFG}
    if options.gains is not None:
        from isaaclab.actuators import ImplicitActuatorCfg

        gains = dict(zip(("stiffness", "damping", "armature"), options.gains, strict=True))
        robot.actuators = {"all": ImplicitActuatorCfg(joint_names_expr=[".*"], **gains)}
    env_cfg.scene.num_envs, env_cfg.sim.device, env_cfg.seed = ENVIRONMENTS, "cpu", 1
    # The sky's texture and the ground's material lie on NVIDIA's server, and nothing here is seen.
    env_cfg.scene.sky_light = None
    terrain.terrain_type, terrain.usd_path, terrain.visual_material = "usd", str(options.ground), None
    # Where joints start is drawn column by column: in another order, the same draws would go to other joints.
    env_cfg.events.reset_robot_joints.params["position_range"] = (1.0, 1.0)
    if options.command is not None:
        ranges = env_cfg.commands.base_velocity.ranges
        ranges.lin_vel_x, ranges.lin_vel_y, ranges.ang_vel_z = ((value, value) for value in options.command)
        env_cfg.commands.base_velocity.heading_command = False
        env_cfg.commands.base_velocity.rel_standing_envs = 0.0
    env_cfg.log_dir = str(options.out)
    env_cfg.export_io_descriptors = True


def port_policy(path: Path) -> Any:
    """A port's TorchScript, asked for one environment at a time, as a robot would."""
    import torch

    network = torch.jit.load(str(path), map_location="cpu").eval()

    def act(obs: Any) -> torch.Tensor:
        return torch.cat([network(row[None]) for row in obs["policy"].float()])

    return act


if __name__ == "__main__":
    main()
