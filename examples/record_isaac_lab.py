"""Record a manager-based environment of Isaac Lab, 2.x or 3.0, in place of the loop of its play script.

    record(env, policy, "isaac_lab.npz", steps=1000)

`env` is RSL-RL's wrapper, `policy` what its runner gives for inference. benchmarks/isaaclab.md has what traces of
Isaac Lab 3.0.0 that this recorded were held against.
"""

from __future__ import annotations

import torch

from policy_port.trace import Recorder


def record(env, policy, path, steps, few=slice(0, 4), action="joint_pos", command="base_velocity"):
    """Step the environment; `few` of its environments are recorded, by the names of its action and command terms."""
    scene = env.unwrapped
    robot, term = scene.scene["robot"], scene.action_manager.get_term(action)
    assert term.processed_actions.shape[1] == len(robot.joint_names), "record targets by the term's own joint names"
    stiffness, damping, actuation = drives(robot)
    # Isaac Lab turned its quaternions with 3.0: the last number of the identity tells which it is.
    last = type(robot.cfg.init_state)().rot[3]
    header = {
        "simulator": "Isaac Lab",
        "joint_names": list(robot.joint_names),
        "action_names": list(term._joint_names),
        "timestep": scene.physics_dt,
        "decimation": scene.cfg.decimation,
        "control_dt": scene.step_dt,
        "actuation": actuation,
        "stiffness": stiffness,
        "damping": damping,
        "quaternion_order": "xyzw" if last == 1.0 else "wxyz",
    }

    def numbers(values):
        values = getattr(values, "torch", values)  # 3.0 wraps its arrays
        return values[few].detach().cpu().numpy().copy()  # a copy: Isaac Lab writes into its buffers

    obs = env.get_observations()
    with Recorder(path, header) as recorder, torch.inference_mode():
        for _ in range(steps):
            data = robot.data
            moment = {
                "time": numbers(scene.episode_length_buf * scene.step_dt),
                "joint_pos": numbers(data.joint_pos),
                "joint_vel": numbers(data.joint_vel),
                "base_pos": numbers(data.root_link_pos_w) - numbers(scene.scene.env_origins),
                "base_quat": numbers(data.root_link_quat_w),
                # root_lin_vel_b, which mdp.base_lin_vel observes, is the centre of mass's; a trace has the link's,
                # and where that centre lies.
                "base_lin_vel": numbers(data.root_link_lin_vel_b),
                "base_ang_vel": numbers(data.root_link_ang_vel_b),
                "base_com": numbers(data.com_pos_b)[:, 0],  # the root is the first body
                "command": numbers(scene.command_manager.get_command(command)),
                "observation": numbers(obs["policy"]),  # older wrappers: obs, _ = env.get_observations()
            }
            chosen = policy(obs)
            moment["action"] = numbers(chosen)
            obs, _, _, _ = env.step(chosen)
            # What the action set; a reset inside step leaves it as it was.
            recorder.record(**moment, target=numbers(term.processed_actions))


def drives(robot):
    """Stiffness and damping of every joint of the first environment, and whether torques come from a PD law."""

    def first(values):
        return getattr(values, "torch", values)[0].detach().cpu().clone()

    stiffness, damping = first(robot.data.joint_stiffness), first(robot.data.joint_damping)
    explicit = 0
    for name, group in robot.actuators.items():
        # An explicit actuator computes torques itself: there the simulator's own gains are zero.
        if getattr(group, "is_implicit_model", False):
            continue
        ids, _ = robot.find_joints(robot.cfg.actuators[name].joint_names_expr)
        if hasattr(group, "is_implicit_model"):
            gains = group.stiffness, group.damping
        else:  # 3.0 can leave a group to Newton's own actuators
            from isaaclab.actuators.newton import read_group_parameter

            gains = tuple(read_group_parameter(robot.actuators, name, "controller", gain) for gain in ("kp", "kd"))
        stiffness[ids], damping[ids] = (first(gain) for gain in gains)
        explicit += len(ids)
    assert explicit in (0, len(robot.joint_names)), "one kind of actuation: split what is mixed"
    return stiffness.tolist(), damping.tolist(), "explicit" if explicit else "implicit"
